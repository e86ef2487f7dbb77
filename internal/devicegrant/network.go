package devicegrant

import (
	"net/netip"
	"slices"
)

// shared are addresses that many networks have, or that name none: of carriers'
// NAT (RFC 6598), of IPv4 within IPv6 and the like (RFC 6052, 4380, 7335), of
// measurements (RFC 2544), and those that are reserved.
var shared = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/32"),
	netip.MustParsePrefix("2001::/32"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

// near reports whether two browsers are known to be in one network.
func near(a, b Browser, local bool) bool {
	return !a.Relayed && !b.Relayed && sameNetwork(a.Addr, b.Addr, local)
}

// sameNetwork reports whether two addresses are known to be in one network: the
// same public IPv4 address, the same /64 of IPv6. Where the application itself
// is local, also this machine, or the same private /24. Whatever else may be
// so is unknown, which is not the same: behind a proxy that nobody configured
// all the world has one private address.
func sameNetwork(a, b string, local bool) bool {
	x, err := netip.ParseAddr(a)
	if err != nil {
		return false
	}
	y, err := netip.ParseAddr(b)
	if err != nil {
		return false
	}
	x, y = x.Unmap().WithZone(""), y.Unmap().WithZone("")
	switch {
	case x.IsLoopback() && y.IsLoopback():
		return local
	case x.Is4() != y.Is4():
		return false
	case isPublic(x) && isPublic(y):
		return inOne(x, y, 32)
	case x.IsPrivate() && y.IsPrivate():
		return local && inOne(x, y, 24)
	}
	return false
}

func isPublic(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !slices.ContainsFunc(shared, func(p netip.Prefix) bool { return p.Contains(a) })
}

// inOne reports whether both are in one network, of so many bits if it is IPv4.
func inOne(a, b netip.Addr, bits int) bool {
	if a.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(a, bits).Masked().Contains(b)
}
