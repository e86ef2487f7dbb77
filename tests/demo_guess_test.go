package tests

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Where others can reach the demo provider, they can guess there, but slowly. Its
// own people are not locked out.
func TestDemoGuesses(t *testing.T) {
	t.Parallel()
	b := startPublic(t)
	guesser, owner := b.resolving(t).at(awayAddr), b.resolving(t).at(homeAddr)
	form := guesser.get("/login")
	guess := func(password string) page {
		return guesser.submit(form, "", url.Values{"email": {richard}, "password": {password}})
	}
	for i := range 10 {
		if p := guess("wrong"); p.Status != http.StatusOK || !p.has("error") {
			t.Fatalf("wrong password %d: %v, want the form again", i+1, p)
		}
	}
	if p := guess(b.password); p.Status != http.StatusTooManyRequests || p.Header.Get("Retry-After") == "" || !strings.Contains(p.text("error"), "Try again in") {
		t.Errorf("after ten wrong passwords: %v with Retry-After %q, want 429 and when to try again", p, p.Header.Get("Retry-After"))
	}
	guesser.wantPerson("")
	owner.logIn(richard)
}
