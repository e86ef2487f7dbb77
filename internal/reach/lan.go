package reach

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
)

// Addresses returns this machine's private IPv4 addresses on networks with other
// machines, each with its interface's name.
func Addresses() (map[netip.Addr]string, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("reach: list the network interfaces: %w", err)
	}
	found := make(map[netip.Addr]string)
	for _, i := range interfaces {
		if !shared(i) {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue // the interface is gone by now
		}
		for _, addr := range addrs {
			prefix, err := netip.ParsePrefix(addr.String())
			if err == nil && prefix.Addr().Is4() && prefix.Addr().IsPrivate() {
				found[prefix.Addr()] = i.Name
			}
		}
	}
	return found, nil
}

// inside matches the interfaces of networks that have only containers and
// virtual machines, the last line those of Windows.
var inside = regexp.MustCompile(`^(docker|br-|veth|virbr|vmnet|vboxnet` +
	`|vEthernet \((WSL|Default Switch)|VirtualBox Host-Only|VMware Network Adapter)`)

// shared reports whether an interface can connect to other machines.
func shared(i net.Interface) bool {
	const want = net.FlagUp | net.FlagRunning | net.FlagBroadcast
	const unwanted = net.FlagLoopback | net.FlagPointToPoint // point-to-point: mostly a VPN
	return i.Flags&want == want && i.Flags&unwanted == 0 && !inside.MatchString(i.Name)
}
