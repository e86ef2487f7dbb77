package reach

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
)

// Addresses returns this machine's private IPv4 addresses in the networks that
// it shares with others, each with its interface's name.
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
			continue // it is gone since
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

// inside matches the interfaces behind which there are only containers and
// virtual machines.
var inside = regexp.MustCompile(`^(docker|br-|veth|virbr|vmnet|vboxnet)`)

// shared reports whether other machines can be at the interface's other end.
func shared(i net.Interface) bool {
	const want = net.FlagUp | net.FlagRunning | net.FlagBroadcast
	const unwanted = net.FlagLoopback | net.FlagPointToPoint // the latter is a VPN's, mostly
	return i.Flags&want == want && i.Flags&unwanted == 0 && !inside.MatchString(i.Name)
}
