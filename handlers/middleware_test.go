package handlers

import (
	"bufio"
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"changebank/internal/browser"
	"changebank/internal/session"
)

// hostTest is the check of the host, for an application at appURL that trusts
// proxies at 10.0.0.0/8, in front of a page that answers 204.
type hostTest struct {
	*testing.T
	http.Handler
	appURL string
	log    *bytes.Buffer
}

func newHostTest(t *testing.T, appURL string) *hostTest {
	t.Helper()
	kept, jar := newStore(t, appURL, nil)
	pages, err := parsePages(appURL)
	if err != nil {
		t.Fatal(err)
	}
	app, err := url.Parse(appURL)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	s := &Server{
		cfg: Config{
			Public:   true,
			AppURL:   appURL,
			Networks: browser.Networks{Proxies: browser.Proxies{netip.MustParsePrefix("10.0.0.0/8")}},
			Sessions: session.New(session.Config{Store: kept, Cookies: jar}),
		},
		host: app.Host, scheme: app.Scheme, pages: pages, log: slog.New(slog.NewTextHandler(&log, nil)),
	}
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.canonicalHost(w, r) {
			w.WriteHeader(http.StatusNoContent)
		}
	})
	return &hostTest{t, page, appURL, &log}
}

// ask sends a request line with these headers, as net/http reads them, from a
// trusted proxy.
func (h *hostTest) ask(line string, headers ...string) *httptest.ResponseRecorder {
	h.Helper()
	text := line + " HTTP/1.1\r\n" + strings.Join(headers, "\r\n") + "\r\n\r\n"
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text)))
	if err != nil {
		h.Fatalf("%q: %v", text, err)
	}
	r.RemoteAddr = "10.0.0.5:1234"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r.WithContext(h.Context()))
	return w
}

func (h *hostTest) wantServed(w *httptest.ResponseRecorder, what any) {
	h.Helper()
	if w.Code != http.StatusNoContent {
		h.Errorf("%q: %d to %q, want it to be served", what, w.Code, w.Header().Get("Location"))
	}
}

func (h *hostTest) wantRedirect(w *httptest.ResponseRecorder, to string, what any) {
	h.Helper()
	if got := w.Header().Get("Location"); w.Code != http.StatusFound || got != h.appURL+to || w.Header().Get("Set-Cookie") != "" {
		h.Errorf("%q: %d to %q, want 302 to %q without a cookie", what, w.Code, got, h.appURL+to)
	}
}

func (h *hostTest) wantRefused(w *httptest.ResponseRecorder, what any) {
	h.Helper()
	if w.Code != http.StatusMisdirectedRequest || w.Header().Get("Location") != "" {
		h.Errorf("%q: %d to %q, want 421", what, w.Code, w.Header().Get("Location"))
	}
}

// Proxies spell the browser's host and scheme in many ways.
func TestCanonicalHost(t *testing.T) {
	h := newHostTest(t, "https://bank.example")
	for _, headers := range [][]string{
		{"Host: bank.example"},
		{"Host: BANK.Example:443"},
		{"Host: bank.example", "X-Forwarded-Proto: https"},
		{"Host: bank.example", "X-Forwarded-Proto: HTTPS"},
		{"Host: bank.example", "X-Forwarded-Proto: https, http"},
		{"Host: bank.example", "X-Forwarded-Proto: https,https"},
		{"Host: bank.example", "X-Forwarded-Proto: https", "X-Forwarded-Proto: http"},
		{"Host: backend", "X-Forwarded-Host: Bank.example:443"},
		{"Host: backend", "X-Forwarded-Host: bank.example, inner.local"},
		{"Host: backend", "Forwarded: for=_x;host=bank.example;proto=https"},
		{"Host: backend", `Forwarded: for=_x;host="bank.example:443";Proto=HTTPS, for=_y;host=inner;proto=http`},
		{"Host: backend", "Forwarded: host=evil.example;proto=http", "X-Forwarded-Host: bank.example", "X-Forwarded-Proto: https"},
	} {
		h.wantServed(h.ask("GET /", headers...), headers)
		h.wantServed(h.ask("POST /", headers...), headers)
	}
	for _, headers := range [][]string{
		{"Host: www.bank.example"},
		{"Host: bank.example."}, // the provider sends the browser to the name without the dot, where its cookies are not seen
		{"Host: bank.example:8443"},
		{"Host: bank.example:80"},
		{"Host: bank.example", "X-Forwarded-Proto: http"},
		{"Host: bank.example", "X-Forwarded-Proto: http, https"},
		{"Host: bank.example", "X-Forwarded-Host: evil.example, bank.example"},
		{"Host: bank.example", "Forwarded: host=evil.example"},
		{"Host: bank.example", "Forwarded: proto=http"},
		{"Host: backend", `Forwarded: host="bank.example`},
		{"Host: backend"},
	} {
		h.wantRedirect(h.ask("GET /a?b=%20c", headers...), "/a?b=%20c&to_app_url=1", headers)
		h.wantRedirect(h.ask("HEAD /a", headers...), "/a?to_app_url=1", headers)
		h.wantRefused(h.ask("POST /a", headers...), headers)
		h.wantServed(h.ask("GET /healthz", headers...), headers)
	}
}

