package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// faults are what a provider, or what lies between it and us, may do in place
// of answering.
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

// hangUp breaks the connection.
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

// once spoils the next request to path whose form has this field, and counts
// the requests. Without a fault it only counts.
func (f *front) once(path, field string, fault func(http.ResponseWriter, *http.Request)) *atomic.Int32 {
	var count atomic.Int32
	spoil := func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != path {
			return false
		}
		if field != "" { // read without taking it from the server behind
			body := new(strings.Builder)
			r.Body = tee(r.Body, body)
			if err := r.ParseForm(); err != nil || !r.PostForm.Has(field) {
				r.Body = again(body.String())
				return false
			}
			r.Body = again(body.String())
		}
		if count.Add(1) > 1 || fault == nil {
			return false
		}
		fault(w, r)
		return true
	}
	f.spoil.Store(&spoil)
	return &count
}

// eachFault runs a test for every fault but those excepted, all at the same
// time, with a bank of its own.
func eachFault(t *testing.T, test func(t *testing.T, b *restartable, fault func(http.ResponseWriter, *http.Request)), except ...string) {
	for name, fault := range faults {
		if slices.Contains(except, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, startRestartable(t, startBank), fault)
		})
	}
}

// The poll after the yes meets a fault: the page says so, and the login goes
// on when the provider is back.
func TestFaultAtThePoll(t *testing.T) {
	t.Parallel()
	eachFault(t, func(t *testing.T, b *restartable, fault func(http.ResponseWriter, *http.Request)) {
		laptop, phone := b.browser(t), b.browser(t)
		phone.logIn(richard)
		_, link := laptop.showCode()
		polls := b.demo.once("/oauth2/token", "device_code", fault)
		phone.answer(link, "yes")
		laptop.await("The login service does not answer. We keep trying.", func() string { return laptop.get("/logged-out-qr-login").text("login-note") })
		if got := laptop.awaitReload().text("account-email"); got != richard {
			t.Errorf("the laptop is logged in as %q, want %s", got, richard)
		}
		if got := polls.Load(); got != 2 {
			t.Errorf("%d polls, want the one that failed and one more", got)
		}
	})
}

// Saying yes meets a fault: the phone is told, and saying it again works.
func TestFaultAtTheApproval(t *testing.T) {
	t.Parallel()
	eachFault(t, func(t *testing.T, b *restartable, fault func(http.ResponseWriter, *http.Request)) {
		laptop, phone := b.browser(t), b.browser(t)
		phone.logIn(richard)
		_, link := laptop.showCode()
		b.demo.once("/oauth2/device/approve", "", fault)
		p := phone.answer(link, "yes")
		if strings.HasSuffix(t.Name(), "404") { // the provider does not have the call
			next := p.attr("continue", "href")
			if want := b.demo.URL + "/oauth2/device?client_id="; !strings.HasPrefix(next, want) || p.state() != "yes" {
				t.Errorf("the phone is sent on to %q, want %s…", next, want)
			}
			if got := laptop.get("/logged-out-qr-login"); got.state() != "yes" || !strings.Contains(got.text("login-note"), "your phone once more") {
				t.Errorf("the laptop's page is %q and says %q", got.state(), got.text("login-note"))
			}
			phone.submit(p, "approve", url.Values{"answer": {"no"}})
			if got := laptop.get("/logged-out-qr-login").state(); got != "denied" {
				t.Errorf("after the no the laptop's page is %q, want denied", got)
			}
			return
		}
		if p.Status != http.StatusBadGateway || !strings.Contains(p.text("main"), "Please say it again") {
			t.Fatalf("the phone sees %d: %s", p.Status, p.text("main"))
		}
		phone.answer(link, "yes") // by scanning once more
		if got := laptop.awaitReload().text("account-email"); got != richard {
			t.Errorf("the laptop is logged in as %q, want %s", got, richard)
		}
	})
}

