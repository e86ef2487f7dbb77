package devicegrant

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// wantCloseTakes closes the Manager, and checks that it waits for requests in
// flight and for nothing else.
func (w *world) wantCloseTakes(want time.Duration) {
	w.Helper()
	start := time.Now()
	w.m.Close()
	if took := time.Since(start); took != want {
		w.Errorf("Close took %v, want %v", took, want)
	}
}

// comesBack are ways in which the laptop's page comes to the next process.
var comesBack = map[string]func(w *world, m *Manager, a Attempt){
	"an event stream": func(w *world, m *Manager, a Attempt) { w.watch(m, a.ID) },
	"a page":          func(w *world, m *Manager, a Attempt) { w.noError(m.Refresh(w.Context(), a.ID)) },
}

var rightPerson = reply{after: verifyTime, person: richard}

// restarts are processes that are told to stop a second after the provider
// confirmed the approval.
var restarts = []struct {
	name            string
	polls, verdicts script
	close           time.Duration   // how long Close takes
	state           State           // after Close
	times           []time.Duration // of the polls
	verified        int
}{
	{"between two polls", script{{err: pending}, {after: pollTime}}, script{rightPerson},
		0, Yes, []time.Duration{0, pace}, 1},
	// What a poll brings can be had only once.
	{"during a poll", script{{after: 5 * time.Second}}, script{rightPerson},
		4*time.Second + verifyTime, Approved, []time.Duration{0}, 1},
	{"during a poll, with the keys away", script{{after: 5 * time.Second}}, script{{after: verifyTime, err: errKeysAway}, rightPerson},
		4*time.Second + verifyTime, Yes, []time.Duration{0}, 2},
	{"while verifying", script{{after: pollTime}}, script{{after: 5 * time.Second, person: richard}},
		4*time.Second + pollTime, Approved, []time.Duration{0}, 1},
	{"during a poll that brings nothing", script{{after: 3 * time.Second, err: pending}, {after: pollTime}}, script{rightPerson},
		2 * time.Second, Yes, []time.Duration{0, pace}, 1},
}

// The next process finishes the login when the laptop's page comes to it.
func TestRestart(t *testing.T) {
	for _, tt := range restarts {
		for who, come := range comesBack {
			t.Run(tt.name+", "+who, func(t *testing.T) {
				inBubble(t, func(w *world) {
					w.provider.polls, w.provider.verdicts = tt.polls, tt.verdicts
					a := w.answered()
					time.Sleep(time.Second - pollQuickly) // a second after the poll began
					w.wantCloseTakes(tt.close)
					if r := w.want(a, tt.state); tt.state == Yes && len(tt.times) == 1 && r.Tokens.Access != w.provider.first().Access {
						w.Error("the tokens are not stored")
					}
					w.m = w.newManager()
					come(w, w.m, a)
					time.Sleep(time.Minute)
					w.wantPollTimes(tt.times...)
					w.provider.wantVerdicts(tt.verified)
					w.wantClaim(w.m, a)
				})
			})
		}
	}
}

func TestRestartBeforeTheFirstPoll(t *testing.T) {
	for who, come := range comesBack {
		t.Run(who, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.open(w.start())
				var wg sync.WaitGroup
				wg.Go(func() { _, _ = w.yes(a) })
				time.Sleep(approveTime / 2)
				w.m.Close()
				wg.Wait()
				time.Sleep(time.Minute)
				w.want(a, Yes)
				w.provider.wantPolls(0) // nobody looks, nobody polls

				w.m = w.newManager()
				come(w, w.m, a)
				w.settle()
				w.wantClaim(w.m, a)
				w.provider.wantPolls(1)
			})
		})
	}
}

