package devicegrant

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The process was told to stop between the yes and the tokens: the next one
// finishes the login, when the laptop's page comes to it.
func TestRestart(t *testing.T) {
	comes := map[string]func(w *world, m *Manager, a Attempt){
		"an event stream": func(w *world, m *Manager, a Attempt) { w.watch(m, a.ID) },
		"a page":          func(w *world, m *Manager, a Attempt) { w.noError(m.Get(w.Context(), a.ID)) },
	}
	for who, come := range comes {
		t.Run("before the first poll, "+who, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.open(w.start())
				var wg sync.WaitGroup
				wg.Go(func() { _, _ = w.yes(a) })
				time.Sleep(approveTime / 2)
				w.bank.Close()
				wg.Wait()
				time.Sleep(time.Minute)
				w.want(a, Yes)
				w.provider.wantPolls(0) // nobody is there, nobody asks

				come(w, w.process(), a)
				time.Sleep(pollTime + verifyTime)
				synctest.Wait()
				w.want(a, Approved)
				w.provider.wantPolls(1)
			})
		})
		t.Run("between two polls, "+who, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{err: pending}, {after: pollTime}}
				a := w.agreed()
				time.Sleep(time.Second)
				w.bank.Close()
				come(w, w.process(), a)
				time.Sleep(time.Minute)
				synctest.Wait()
				w.want(a, Approved)
				if got, want := w.provider.pollTimes(), []time.Duration{0, pace}; !slices.Equal(got, want) {
					w.Errorf("polls at %v, want %v", got, want)
				}
			})
		})
		t.Run("during a poll, "+who, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{after: 5 * time.Second}, {after: pollTime}}
				a := w.agreed()
				time.Sleep(time.Second)
				start := time.Now()
				w.bank.Close()
				if took := time.Since(start); took != 0 {
					w.Errorf("Close took %v, want it to give up the poll", took)
				}
				come(w, w.process(), a)
				time.Sleep(time.Minute)
				synctest.Wait()
				w.want(a, Approved)
				// For all that the next process can know, the poll is still under way.
				if got, want := w.provider.pollTimes(), []time.Duration{0, 15 * time.Second}; !slices.Equal(got, want) {
					w.Errorf("polls at %v, want %v", got, want)
				}
			})
		})
	}
}

// A process that was killed in mid-poll cannot say so. Two pollers at once may
// both redeem, and the provider then revokes the login: its turn is waited for.
func TestKilledInAPoll(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.takeover = true
		w.provider.polls = script{{after: time.Hour}, {after: pollTime}}
		a := w.agreed()
		synctest.Wait()
		page := w.watch(w.process(), a.ID)
		time.Sleep(15*time.Second - time.Nanosecond)
		w.provider.wantPolls(1)
		time.Sleep(time.Second)
		synctest.Wait()
		w.want(a, Approved)
		if got, want := w.provider.pollTimes(), []time.Duration{0, 15 * time.Second}; !slices.Equal(got, want) {
			w.Errorf("polls at %v, want %v", got, want)
		}
		seen, _, _ := page.saw()
		if last := seen[len(seen)-1]; last.State != Approved {
			w.Errorf("the laptop saw %v, want it to end with %s", seen, Approved)
		}
	})
}

// It was only slow: what it brings in another's turn counts for nothing.
func TestAnswerInAnothersTurn(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.takeover = true
		w.provider.polls = script{{after: 20 * time.Second}, {after: time.Minute, err: pending}}
		a := w.agreed()
		w.watch(w.process(), a.ID)
		time.Sleep(25 * time.Second)
		synctest.Wait()
		r := w.want(a, Yes)
		if r.Turn != 2 || r.Tokens.Access != "" {
			w.Errorf("turn %d, tokens of an earlier one stored: %v; want turn 2 and no tokens", r.Turn, r.Tokens.Access != "")
		}
		w.provider.wantRevoked(1)
	})
}

// A refusal that comes in another's turn is the answer to a question that
// nobody asks any more.
func TestRefusalInAnothersTurn(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.takeover = true
		w.provider.polls = script{{after: 15500 * time.Millisecond, err: slowdown}, {after: 2 * time.Second}}
		a := w.agreed()
		w.watch(w.process(), a.ID)
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if r := w.want(a, Yes); r.Device.Interval != interval || r.Lease.IsZero() {
			w.Errorf("interval %v and lease until %v, want the second turn left alone", r.Device.Interval, r.Lease)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		w.want(a, Approved)
	})
}

// Redeeming cannot be repeated, so the tokens are stored before they are
// verified; verifying can.
func TestKilledWhileVerifying(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{after: time.Hour, person: richard}, {after: verifyTime, person: richard}}
		a := w.agreed()
		time.Sleep(time.Second)
		w.bank.Close()
		w.want(a, Yes)
		w.watch(w.process(), a.ID)
		time.Sleep(time.Minute)
		synctest.Wait()
		r := w.want(a, Approved)
		if r.Tokens.Access != w.provider.given[0].Access {
			w.Error("approved without the tokens that were redeemed first")
		}
		w.provider.wantPolls(1)
		if n := len(w.provider.revoked); n != 0 {
			w.Errorf("%d sets of tokens revoked, want 0", n)
		}
	})
}

// Many pages and processes watch; one asks.
func TestManyWatchersOnePoller(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{after: time.Second, err: pending}, {after: time.Second, err: pending}, {after: time.Second}}
		a := w.open(w.start())
		for range 5 {
			m := w.process()
			for range 3 {
				w.watch(m, a.ID)
			}
		}
		w.noError(w.yes(a))
		for range 60 {
			w.noError(w.bank.Get(w.Context(), a.ID))
			time.Sleep(time.Second / 2)
		}
		w.want(a, Approved)
		if got, want := w.provider.pollTimes(), []time.Duration{0, pace, 2 * pace}; !slices.Equal(got, want) {
			w.Errorf("polls at %v, want %v", got, want)
		}
	})
}

// After Close nothing goes on behind its back.
func TestCloseEndsPolling(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}}
		a := w.agreed()
		time.Sleep(time.Minute)
		w.bank.Close()
		polls := len(w.provider.pollTimes())
		w.noError(w.bank.Get(w.Context(), a.ID))
		w.noError(w.yes(a))
		time.Sleep(5 * time.Minute)
		w.provider.wantPolls(polls)
	})
}

// The laptop's request ends when its page has been sent; the polling it set
// off does not.
func TestPollingOutlivesTheRequest(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}, {after: pollTime}}
		a := w.open(w.start())
		ctx, cancel := context.WithCancel(w.Context())
		w.noError(w.bank.Yes(ctx, a.UserCode, a.Ref, phone, richard, phoneToken))
		cancel()
		time.Sleep(time.Minute)
		synctest.Wait()
		w.want(a, Approved)
	})
}
