package main

import (
	"html"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"changebank/internal/testpeer"
)

// peered is a bank with a provider that is not ours: oidc-provider, which has
// a verification page of its own and knows of no approve call. It keeps its
// address and its data when it starts again.
type peered struct {
	*bank
	t        *testing.T
	provider *testpeer.Provider
	front    *front
	settings []string
}

// The provider knows people by this name, and gives them an address.
const (
	jared      = "jared"
	jaredsMail = jared + "@example.com"
)

func startWithPeer(t *testing.T, o testpeer.Options, settings ...string) *peered {
	t.Helper()
	front := newFront(t)
	o.AppURL = front.URL
	if o.ClientAuth != "none" {
		// Each of these is at home in a secret and means something in a form.
		o.ClientSecret = "a+b/c=d:e%f g%20h&i"
	}
	b := &peered{t: t, provider: testpeer.Start(t, o), front: front}
	b.settings = append(settings,
		"APP_URL="+front.URL,
		"DATA_DIR="+t.TempDir(),
		"ISSUER="+b.provider.Issuer,
		"CLIENT_ID="+testpeer.ClientID,
		"CLIENT_SECRET="+o.ClientSecret,
		"LOG_LEVEL=debug")
	b.start()
	return b
}

func (b *peered) start() {
	b.t.Helper()
	b.bank = startBank(b.t, b.settings...)
	b.front.toPort(b.log.await(b.t, `msg=listening port=(\d+)`, nil))
	b.log.await(b.t, `(identity provider found)`, nil)
}

// signIn fills in the provider's two pages: who somebody is, and that the bank
// may know.
func (b *browser) signIn(p page, name string) page {
	b.t.Helper()
	return b.submit(b.submit(p, "", url.Values{"login": {name}, "password": {"any"}}), "", nil)
}

// atPeer opens the provider's verification page, up to the question whether
// the code is the right one.
func (b *browser) atPeer(link string) page {
	b.t.Helper()
	return b.submit(b.get(link), "", nil) // with JavaScript it submits itself
}

// confirm says yes at the provider's own page.
func (b *browser) confirm(question page, name string) {
	b.t.Helper()
	p := b.signIn(b.submit(question, "op.deviceConfirmForm", nil), name)
	if !strings.Contains(p.Body, "Sign-in Success") {
		b.t.Fatalf("after the yes the provider's page says %s", p.Body)
	}
}

// awaitPolls waits until the provider has answered n polls, and returns them.
func (b *peered) awaitPolls(n int) []testpeer.Request {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		polls := b.provider.Polls(b.t)
		if len(polls) >= n && polls[n-1].Status != 0 {
			return polls[:n]
		}
	}
	b.t.Fatalf("the provider has not been polled %d times", n)
	return nil
}

func TestPeerLogins(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ setting, offered, want string }{
		{"basic", "client_secret_basic", "client_secret_basic"},
		{"post", "client_secret_post", "client_secret_post"},
		{"none", "none", "none"},
		{"auto", "client_secret_basic", "client_secret_basic"},
		{"auto", "", "client_secret_post"},
	} {
		t.Run(tt.setting+" of "+tt.offered, func(t *testing.T) {
			t.Parallel()
			b := startWithPeer(t, testpeer.Options{ClientAuth: tt.offered, Interval: 1}, "CLIENT_AUTH="+tt.setting)
			desktop, laptop, phone := b.browser(t), b.browser(t), b.browser(t)

			account := desktop.signIn(desktop.get("/login"), jared)
			if account.URL.String() != b.URL+"/account" || account.text("account-email") != jaredsMail {
				t.Errorf("the ordinary login leads to %s as %q", account.URL, account.text("account-email"))
			}

			p, link := laptop.showCode()
			if !strings.HasPrefix(link, b.provider.Issuer+"/device?") {
				t.Errorf("the code leads to %s, want the provider's page", link)
			}
			states := laptop.events()
			states.want("waiting")
			// Who types the code at our page is led to the provider's.
			if got := desktop.get("/activate?user_code=" + url.QueryEscape(p.text("user-code"))); !strings.Contains(got.Body, `href="`+html.EscapeString(link)+`"`) {
				t.Errorf("our page says %s, want a link to %s", got.text("main"), link)
			}
			question := phone.atPeer(link)
			if !strings.Contains(question.Body, p.text("user-code")) {
				t.Errorf("the provider's page does not show the code %q", p.text("user-code"))
			}
			phone.confirm(question, jared)
			states.want("approved")
			if got := laptop.awaitReload(); got.URL.Path != "/account" || got.text("account-email") != jaredsMail {
				t.Errorf("the laptop is at %s as %q", got.URL, got.text("account-email"))
			}

			seen := map[string]bool{}
			for _, r := range b.provider.State(t).Requests {
				seen[r.Path+" "+r.Grant] = true
				if r.Auth != tt.want {
					t.Errorf("%s %s was asked with %s, want %s", r.Path, r.Grant, r.Auth, tt.want)
				}
			}
			for _, want := range []string{"/device/auth ", "/token authorization_code", "/token " + testpeer.DeviceGrant} {
				if !seen[want] {
					t.Errorf("%s was not asked", want)
				}
			}
		})
	}
}