// Starting a code, and a login by password, meet a fault: a page says so, and
// the next try works.
func TestFaultAtTheStart(t *testing.T) {
	t.Parallel()
	eachFault(t, func(t *testing.T, b *restartable, fault func(http.ResponseWriter, *http.Request)) {
		laptop, phone := b.browser(t), b.browser(t)
		b.demo.once("/oauth2/device_authorize", "", fault)
		if p := laptop.get("/logged-out-qr-login"); p.Status != http.StatusBadGateway || p.find("", "error") == nil {
			t.Errorf("the QR page is %d: %s", p.Status, p.text("main"))
		}
		laptop.showCode()

		b.demo.once("/oauth2/token", "code", fault)
		if p := phone.atProvider(phone.get("/login"), richard); p.Status != http.StatusBadGateway || !strings.Contains(p.Body, "/login?return_to=") {
			t.Errorf("the login ends with %d: %s", p.Status, p.text("main"))
		}
		if got := phone.get("/login").text("account-email"); got != richard {
			t.Errorf("the second try logs in %q, want %s", got, richard)
		}
		if strings.Contains(b.log.String(), "panic") {
			t.Error("something panicked")
		}
	})
}

// The provider's keys cannot be fetched when the tokens are here: they are
// verified later, and not lost.
func TestFaultAtTheKeys(t *testing.T) {
	t.Parallel()
	eachFault(t, func(t *testing.T, b *restartable, fault func(http.ResponseWriter, *http.Request)) {
		laptop, phone := b.browser(t), b.browser(t)
		phone.logIn(richard)
		b.restart() // which forgets the keys
		_, link := laptop.showCode()
		b.demo.once("/.well-known/jwks.json", "", fault)
		phone.answer(link, "yes")
		if got := laptop.awaitReload().text("account-email"); got != richard {
			t.Errorf("the laptop is logged in as %q, want %s", got, richard)
		}
	}, "{}", "a list") // answers without keys are answers: the signature is by none of them
}

// A tab that is slow to start a code must not undo the login that another tab
// of the same browser has finished meanwhile.
func TestSlowStartMeetsALogin(t *testing.T) {
	t.Parallel()
	b := startRestartable(t, startBank)
	person := b.browser(t)
	person.get("/login") // which gives the browser a session
	started, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	spoil := func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/oauth2/device_authorize" {
			once.Do(func() {
				close(started)
				<-goOn
			})
		}
		return false
	}
	b.demo.spoil.Store(&spoil)
	slow := make(chan page)
	go func() { slow <- person.get("/logged-out-qr-login") }()
	<-started
	person.logIn(richard)
	close(goOn)
	if p := <-slow; p.URL.Path != "/account" || person.person() != richard {
		t.Errorf("the slow tab is at %s, and the browser is %q, want %s", p.URL.Path, person.person(), richard)
	}
}

// A redirect in place of an answer is not followed: it would carry the client
// secret and the codes to whoever is there.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	b := startRestartable(t, startBank)
	var visits atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
	t.Cleanup(elsewhere.Close)
	away := func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+r.URL.Path, http.StatusTemporaryRedirect)
	}
	laptop, phone := b.browser(t), b.browser(t)
	b.demo.once("/oauth2/device_authorize", "", away)
	laptop.get("/logged-out-qr-login")
	_, link := laptop.showCode()
	b.demo.once("/oauth2/token", "code", away)
	phone.atProvider(phone.get("/login"), richard)
	phone.get("/login")
	b.demo.once("/oauth2/device/approve", "", away)
	p := phone.answer(link, "yes")
	b.demo.once("/oauth2/token", "device_code", away)
	phone.submit(p, "approve", url.Values{"answer": {"yes"}})
	laptop.awaitReload()
	if n := visits.Load(); n > 0 {
		t.Errorf("%d redirects were followed", n)
	}
}