// A process that is told to stop leaves the lease to the next one, which polls at
// once.
func TestStoppingTakesNoLease(t *testing.T) {
	for who, come := range comesBack {
		t.Run("during the approval, "+who, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.open(w.start())
				var wg sync.WaitGroup
				wg.Go(func() { w.noError(w.yes(a)) })
				time.Sleep(approveTime / 2)
				w.m.Close()
				wg.Wait()
				w.m = w.newManager()
				come(w, w.m, a)
				w.settle()
				w.wantClaim(w.m, a)
			})
		})
		t.Run("before the number, "+who, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a, number := w.asked()
				w.m.Close()
				w.noError(w.m.Confirm(w.Context(), a.ID, number))
				w.m = w.newManager()
				come(w, w.m, a)
				w.settle()
				w.wantClaim(w.m, a)
			})
		})
	}
}

// After Close nothing runs in the background.
func TestCloseEndsPolling(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}}
		a := w.answered()
		time.Sleep(time.Minute)
		w.m.Close()
		polls := len(w.provider.pollTimes())
		w.noError(w.m.Refresh(w.Context(), a.ID))
		w.noError(w.yes(a))
		time.Sleep(5 * time.Minute)
		w.provider.wantPolls(polls)
	})
}

// Many pages and processes watch, and one polls.
func TestManyWatchersOnePoller(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{after: time.Second, err: pending}, {after: time.Second, err: pending}, {after: time.Second}}
		a := w.open(w.start())
		for range 5 {
			m := w.newManager()
			for range 3 {
				w.watch(m, a.ID)
			}
		}
		w.noError(w.yes(a))
		for range 60 {
			w.noError(w.m.Refresh(w.Context(), a.ID))
			time.Sleep(time.Second / 2)
		}
		w.want(a, Approved)
		w.wantPollTimes(0, pace, 2*pace)
	})
}

// The phone's request ends when its page has been sent. The polling that it
// started does not.
func TestPollingOutlivesTheRequest(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}, {after: pollTime}}
		a := w.open(w.start())
		ctx, cancel := context.WithCancel(w.Context())
		w.noError(w.m.Yes(ctx, answerOf(a, richard, phone)))
		cancel()
		time.Sleep(time.Minute)
		synctest.Wait()
		w.want(a, Approved)
	})
}

// The number is typed while what followed the approval is not over yet: the
// polling begins all the same, with nobody watching.
func TestNumberTypedAtOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		var a Attempt
		var slowed atomic.Bool
		w.backend.read = func() {
			if a.ID != "" && w.record(a).Approval == ApprovalConfirmed && slowed.CompareAndSwap(false, true) {
				time.Sleep(time.Minute)
			}
		}
		w.reconfigure(func(w *world) { w.confirm = NumberAlways })
		a = w.open(w.start())
		w.noError(w.yes(a))
		synctest.Wait()
		w.noError(w.m.Confirm(w.Context(), a.ID, w.record(a).Number))
		time.Sleep(2 * time.Minute)
		w.want(a, Approved)
	})
}

// A pollable attempt that nobody here continues with is continued with at the
// next look, even if the number was typed at another process.
func TestNumberTypedAtAnotherProcess(t *testing.T) {
	inBubble(t, func(w *world) {
		a, number := w.asked()
		other := w.newManager()
		page := w.watch(other, a.ID)
		w.noError(w.m.Confirm(w.Context(), a.ID, number))
		w.m.Close()
		time.Sleep(time.Minute)
		w.wantLastSeen(page, Approved)
		w.provider.wantPolls(1)
		w.m = other
		w.wantClaim(other, a)
	})
}

// A session's tokens are those that were saved, even if the process that saved
// them is gone before it made the session.
func TestRestartBeforeTheSessionIsMade(t *testing.T) {
	inBubble(t, func(w *world) {
		w.sessions.createErr = errSessionsAway
		a := w.answered()
		w.settle()
		if r := w.want(a, Yes); r.Tokens == (idp.Tokens{}) || r.Session == "" {
			w.Error("the tokens and the session's ID are not stored")
		}
		w.m.Close()
		w.sessions.set(func(s *sessions) { s.createErr = nil })
		w.m = w.newManager()
		w.watch(w.m, a.ID)
		time.Sleep(time.Minute)
		w.wantClaim(w.m, a)
		w.provider.wantPolls(1)
	})
}