// An issuer below a path, and a provider that says no interval: five seconds
// are meant (RFC 8628, section 3.2).
func TestPeerAsItComes(t *testing.T) {
	t.Parallel()
	b := startWithPeer(t, testpeer.Options{IssuerPath: "/oidc"})
	laptop, phone := b.browser(t), b.browser(t)
	_, link := laptop.showCode()
	if !strings.HasPrefix(link, b.provider.Issuer+"/device?") || !strings.HasSuffix(b.provider.Issuer, "/oidc") {
		t.Errorf("the code leads to %s, want a page of %s", link, b.provider.Issuer)
	}
	states := laptop.events()
	states.want("waiting")
	phone.confirm(phone.atPeer(link), jared)
	states.want("approved")
	if got := laptop.awaitReload().text("account-email"); got != jaredsMail {
		t.Errorf("the laptop is logged in as %q, want %s", got, jaredsMail)
	}
	start, poll := b.provider.State(t).Requests[0], b.provider.Polls(t)[0]
	if wait := poll.Time().Sub(start.Time()); wait < 5*time.Second {
		t.Errorf("the first poll came %v after the start, want 5s at least", wait)
	}
}

// A person who takes their time: the provider, which counts, is never polled
// too soon.
func TestPeerPace(t *testing.T) {
	t.Parallel()
	b := startWithPeer(t, testpeer.Options{Interval: 2})
	laptop, phone := b.browser(t), b.browser(t)
	_, link := laptop.showCode()
	states := laptop.events()
	states.want("waiting")
	question := phone.atPeer(link)
	for _, p := range b.awaitPolls(3) {
		if p.Error != "authorization_pending" {
			t.Fatalf("a poll was answered %d %q, want authorization_pending", p.Status, p.Error)
		}
	}
	phone.confirm(question, jared)
	states.want("approved")
	if polls := b.provider.Polls(t); polls[len(polls)-1].Status != 200 {
		t.Errorf("the last poll was answered %+v, want tokens", polls[len(polls)-1])
	}
	if got := laptop.awaitReload().text("account-email"); got != jaredsMail {
		t.Errorf("the laptop is logged in as %q, want %s", got, jaredsMail)
	}
}

// RFC 8628, section 3.5: five seconds more from then on.
func TestPeerSlowDown(t *testing.T) {
	t.Parallel()
	b := startWithPeer(t, testpeer.Options{Interval: 1, SlowDowns: 1})
	laptop, phone := b.browser(t), b.browser(t)
	_, link := laptop.showCode()
	states := laptop.events()
	states.want("waiting")
	phone.confirm(phone.atPeer(link), jared)
	states.want("approved")
	polls := b.provider.Polls(t)
	if len(polls) != 2 || polls[0].Error != "slow_down" || polls[1].Status != 200 {
		t.Fatalf("the polls were answered %+v, want slow_down and tokens", polls)
	}
	if wait := polls[1].Time().Sub(polls[0].Time()); wait < 6*time.Second {
		t.Errorf("%v passed from the first poll to the second, want 6s at least", wait)
	}
	if got := laptop.awaitReload().text("account-email"); got != jaredsMail {
		t.Errorf("the laptop is logged in as %q, want %s", got, jaredsMail)
	}
}

func TestPeerCodeExpires(t *testing.T) {
	t.Parallel()
	b := startWithPeer(t, testpeer.Options{Interval: 1, DeviceTTL: 3})
	laptop := b.browser(t)
	laptop.showCode()
	states := laptop.events()
	states.want("waiting")
	states.want("expired")
	states.wantEnd()
	if p := laptop.get("/logged-out-qr-login"); p.state() != "expired" || p.find("svg", "qr-code") != nil {
		t.Errorf("the laptop's page is %q, want expired and no QR code", p.state())
	}
	if p := laptop.submit(laptop.get("/logged-out-qr-login"), "new-code", nil); p.state() != "waiting" {
		t.Errorf("asking for a new code shows %q, want waiting", p.state())
	}
}

func TestPeerDenied(t *testing.T) {
	t.Parallel()
	for name, deny := range map[string]func(phone *browser, question page){
		"at the question": func(phone *browser, question page) {
			phone.submit(question, "op.deviceConfirmForm", url.Values{"abort": {"yes"}})
		},
		"at the sign-in page": func(phone *browser, question page) {
			p := phone.submit(question, "op.deviceConfirmForm", nil)
			phone.get(p.URL.String() + "/abort")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startWithPeer(t, testpeer.Options{Interval: 1})
			laptop, phone := b.browser(t), b.browser(t)
			_, link := laptop.showCode()
			states := laptop.events()
			states.want("waiting")
			deny(phone, phone.atPeer(link))
			states.want("denied")
			states.wantEnd()
			if p := laptop.get("/logged-out-qr-login"); p.state() != "denied" || p.find("svg", "qr-code") != nil {
				t.Errorf("the laptop's page is %q, want denied and no QR code", p.state())
			}
			if laptop.get("/reload"); laptop.person() != "" {
				t.Errorf("the laptop is logged in as %q", laptop.person())
			}
		})
	}
}

