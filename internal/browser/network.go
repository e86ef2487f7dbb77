package browser

import "net/netip"

// shared are addresses that many networks use, or that identify none: carrier
// NAT (RFC 6598), IPv4 embedded in IPv6 and the like (RFC 6052, 4380, 7335),
// benchmarking (RFC 2544), and reserved ranges.
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

// Near reports whether two browsers are known to be on the same network: the
// same public IPv4 address, or the same IPv6 /64. Where the application itself
// is local (on this machine or in a private network), also both on this
// machine, or in the same private /24. Anything else is unknown, which is not
// the same: behind a proxy that nobody configured, the whole world has one
// private address, and an attacker can rent an exit of his victim's VPN.
func Near(a, b Browser, local bool) bool {
	return !a.Relayed && !b.Relayed && !a.Shared && !b.Shared && sameNetwork(a.Addr, b.Addr, local)
}

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
		return sameBlock(x, y, 32)
	case x.IsPrivate() && y.IsPrivate():
		return local && sameBlock(x, y, 24)
	}
	return false
}

func isPublic(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && !Contain(shared, a)
}

// sameBlock reports whether both addresses are in one block of ipv4Bits, or of
// 64 bits for IPv6.
func sameBlock(a, b netip.Addr, ipv4Bits int) bool {
	bits := ipv4Bits
	if a.Is6() {
		bits = 64
	}
	return netip.PrefixFrom(a, bits).Masked().Contains(b)
}

// Blocks returns the blocks of addresses that one client may control, the
// widest first, for counting what it does: the address itself for IPv4, and
// the /48, /56 and /64 for IPv6 (RFC 6177). An address that cannot be parsed
// is a block of its own.
func Blocks(addr string) []string {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return []string{addr}
	}
	if a = a.Unmap().WithZone(""); a.Is4() {
		return []string{a.String()}
	}
	var blocks []string
	for _, bits := range []int{48, 56, 64} {
		blocks = append(blocks, netip.PrefixFrom(a, bits).Masked().String())
	}
	return blocks
}
