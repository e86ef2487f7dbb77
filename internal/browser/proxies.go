package browser

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks of the trusted reverse proxies: only their
// X-Forwarded headers count.
type Proxies []netip.Prefix

// Trusts reports whether r comes directly from a trusted proxy.
func (p Proxies) Trusts(r *http.Request) bool { return Contain(p, peer(r)) }

// Addr returns the browser's address: the peer's, or behind trusted proxies
// the right-most one in X-Forwarded-For that is not itself a trusted proxy's.
// Anyone can send addresses further left. relayed reports that there are any:
// an unknown proxy may have added them, and very many browsers share the address
// of a proxy.
func (p Proxies) Addr(r *http.Request) (addr netip.Addr, relayed bool) {
	addr = peer(r)
	header := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	if header == "" {
		return addr, false
	}
	hops := strings.Split(header, ",")
	i := len(hops) - 1
	for ; i >= 0 && Contain(p, addr); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop.Unmap().WithZone("") // a zone can hold any text
	}
	return addr, i >= 0
}

// Contain reports whether one of networks contains addr.
func Contain(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// peer returns the address that connected to us, the zero Addr if it is
// unknown.
func peer(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}
