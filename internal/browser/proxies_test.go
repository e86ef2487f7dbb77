package browser

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

var proxies = Proxies{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("10.0.0.0/8")}

// requestFrom returns a request with these headers, names and values in turn.
func requestFrom(remote string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://backend:8080/", nil)
	r.RemoteAddr = remote
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// X-Forwarded-For counts only as far as trusted proxies wrote it.
func TestAddr(t *testing.T) {
	for _, tt := range []struct {
		name, remote string
		forwarded    []string
		want         string
		relayed      bool
	}{
		{"no proxy", "203.0.113.7:1234", nil, "203.0.113.7", false},
		{"forged from outside", "203.0.113.7:1234", []string{"192.0.2.1"}, "203.0.113.7", true},
		{"one proxy", "127.0.0.1:1234", []string{"203.0.113.7"}, "203.0.113.7", false},
		{"forged behind a proxy", "127.0.0.1:1234", []string{"192.0.2.1, 203.0.113.7"}, "203.0.113.7", true},
		{"two proxies", "127.0.0.1:1234", []string{"192.0.2.1, 203.0.113.7, 10.1.2.3"}, "203.0.113.7", true},
		{"two headers", "127.0.0.1:1234", []string{"203.0.113.7", "10.1.2.3"}, "203.0.113.7", false},
		{"garbage", "127.0.0.1:1234", []string{"203.0.113.7, nonsense"}, "127.0.0.1", true},
		{"all are proxies", "127.0.0.1:1234", []string{"10.1.2.3"}, "10.1.2.3", false},
		{"4 in 6", "[::ffff:203.0.113.7]:1234", nil, "203.0.113.7", false},
		{"4 in 6 behind a proxy", "[::1]:1234", []string{"::ffff:203.0.113.7"}, "203.0.113.7", false},
		{"any text as a zone", "127.0.0.1:1234", []string{"fe80::1%\u202eall is well"}, "fe80::1", false},
		{"no address", "@", nil, "invalid IP", false},
		{"a port", "127.0.0.1:1234", []string{"203.0.113.7:51022"}, "203.0.113.7", false},
		{"ports of proxies", "127.0.0.1:1234", []string{"203.0.113.7:51022, 10.1.2.3:443"}, "203.0.113.7", false},
		{"IPv6", "127.0.0.1:1234", []string{"2001:db8::1"}, "2001:db8::1", false},
		{"IPv6 in brackets", "127.0.0.1:1234", []string{"[2001:db8::1]"}, "2001:db8::1", false},
		{"IPv6 with a port", "127.0.0.1:1234", []string{"[2001:db8::1]:443"}, "2001:db8::1", false},
		{"4 in 6 with a port", "127.0.0.1:1234", []string{"[::ffff:203.0.113.7]:443"}, "203.0.113.7", false},
		{"only a port", "127.0.0.1:1234", []string{"203.0.113.7, :443"}, "127.0.0.1", true},
		{"a name", "127.0.0.1:1234", []string{"203.0.113.7, localhost:443"}, "127.0.0.1", true},
		{"unknown", "127.0.0.1:1234", []string{"unknown"}, "127.0.0.1", true},
	} {
		r := requestFrom(tt.remote)
		r.Header["X-Forwarded-For"] = tt.forwarded
		addr, relayed := proxies.Addr(r)
		if got := addr.String(); got != tt.want || relayed != tt.relayed {
			t.Errorf("%s: %s, relayed %v, want %s, %v", tt.name, got, relayed, tt.want, tt.relayed)
		}
	}
}

// Forwarded (RFC 7239) counts in the same way.
func TestForwarded(t *testing.T) {
	for _, tt := range []struct {
		name, forwarded string
		want            string
		relayed         bool
	}{
		{"one proxy", "for=203.0.113.7", "203.0.113.7", false},
		{"other parameters", "by=_lb; FOR=203.0.113.7;proto=https;host=bank.example", "203.0.113.7", false},
		{"quoted", `for="203.0.113.7:51022"`, "203.0.113.7", false},
		{"IPv6", `for="[2001:db8::1]:443"`, "2001:db8::1", false},
		{"IPv6 without a port", `for="[2001:db8::1]"`, "2001:db8::1", false},
		{"obfuscated port", `for="203.0.113.7:_x"`, "203.0.113.7", false},
		{"escaped", `for="203\.0.113.7"`, "127.0.0.1", true}, // nobody writes it
		{"two proxies", `for=203.0.113.7, for="10.1.2.3:80"`, "203.0.113.7", false},
		{"forged", "for=192.0.2.1, for=203.0.113.7", "203.0.113.7", true},
		{"hidden", "for=_hidden", "127.0.0.1", true},
		{"unknown", "for=203.0.113.7, for=unknown", "127.0.0.1", true},
		{"nobody", "proto=https", "127.0.0.1", true},
		{"nobody after a forged one", "for=192.0.2.1, proto=https", "127.0.0.1", true},
		{"twice", "for=192.0.2.1;for=203.0.113.7", "127.0.0.1", true},
		{"half a quoted string", `for="192.0.2.1, for=203.0.113.7`, "203.0.113.7", true},
		{"half a quoted string before a whole one", `for=192.0.2.1;x=", for="203.0.113.7"`, "203.0.113.7", true},
		{"a comma in a host", `for=203.0.113.7;host="x, for=192.0.2.1"`, "203.0.113.7", false},
		{"quotes in a host", `for=203.0.113.7;host="x\", for=192.0.2.1;y=\""`, "203.0.113.7", false},
		{"a backslash at the end of a host", `for=192.0.2.1, for=203.0.113.7;host="\\"`, "203.0.113.7", true},
		{"garbage", `,;="`, "127.0.0.1", true},
	} {
		addr, relayed := proxies.Addr(requestFrom("127.0.0.1:1234", "Forwarded", tt.forwarded))
		if got := addr.String(); got != tt.want || relayed != tt.relayed {
			t.Errorf("%s: %s, relayed %v, want %s, %v", tt.name, got, relayed, tt.want, tt.relayed)
		}
	}
	if addr, relayed := proxies.Addr(requestFrom("203.0.113.7:1", "Forwarded", "for=192.0.2.1")); addr.String() != "203.0.113.7" || !relayed {
		t.Errorf("forged from outside: %s, relayed %v", addr, relayed)
	}
	// A long header costs no more than its length.
	proxies.Addr(requestFrom("127.0.0.1:1", "Forwarded", strings.Repeat(`\",`, 300_000)))
}

// If a proxy writes one of the two headers, the browser can send the other. Its
// address is then known to nobody.
func TestBothHeaders(t *testing.T) {
	for standard, relayed := range map[string]bool{
		"for=203.0.113.7":                false,
		"for=192.0.2.1":                  true,
		"for=unknown":                    true,
		"for=192.0.2.1, for=\"[::1]:5\"": true,
	} {
		addr, got := proxies.Addr(requestFrom("127.0.0.1:1", "Forwarded", standard, "X-Forwarded-For", "203.0.113.7"))
		if addr.String() != "203.0.113.7" || got != relayed {
			t.Errorf("%s: %s, relayed %v, want that of X-Forwarded-For, %v", standard, addr, got, relayed)
		}
	}
}

func TestTarget(t *testing.T) {
	for _, tt := range []struct {
		remote       string
		headers      []string
		host, scheme string
	}{
		{"127.0.0.1:1", nil, "backend:8080", ""},
		{"203.0.113.7:1", []string{"X-Forwarded-Host", "evil", "X-Forwarded-Proto", "https", "Forwarded", "host=evil"}, "backend:8080", ""},
		{"127.0.0.1:1", []string{"X-Forwarded-Host", "Bank.example , inner", "X-Forwarded-Proto", "HTTPS, http"}, "bank.example", "https"},
		{"127.0.0.1:1", []string{"X-Forwarded-Host", "bank.example", "X-Forwarded-Host", "inner"}, "bank.example", ""},
		{"127.0.0.1:1", []string{"Forwarded", `host="Bank.example:81";proto=HTTPS, host=inner;proto=http`}, "bank.example:81", "https"},
		{"127.0.0.1:1", []string{"Forwarded", "host=other;proto=https", "X-Forwarded-Host", "bank.example"}, "bank.example", "https"},
		{"127.0.0.1:1", []string{"Forwarded", "for=_x"}, "backend:8080", ""},
		{"127.0.0.1:1", []string{"Forwarded", `host="`}, "backend:8080", ""},
	} {
		if host, scheme := proxies.Target(requestFrom(tt.remote, tt.headers...)); host != tt.host || scheme != tt.scheme {
			t.Errorf("%q: %s %s, want %s %s", tt.headers, host, scheme, tt.host, tt.scheme)
		}
	}
}
