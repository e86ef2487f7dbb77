package config

import (
	"cmp"
	"net/netip"
	"net/url"
	"strings"
	"unicode"
)

// origin reads a scheme, a host and perhaps a port, or returns "" after a fault.
// It is compared with what browsers send, so it must be spelled their way.
func (p *parser) origin(name, missing string) string {
	text := strings.TrimSuffix(cmp.Or(p.values[name], missing), "/")
	u, ok := parseURL(text)
	switch {
	case !ok || u.Path != "":
		p.fault(name, "is %q; it is an address without a path, like https://bank.example.com", text)
		return ""
	case !browserSpells(u.Hostname()):
		p.fault(name, "is %q, but a browser spells that host differently; copy the address from the browser", text)
		return ""
	}
	return joinOrigin(u.Scheme, u.Host)
}

// joinOrigin returns an origin as a browser writes it: in lower case, without
// the scheme's own port.
func joinOrigin(scheme, host string) string {
	defaultPort := ":80"
	if scheme == "https" {
		defaultPort = ":443"
	}
	return scheme + "://" + strings.TrimSuffix(strings.ToLower(host), defaultPort)
}

// browserSpells reports whether browsers write a host like this, but for the
// case. They write names in ASCII, without some characters that net/url allows,
// and an IP address in one way, without a zone (WHATWG URL, sections 3.2 and 3.5).
func browserSpells(host string) bool {
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.WithZone("").String() == strings.ToLower(host)
	}
	last := host[strings.LastIndexByte(host, '.')+1:]
	isIPv4 := last != "" && '0' <= last[0] && last[0] <= '9' // another form of an address, like 127.1
	return !isIPv4 && !strings.ContainsAny(host, `"<>[]`) && !strings.ContainsFunc(host, func(c rune) bool { return c > unicode.MaxASCII })
}

// api reads the URL of an API, or returns "" after a fault.
func (p *parser) api(name, missing string) string {
	text := cmp.Or(p.values[name], missing)
	if _, ok := parseURL(text); !ok {
		p.fault(name, "is %q; it is an address like %s", text, missing)
		return ""
	}
	return text
}

// parseURL parses an http or https URL with a host, and perhaps a port and a
// path, but nothing else.
func parseURL(text string) (u *url.URL, ok bool) {
	u, err := url.Parse(text)
	return u, err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// hostOf returns the host of an origin that has been checked, without its port.
func hostOf(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// isLoopback reports whether a host is the machine itself, for every machine
// (RFC 6761, section 6.3).
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func isPrivate(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsPrivate()
}
