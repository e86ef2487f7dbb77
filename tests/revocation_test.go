package tests

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"
)

// A session that ends revokes its refresh token, and ends although the provider
// fails to do that.
func TestRevocation(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(laptop, phone *browser) page{
		"logout":         func(laptop, _ *browser) page { return laptop.logOut() },
		"another device": func(laptop, phone *browser) page { return phone.endDevice(laptop.ref()) },
	} {
		for _, fault := range []string{"500", "reset"} {
			t.Run(name+", "+fault, func(t *testing.T) {
				t.Parallel()
				b, laptop, phone := proxiedPair(t)
				laptop.logIn(richard)
				revocations := b.demo.once("/oauth2/revoke", "token", faults[fault])
				if p := end(laptop, phone); p.Status != http.StatusOK {
					t.Errorf("ending the session: %v", p)
				}
				laptop.wantPerson("")
				laptop.awaitCount("revocations", revocations, 1)
			})
		}
	}
}

// The refresh token of an ended session is useless to a thief.
func TestEndedSessionsTokens(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	laptop := b.browserOf(t, richard)
	stolen := b.demo.seen("refresh_token")
	if len(stolen) != 1 {
		t.Fatalf("%d refresh tokens passed, want 1", len(stolen))
	}
	phone := b.browserOf(t, richard)
	phone.endDevice(laptop.ref())
	refresh := url.Values{
		"client_id": {clientID}, "client_secret": {b.secret},
		"grant_type": {"refresh_token"}, "refresh_token": stolen,
	}
	// The revocation runs in the background.
	phone.await("invalid_grant", func() string {
		answer := phone.post(b.DemoURL+"/oauth2/token", refresh).Body
		return regexp.MustCompile(`invalid_grant|$`).FindString(answer)
	})
}
