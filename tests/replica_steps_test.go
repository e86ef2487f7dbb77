package tests

import (
	"slices"
	"sync"
	"testing"
	"time"

	"changebank/internal/testfusion"
	"changebank/kickstart"
)

// Each request of a login may reach another replica: each single step, and each
// two steps, on replicas of their own.
func TestEachStepOnAnotherReplica(t *testing.T) {
	t.Parallel()
	r := startReplicas(t, 3, kickstart.JSON, "LIMIT_CODES_PER_ADDRESS=1000")
	var laptop, phone *browser
	var link, number string
	var question, typed page
	steps := []struct {
		name string
		do   func()
	}{
		{"phone login", func() { phone.logIn(richard) }},
		{"code", func() { link = laptop.code() }},
		{"scan", func() { question = phone.get(link) }},
		{"page", func() { laptop.wantState("opened") }},
		{"yes", func() { number = phone.answer(question, "yes").number() }},
		{"number", func() { typed = laptop.typeNumber(number) }},
		{"wait", func() {
			if typed.URL.Path != "/account" { // unless the tokens were quick
				laptop.awaitApproved()
			}
		}},
		{"claim", func() { laptop.get("/reload") }},
		{"account", func() { laptop.wantPerson(richard) }},
		{"end", func() { phone.endDevice(laptop.ref()) }},
		{"after the end", func() { laptop.wantNoLogin("after its session was ended") }},
	}
	for i := range steps {
		for j := range i + 1 { // j == i: one step alone
			laptop, phone = r.browser(t).at(awayAddr), r.browser(t).at(homeAddr)
			for n, step := range steps {
				on := 0
				switch n {
				case i:
					on = 1
				case j:
					on = 2
				}
				laptop.onReplica(on)
				phone.onReplica(on)
				step.do()
				if t.Failed() {
					t.Fatalf("in the step %q, with %q and %q on other replicas", step.name, steps[i].name, steps[j].name)
				}
			}
		}
	}
	r.wantNoFaults()
}

// What a person ends on one replica is over on every other at the next request.
func TestEndsOnEveryReplica(t *testing.T) {
	t.Parallel()
	r := startReplicas(t, 2, kickstart.JSON)
	phone := r.browser(t).onReplica(0)
	phone.logIn(richard)
	laptop := func() *browser {
		laptop := r.browser(t).onReplica(1)
		laptop.logInWith(phone)
		return laptop
	}
	one, two, three := laptop(), laptop(), laptop()
	phone.endDevice(one.ref())
	one.wantNoLogin("after it was ended")
	two.wantPerson(richard)
	phone.post("/devices/others/end", nil)
	two.wantNoLogin("after all others were ended")
	three.wantNoLogin("after all others were ended")
	phone.onReplica(1).wantPerson(richard)

	// A thief with a copy of the cookie, on the other replica.
	thief := r.browser(t).onReplica(0)
	thief.setCookies(phone.cookies())
	phone.logOut()
	thief.wantNoLogin("after the logout")
}

// A rate limit counts on all replicas together.
func TestLimitOverReplicas(t *testing.T) {
	t.Parallel()
	r := startReplicas(t, 3, kickstart.JSON, "LIMIT_CODES_PER_ADDRESS=6")
	var got []int
	for i := range 9 {
		got = append(got, r.browser(t).at(homeAddr).onReplica(i%3).get(qrPage).Status)
	}
	if want := []int{200, 200, 200, 200, 200, 200, 429, 429, 429}; !slices.Equal(got, want) {
		t.Errorf("the codes are answered with %v, want %v", got, want)
	}
}

// A session's tokens are refreshed once, even if several replicas need them at
// the same moment: a provider with refresh tokens for one use ends the login at
// the second use.
func TestRefreshOnceOverReplicas(t *testing.T) {
	t.Parallel()
	r := startReplicas(t, 3, kickstart.JSON)
	r.fusion.Behave(func(b *testfusion.Behavior) { b.OneTimeRefresh, b.TokenLifetime = true, 30*time.Second })
	phone := r.browser(t)
	phone.logIn(richard)
	expiring := time.Now().Add(21 * time.Second) // a token with ten seconds left is refreshed
	var questions []page
	for i := range 6 {
		questions = append(questions, phone.onReplica(i%3).get(r.browser(t).code()))
	}
	time.Sleep(time.Until(expiring))
	var answering sync.WaitGroup
	for i, question := range questions {
		// Each from a window of its own, with the same cookies.
		window := r.browser(t).onReplica(i % 3)
		window.setCookies(phone.cookies())
		answering.Go(func() {
			if p := window.answer(question, "yes"); p.Status != 200 {
				t.Errorf("an approval is answered with %v", p)
			}
		})
	}
	answering.Wait()
	if n := refreshes(r.fusion); n != 1 {
		t.Errorf("the tokens were refreshed %d times, want once", n)
	}
}