// A page that nobody looks at is not polled for, and looking again goes on.
func TestPeerNobodyLooks(t *testing.T) {
	t.Parallel()
	b := startWithPeer(t, testpeer.Options{Interval: 1})
	var link string
	laptop := b.browser(t)
	t.Run("somebody looks", func(t *testing.T) { // until the stream ends, which is with its test
		looking := b.browser(t)
		looking.http.Jar = laptop.http.Jar
		_, link = looking.showCode()
		states := looking.events()
		states.want("waiting")
		b.awaitPolls(1)
	})
	left := time.Now()
	const silence = 2500 * time.Millisecond // two polls would have come
	last := func() time.Time {
		polls := b.provider.Polls(t)
		return polls[len(polls)-1].Time()
	}
	for time.Since(last()) < silence {
		if time.Since(left) > 20*time.Second {
			t.Fatal("the provider is polled although nobody looks")
		}
		time.Sleep(100 * time.Millisecond)
	}
	// Twelve seconds' grace, so that a page may be reloaded or lose its connection.
	if after := last().Sub(left); after > 14*time.Second {
		t.Errorf("the provider was polled %v after the page was left", after)
	}

	n := len(b.provider.Polls(t))
	states := laptop.events()
	states.want("waiting")
	b.awaitPolls(n + 1)
	phone := b.browser(t)
	phone.confirm(phone.atPeer(link), jared)
	states.want("approved")
	if got := laptop.awaitReload().text("account-email"); got != jaredsMail {
		t.Errorf("the laptop is logged in as %q, want %s", got, jaredsMail)
	}
}

// The person says yes while the bank is away: the laptop's stream comes back to
// the new one, which fetches the tokens, no sooner than allowed.
func TestPeerRestart(t *testing.T) {
	t.Parallel()
	// Our margin is a share of the interval, and must be more than a busy machine
	// takes to deliver a poll.
	b := startWithPeer(t, testpeer.Options{Interval: 2})
	laptop, phone := b.browser(t), b.browser(t)
	_, link := laptop.showCode()
	states := laptop.events()
	states.want("waiting")
	question := phone.atPeer(link)
	b.awaitPolls(1)

	b.stop()
	b.front.behind.Store(nil)
	states.wantEnd()
	phone.confirm(question, jared)
	b.start()

	var told []string // waiting, if the stream is quicker than the poll
	for state := range laptop.events().states {
		told = append(told, state)
		if state == "approved" {
			break
		}
	}
	if !slices.Contains(told, "approved") {
		t.Errorf("after the restart the stream tells %q, want approved", told)
	}
	if got := laptop.awaitReload().text("account-email"); got != jaredsMail {
		t.Errorf("the laptop is logged in as %q, want %s", got, jaredsMail)
	}
	for _, p := range b.provider.Polls(t) {
		if p.Error == "slow_down" {
			t.Error("the provider was polled too soon")
		}
	}
}

// Logging out ends the refresh token at the provider (RFC 7009), and the
// browser's login there.
func TestPeerLogout(t *testing.T) {
	t.Parallel()
	b := startWithPeer(t, testpeer.Options{Interval: 1})
	laptop, phone := b.browser(t), b.browser(t)
	_, link := laptop.showCode()
	phone.confirm(phone.atPeer(link), jared)
	laptop.awaitReload()
	if got := b.provider.State(t).RefreshTokens; got != 1 {
		t.Fatalf("%d refresh tokens after the login, want 1", got)
	}
	p := laptop.submit(laptop.get("/logout"), "logout", nil)
	if got := b.provider.State(t).RefreshTokens; got != 0 {
		t.Errorf("%d refresh tokens after the logout, want 0", got)
	}
	// Nobody is logged in there with this browser: its page submits itself.
	if p = laptop.submit(p, "", nil); p.URL.String() != b.URL+"/" || laptop.person() != "" {
		t.Errorf("the logout leads to %s as %q, want home as nobody", p.URL, laptop.person())
	}

	desktop := b.browser(t)
	desktop.signIn(desktop.get("/login"), jared)
	p = desktop.submit(desktop.get("/logout"), "logout", nil)
	if p = desktop.submit(p, "op.logoutForm", url.Values{"logout": {"yes"}}); p.URL.String() != b.URL+"/" {
		t.Errorf("the logout leads to %s, want home", p.URL)
	}
	if p = desktop.get("/login"); !strings.HasPrefix(p.URL.String(), b.provider.Issuer+"/interaction/") {
		t.Errorf("after the logout a login leads to %s, want the provider's sign-in page", p.URL)
	}
}
