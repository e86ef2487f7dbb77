package browser

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"
)

// A browser's own headers do not change the address that a trusted proxy appends.
// Without a trusted proxy, no header counts.
func FuzzForwarded(f *testing.F) {
	f.Add("10.0.0.1", "", "", "", "")
	f.Add("1.2.3.4, 5.6.7.8", `for="[2001:db8::1]:80";proto=https;host="a,b"`, "a, b", "https,http", "Firefox")
	f.Add(`"`, `for="`, "[::1", "\xff", strings.Repeat("é", 300))
	f.Add("::ffff:10.0.0.1%eth0", `for=_x;;=,"\"`, ",", ",", "")
	proxies := Proxies{netip.MustParsePrefix("10.0.0.0/8")}
	appended := netip.MustParseAddr("203.0.113.9")
	f.Fuzz(func(t *testing.T, xff, forwarded, host, proto, agent string) {
		r := &http.Request{RemoteAddr: "10.0.0.2:1234", Host: "Bank.example", Header: http.Header{
			"X-Forwarded-For": {xff + ", 203.0.113.9"}, "X-Forwarded-Host": {host}, "X-Forwarded-Proto": {proto}, "User-Agent": {agent},
		}}
		if addr, _ := proxies.Addr(r); addr != appended {
			t.Errorf("X-Forwarded-For %q: %v", xff, addr)
		}
		r.Header["Forwarded"] = []string{forwarded}
		if addr, relayed := proxies.Addr(r); addr != appended || forwarded != "" && !relayed && !strings.Contains(forwarded, appended.String()) {
			t.Errorf("Forwarded %q beside X-Forwarded-For: %v, relayed: %t", forwarded, addr, relayed)
		}
		delete(r.Header, "X-Forwarded-For")
		r.Header["Forwarded"] = []string{forwarded + ", for=203.0.113.9"}
		if addr, _ := proxies.Addr(r); addr != appended {
			t.Errorf("Forwarded %q: %v", forwarded, addr)
		}
		seen, scheme := proxies.Target(r)
		if seen != strings.ToLower(seen) || scheme != strings.ToLower(scheme) {
			t.Errorf("asked for %q by %q", seen, scheme)
		}
		if b := proxies.Of(r); len(b.Agent) > maxAgent || !utf8.ValidString(b.Agent) {
			t.Errorf("the agent %q", b.Agent)
		}
		r.RemoteAddr = "192.0.2.1:1234"
		addr, relayed := proxies.Addr(r)
		if addr.String() != "192.0.2.1" || !relayed {
			t.Errorf("with no proxy: %v, relayed: %t", addr, relayed)
		}
		if host, scheme := proxies.Target(r); host != "bank.example" || scheme != "" {
			t.Errorf("with no proxy: asked for %q by %q", host, scheme)
		}
	})
}
