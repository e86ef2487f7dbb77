package browser

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

func TestOwnersName(t *testing.T) {
	for _, tt := range []struct{ agent, want string }{
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1", "your iPhone"},
		{"Mozilla/5.0 (iPad; CPU OS 16_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Mobile/15E148 Safari/604.1", "your iPad"},
		{"Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile Safari/537.36", "your Android phone"},
		{"Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "your Android phone"},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Windows"},
		{"", "your phone"},
		{"checked by us", "your phone"},
		{"checked by us/1.0 (Windows NT 10.0)", "your phone"},
	} {
		if got := (Browser{Agent: tt.agent}).OwnersName(); got != tt.want {
			t.Errorf("OwnersName of %q: %q, want %q", tt.agent, got, tt.want)
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
