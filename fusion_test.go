package main

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"changebank/internal/testfusion"
	"changebank/kickstart"
)

// fused is a bank with a strict double of FusionAuth, which is set up from the
// kickstart. What a client of FusionAuth must not do makes the test fail.
type fused struct {
	*bank
	fusion *testfusion.Server
}

func startWithFusion(t *testing.T, o testfusion.Options, settings ...string) *fused {
	t.Helper()
	const clientID = "e9fdb985-9173-4e01-9d73-ac2d60d1dc8e"
	secret := "a+b/c=d:e%f g%20h&i" // each of these is at home in a secret and means something in a form
	for _, setting := range settings {
		if value, ok := strings.CutPrefix(setting, "CLIENT_SECRET="); ok {
			secret = value
		}
	}
	front := newFront(t)
	b := &fused{}
	b.fusion = testfusion.Start(t, kickstart.JSON, func(issuer string) map[string]string {
		return map[string]string{
			"APP_URL": front.URL, "ISSUER": issuer, "CLIENT_ID": clientID, "CLIENT_SECRET": secret,
			"USER_PASSWORD": "password", "ADMIN_PASSWORD": "password",
		}
	}, o)
	b.bank = startBank(t, append([]string{
		"APP_URL=" + front.URL,
		"ISSUER=" + b.fusion.URL,
		"CLIENT_ID=" + clientID,
		"CLIENT_SECRET=" + secret,
		"LOG_LEVEL=debug",
	}, settings...)...)
	front.toPort(b.log.await(t, `msg=listening port=(\d+)`, nil))
	if !o.Unfinished {
		b.log.await(t, `(identity provider found)`, nil)
	}
	return b
}

// qrLogin logs a new laptop in with the phone, by our page.
func (b *fused) qrLogin(t *testing.T, phone *browser, email string) *browser {
	t.Helper()
	laptop := b.browser(t)
	_, link := laptop.showCode()
	phone.answer(link, "yes")
	if got := laptop.awaitReload(); got.URL.Path != "/account" || got.text("account-email") != email {
		t.Fatalf("the laptop is at %s as %q, want /account as %s", got.URL, got.text("account-email"), email)
	}
	return laptop
}

// refreshes returns how often a token was refreshed.
func (b *fused) refreshes() int {
	return len(slices.DeleteFunc(b.fusion.Requests("/oauth2/token"), func(r testfusion.Request) bool {
		return r.Form.Get("grant_type") != "refresh_token"
	}))
}

func TestFusionLogins(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ auth, secret, want string }{
		{"auto", "a+b/c=d:e%f g%20h&i", "client_secret_post"},
		{"post", "a+b/c=d:e%f g%20h&i", "client_secret_post"},
		// FusionAuth's header has the secret as it is, RFC 6749's escaped: a
		// secret in which the two differ needs post.
		{"basic", "a-secret-of-letters", "client_secret_basic"},
	} {
		t.Run(tt.auth, func(t *testing.T) {
			t.Parallel()
			b := startWithFusion(t, testfusion.Options{}, "CLIENT_AUTH="+tt.auth, "CLIENT_SECRET="+tt.secret)
			laptop, phone := b.browser(t), b.browser(t)
			phone.logIn(richard)

			p, link := laptop.showCode()
			if want := b.URL + "/activate?user_code=" + p.text("user-code"); link != want {
				t.Errorf("the code leads to %s, want our page %s", link, want)
			}
			states := laptop.events()
			states.want("waiting")
			question := phone.get(link)
			states.want("opened")
			phone.submit(question, "approve", url.Values{"answer": {"yes"}})
			states.want("yes")
			states.want("approved")
			if got := laptop.awaitReload(); got.URL.Path != "/account" || got.text("account-email") != richard {
				t.Errorf("the laptop is at %s as %q, want /account as %s", got.URL, got.text("account-email"), richard)
			}

			approvals, polls := b.fusion.Requests("/oauth2/device/approve"), b.fusion.Polls()
			if len(approvals) != 1 || approvals[0].Status != 200 || approvals[0].Person != richard {
				t.Errorf("the approvals are %+v, want one by %s", approvals, richard)
			}
			if len(polls) != 1 || polls[0].Status != 200 || polls[0].Person != richard {
				t.Errorf("the polls are %+v, want one with the tokens of %s", polls, richard)
			}
			for _, r := range b.fusion.Requests("/oauth2/token", "/oauth2/device_authorize", "/oauth2/device/approve") {
				if r.Auth != tt.want {
					t.Errorf("%s was asked with %s, want %s", r.Path, r.Auth, tt.want)
				}
			}
		})
	}
}

// The bank is up before the kickstart is through: the issuer reads acme.com for
// a while, and logins begin when it does not.
func TestFusionKickstartStillRuns(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{Unfinished: true})
	const discovery = "/.well-known/openid-configuration"
	for deadline := time.Now().Add(time.Minute); len(b.fusion.Requests(discovery)) == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the bank does not look for its provider")
		}
	}
	b.fusion.FinishKickstart()
	b.log.await(t, `(identity provider found)`, nil)
	b.browser(t).logIn(richard)
}

