package tests

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"changebank/internal/testfusion"
)

// quick is a FusionAuth that may be polled every two seconds. The bank adds a
// share of the interval, which must be longer than a busy machine takes to
// deliver a poll.
var quick = testfusion.Behavior{Interval: 2 * time.Second}

// rejectApproval approves on the phone while FusionAuth rejects the approval. It
// returns the laptop's states and what the phone sees.
func (b *fusionBank) rejectApproval(laptop, phone *browser, how func(http.ResponseWriter, *http.Request) bool) (states stream, next page) {
	laptop.t.Helper()
	question := phone.get(laptop.code())
	states = laptop.events()
	states.want("opened")
	b.fusion.Fault("/oauth2/device/approve", how)
	next = phone.answer(question, "yes")
	states.want("yes")
	return states, next
}

// After an approval that FusionAuth rejects, the person continues at its own
// page, with everything that the page needs.
func TestFusionRejectsApproval(t *testing.T) {
	t.Parallel()
	for name, how := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"no such call": testfusion.Break(404),
		"refused":      testfusion.Refuse(400, "invalid_request", "access_token_unavailable_for_processing"),
		"5xx":          testfusion.Break(503),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, laptop, phone := fusionPair(t, quick)
			_, next := b.rejectApproval(laptop, phone, how)
			there, err := url.Parse(next.attr("continue", "href"))
			if err != nil {
				t.Fatal(err)
			}
			query := there.Query()
			if got := there.Scheme + "://" + there.Host + there.Path; got != b.fusion.URL+"/oauth2/device" ||
				query.Get("client_id") == "" || query.Get("tenantId") != b.fusion.TenantID() || query.Get("user_code") != next.text("user-code") {
				t.Errorf("the way on is %s, want FusionAuth's page with client_id, tenantId and user_code", there)
			}
			done := phone.atProvider(phone.submit(phone.get(there.String()), "device", nil), richard)
			if !strings.HasSuffix(done.URL.Path, "/device-complete") {
				t.Fatalf("FusionAuth's page ends at %s: %s", done.URL, done.Body)
			}
			laptop.claim(richard)
		})
	}
}

// An attacker approves, makes the approval fail, and mails the link of
// FusionAuth's page to a victim.
func TestFusionPageLink(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{Behavior: quick})
	laptop, attacker, victim := b.browser(t), b.browserOf(t, erlich), b.browser(t)
	states, next := b.rejectApproval(laptop, attacker, testfusion.Break(404))
	victim.atProvider(victim.submit(victim.get(next.attr("continue", "href")), "device", nil), richard)
	states.want("yes", "failed") // yes once more, with a note
	laptop.wantState("failed")
	laptop.wantNoLogin("with the victim's approval")
	if got := b.fusion.RefreshTokens(); got != 1 {
		t.Errorf("%d refresh tokens are left, want the attacker's own", got)
	}
}

// FusionAuth refuses the client: the page says that the settings are wrong, and
// the log says which ones to check.
func TestFusionRefusesClient(t *testing.T) {
	t.Parallel()
	for name, behave := range map[string]func(*testfusion.Behavior){
		"client_authentication_missing": func(f *testfusion.Behavior) { f.RefuseClient = "client_authentication_missing" },
		"grant_type_disabled":           func(f *testfusion.Behavior) { f.NoDeviceGrant = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startWithFusion(t, testfusion.Options{})
			b.fusion.Behave(behave)
			if p := b.browser(t).get(qrPage); p.Status != http.StatusBadGateway || !strings.Contains(p.text("error"), "doesn't accept this application") {
				t.Errorf("the QR page: %v, want 502 and whose fault it is", p)
			}
			for _, want := range []string{name, "CLIENT_SECRET"} {
				if !strings.Contains(b.log.String(), want) {
					t.Errorf("the log lacks %s", want)
				}
			}
			b.fusion.Violations() // a refusal is one, and this test wants it
		})
	}
}

// An application without a key of its own signs with the client secret.
func TestFusionSignsWithHS256(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{Behavior: testfusion.Behavior{NoKeys: true}})
	phone := b.browser(t)
	if p := phone.atProvider(phone.get("/login"), richard); p.Status != http.StatusBadGateway || !p.has("error") {
		t.Errorf("a login that cannot be verified: %v, want 502", p)
	}
	for _, want := range []string{"HS256", "RS256"} {
		if !strings.Contains(b.log.String(), want) {
			t.Errorf("the log lacks %s", want)
		}
	}
}

// FusionAuth calls itself acme.com until its kickstart has run. The log has both
// names and the setting, the pages retry, and then people log in.
func TestFusionKickstartStillRuns(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{Unfinished: true})
	said := b.log.await(t, `not found yet.*err="(.*)"`)
	for _, want := range []string{"acme.com", b.fusion.URL, "ISSUER", "tenant"} {
		if !strings.Contains(said, want) {
			t.Errorf("the log lacks %q: %s", want, said)
		}
	}
	visitor := b.browser(t)
	p := visitor.get(qrPage)
	if p.Status != http.StatusServiceUnavailable || p.Header.Get("Retry-After") == "" || !strings.Contains(p.Body, `http-equiv="refresh"`) {
		t.Errorf("without the provider: %v with Retry-After %q, want 503 and a refresh", p, p.Header.Get("Retry-After"))
	}
	if p := visitor.get("/readyz"); p.Status != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d, want 503", p.Status)
	}
	b.fusion.FinishKickstart()
	b.awaitProvider()
	visitor.logInWith(b.browserOf(t, richard))
}

// FusionAuth forgets codes that have expired, and says then that they never
// existed.
func TestFusionForgetsCode(t *testing.T) {
	t.Parallel()
	b, laptop, phone := fusionPair(t, testfusion.Behavior{Interval: 2 * time.Second, DeviceLifetime: 5 * time.Second, Purged: true})
	b.rejectApproval(laptop, phone, testfusion.Break(404))
	laptop.await("over", func() string {
		if state := laptop.state(); state == "failed" || state == "expired" {
			return "over"
		}
		return ""
	})
	if p := laptop.get(qrPage); p.find("form", "new-code") == nil {
		t.Errorf("no new code is offered: %v", p)
	}
}

// FusionAuth has not received the approval. It is polled at its pace, which it
// checks, until the person approves again.
func TestFusionPace(t *testing.T) {
	t.Parallel()
	b, laptop, phone := fusionPair(t, quick)
	link := laptop.code()
	b.fusion.Fault("/oauth2/device/approve", testfusion.Break(503))
	phone.approve(link)
	laptop.await("three polls", func() string {
		if polls := b.fusion.Polls(); len(polls) >= 3 && polls[2].Error == "authorization_pending" {
			return "three polls"
		}
		return "fewer"
	})
	b.fusion.Fault("/oauth2/device/approve", nil)
	phone.approve(link)
	laptop.claim(richard)
}
