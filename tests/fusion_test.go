package tests

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"changebank/internal/testfusion"
	"changebank/kickstart"
)

// fusionBank is a bank with a strict double of FusionAuth, which is set up by
// the kickstart. The test fails if the bank does what a correct client of
// FusionAuth never does.
type fusionBank struct {
	*bank
	fusion *testfusion.Server
}

func startWithFusion(t *testing.T, o testfusion.Options, settings ...string) *fusionBank {
	t.Helper()
	return startWithKickstart(t, kickstart.JSON, o, settings...)
}

func startWithKickstart(t *testing.T, setup []byte, o testfusion.Options, settings ...string) *fusionBank {
	t.Helper()
	app := newFront(t)
	b := newBank(t, append([]string{
		"APP_URL=" + app.URL,
		"CLIENT_ID=" + clientID,
		"CLIENT_SECRET=a+b/c=d:e%f g%20h&i", // what is special in a form
		"LOG_LEVEL=debug",
	}, settings...))
	b.app = app
	fusion := testfusion.Start(t, setup, func(issuer string) map[string]string {
		return map[string]string{
			"APP_URL": app.URL, "ISSUER": issuer, "CLIENT_ID": clientID, "CLIENT_SECRET": b.secret,
			"USER_PASSWORD": "password", "ADMIN_PASSWORD": "password",
		}
	}, o)
	b.password = "password"
	b.env = append(b.env, "ISSUER="+fusion.URL)
	b.start()
	if !o.Unfinished {
		b.awaitProvider()
	}
	return &fusionBank{b, fusion}
}

// fusionPair is startWithFusion with a laptop's browser, and a phone's on which
// richard is logged in.
func fusionPair(t *testing.T, behavior testfusion.Behavior) (b *fusionBank, laptop, phone *browser) {
	t.Helper()
	b = startWithFusion(t, testfusion.Options{Behavior: behavior})
	laptop, phone = b.pair(t)
	return b, laptop, phone
}

// refreshes returns how often a token was refreshed.
func refreshes(fusion *testfusion.Server) int {
	return len(slices.DeleteFunc(fusion.Requests("/oauth2/token"), func(r testfusion.Request) bool {
		return r.Form.Get("grant_type") != "refresh_token"
	}))
}

