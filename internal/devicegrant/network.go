package devicegrant

import "net/netip"

// carrierNAT is what many networks share (RFC 6598).
var carrierNAT = netip.MustParsePrefix("100.64.0.0/10")

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
	return a.IsGlobalUnicast() && !a.IsPrivate() && !carrierNAT.Contains(a)
}

// inOne reports whether both are in one network, of so many bits if it is IPv4.
func inOne(a, b netip.Addr, bits int) bool {
	if a.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(a, bits).Masked().Contains(b)
}
