package qrlogin

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/store"
	"changebank/internal/teststore"
)

var (
	richard = idp.Person{Issuer: "https://login.example", Subject: "richard"}
	tokens  = idp.Tokens{Access: "access"}
	laptop  = browser.Browser{Agent: "Firefox", Addr: "203.0.113.7"}
	thief   = browser.Browser{Agent: "Firefox", Addr: "198.51.100.1"}
)

// resultsTest has the results of an application with one session, phone.
type resultsTest struct {
	*testing.T
	*results
	loggedOut bool // the phone
	laptopOut bool
	revoked   []idp.Tokens
}

// withResults runs a test in a synctest bubble.
func withResults(t *testing.T, test func(r *resultsTest)) {
	synctest.Test(t, func(t *testing.T) {
		kept := teststore.In(t, teststore.File(t))
		r := &resultsTest{T: t}
		r.results = &results{
			table: store.NewTable[result](kept, "results"),
			loggedIn: func(_ context.Context, subject, session string) (bool, error) {
				return subject == richard.Subject && (session == "phone" && !r.loggedOut || session == "laptop" && !r.laptopOut), nil
			},
			revoke: func(tokens idp.Tokens) { r.revoked = append(r.revoked, tokens) },
		}
		test(r)
	})
}

func (r *resultsTest) wantPending(want bool, voucher string) {
	r.Helper()
	if got, err := r.CreatePending(r.Context(), "id", richard, tokens, laptop, voucher); got != want || err != nil {
		r.Errorf("CreatePending: %t, %v; want %t", got, err, want)
	}
}

func (r *resultsTest) wantActive(want bool, by browser.Browser) {
	r.Helper()
	if got, err := r.Activate(r.Context(), "id", by); got != want || err != nil {
		r.Errorf("Activate by %v: %t, %v; want %t", by, got, err, want)
	}
}

func (r *resultsTest) end() {
	r.Helper()
	if _, err := r.results.end(r.Context(), "id"); err != nil {
		r.Error(err)
	}
}

// A result is claimed once. The same browser may repeat the claim, since the response
// may have been lost, but only for a minute, and not once it has a session.
func TestResultIsTakenOnce(t *testing.T) {
	withResults(t, func(r *resultsTest) {
		r.wantActive(false, laptop)
		r.wantPending(true, "phone")
		r.wantPending(true, "phone")
		r.wantActive(true, laptop)
		r.wantActive(true, laptop)
		r.wantActive(false, thief)
		r.wantPending(true, "phone") // by a late poller
		time.Sleep(repeatWindow - time.Second)
		r.wantActive(true, laptop)
		time.Sleep(time.Second)
		r.wantActive(false, laptop)
	})
	withResults(t, func(r *resultsTest) {
		r.wantPending(true, "phone")
		r.wantActive(true, laptop)
		r.end()
		r.wantActive(false, laptop)
		r.wantPending(false, "phone")
		if len(r.revoked) > 0 {
			t.Error("the tokens of a login in use are revoked")
		}
	})
}

// A laptop that was logged out gets no other session by repeating its claim.
func TestSessionThatWasEnded(t *testing.T) {
	withResults(t, func(r *resultsTest) {
		r.wantPending(true, "phone")
		r.wantActive(true, laptop)
		if err := r.noteSession(r.Context(), "id", "laptop"); err != nil {
			t.Fatal(err)
		}
		r.loggedOut = true // which takes back nothing that is in use
		r.wantActive(true, laptop)
		r.laptopOut = true
		r.wantActive(false, laptop)
	})
}

// An approval by a phone that was logged out creates no result.
func TestResultNeedsItsPhone(t *testing.T) {
	withResults(t, func(r *resultsTest) {
		r.loggedOut = true
		r.wantPending(false, "phone")
		r.wantActive(false, laptop)
		r.loggedOut = false
		r.wantPending(false, "another session")
		r.wantPending(true, "phone") // approved again
		r.wantActive(true, laptop)
	})
	withResults(t, func(r *resultsTest) { // approved on the provider's own page
		r.wantPending(true, "")
		r.wantActive(true, laptop)
	})
}

// A result whose attempt has ended does not come back.
func TestDiscard(t *testing.T) {
	withResults(t, func(r *resultsTest) {
		r.wantPending(true, "phone")
		for range 2 {
			if err := r.Discard(r.Context(), "id"); err != nil {
				t.Fatal(err)
			}
		}
		if len(r.revoked) == 0 || r.revoked[0] != tokens {
			t.Errorf("revoked: %v, want the result's tokens", r.revoked)
		}
		r.wantActive(false, laptop)
		r.wantPending(false, "phone")
	})
}