// A redirect to AppURL keeps the path and nothing else that could name a host.
func TestRequestTarget(t *testing.T) {
	h := newHostTest(t, "http://bank.example:5000")
	for _, target := range []string{
		"x:@evil.example/", "x:.evil.example/", "mailto:evil", "*",
		"http://evil.example/", "http://evil.example", "https://bank.example:5000@evil.example/", `http:\\evil.example/`,
	} {
		h.wantRefused(h.ask("GET "+target, "Host: other.example"), target)
	}
	for _, target := range []string{"x:@evil.example/", "*", "http://evil.example/", "http://evil.example/healthz"} {
		h.wantRefused(h.ask("GET "+target, "Host: bank.example:5000"), target)
	}
	for target, want := range map[string]string{
		"//evil.example/":       "//evil.example/?to_app_url=1",
		"/@evil.example":        "/@evil.example?to_app_url=1",
		`/\evil.example`:        "/%5Cevil.example?to_app_url=1",
		"/%0d%0aX:y?z=//e":      "/%0d%0aX:y?z=//e&to_app_url=1",
		"/?next=http://evil/#x": "/?next=http://evil/#x&to_app_url=1",
	} {
		w := h.ask("GET "+target, "Host: other.example")
		h.wantRedirect(w, want, target)
		if to, err := url.Parse(w.Header().Get("Location")); err != nil || to.Host != "bank.example:5000" || to.User != nil {
			t.Errorf("%q leads to %v, %v", target, to, err)
		}
	}
	for _, target := range []string{"http://bank.example:5000/a", "http://BANK.example:5000", "//evil.example/"} {
		h.wantServed(h.ask("GET "+target, "Host: bank.example:5000"), target)
	}
}

// The mark of a redirect is gone from the address once the browser has arrived.
func TestRedirectMark(t *testing.T) {
	h := newHostTest(t, "http://localhost:5000")
	for _, target := range []string{"/", "/a", "/a?b=c", "/a?b=c&", "/a?%zz;&d"} {
		for range 2 { // also for a person who types the other name again
			first := h.ask("GET "+target, "Host: 127.0.0.1:5000")
			marked := strings.TrimPrefix(first.Header().Get("Location"), h.appURL)
			if !strings.HasSuffix(marked, redirectMark) {
				t.Fatalf("%q leads to %q, want a mark", target, marked)
			}
			h.wantRedirect(h.ask("GET "+marked, "Host: localhost:5000"), target, target)
			h.wantServed(h.ask("POST "+marked, "Host: localhost:5000"), target)
		}
		h.wantServed(h.ask("GET "+target, "Host: localhost:5000"), target)
	}
	if h.log.Len() > 0 {
		t.Errorf("the log has: %s", h.log)
	}
}

// A redirect that leads to itself ends with a page, and the log says once what
// the proxy must send.
func TestRedirectLoop(t *testing.T) {
	for _, tt := range []struct {
		name    string
		headers []string
		want    []string
	}{
		{"no host", []string{"Host: backend:8080"}, []string{"host=backend:8080", `scheme=""`, "missing_or_wrong=X-Forwarded-Host"}},
		{"no scheme", []string{"Host: bank.example", "X-Forwarded-Proto: http"}, []string{"host=bank.example", "scheme=http ", "missing_or_wrong=X-Forwarded-Proto"}},
		{"garbage", []string{"Host: b", "X-Forwarded-Host: \u202e\u0430" + strings.Repeat("x", 200)}, []string{`u202e`, `u0430xxx`, "X-Forwarded-Host"}},
	} {
		h := newHostTest(t, "https://bank.example")
		for range 3 {
			to := h.ask("GET /a?b=c", tt.headers...).Header().Get("Location")
			w := h.ask("GET "+strings.TrimPrefix(to, h.appURL), tt.headers...)
			h.wantRefused(w, tt.name)
			if !strings.Contains(w.Body.String(), "Too many redirects") {
				t.Errorf("%s: the page is %s", tt.name, w.Body)
			}
		}
		lines := strings.Split(h.log.String(), "\n")
		for _, want := range append(tt.want, "level=WARN", "app_url=https://bank.example ", "peer=10.0.0.5:1234") {
			if !strings.Contains(lines[0], want) {
				t.Errorf("%s: the log lacks %s: %s", tt.name, want, lines[0])
			}
		}
		if strings.Count(h.log.String(), "level=WARN") != 1 || strings.Contains(h.log.String(), strings.Repeat("x", 101)) {
			t.Errorf("%s: want one short warning, got %s", tt.name, h.log)
		}
	}
}
