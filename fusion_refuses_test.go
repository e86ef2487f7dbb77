package main

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"changebank/internal/testfusion"
)

// quick is a FusionAuth that may be polled each second.
var quick = testfusion.Options{Behaviour: testfusion.Behaviour{Interval: time.Second}}

// refuseYes has FusionAuth not take the approval of the phone's yes, and
// returns the laptop, its states, and what the phone then sees.
func (b *fused) refuseYes(t *testing.T, phone *browser, how func(http.ResponseWriter, *http.Request) bool) (laptop *browser, states stream, next page) {
	t.Helper()
	laptop = b.browser(t)
	_, link := laptop.showCode()
	states = laptop.events()
	states.want("waiting")
	question := phone.get(link)
	states.want("opened")
	b.fusion.Fault("/oauth2/device/approve", how)
	next = phone.submit(question, "approve", url.Values{"answer": {"yes"}})
	states.want("yes")
	return laptop, states, next
}

// A yes that FusionAuth does not take goes on at its own page, with all that
// the page wants to know. It counts only for the person who said yes here.
func TestFusionRefusesTheYes(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"no such call": testfusion.Break(404),
		"refused":      testfusion.Refuse(400, "invalid_request", "access_token_unavailable_for_processing"),
		"5xx":          testfusion.Break(503),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startWithFusion(t, quick)
			phone := b.browser(t)
			phone.logIn(richard)
			laptop, _, next := b.refuseYes(t, phone, how)
			there, err := url.Parse(next.attr("continue", "href"))
			if err != nil {
				t.Fatal(err)
			}
			query := there.Query()
			if got := there.Scheme + "://" + there.Host + there.Path; got != b.fusion.URL+"/oauth2/device" ||
				query.Get("client_id") == "" || query.Get("tenantId") != b.fusion.TenantID() || query.Get("user_code") != next.text("user-code") {
				t.Errorf("the way on is %s, want FusionAuth's page with client_id, tenantId and user_code", there)
			}
			page := phone.submit(phone.get(there.String()), "device", nil)
			if done := phone.submit(page, "", url.Values{"email": {richard}, "password": {"password"}}); !strings.HasSuffix(done.URL.Path, "/device-complete") {
				t.Fatalf("FusionAuth's page ends at %s: %s", done.URL, done.Body)
			}
			if got := laptop.awaitReload().text("account-email"); got != richard {
				t.Errorf("the laptop is logged in as %q, want %s", got, richard)
			}
		})
	}
}

// An attacker says yes himself, has his approval fail, and mails the link of
// FusionAuth's page to his victim.
func TestFusionsOwnLink(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, quick)
	attacker, victim := b.browser(t), b.browser(t)
	attacker.logIn(erlich)
	laptop, states, next := b.refuseYes(t, attacker, testfusion.Break(404))
	page := victim.submit(victim.get(next.attr("continue", "href")), "device", nil)
	victim.submit(page, "", url.Values{"email": {richard}, "password": {"password"}})
	states.want("yes") // once more, with a note
	states.want("failed")
	if p := laptop.get("/logged-out-qr-login"); !strings.Contains(p.text("main"), "somebody else") {
		t.Errorf("the laptop's page says %s", p.text("main"))
	}
	if laptop.get("/reload"); laptop.person() != "" {
		t.Errorf("the attacker's laptop is logged in as %s", laptop.person())
	}
	if got := b.fusion.RefreshTokens(); got != 1 {
		t.Errorf("%d refresh tokens are left, want the attacker's own", got)
	}
}

// A client that FusionAuth refuses: people hear whose fault it is, and the log
// says what to look at.
func TestFusionRefusesTheClient(t *testing.T) {
	t.Parallel()
	for name, behave := range map[string]func(*testfusion.Behaviour){
		"client_authentication_missing": func(f *testfusion.Behaviour) { f.RefuseClient = "client_authentication_missing" },
		"grant_type_disabled":           func(f *testfusion.Behaviour) { f.NoDeviceGrant = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startWithFusion(t, testfusion.Options{})
			b.fusion.Behave(behave)
			p := b.browser(t).get("/logged-out-qr-login")
			if p.Status != http.StatusBadGateway || !strings.Contains(p.text("error"), "does not accept Changebank") {
				t.Errorf("the QR page is %d: %s", p.Status, p.text("main"))
			}
			for _, want := range []string{name, "CLIENT_SECRET"} {
				if !strings.Contains(b.log.String(), want) {
					t.Errorf("the log lacks %s", want)
				}
			}
			b.fusion.Violations() // to be refused is what the test wants
		})
	}
}

