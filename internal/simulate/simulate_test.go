// Package simulate runs whole QR logins with everything that may go wrong, and
// looks for what nobody thought of. Its people, replicas, store and provider live
// in a bubble of time ([testing/synctest]), and do what the dice of a seed say.
// [model] knows what may come of it.
//
// The Managers of devicegrant and session are the real ones, wired as in main.go.
// A replica's connection to the store delays, fails before or after a write, and
// hears of changes late or not at all. The provider is slow, silent, in trouble,
// or loses answers. Replicas are stopped and killed, between and in the middle of
// all of these. There is one clock: clocks that differ are not simulated. Nor is
// a provider with a page of its own.
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
