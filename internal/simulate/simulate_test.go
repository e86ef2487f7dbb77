// Package simulate runs whole QR logins in which anything can go wrong, to find bugs
// that nobody thought of. It simulates people, replicas, a store and a provider in a
// [testing/synctest] bubble. A seed determines all that they do. The Managers of
// devicegrant and session are the real ones, set up as in main.go.
//
// # The world
//
//   - People who log in, deny, cancel, mistype the number, approve in two tabs,
//     let the laptop sleep, claim again from the history, log out here and log in
//     there at once, switch accounts, confirm and end sessions.
//   - Strangers who open a code that was passed on, victims who approve it at the
//     provider's own page, thieves with a laptop's or a phone's cookies in the
//     same network or elsewhere, forgers who know the code.
//   - Replicas that are stopped, killed, or paused, at every step.
//   - A store that is slow or down, loses answers, and reports changes late.
//   - A provider that is slow or silent, fails, sends Retry-After, answers
//     slow_down, issues tokens once or repeatedly, and ends logins, with or without
//     a back-channel logout.
//
// Not simulated: clocks that differ, HTTP handlers, and a provider that insists on
// its own page.
//
// # What is checked
//
// [model] knows the allowed outcomes. A laptop is logged in only as the person who
// approved, after the right number where one is required, in the browser that the
// phone was shown, once, and while the session that approved is logged in. A session that
// was ended stays ended, and only a confirmed one ends others.
// The provider is asked no faster than it allows, by one process at a time, and
// only after an approval. A refresh token is used once. Tokens are kept or
// revoked. No login is lost without a cause, the reason on the page is true, and
// once nothing fails, a login succeeds at once. No secret is in the log.
//
// # What is caught
//
// Each of these guards was removed once, and the simulation failed within 300 seeds:
//
//   - polls: the leases of a poll and of a refresh, the interval, slow_down and
//     Retry-After
//   - the number: that it is required, that a second person forces it, its tries
//   - the person in the tokens, the secret in the laptop's cookie, the browser that
//     the phone was shown
//   - the voucher: at the number, before a poll, when the session is created, and at
//     the claim; its generation; that a new login revives no broken one
//   - a denial after the approval, a second claim, the confirmation before a session
//     ends others, and the check that the provider has not ended the login
//
// Not caught: the fence of a lease. It matters only if a process is paused at a rare
// moment.
package simulate

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

var (
	seeds   = flag.Int("seeds", 300, "how many seeds to simulate")
	oneSeed = flag.Uint64("seed", 0, "the only seed to simulate; its story is printed")
)

// outcome is what came of a seed.
type outcome struct {
	story, log string
	violations []string
}

// simulate runs one seed.
func simulate(t *testing.T, seed uint64) (o outcome) {
	t.Helper()
	var w *world
	var began time.Time
	defer func() {
		if cause := recover(); cause != nil { // a goroutine is left, or all of them wait for each other
			panic(fmt.Sprintf("seed %d: %v\n%s", seed, cause, w.storyText(began)))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		began = time.Now()
		w = newWorld(t, seed)
		w.run()
		o = outcome{w.storyText(began), w.logged.String(), w.violations}
	})
	return o
}

// TestPromises simulates many seeds. A failure prints the story of its seed.
func TestPromises(t *testing.T) {
	from, to := uint64(1), uint64(*seeds)
	if *oneSeed != 0 {
		from, to = *oneSeed, *oneSeed
	}
	for seed := from; seed <= to; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			o := simulate(t, seed)
			if *oneSeed != 0 {
				t.Logf("the log:\n%s", o.log)
			}
			if *oneSeed != 0 || len(o.violations) > 0 {
				t.Logf("the story:\n%s", o.story)
			}
			for _, violation := range o.violations {
				t.Errorf("%s (again: go test ./internal/simulate -seed %d)", violation, seed)
			}
		})
	}
}

// A seed must tell the same story again, or nobody can find out what went wrong.
// The two runs of a seed share the processors with others.
func TestSameStory(t *testing.T) {
	for seed := uint64(1); seed <= 20; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			if first, again := simulate(t, seed).story, simulate(t, seed).story; first != again {
				t.Errorf("two different stories; the first difference:\n%s", difference(first, again))
			}
		})
	}
}

func difference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return x[i] + "\n" + y[i]
		}
	}
	return "one is longer"
}
