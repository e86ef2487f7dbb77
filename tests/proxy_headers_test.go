package tests

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// startBehind runs a bank behind a proxy that writes its headers like this. It
// returns how many requests have passed the proxy.
func startBehind(t *testing.T, headers func(*httputil.ProxyRequest), settings ...string) (b *bank, passed *atomic.Int32) {
	t.Helper()
	passed = new(atomic.Int32)
	var behind *url.URL
	server := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		passed.Add(1)
		r.SetURL(behind)
		headers(r)
	}})
	t.Cleanup(server.Close)
	port := freePort(t)
	behind = &url.URL{Scheme: "http", Host: "127.0.0.1:" + port}
	b = startBank(t, append(settings, "PORT="+port, "APP_URL="+strings.Replace(server.URL, "127.0.0.1", "localhost", 1))...)
	return b, passed
}

// Proxies that name the browser in ways of their own: with a port, or by
// Forwarded (RFC 7239). Two browsers on one network need no number, two on
// different ones do.
func TestProxiesSpellings(t *testing.T) {
	t.Parallel()
	for name, headers := range map[string]func(r *httputil.ProxyRequest, addr string){
		"X-Forwarded-For with a port": func(r *httputil.ProxyRequest, addr string) {
			r.Out.Header.Set("X-Forwarded-For", addr+":51022")
			r.Out.Header.Set("X-Forwarded-Host", strings.ToUpper(r.In.Host)+", inner.local")
			r.Out.Header.Set("X-Forwarded-Proto", "HTTP, http")
		},
		"Forwarded": func(r *httputil.ProxyRequest, addr string) {
			r.Out.Header.Set("Forwarded", fmt.Sprintf(`for="%s:51022";host="%s";proto=http, for=127.0.0.1;host=inner;proto=http`, addr, r.In.Host))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _ := startBehind(t, func(r *httputil.ProxyRequest) { headers(r, r.In.Header.Get("X-Forwarded-For")) })
			laptop, phone := b.browser(t).at(homeAddr), b.browserOf(t, richard).at(homeAddr)
			question := phone.get(laptop.code())
			if got := question.text("asking-from"); got != homeAddr {
				t.Errorf("the phone is told %q, want %s", got, homeAddr)
			}
			phone.answer(question, "yes")
			laptop.claim(richard)
			away := b.browser(t).at(awayAddr)
			phone.approve(away.code()).number()
			away.wantNoLogin("from another network")
		})
	}
}

// A proxy that passes on neither the host nor its name, as nginx does by
// default: every redirect would lead back to it.
func TestProxiesLoop(t *testing.T) {
	t.Parallel()
	b, passed := startBehind(t, func(r *httputil.ProxyRequest) { r.Out.Host = "" })
	for range 2 {
		visitor, before := b.browser(t), passed.Load()
		p := visitor.get("/login?return_to=%2Fdevices")
		if p.Status != http.StatusMisdirectedRequest || !p.has("error") || passed.Load()-before != 2 {
			t.Errorf("after %d requests: %v, want an error page after 2", passed.Load()-before, p)
		}
	}
	log := b.log.String()
	if strings.Count(log, "level=WARN msg=\"redirects to APP_URL loop") != 1 ||
		!strings.Contains(log, "missing_or_wrong=X-Forwarded-Host") || !strings.Contains(log, "app_url="+b.URL) {
		t.Errorf("want one warning that names APP_URL and X-Forwarded-Host, got:\n%s", log)
	}
}

// A request line that names another host, in any way, is not redirected there.
func TestForgedTarget(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	for _, host := range []string{"evil.example", strings.TrimPrefix(b.URL, "http://")} {
		for _, target := range []string{
			"x:@evil.example/", "x:.evil.example", "*", "http://evil.example/", "//evil.example/", `/\evil.example/`, "/.//evil.example/", "/@evil.example/",
		} {
			conn, err := net.Dial("tcp", strings.TrimPrefix(b.URL, "http://"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", target, host); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			_ = conn.Close()
			to, err := url.Parse(b.URL + "/")
			if err == nil {
				to, err = to.Parse(strings.ReplaceAll(resp.Header.Get("Location"), `\`, "/")) // as browsers do
			}
			if err != nil || to.Scheme+"://"+to.Host != b.URL || to.User != nil {
				t.Errorf("GET %s at %s leads to %v, %v", target, host, to, err)
			}
			if ownPath := strings.HasPrefix(target, "/"); !ownPath && resp.StatusCode != http.StatusMisdirectedRequest {
				t.Errorf("GET %s at %s: %d, want 421", target, host, resp.StatusCode)
			}
		}
	}
}
