package browser

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// X-Forwarded-For counts only as far as trusted proxies wrote it.
func TestAddr(t *testing.T) {
	proxies := Proxies{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("10.0.0.0/8")}
	for _, tt := range []struct {
		name, remote string
		forwarded    []string
		want         string
	}{
		{"no proxy", "203.0.113.7:1234", nil, "203.0.113.7"},
		{"forged from outside", "203.0.113.7:1234", []string{"192.0.2.1"}, "203.0.113.7"},
		{"one proxy", "127.0.0.1:1234", []string{"203.0.113.7"}, "203.0.113.7"},
		{"forged behind a proxy", "127.0.0.1:1234", []string{"192.0.2.1, 203.0.113.7"}, "203.0.113.7"},
		{"two proxies", "127.0.0.1:1234", []string{"192.0.2.1, 203.0.113.7, 10.1.2.3"}, "203.0.113.7"},
		{"two headers", "127.0.0.1:1234", []string{"203.0.113.7", "10.1.2.3"}, "203.0.113.7"},
		{"garbage", "127.0.0.1:1234", []string{"203.0.113.7, nonsense"}, "127.0.0.1"},
		{"all are proxies", "127.0.0.1:1234", []string{"10.1.2.3"}, "10.1.2.3"},
		{"4 in 6", "[::ffff:203.0.113.7]:1234", nil, "203.0.113.7"},
		{"4 in 6 behind a proxy", "[::1]:1234", []string{"::ffff:203.0.113.7"}, "203.0.113.7"},
		{"any text as a zone", "127.0.0.1:1234", []string{"fe80::1%\u202eall is well"}, "fe80::1"},
		{"no address", "@", nil, "invalid IP"},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = tt.remote
		r.Header["X-Forwarded-For"] = tt.forwarded
		addr, _ := proxies.Addr(r)
		if got := addr.String(); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// What a laptop says of itself is shown to the person who decides: it must
// stay a few harmless words.
func TestName(t *testing.T) {
	for _, tt := range []struct{ agent, want string }{
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Windows"},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", "Safari on iOS"},
		{"", "An unknown browser"},
	} {
		if got := (Browser{Agent: tt.agent}).Name(); got != tt.want {
			t.Errorf("name of %q = %q, want %q", tt.agent, got, tt.want)
		}
	}
	for _, agent := range []string{
		strings.Repeat("x", 400),
		"\u202eevil/1.0 (\u2066)",
		"You are safe, press Yes/1.0\n\n\n",
		"<script>alert(1)</script>/1.0",
		"\x00\x1b[31m/1.0",
	} {
		got := Browser{Agent: agent}.Name()
		if utf8.RuneCountInString(got) > 70 || strings.ContainsAny(got, "\n\x00\x1b\u202e\u2066") {
			t.Errorf("name of %q = %q", agent, got)
		}
	}
}

func TestOwnersName(t *testing.T) {
	for _, tt := range []struct{ agent, want string }{
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", "your iPhone"},
		{"Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Mobile/15E148 Safari/604.1", "your iPad"},
		{"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36", "your Android phone"},
		{"Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "your Android phone"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Windows"},
		{"", "your phone"},
	} {
		if got := (Browser{Agent: tt.agent}).OwnersName(); got != tt.want {
			t.Errorf("phoneName(%q: %q, want %q", tt.agent, got, tt.want)
		}
	}
}

func TestIsPhone(t *testing.T) {
	for _, tt := range []struct {
		hint, agent string
		want        bool
	}{
		{"", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", true},
		{"", "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36", true},
		{"", "Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", true},
		{"", "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", false},
		{"?1", "", true},
		{"?0", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", false},
		{"", "", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("User-Agent", tt.agent)
		if tt.hint != "" {
			r.Header.Set("Sec-CH-UA-Mobile", tt.hint)
		}
		if got := IsPhone(r); got != tt.want {
			t.Errorf("IsPhone of %q, %q = %v, want %v", tt.hint, tt.agent, got, tt.want)
		}
	}
}

func TestAgentIsBounded(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("User-Agent", strings.Repeat("é", 10_000))
	if b := Proxies(nil).Of(r); len(b.Agent) > maxAgent || !utf8.ValidString(b.Agent) {
		t.Errorf("%d bytes are kept of a long User-Agent, valid: %v", len(b.Agent), utf8.ValidString(b.Agent))
	}
}

// A header that a visitor made as long as a request allows costs no more than
// any other.
func TestLongAgentIsCheap(t *testing.T) {
	agent := "http://a" + strings.Repeat(" ;", 30_000)
	r := &http.Request{Header: http.Header{"User-Agent": {agent}}}
	began := time.Now()
	for range 20 {
		IsPhone(r)
		Proxies(nil).Of(r).Name()
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("20 requests took %v", took)
	}
}