func TestFusionLogins(t *testing.T) {
	t.Parallel()
	const special = "a+b/c=d:e%f g%20h&i"
	for _, tt := range []struct {
		auth, secret, want string
		namesIssuer        bool
	}{
		{"auto", special, "client_secret_post", false},
		{"auto", special, "client_secret_post", true},
		{"post", special, "client_secret_post", false},
		// FusionAuth reads the secret in the header as it is, and RFC 6749 has it
		// escaped. So a secret with special characters needs post.
		{"basic", "a-secret-of-letters", "client_secret_basic", false},
	} {
		t.Run(fmt.Sprintf("%s, names its issuer %t", tt.auth, tt.namesIssuer), func(t *testing.T) {
			t.Parallel()
			b := startWithFusion(t, testfusion.Options{Behavior: testfusion.Behavior{NamesIssuer: tt.namesIssuer}}, "CLIENT_AUTH="+tt.auth, "CLIENT_SECRET="+tt.secret)
			laptop, phone := b.pair(t)
			p, link := laptop.showCode()
			if want := b.URL + "/activate?user_code=" + p.text("user-code"); link != want {
				t.Errorf("the code leads to %s, want our page %s", link, want)
			}
			phone.approve(link)
			laptop.claim(richard)

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

// Logging out ends the refresh token with FusionAuth's own call, and then this
// browser's login there.
func TestFusionLogout(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{})
	laptop, phone := b.browser(t), b.browser(t)
	phone.submit(phone.get("/login"), "", url.Values{"email": {richard}, "password": {b.password}, "rememberDevice": {"true"}})
	laptop.logInWith(phone)
	wantTokens := func(when string, want int) {
		t.Helper()
		phone.await(fmt.Sprintf("%d refresh tokens %s", want, when), func() string {
			return fmt.Sprintf("%d refresh tokens %s", b.fusion.RefreshTokens(), when)
		})
	}
	wantTokens("after two logins", 2)

	if p := laptop.logOut(); p.URL.String() != b.URL+"/" {
		t.Errorf("the laptop's logout leads to %v, want the home page", p)
	}
	laptop.wantPerson("")
	phone.wantPerson(richard)
	wantTokens("after the laptop's logout", 1)
	if p := phone.get("/login"); p.URL.Path != "/account" {
		t.Errorf("FusionAuth knows the phone, and /login leads to %v, want the account", p)
	}

	if p := phone.logOut(); p.URL.String() != b.URL+"/" {
		t.Errorf("the phone's logout leads to %v, want the home page", p)
	}
	phone.wantPerson("")
	wantTokens("after both logouts", 0)
	if p := phone.get("/login"); !strings.HasPrefix(p.URL.String(), b.fusion.URL+"/oauth2/authorize?") {
		t.Errorf("after the logout /login leads to %v, want FusionAuth's login page", p)
	}
}

// A person creates an account on FusionAuth's page on the way to the question
// about a laptop.
func TestFusionSelfService(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{})
	laptop, phone := b.browser(t), b.browser(t)
	link := laptop.code()
	login := phone.get(link)
	register := phone.get(b.fusion.URL + login.attr("create-account", "href"))
	question := phone.submit(register, "register", url.Values{
		"email": {"jared@example.com"}, "password": {"a long one"}, "fullName": {"Jared Dunn"},
	})
	if got := question.URL.String(); got != link {
		t.Fatalf("the new customer sees %v, want the question", question)
	}
	phone.answer(question, "yes")
	laptop.claim("jared@example.com")
}

// FusionAuth's administrator is no customer of the bank.
func TestFusionAdministrator(t *testing.T) {
	t.Parallel()
	stranger := startWithFusion(t, testfusion.Options{}).browser(t)
	stranger.atProvider(stranger.get("/login"), "admin@example.com")
	stranger.wantPerson("")
}

// FusionAuth leaves these out of its answers now and then.
func TestFusionOmits(t *testing.T) {
	t.Parallel()
	for _, member := range []string{"scope", "refresh_token", "refresh_token_id", "id_token"} {
		t.Run(member, func(t *testing.T) {
			t.Parallel()
			b := startWithFusion(t, testfusion.Options{})
			laptop, phone := b.browser(t), b.browser(t)
			omit := func() { b.fusion.Behave(func(f *testfusion.Behavior) { f.Omit = []string{member} }) }
			if member == "id_token" { // the login by password needs one
				phone.logIn(richard)
				omit()
			} else {
				omit()
				phone.logIn(richard)
			}
			laptop.logInWith(phone)
			if p := laptop.logOut(); p.URL.String() != b.URL+"/" {
				t.Errorf("the logout leads to %v, want the home page", p)
			}
		})
	}
}

func TestFusionRotatesKeys(t *testing.T) {
	t.Parallel()
	b, laptop, phone := fusionPair(t, testfusion.Behavior{})
	b.fusion.RotateKeys()
	laptop.logInWith(phone)
	b.browser(t).logInWith(phone)
	if got := len(b.fusion.Requests("/.well-known/jwks.json")); got != 2 {
		t.Errorf("the keys were fetched %d times for two keys, want 2", got)
	}
}

// An expired access token of the phone is refreshed before the approval is
// passed on. A refresh token for one use is replaced each time.
func TestFusionRefreshesAtApproval(t *testing.T) {
	t.Parallel()
	for name, once := range map[string]bool{"reusable": false, "one-time use": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, _, phone := fusionPair(t, testfusion.Behavior{TokenLifetime: 2 * time.Second, OneTimeRefresh: once})
			for n := range 2 {
				b.browser(t).logInWith(phone)
				if got := refreshes(b.fusion); got != n+1 {
					t.Errorf("%d refreshes after %d approvals", got, n+1)
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

// An access token that has expired cannot end a refresh token. Logging out long
// after the login must end it nevertheless.
func TestFusionLateLogout(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{Behavior: testfusion.Behavior{TokenLifetime: time.Second}})
	visitor := b.browserOf(t, richard)
	time.Sleep(1500 * time.Millisecond) // until the token has expired at FusionAuth
	visitor.logOut()
	visitor.await("0 refresh tokens", func() string { return fmt.Sprintf("%d refresh tokens", b.fusion.RefreshTokens()) })
}

// FusionAuth's discovery document may list two scopes although it has all.
func TestFusionListsTwoScopes(t *testing.T) {
	t.Parallel()
	_, laptop, phone := fusionPair(t, testfusion.Behavior{
		Discovery: func(document map[string]any) { document["scopes_supported"] = []string{"openid", "offline_access"} },
	})
	laptop.logInWith(phone)
}
