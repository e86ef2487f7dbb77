package tests

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A request for another host is sent to APP_URL before it gets a cookie.
func TestOtherHosts(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	visitor := b.browser(t)
	ask := func(method, path, host string, header ...string) page {
		t.Helper()
		req := visitor.request(method, path, nil, header...)
		req.Host = host
		return visitor.doOnce(req)
	}
	own := strings.TrimPrefix(b.URL, "http://")
	other := strings.Replace(own, "localhost", "127.0.0.1", 1)

	p := ask("GET", "/activate?user_code=AB%20C", other)
	if got, want := p.Header.Get("Location"), b.URL+"/activate?user_code=AB%20C"; p.Status != http.StatusFound || got != want {
		t.Errorf("another host: %d to %q, want 302 to %q", p.Status, got, want)
	}
	if p.Header.Get("Set-Cookie") != "" {
		t.Error("another host gets a cookie")
	}
	for range 2 {
		if got, want := visitor.get("http://"+other+"/nosuch?a=b%20c").URL.String(), b.URL+"/nosuch?a=b%20c"; got != want {
			t.Errorf("a browser from another host is at %s in the end, want %s", got, want)
		}
	}
	if p := ask("POST", "/logout", other); p.Status != http.StatusMisdirectedRequest || !strings.Contains(p.Body, `href="`+b.URL) {
		t.Errorf("a POST to another host: %v, want 421 and a link", p)
	}
	if p := ask("GET", "/healthz", other); p.Status != http.StatusOK {
		t.Errorf("/healthz on another host: %v, want 200", p)
	}
	// A trusted proxy says what the browser asked for.
	if p := ask("GET", "/", "backend:8080", "X-Forwarded-Host", own, "X-Forwarded-Proto", "http"); p.Status != http.StatusOK {
		t.Errorf("our host behind a proxy: %v, want 200", p)
	}
	for name, header := range map[string][]string{
		"another forwarded host": {"X-Forwarded-Host", "evil.example"},
		"another scheme":         {"X-Forwarded-Proto", "https"},
	} {
		if got := ask("GET", "/", own, header...).Header.Get("Location"); got != b.URL+"/" {
			t.Errorf("%s leads to %q, want APP_URL", name, got)
		}
	}
}

// Forwarded headers count only from a trusted proxy.
func TestForgedForwarding(t *testing.T) {
	t.Parallel()
	visitor := startBank(t, "TRUSTED_PROXIES=192.0.2.1").browser(t)
	if p := visitor.doOnce(visitor.request("GET", "/", nil, "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https")); p.Status != http.StatusOK {
		t.Errorf("forged headers: %d to %q, want 200", p.Status, p.Header.Get("Location"))
	}
}

// Another site cannot make a browser post anything (CSRF).
func TestCrossSitePost(t *testing.T) {
	t.Parallel()
	visitor := startBank(t).browser(t)
	visitor.logIn(richard)
	form := url.Values{"answer": {"yes"}}
	for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		for _, path := range []string{"/logout", "/activate", qrPage, qrPage + "/cancel"} {
			if p := visitor.do(visitor.request("POST", path, form, header...)); p.Status != http.StatusForbidden || !p.has("error") {
				t.Errorf("POST %s with %s: %v, want 403", path, header, p)
			}
		}
	}
	visitor.wantPerson(richard)
}

// Bad input is answered with a page, and is not logged as our error.
func TestBadInput(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	visitor := b.browserOf(t, richard)
	huge := strings.Repeat("x", 1<<20)
	for _, path := range []string{
		"/nosuch", "/static/nosuch.css", "/static/", "/activate?user_code=%00%ff", "/activate?user_code=" + huge[:2000],
		"/login?return_to=https://evil.example", "/reload?x=1", "/activate?user_code=%3Cscript%3Ealert(1)%3C/script%3E",
	} {
		if p := visitor.get(path); p.Status >= 500 || strings.Contains(p.Body, "<script>alert") {
			t.Errorf("GET %.60s: %v", path, p)
		}
	}
	for _, path := range []string{"/activate", "/logout", qrPage} {
		if p := visitor.post(path, url.Values{"user_code": {huge}, "answer": {"yes"}}); p.Status >= 500 {
			t.Errorf("POST %s with a megabyte: %v", path, p)
		}
	}
	if strings.Contains(b.log.String(), "level=ERROR") {
		t.Error("bad input is logged as an error")
	}
}

// A header that HTTP does not allow, or that is longer than any real one, gets
// no page, and is not logged.
func TestForbiddenHeader(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	host := strings.TrimPrefix(b.URL, "http://")
	for _, header := range []string{"User-Agent: a\x00b", "User-Agent: \x1b[31m", "X-Forwarded-For: 192.0.2.1\x08", "User-Agent: " + strings.Repeat("x", 100<<10)} {
		conn, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		if _, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\nConnection: close\r\n\r\n", qrPage, host, header); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = conn.Close()
		if resp.StatusCode != http.StatusBadRequest && resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			t.Errorf("%.60q: %d, want 400 or 431", header, resp.StatusCode)
		}
	}
	if log := b.log.String(); strings.Contains(log, "\x1b") || strings.Contains(log, "xxxxxxxx") || strings.Contains(log, "qr login") {
		t.Error("the log has a trace of a forbidden header")
	}
}

// The headers that keep a page from being framed, sniffed or cached, and from
// running the code of others.
func TestHeaders(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	visitor := b.browser(t)
	for _, path := range []string{"/", qrPage, "/nosuch"} {
		p := visitor.get(path)
		csp := p.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self';"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy lacks %q: %s", path, want, csp)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy is %s", path, csp)
		}
		for name, want := range map[string]string{"Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store",
			"Permissions-Policy": "camera=(), geolocation=(), microphone=()"} {
			if got := p.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
	style := visitor.get(attr(visitor.get("/").find("link", ""), "href"))
	if style.Status != http.StatusOK || !strings.Contains(style.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("the stylesheet: %d %q, want 200 immutable", style.Status, style.Header.Get("Cache-Control"))
	}
}
