package tests

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// faults are what a provider, or something in front of it, may do instead of
// answering.
var faults = map[string]func(w http.ResponseWriter, r *http.Request){
	"reset": func(w http.ResponseWriter, _ *http.Request) { hangUp(w) },
	"hang": func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then a server notices that the client hangs up
		<-r.Context().Done()
	},
	"500": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "oops", http.StatusInternalServerError) },
	"503 with an OAuth body": func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusServiceUnavailable, `{"error":"access_denied"}`)
	},
	"429": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "12")
		w.WriteHeader(http.StatusTooManyRequests)
	},
	"half an answer": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		answerJSON(w, http.StatusOK, `{"access_token":"`)
		hangUp(w)
	},
	"garbage":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>Visit Site</html>")) },
	"empty":       func(http.ResponseWriter, *http.Request) {},
	"{}":          func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, `{}`) },
	"text":        func(w http.ResponseWriter, _ *http.Request) { http.Error(w, `{"error":`, http.StatusBadGateway) },
	"a list":      func(w http.ResponseWriter, _ *http.Request) { answerJSON(w, http.StatusOK, `[1,2]`) },
	"gateway 404": func(w http.ResponseWriter, _ *http.Request) { http.NotFound(w, nil) },
}

func answerJSON(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

// hangUp resets the connection.
func hangUp(w http.ResponseWriter) {
	if flusher, ok := w.(http.Flusher); ok && w.Header().Get("Content-Length") != "" {
		flusher.Flush()
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(err)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// eachFault runs a test for every fault except some, each with a bank and two
// browsers of its own.
func eachFault(t *testing.T, test func(t *testing.T, b *bank, laptop, phone *browser, fault func(http.ResponseWriter, *http.Request)), except ...string) {
	for name, fault := range faults {
		if slices.Contains(except, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, laptop, phone := proxiedPair(t)
			test(t, b, laptop, phone, fault)
		})
	}
}

// The poll after the approval fails: the page says so, and the login resumes
// when the provider is back.
func TestPollFaults(t *testing.T) {
	t.Parallel()
	eachFault(t, func(t *testing.T, b *bank, laptop, phone *browser, fault func(http.ResponseWriter, *http.Request)) {
		link := laptop.code()
		polls := b.demo.once("/oauth2/token", "device_code", fault)
		phone.approve(link)
		laptop.await("noted", func() string {
			if p := laptop.get(qrPage); p.state() == "yes" && p.text("login-note") != "" {
				return "noted"
			}
			return ""
		})
		laptop.claim(richard)
		if got := polls.Load(); got != 2 {
			t.Errorf("%d polls, want the one that failed and one more", got)
		}
	})
}

// The approval fails: the phone is told, and approving again works.
func TestApprovalFaults(t *testing.T) {
	t.Parallel()
	eachFault(t, func(t *testing.T, b *bank, laptop, phone *browser, fault func(http.ResponseWriter, *http.Request)) {
		link := laptop.code()
		b.demo.once("/oauth2/device/approve", "", fault)
		if p := phone.approve(link); p.Status != http.StatusBadGateway || p.find("form", "approve") == nil {
			t.Fatalf("the phone sees %v, want 502 and the question", p)
		}
		phone.approve(link)
		laptop.claim(richard)
	}, "gateway 404") // as from a provider without that call
}

// The provider has no call to approve a device: its own page takes the
// approval, and a denial still counts here.
func TestProviderCannotApprove(t *testing.T) {
	t.Parallel()
	b, laptop, phone := proxiedPair(t)
	link := laptop.code()
	b.demo.once("/oauth2/device/approve", "", faults["gateway 404"])
	p := phone.approve(link)
	if next, want := p.attr("continue", "href"), b.demo.URL+"/oauth2/device?client_id="; !strings.HasPrefix(next, want) || p.state() != "yes" {
		t.Errorf("the phone is sent on to %q in the state %q, want %s…", next, p.state(), want)
	}
	if p := laptop.get(qrPage); p.state() != "yes" || p.text("login-note") == "" {
		t.Errorf("the laptop's page is %q, want yes with a note: %v", p.state(), p)
	}
	phone.answer(p, "no")
	laptop.wantState("denied")
}

// Starting a code fails, and so does a login by password: a page says so, and
// the next try works.
func TestStartFaults(t *testing.T) {
	t.Parallel()
	eachFault(t, func(t *testing.T, b *bank, laptop, _ *browser, fault func(http.ResponseWriter, *http.Request)) {
		b.demo.once("/oauth2/device_authorize", "", fault)
		if p := laptop.get(qrPage); p.Status != http.StatusBadGateway || !p.has("error") {
			t.Errorf("the QR page: %v, want 502", p)
		}
		laptop.showCode()

		b.demo.once("/oauth2/token", "code", fault)
		if p := laptop.atProvider(laptop.get("/login"), richard); p.Status != http.StatusBadGateway || !p.links("/login") {
			t.Errorf("the login: %v, want 502 and a link to try again", p)
		}
		if p := laptop.get("/login"); p.person() != richard {
			t.Errorf("the second try: %v, want %s", p, richard)
		}
	})
}

// The provider's keys cannot be fetched when the tokens arrive: these are kept,
// and verified later.
func TestKeyFaults(t *testing.T) {
	t.Parallel()
	eachFault(t, func(t *testing.T, b *bank, laptop, phone *browser, fault func(http.ResponseWriter, *http.Request)) {
		b.restart() // which forgets the keys
		link := laptop.code()
		b.demo.once("/.well-known/jwks.json", "", fault)
		phone.approve(link)
		laptop.claim(richard)
	}, "{}", "a list") // answers without keys: the signature is by none of them
}

// A redirect in place of an answer is not followed: it would carry the client
// secret and the codes elsewhere.
func TestProviderRedirects(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	var visits atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	t.Cleanup(elsewhere.Close)
	redirect := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}
	laptop, phone := b.browser(t), b.browser(t)
	b.demo.once("/oauth2/device_authorize", "", redirect)
	laptop.get(qrPage)
	link := laptop.code()
	b.demo.once("/oauth2/token", "code", redirect)
	phone.atProvider(phone.get("/login"), richard)
	phone.get("/login")
	b.demo.once("/oauth2/device/approve", "", redirect)
	p := phone.approve(link)
	b.demo.once("/oauth2/token", "device_code", redirect)
	phone.answer(p, "yes")
	laptop.claim(richard)
	if n := visits.Load(); n > 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// The phone's access token has expired, so it is refreshed at the
// approval. If that fails, the session stays, unless the provider says that the login is over.
func TestRefreshAtApproval(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	b.demo.changes(func(answer map[string]any) {
		if answer["access_token"] != nil {
			answer["expires_in"] = 5
		}
	})
	laptop, phone := b.pair(t)
	link := laptop.code()
	refreshes := b.demo.once("/oauth2/token", "refresh_token", faults["500"])
	if p := phone.approve(link); p.Status != http.StatusBadGateway {
		t.Fatalf("a refresh that fails: %v, want 502", p)
	}
	phone.wantPerson(richard)
	phone.approve(link)
	laptop.claim(richard)
	if got := refreshes.Load(); got != 2 {
		t.Errorf("%d refreshes, want the one that failed and one more", got)
	}

	link = b.browser(t).code()
	b.demo.once("/oauth2/token", "refresh_token", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusBadRequest, `{"error":"invalid_grant","error_reason":"refresh_token_not_found"}`)
	})
	if p := phone.approve(link); p.Status != http.StatusForbidden || !p.has("error") {
		t.Errorf("a login that the provider has ended: %v, want 403", p)
	}
	phone.wantPerson("")
	back := "/login?return_to=" + url.QueryEscape(strings.TrimPrefix(link, b.URL))
	if p := phone.get(back); p.find("form", "approve") == nil {
		t.Errorf("after another login the phone shows %v, want the question", p)
	}
}
