package reach

import (
	"net"
	"testing"
)

// No phone is on a machine's networks for containers or a VPN. The whole-program
// tests try Addresses on whole machines.
func TestShared(t *testing.T) {
	const up = net.FlagUp | net.FlagRunning | net.FlagBroadcast | net.FlagMulticast
	for _, tt := range []struct {
		name  string
		flags net.Flags
		want  bool
	}{
		{"eth0", up, true},
		{"wlp3s0", up, true},
		{"en0", up, true},
		{"Wi-Fi", up, true},
		{"br0", up, true}, // the network connection of a host of virtual machines
		{"lo", net.FlagUp | net.FlagRunning | net.FlagLoopback, false},
		{"tun0", net.FlagUp | net.FlagRunning | net.FlagPointToPoint, false},
		{"utun3", up | net.FlagPointToPoint, false},
		{"eth0", up &^ net.FlagUp, false},
		{"eth0", up &^ net.FlagRunning, false},
		{"eth0", up &^ net.FlagBroadcast, false},
		{"docker0", up, false},
		{"br-1c2d3e4f5a6b", up, false},
		{"veth12ab34c", up, false},
		{"virbr0", up, false},
		{"vmnet8", up, false},
		{"vboxnet0", up, false},
		{"vEthernet (WSL (Hyper-V firewall))", up, false},
		{"vEthernet (Default Switch)", up, false},
		{"vEthernet (External)", up, true}, // the network connection of a host of virtual machines
		{"VirtualBox Host-Only Network", up, false},
		{"VMware Network Adapter VMnet8", up, false},
	} {
		if got := shared(net.Interface{Name: tt.name, Flags: tt.flags}); got != tt.want {
			t.Errorf("%s with %v: shared is %t, want %t", tt.name, tt.flags, got, tt.want)
		}
	}
}
