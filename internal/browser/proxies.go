package browser

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks of the trusted reverse proxies. Only their
// X-Forwarded headers count, and their Forwarded headers (RFC 7239) for what
// those do not say. Few proxies write Forwarded, so it is more often forged.
type Proxies []netip.Prefix

// Trusts reports whether r comes directly from a trusted proxy.
func (p Proxies) Trusts(r *http.Request) bool { return Contain(p, peer(r)) }

// Addr returns the browser's address: the peer's, or behind trusted proxies
// the right-most one in X-Forwarded-For (or Forwarded) that is not itself a
// trusted proxy's. Anyone can send addresses further left. relayed reports that
// there are any, because an unknown proxy may have added them, or that the two
// headers disagree, because the browser may have sent one of them. Very many
// browsers may share such an address.
func (p Proxies) Addr(r *http.Request) (addr netip.Addr, relayed bool) {
	var standard []string
	for _, element := range forwarded(r.Header) {
		standard = append(standard, element["for"])
	}
	hops := list(r.Header, "X-Forwarded-For")
	if hops == nil {
		return p.lastUntrusted(peer(r), standard)
	}
	addr, relayed = p.lastUntrusted(peer(r), hops)
	if standard != nil {
		other, _ := p.lastUntrusted(peer(r), standard)
		relayed = relayed || other != addr
	}
	return addr, relayed
}

// lastUntrusted goes from addr to the hops before it, as long as a trusted
// proxy wrote them. more reports that others remain.
func (p Proxies) lastUntrusted(addr netip.Addr, hops []string) (last netip.Addr, more bool) {
	i := len(hops) - 1
	for ; i >= 0 && Contain(p, addr); i-- {
		hop := parseAddr(hops[i])
		if !hop.IsValid() { // "unknown" and "_hidden" (RFC 7239, section 6), or garbage
			break
		}
		addr = hop
	}
	return addr, i >= 0
}

// Target returns the host that the browser asked for, with the port if it was
// given, and the scheme, empty if no trusted proxy says. Both are in lower case.
//
// Each proxy may append to X-Forwarded-Host and X-Forwarded-Proto, so the first
// value is the browser's. The browser may have forged it, so it must only be
// compared with what is configured: then a browser misleads nobody but itself.
func (p Proxies) Target(r *http.Request) (host, scheme string) {
	host = r.Host
	if p.Trusts(r) {
		first := map[string]string{}
		if elements := forwarded(r.Header); elements != nil {
			first = elements[0]
		}
		if hosts := list(r.Header, "X-Forwarded-Host"); hosts != nil {
			host = hosts[0]
		} else if first["host"] != "" {
			host = first["host"]
		}
		scheme = first["proto"]
		if schemes := list(r.Header, "X-Forwarded-Proto"); schemes != nil {
			scheme = schemes[0]
		}
	}
	return strings.ToLower(host), strings.ToLower(scheme)
}

// list returns the values in all headers with that name, nil if there are none.
func list(h http.Header, name string) []string {
	header := strings.Join(h.Values(name), ",")
	if header == "" {
		return nil
	}
	values := strings.Split(header, ",")
	for i := range values {
		values[i] = strings.TrimSpace(values[i])
	}
	return values
}

// Contain reports whether one of networks contains addr.
func Contain(networks []netip.Prefix, addr netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// peer returns the address that connected to us, the zero Addr if it is
// unknown.
func peer(r *http.Request) netip.Addr { return parseAddr(r.RemoteAddr) }

// parseAddr parses an IP address, perhaps with a port, and IPv6 perhaps in
// brackets. It returns the zero Addr for anything else.
func parseAddr(text string) netip.Addr {
	host, _, err := net.SplitHostPort(text)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("") // a zone can hold any text
}
