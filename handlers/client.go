package handlers

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/mileusna/useragent"

	"changebank/internal/devicegrant"
	"changebank/internal/session"
)

// maxAgent is how many bytes of a User-Agent header are kept; no real one is
// longer.
const maxAgent = 400

// Proxies are the networks of the proxies before us: whose X-Forwarded headers
// count.
type Proxies []netip.Prefix

// BrowserOf returns what the request tells of its browser.
func (p Proxies) BrowserOf(r *http.Request) session.Browser {
	agent := r.UserAgent()
	if len(agent) > maxAgent {
		agent = agent[:maxAgent]
	}
	b := session.Browser{Agent: strings.ToValidUTF8(agent, "")}
	addr, further := p.clientAddr(r)
	if addr.IsValid() {
		b.Addr = addr.String()
	}
	b.Relayed = further
	return b
}

// browserOf is [Proxies.BrowserOf] for a QR login. It warns of a proxy that
// nobody configured: all browsers then seem to have its address. They do not
// count as being in one network, but the limits count them as one.
func (s *Server) browserOf(r *http.Request) devicegrant.Browser {
	b := s.cfg.TrustedProxies.BrowserOf(r)
	addr, err := netip.ParseAddr(b.Addr)
	inside := err == nil && (addr.IsPrivate() || addr.IsLoopback())
	if s.cfg.Public && (inside || b.Relayed) {
		s.proxies.Do(func() {
			s.log.Warn("a browser's address may be that of a proxy; if one stands in front, TRUSTED_PROXIES must name it, and it must send X-Forwarded-For", "addr", b.Addr)
		})
	}
	return devicegrant.Browser(b)
}

// isAmong reports whether one of the networks has the address.
func isAmong(addr netip.Addr, networks []netip.Prefix) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(addr) })
}

// clientAddr returns the address of the browser: the one that connected, or
// behind proxies that we trust the right-most one they report that is not one
// of them. What stands further left could have been sent by anybody. further
// tells that something does: perhaps by a proxy that nobody configured, so the
// address may be that of very many.
func (p Proxies) clientAddr(r *http.Request) (addr netip.Addr, further bool) {
	addr = peer(r)
	header := strings.Join(r.Header.Values("X-Forwarded-For"), ",")
	if header == "" {
		return addr, false
	}
	hops := strings.Split(header, ",")
	i := len(hops) - 1
	for ; i >= 0 && p.trusted(addr); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop.Unmap().WithZone("") // which could hold any text
	}
	return addr, i >= 0
}

// peer returns the address that connected to us.
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

func (p Proxies) trusted(addr netip.Addr) bool { return isAmong(addr, p) }

// browserName says in a few words which browser and system it was, as far as
// its User-Agent can be believed.
func browserName(agent string) string {
	ua := useragent.Parse(agent)
	name, system := plain(ua.Name), plain(ua.OS)
	switch {
	case name == "" && system == "":
		return "An unknown browser"
	case name == "":
		return "A browser on " + system
	case system == "":
		return name
	}
	return name + " on " + system
}

// phoneName names what opened a code to the person who is waiting for it.
func phoneName(agent string) string {
	ua := useragent.Parse(agent)
	switch {
	case agent == "":
		return "Your phone"
	case ua.OS == useragent.IOS && ua.Tablet:
		return "Your iPad"
	case ua.OS == useragent.IOS:
		return "Your iPhone"
	case ua.OS == useragent.Android && ua.Tablet:
		return "Your Android tablet"
	case ua.OS == useragent.Android:
		return "Your Android phone"
	}
	return browserName(agent)
}

// isPhone reports whether the request says that it comes from a phone.
func isPhone(r *http.Request) bool {
	if hint := r.Header.Get("Sec-CH-UA-Mobile"); hint != "" {
		return hint == "?1"
	}
	return useragent.Parse(r.UserAgent()).Mobile
}

// plain keeps a word short and printable: it comes from a header that says
// whatever its sender likes.
func plain(word string) string {
	word = strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) || unicode.Is(unicode.Bidi_Control, c) {
			return -1
		}
		return c
	}, word)
	if runes := []rune(word); len(runes) > 30 {
		word = string(runes[:30]) + "…"
	}
	return strings.TrimSpace(word)
}

// ago says how long ago t was.
func ago(t time.Time) string {
	d := time.Since(t).Round(time.Second)
	switch {
	case d < 2*time.Second:
		return "just now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d seconds ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d minutes ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d hours ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}

// minutes says how long d is, for a person who must wait.
func minutes(d time.Duration) string {
	if n := int((d + time.Minute - 1) / time.Minute); n > 1 {
		return fmt.Sprintf("%d minutes", n)
	}
	return "a minute"
}
