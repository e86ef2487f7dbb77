// Package browser says what an HTTP request tells about the browser that sent
// it: its name, its address behind trusted proxies, and whether two browsers
// are on the same network.
package browser

import (
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
)

// maxAgent is how many bytes of a User-Agent header are kept. Real ones are
// shorter.
const maxAgent = 400

// Browser describes the browser that sent a request. All of it is claimed by
// the browser or by a proxy between it and us, so none of it is proof.
type Browser struct {
	Agent string // the User-Agent header, at most 400 bytes
	Addr  string // the IP address, empty if unknown
	// Relayed reports that the request passed through more hops than Addr
	// accounts for: an untrusted proxy, or a header that anyone can send. Many
	// browsers may share such an address.
	Relayed bool `json:",omitzero"`
	Shared  bool `json:",omitzero"` // the operator says that many strangers share Addr
}

// Of returns the browser that sent r.
func (p Proxies) Of(r *http.Request) Browser {
	addr, relayed := p.Addr(r)
	b := Browser{Agent: agentOf(r), Relayed: relayed}
	if addr.IsValid() {
		b.Addr = addr.String()
	}
	return b
}

// Networks are the networks that the operator says something about.
type Networks struct {
	Proxies
	Shared []netip.Prefix // exits that many strangers share: a VPN's, a privacy relay's
}

// Of returns the browser that sent r.
func (n Networks) Of(r *http.Request) Browser {
	b := n.Proxies.Of(r)
	addr, _ := netip.ParseAddr(b.Addr) // an unknown one is in no network
	b.Shared = Contain(n.Shared, addr)
	return b
}

// agentOf returns the User-Agent header, cut short: to parse a long one takes
// time that grows with the square of its length.
func agentOf(r *http.Request) string {
	agent := r.UserAgent()
	return strings.ToValidUTF8(agent[:min(len(agent), maxAgent)], "")
}

// LogValue implements [slog.LogValuer].
func (b Browser) LogValue() slog.Value {
	return slog.GroupValue(slog.String("addr", b.Addr), slog.String("agent", b.Agent))
}

// Same reports whether two requests seem to come from the same browser, rather than
// from a thief of its cookie elsewhere.
func Same(a, b Browser) bool {
	return a.Agent == b.Agent && (a.Addr == b.Addr || Near(a, b, false))
}