// The phone's access token has ended: it is refreshed when the person says yes,
// and meets a fault then. The session outlives that, but not the provider's
// word that the login is over.
func TestPhoneRefreshes(t *testing.T) {
	t.Parallel()
	b := startRestartable(t, startBank)
	laptop, phone := b.browser(t), b.browser(t)
	soonOver := func(answer map[string]any) {
		if answer["access_token"] != nil {
			answer["expires_in"] = 5
		}
	}
	b.demo.change.Store(&soonOver)
	phone.logIn(richard)
	_, link := laptop.showCode()

	refreshes := b.demo.once("/oauth2/token", "refresh_token", faults["500"])
	p := phone.answer(link, "yes")
	if p.Status != http.StatusBadGateway || phone.person() != richard {
		t.Fatalf("a refresh that fails shows %d and leaves the phone logged in as %q", p.Status, phone.person())
	}
	phone.answer(link, "yes")
	if got := laptop.awaitReload().text("account-email"); got != richard {
		t.Errorf("the laptop is logged in as %q, want %s", got, richard)
	}
	if got := refreshes.Load(); got != 2 {
		t.Errorf("%d refreshes, want the one that failed and one more", got)
	}

	other := b.browser(t)
	_, link = other.showCode()
	b.demo.once("/oauth2/token", "refresh_token", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusBadRequest, `{"error":"invalid_grant","error_reason":"refresh_token_not_found"}`)
	})
	p = phone.answer(link, "yes")
	if p.Status != http.StatusForbidden || !strings.Contains(p.text("error"), "login has ended") || phone.person() != "" {
		t.Errorf("a login that the provider has ended shows %d: %s; the phone is %q", p.Status, p.text("main"), phone.person())
	}
	// The way on leads back to the very question.
	if got := phone.get("/login?return_to=" + url.QueryEscape(strings.TrimPrefix(link, b.URL))); got.find("form", "approve") == nil {
		t.Errorf("after another login the phone is at %s: %s", got.URL, got.text("main"))
	}
}

// Logging out ends the refresh token at the provider, and does not depend on it.
func TestLogoutRevokes(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"500", "reset"} {
		b := startRestartable(t, startBank)
		visitor := b.browser(t)
		visitor.logIn(richard)
		revocations := b.demo.once("/oauth2/revoke", "token", faults[name])
		if home := visitor.submit(visitor.get("/logout"), "logout", nil); home.URL.String() != b.URL+"/" || visitor.person() != "" {
			t.Errorf("%s: logging out leads to %s as %q", name, home.URL, visitor.person())
		}
		if got := revocations.Load(); got != 1 {
			t.Errorf("%s: %d revocations, want one", name, got)
		}
	}
}

// No token, device code or session is in what the program logs, or in a page
// or an address that a browser sees.
func TestNoSecretIsSeen(t *testing.T) {
	t.Parallel()
	b := startRestartable(t, startBank)
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(richard)
	p, link := laptop.showCode()
	b.demo.once("/oauth2/token", "device_code", faults["half an answer"])
	cookies := []string{laptop.cookie(), phone.cookie()}
	phone.answer(link, "yes")
	laptop.awaitReload()
	cookies = append(cookies, laptop.cookie())
	laptop.submit(laptop.get("/logout"), "logout", nil)
	phone.get("/activate?user_code=WRONG1")
	b.stop()

	secrets := append(b.demo.seen(), cookies...)
	if len(secrets) < 3+1+3+3 {
		t.Fatalf("only %d secrets went by; is anything remembered?", len(secrets))
	}
	for _, secret := range append(secrets, b.secret) {
		if strings.Contains(b.log.String(), secret) {
			t.Errorf("a secret is in the log: %.12s…", secret)
		}
		if strings.Contains(b.shown.String(), secret) {
			t.Errorf("a secret is on a page or in an address: %.12s…", secret)
		}
	}
	// Not a secret to these two people, but to whoever reads the log.
	if strings.Contains(b.log.String(), p.text("user-code")) {
		t.Error("the user code is in the log")
	}
}