// An application without keys of its own signs with the client secret.
func TestFusionSignsWithHS256(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{Behaviour: testfusion.Behaviour{NoKeys: true}})
	phone := b.browser(t)
	if p := phone.atProvider(phone.get("/login"), richard); p.Status != http.StatusBadGateway || !strings.Contains(p.text("error"), "could not be verified") {
		t.Errorf("a login that cannot be verified ends with %d: %s", p.Status, p.text("main"))
	}
	for _, want := range []string{"HS256", "RS256"} {
		if !strings.Contains(b.log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}

// FusionAuth calls itself acme.com until somebody tells it otherwise: the log
// has both names and the setting, and people see that it is being waited for.
func TestFusionIsAcme(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{Unfinished: true})
	said := b.log.await(t, `not found yet.*err="(.*)"`, nil)
	for _, want := range []string{"acme.com", b.fusion.URL, "ISSUER", "tenant"} {
		if !strings.Contains(said, want) {
			t.Errorf("the log lacks %q: %s", want, said)
		}
	}
	visitor := b.browser(t)
	p := visitor.get("/logged-out-qr-login")
	if p.Status != http.StatusServiceUnavailable || p.Header.Get("Retry-After") == "" || !strings.Contains(p.Body, `http-equiv="refresh"`) {
		t.Errorf("before the provider is there the QR page is %d, Retry-After %q: %s", p.Status, p.Header.Get("Retry-After"), p.text("main"))
	}
	if p := visitor.get("/readyz"); p.Status != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d, want 503", p.Status)
	}
	b.fusion.FinishKickstart()
	b.log.await(t, `(identity provider found)`, nil)
	if p := visitor.get("/logged-out-qr-login"); p.state() != "waiting" {
		t.Errorf("with the provider there the QR page is %d %q", p.Status, p.state())
	}
}

// FusionAuth forgets codes that have expired, and says then that they never
// were.
func TestFusionForgetsTheCode(t *testing.T) {
	t.Parallel()
	o := quick
	o.DeviceLifetime, o.Purged = 4*time.Second, true
	b := startWithFusion(t, o)
	phone := b.browser(t)
	phone.logIn(richard)
	laptop, _, _ := b.refuseYes(t, phone, testfusion.Break(404))
	laptop.await("over", func() string {
		if state := laptop.get("/logged-out-qr-login").state(); state == "failed" || state == "expired" {
			return "over"
		}
		return ""
	})
	if p := laptop.get("/logged-out-qr-login"); p.find("form", "new-code") == nil || !strings.Contains(p.text("main"), "new code") {
		t.Errorf("the laptop's page says %s", p.text("main"))
	}
}

// An access token that has run out cannot end a refresh token: logging out
// later than an hour after the login must end it all the same.
func TestFusionLateLogout(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{Behaviour: testfusion.Behaviour{TokenLifetime: time.Second}})
	visitor := b.browser(t)
	visitor.logIn(richard)
	time.Sleep(1500 * time.Millisecond) // of the provider's clock, which is ours
	visitor.submit(visitor.get("/logout"), "logout", nil)
	if got := b.fusion.RefreshTokens(); got != 0 {
		t.Errorf("%d refresh tokens are left after the logout, want 0", got)
	}
}

// FusionAuth's document may list two scopes although it has them all.
func TestFusionListsTwoScopes(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{Behaviour: testfusion.Behaviour{
		Discovery: func(document map[string]any) { document["scopes_supported"] = []string{"openid", "offline_access"} },
	}})
	b.qrLogin(t, func() *browser { phone := b.browser(t); phone.logIn(richard); return phone }(), richard)
}
