package tests

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"changebank/internal/testfusion"
)

// An account that is locked or logged out at the login service is out here soon,
// on every device that is used, however it logged in. Until then each check gets
// new tokens, also from a provider whose refresh tokens can be used once.
func TestRecheckEndsLogin(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{Behavior: testfusion.Behavior{OneTimeRefresh: true}}, "SESSION_RECHECK=1s")
	laptop, phone := b.pair(t)
	laptop.logInWith(phone)
	stranger := b.browserOf(t, erlich)
	for refreshes(b.fusion) < 6 {
		for _, browser := range []*browser{laptop, phone} {
			browser.wantPerson(richard)
		}
		time.Sleep(100 * time.Millisecond)
	}

	b.fusion.EndRefreshTokens(richard)
	for who, browser := range map[string]*browser{"the laptop": laptop, "the phone": phone} {
		browser.await("", browser.person)
		browser.wantEndedByProvider(who)
	}
	stranger.wantPerson(erlich)
}

// While the login service fails or is slow, nobody is logged out, and no page
// waits for it.
func TestRecheckOutage(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"503": testfusion.Break(503),
		"429": testfusion.Break(429),
		"slow": func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startWithFusion(t, testfusion.Options{}, "SESSION_RECHECK=1s")
			phone := b.browserOf(t, richard)
			b.fusion.Fault("/oauth2/token", fault)
			began := time.Now()
			for n := refreshes(b.fusion); refreshes(b.fusion) == n || time.Since(began) < 3*time.Second; time.Sleep(100 * time.Millisecond) {
				phone.wantPerson(richard)
				if time.Since(began) > time.Minute {
					t.Fatal("no check in a minute")
				}
			}
			if strings.Contains(b.log.String(), "page failed") {
				t.Error("a page failed because the login service did")
			}
		})
	}
}
