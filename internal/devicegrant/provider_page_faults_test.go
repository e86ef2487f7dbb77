package devicegrant

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// Pages come and go at several processes, which stop, lose the store, and are killed
// during a poll, and the provider is slow and in trouble. It is never polled faster
// than it allows, nor by two at once. Once nothing fails, the login succeeds.
func TestProviderPageUnderFaults(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inBubble(t, func(w *world) {
				dice := rand.New(rand.NewPCG(seed, 0))
				storeFails := seed%2 == 0  // then a slow_down could not be noted
				w.provider.takeover = true // by the next holder, after a poll that hangs
				w.provider.polls = nil
				for range 100 {
					w.provider.polls = append(w.provider.polls, randomReply(dice, storeFails))
				}
				a := w.onProviderPage()
				managers := []*Manager{w.m, w.newManager(), w.newManager()}
				var pages []*watcher
				for range 30 {
					one := &managers[dice.IntN(len(managers))]
					switch dice.IntN(6) {
					case 0:
						go (*one).Close()
						*one = w.newManager()
					case 1:
						w.backend.noWrites.Store(storeFails)
						time.AfterFunc(time.Duration(dice.Int64N(int64(10*time.Second))), func() { w.backend.noWrites.Store(false) })
					case 2, 3:
						if len(pages) > 0 {
							pages[dice.IntN(len(pages))].cancel()
						}
					default:
						pages = append(pages, w.watch(*one, a.ID))
					}
					time.Sleep(time.Duration(dice.Int64N(int64(12 * time.Second))))
				}
				w.provider.set(func(p *provider) { p.polls = script{{after: pollTime}} })
				w.watch(w.newManager(), a.ID)
				time.Sleep(leaseOfMany + 2*maxInterval)
				synctest.Wait()
				w.want(a, Approved)
				if n := len(w.provider.pollTimes()); n < 5 {
					t.Errorf("only %d polls", n)
				}
			})
		})
	}
}

// randomReply is one of the provider's answers while the person has not approved.
func randomReply(dice *rand.Rand, storeFails bool) reply {
	after := time.Duration(dice.Int64N(int64(longestPoll)))
	switch dice.IntN(12) {
	case 0:
		return reply{after: time.Hour, err: pending} // as if the process that asked had been killed
	case 1:
		return reply{after: after, err: &idp.Error{Status: 503}}
	case 2:
		return reply{after: longestPoll, err: context.DeadlineExceeded}
	case 3:
		if !storeFails {
			return reply{after: after, err: slowdown}
		}
	}
	return reply{after: after, err: pending}
}
