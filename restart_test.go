package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// front stands before the program as a proxy does, with an address that stays
// while the program behind it is stopped and started again.
type front struct {
	URL    string
	behind atomic.Pointer[url.URL]
}

func newFront(t *testing.T) *front {
	f := &front{}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(f.behind.Load())
		r.SetXForwarded()
	}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if f.behind.Load() == nil {
			http.Error(w, "nobody is there", http.StatusBadGateway)
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.URL = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return f
}

// restartable is a bank that keeps its addresses and its data when it starts
// again.
type restartable struct {
	*bank
	t         *testing.T
	dir       string
	app, demo *front
}

func startRestartable(t *testing.T) *restartable {
	t.Helper()
	r := &restartable{t: t, dir: t.TempDir(), app: newFront(t), demo: newFront(t)}
	r.start()
	return r
}

func (r *restartable) start() {
	r.t.Helper()
	// The demo provider must answer by its front before it can be found there.
	r.bank = startBank(r.t, "DATA_DIR="+r.dir, "APP_URL="+r.app.URL, "DEMO_URL="+r.demo.URL, "LOG_LEVEL=debug")
	r.app.toPort(r.bank.log.await(r.t, `msg=listening port=(\d+)`, nil))
	r.demo.toPort(r.bank.log.await(r.t, `demo_port=(\d+)`, nil))
	r.bank.log.await(r.t, `(identity provider found)`, nil)
}

func (f *front) toPort(port string) {
	f.behind.Store(&url.URL{Scheme: "http", Host: "localhost:" + port})
}

func (r *restartable) restart() {
	r.t.Helper()
	r.stop()
	r.app.behind.Store(nil)
	r.demo.behind.Store(nil)
	r.start()
}

// A restart at any step of the login loses nothing: not the laptop's code, not
// the phone's session, not the question, not the demo provider's own memory.
func TestRestartAtEveryStep(t *testing.T) {
	t.Parallel()
	b := startRestartable(t)
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(richard)
	p, link := laptop.showCode()
	b.restart()

	again, _ := laptop.showCode()
	if again.text("user-code") != p.text("user-code") {
		t.Errorf("after a restart the laptop shows another code")
	}
	question := phone.get(link)
	b.restart()

	if got := laptop.get("/logged-out-qr-login").state(); got != "opened" {
		t.Errorf("after a restart the laptop's page is %q, want opened", got)
	}
	phone.submit(question, "approve", url.Values{"answer": {"yes"}})
	b.restart()

	if got := laptop.awaitReload().text("account-email"); got != richard {
		t.Fatalf("the laptop is logged in as %q, want %s", got, richard)
	}
	b.restart()
	if got := laptop.person(); got != richard {
		t.Errorf("after a restart the laptop is %q, want %s", got, richard)
	}
	// Single sign-on: the provider still knows the phone.
	if got := phone.get("/login").text("account-email"); got != richard {
		t.Errorf("after a restart the provider does not know the phone: %q", got)
	}
}