// Logging out ends the refresh token by FusionAuth's own call, and then this
// browser's login there.
func TestFusionLogout(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{})
	phone := b.browser(t)
	phone.submit(phone.get("/login"), "", url.Values{"email": {richard}, "password": {"password"}, "rememberDevice": {"true"}})
	laptop := b.qrLogin(t, phone, richard)
	if got := b.fusion.RefreshTokens(); got != 2 {
		t.Fatalf("%d refresh tokens after two logins, want 2", got)
	}

	if home := laptop.submit(laptop.get("/logout"), "logout", nil); home.URL.String() != b.URL+"/" || laptop.person() != "" {
		t.Errorf("the laptop's logout leads to %s as %q, want home as nobody", home.URL, laptop.person())
	}
	if got := b.fusion.RefreshTokens(); got != 1 || phone.person() != richard {
		t.Errorf("after the laptop's logout there are %d refresh tokens and the phone is %q, want 1 and %s", got, phone.person(), richard)
	}
	if got := phone.get("/login"); got.URL.Path != "/account" {
		t.Errorf("a phone that is known to FusionAuth is at %s after /login, want /account", got.URL)
	}

	if home := phone.submit(phone.get("/logout"), "logout", nil); home.URL.String() != b.URL+"/" || phone.person() != "" {
		t.Errorf("the phone's logout leads to %s as %q, want home as nobody", home.URL, phone.person())
	}
	if got := b.fusion.RefreshTokens(); got != 0 {
		t.Errorf("%d refresh tokens after all logouts, want 0", got)
	}
	if got := phone.get("/login"); !strings.HasPrefix(got.URL.String(), b.fusion.URL+"/oauth2/authorize?") {
		t.Errorf("after the logout a login leads to %s, want FusionAuth's login page", got.URL)
	}
}

// A new customer makes an account on FusionAuth's page, on the way to the
// question about a laptop.
func TestFusionSelfService(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{})
	laptop, phone := b.browser(t), b.browser(t)
	_, link := laptop.showCode()
	login := phone.get(link)
	register := phone.get(b.fusion.URL + login.attr("create-account", "href"))
	question := phone.submit(register, "register", url.Values{
		"email": {"jared@example.com"}, "password": {"a long one"}, "fullName": {"Jared Dunn"},
	})
	if got := question.URL.String(); got != link {
		t.Fatalf("the new customer is at %s, want %s", got, link)
	}
	phone.submit(question, "approve", url.Values{"answer": {"yes"}})
	if got := laptop.awaitReload().text("account-email"); got != "jared@example.com" {
		t.Errorf("the laptop is logged in as %q, want jared@example.com", got)
	}
}

// Whoever administers FusionAuth is no customer.
func TestFusionAdministrator(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{})
	stranger := b.browser(t)
	stranger.atProvider(stranger.get("/login"), "admin@example.com")
	if got := stranger.person(); got != "" {
		t.Errorf("the administrator is logged in as %q", got)
	}
}

// FusionAuth leaves these out of its answers, now and then.
func TestFusionAnswersWithout(t *testing.T) {
	t.Parallel()
	for _, member := range []string{"scope", "refresh_token", "refresh_token_id", "id_token"} {
		t.Run(member, func(t *testing.T) {
			t.Parallel()
			b := startWithFusion(t, testfusion.Options{})
			phone := b.browser(t)
			if member == "id_token" {
				phone.logIn(richard) // the code flow cannot do without
			}
			b.fusion.Behave(func(f *testfusion.Behaviour) { f.Omit = []string{member} })
			if member != "id_token" {
				phone.logIn(richard)
			}
			laptop := b.qrLogin(t, phone, richard)
			if home := laptop.submit(laptop.get("/logout"), "logout", nil); home.URL.String() != b.URL+"/" {
				t.Errorf("the logout leads to %s, want home", home.URL)
			}
		})
	}
}

func TestFusionRotatesKeys(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{})
	phone := b.browser(t)
	phone.logIn(richard)
	b.fusion.RotateKeys()
	b.qrLogin(t, phone, richard)
	b.qrLogin(t, phone, richard)
	if got := len(b.fusion.Requests("/.well-known/jwks.json")); got != 2 {
		t.Errorf("the keys were fetched %d times for two keys, want 2", got)
	}
}

// A phone whose access token has run out has it refreshed before its yes is
// passed on. A refresh token that is good once is replaced each time.
func TestFusionPhoneRefreshes(t *testing.T) {
	t.Parallel()
	for name, once := range map[string]bool{"reusable": false, "one-time use": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startWithFusion(t, testfusion.Options{Behaviour: testfusion.Behaviour{TokenLifetime: 2 * time.Second, OneTimeRefresh: once}})
			phone := b.browser(t)
			phone.logIn(richard)
			for n := range 2 {
				b.qrLogin(t, phone, richard)
				if got := b.refreshes(); got != n+1 {
					t.Errorf("after %d yeses there were %d refreshes, want as many", n+1, got)
				}
			}
			for _, r := range b.fusion.Requests() {
				if r.Status != 200 {
					t.Errorf("%s %s was answered %d %s", r.Method, r.Path, r.Status, r.Reason)
				}
			}
		})
	}
}

// FusionAuth has not heard the yes: it is polled at its pace, which it counts,
// until the yes is said again.
func TestFusionPace(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{Behaviour: testfusion.Behaviour{Interval: time.Second}})
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(richard)
	_, link := laptop.showCode()
	b.fusion.Fault("/oauth2/device/approve", testfusion.Break(503))
	phone.answer(link, "yes")
	laptop.await("three polls", func() string {
		if polls := b.fusion.Polls(); len(polls) >= 3 && polls[2].Error == "authorization_pending" {
			return "three polls"
		}
		return "fewer"
	})
	b.fusion.Fault("/oauth2/device/approve", nil)
	phone.answer(link, "yes")
	if got := laptop.awaitReload().text("account-email"); got != richard {
		t.Errorf("the laptop is logged in as %q, want %s", got, richard)
	}
}
