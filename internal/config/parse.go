package config

import (
	"cmp"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// isLoopback reports whether a host is this machine, for whoever looks for it
// (RFC 6761, section 6.3).
func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// hostOf returns the host of an origin that has been checked, without its port.
func hostOf(origin string) string {
	u, err := url.Parse(origin)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// parser collects faults while it reads settings.
type parser struct {
	get     func(string) string
	tunnels map[int][]string // public URLs by port, with -ngrok
	faults  []error
}

func (p *parser) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf(format, args...))
}

// port reads a port, or returns 0 after a fault. One that is fixed must be known
// before it is bound: a tunnel leads to it.
func (p *parser) port(name string, missing int, fixed bool) int {
	text := p.get(name)
	if text == "" {
		return missing
	}
	port, err := strconv.ParseUint(text, 10, 16)
	switch {
	case err != nil:
		p.fault("%s is %q; it is a port, 0 to 65535 (0: any free one)", name, text)
		return 0
	case port == 0 && fixed:
		p.fault("%s is 0, but with -ngrok a tunnel must lead to it; set it to the port in ngrok.yml, or leave it out for %d", name, missing)
	}
	return int(port)
}

// origin reads a URL, or returns "" after a fault. It is a scheme, a host and
// perhaps a port. A browser leaves the scheme's own port out, and so do we: the
// two are compared.
func (p *parser) origin(name, missing string) string {
	text := strings.TrimSuffix(cmp.Or(p.get(name), missing), "/")
	u, ok := parseURL(text)
	if !ok || u.Path != "" {
		p.fault("%s is %q; it is an address without a path, like https://bank.example.com", name, text)
		return ""
	}
	return joinOrigin(u.Scheme, u.Host)
}

// joinOrigin returns an origin as a browser writes it.
func joinOrigin(scheme, host string) string {
	defaultPort := ":80"
	if scheme == "https" {
		defaultPort = ":443"
	}
	return scheme + "://" + strings.TrimSuffix(strings.ToLower(host), defaultPort)
}

// api reads the URL of an API, or returns "" after a fault.
func (p *parser) api(name, missing string) string {
	text := cmp.Or(p.get(name), missing)
	if _, ok := parseURL(text); !ok {
		p.fault("%s is %q; it is an address like %s", name, text, missing)
		return ""
	}
	return text
}

// parseURL parses an http or https URL of nothing but a host, a port and a path.
func parseURL(text string) (u *url.URL, ok bool) {
	u, err := url.Parse(text)
	return u, err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" &&
		u.RawQuery == "" && u.Fragment == "" && u.User == nil
}

// addresses reads a list of IP addresses, or returns nil after a fault.
func (p *parser) addresses(name, missing string) []string {
	var hosts []string
	good := true
	for text := range strings.SplitSeq(cmp.Or(p.get(name), missing), ",") {
		addr, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			p.fault("%s has %q; it is a list of IP addresses, like 127.0.0.1, ::1", name, text)
			good = false
		}
		hosts = append(hosts, addr.String())
	}
	if !good {
		return nil
	}
	return hosts
}

func (p *parser) prefixes(name, missing string) []netip.Prefix {
	var prefixes []netip.Prefix
	list := cmp.Or(p.get(name), missing)
	if list == "" {
		return nil
	}
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimSpace(text)
		prefix, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			p.fault("%s has %q; it is a list of addresses or networks, like 10.0.0.0/8", name, text)
			continue
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes
}

// count reads a number of times, one or more.
func (p *parser) count(name string, missing int) int {
	text := p.get(name)
	if text == "" {
		return missing
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 {
		p.fault("%s is %q; it is a whole number, 1 or more", name, text)
	}
	return int(n)
}

// oneOf reads one of the given words; the first is the default.
func (p *parser) oneOf(name string, words ...string) string {
	text := cmp.Or(p.get(name), words[0])
	if !slices.Contains(words, text) {
		p.fault("%s is %q; use %s", name, text, strings.Join(words, " or "))
	}
	return text
}

func (p *parser) duration(name string, missing, least, most time.Duration) time.Duration {
	text := p.get(name)
	if text == "" {
		return missing
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		p.fault("%s is %q; it is a time from %v to %v, like 5m", name, text, least, most)
	}
	return d
}

func (p *parser) secretKeys(name string) []Secret {
	var keys []Secret
	for text := range strings.FieldsFuncSeq(p.get(name), func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		if len(text) < 32 {
			p.fault("%s has a key of %d characters; make one of 32 or more, for example with: openssl rand -hex 32", name, len(text))
		}
		keys = append(keys, Secret(text))
	}
	if len(keys) > 2 {
		p.fault("%s has %d keys; it is one, or two with the newest first", name, len(keys))
	}
	return keys
}

func (p *parser) dataDir(name string) string {
	if dir := p.get(name); dir != "" {
		return dir
	}
	base, err := os.UserConfigDir()
	if err != nil {
		p.fault("%s is needed here: this user has no folder of its own for data (%v)", name, err)
	}
	return filepath.Join(base, "changebank")
}
