package handlers

import (
	"fmt"
	"net/http"
	"net/netip"
	"time"

	"changebank/internal/browser"
)

// browserOf returns the browser that sent r. It warns once of a proxy that
// nobody configured: all browsers then seem to have its address, which counts
// as near to nothing but shares one rate limit.
func (s *Server) browserOf(r *http.Request) browser.Browser {
	b := s.cfg.TrustedProxies.Of(r)
	addr, err := netip.ParseAddr(b.Addr)
	inside := err == nil && (addr.IsPrivate() || addr.IsLoopback())
	if s.cfg.Public && (inside || b.Relayed) {
		s.proxies.Do(func() {
			s.log.Warn("a browser's address may be that of a proxy; if one stands in front, TRUSTED_PROXIES must name it, and it must send X-Forwarded-For", "addr", b.Addr)
		})
	}
	return b
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
