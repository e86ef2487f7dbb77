package devicegrant

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func (w *world) cancel(a Attempt) {
	w.Helper()
	if err := w.m.Cancel(w.Context(), a.ID); err != nil {
		w.Errorf("Cancel: %v", err)
	}
}

// The laptop left, or logged in another way, while the provider was being
// asked. The tokens that come log nobody in, and are revoked.
func TestCancelDuringAPoll(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{after: 3 * time.Second}}
		a := w.answered()
		page := w.watch(w.m, a.ID)
		time.Sleep(time.Second)
		w.cancel(a)
		w.wantSeen(page, true, sight{Yes, false, 0}, sight{Cancelled, false, time.Second})
		time.Sleep(time.Minute)
		w.wantEnd(a, Cancelled, "")
		w.provider.wantRevoked(1)
		w.provider.wantPolls(1)
		w.provider.wantVerdicts(0) // nobody needs them
	})
}

func TestCancelWhileVerifying(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{after: 3 * time.Second, person: richard}}
		a := w.answered()
		time.Sleep(time.Second)
		w.cancel(a)
		time.Sleep(time.Minute)
		w.wantEnd(a, Cancelled, "")
		w.provider.wantRevoked(1)
	})
}

// The session is being made when the attempt is cancelled: it does not stay.
func TestCancelWhileTheSessionIsMade(t *testing.T) {
	for _, moment := range []string{"create", "created"} {
		t.Run(moment, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.open(w.start())
				w.sessions.hook = func(call string) {
					if call == moment {
						w.cancel(a)
					}
				}
				w.noError(w.yes(a))
				w.settle()
				w.wantEnd(a, Cancelled, "")
				w.provider.wantRevoked(1)
			})
		})
	}
}

// The tokens are here, and only the keys to verify them are missing.
func TestCancelWhileTheKeysAreAway(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{err: errKeysAway}}
		a := w.answered()
		time.Sleep(15 * time.Second)
		w.cancel(a)
		synctest.Wait()
		w.wantEnd(a, Cancelled, "")
		w.provider.wantRevoked(1)
		w.provider.wantVerdicts(2)
		time.Sleep(time.Hour / 2)
		w.provider.wantVerdicts(2)
	})
}

// A cancel that could not be written does not count: the laptop may still claim.
func TestCancelThatIsNotWritten(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		w.backend.noWrites.Store(true)
		if err := w.m.Cancel(w.Context(), a.ID); !errors.Is(err, errAway) {
			w.Errorf("Cancel: %v, want %v", err, errAway)
		}
		w.backend.noWrites.Store(false)
		synctest.Wait()
		w.wantClaim(w.m, a)
	})
}

func TestCancelAfterApproval(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		w.cancel(a)
		synctest.Wait()
		w.wantEnd(a, Cancelled, "")
		w.provider.wantRevoked(1)
	})
}

// A late cancel must not take a claimed session's tokens.
func TestCancelAfterClaim(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		id := w.wantClaim(w.m, a)
		w.cancel(a)
		synctest.Wait()
		w.wantEnd(a, Claimed, "")
		w.provider.wantKept()
		if w.sessions.get(id).ended {
			w.Error("the claimed session was ended")
		}
	})
}

// A request that ends halfway ends the session all the same.
func TestCancelWhoseRequestEnds(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		ctx, end := context.WithCancel(w.Context())
		w.sessions.set(func(s *sessions) {
			s.hook = func(call string) {
				if call == "discard" {
					end()
				}
			}
		})
		if err := w.m.Cancel(ctx, a.ID); err != nil {
			w.Errorf("Cancel: %v", err)
		}
		w.sessions.wantNone(w.record(a).Session)
		w.provider.wantRevoked(1)
	})
}

func TestCancelWithoutAttempt(t *testing.T) {
	inBubble(t, func(w *world) {
		for _, id := range []string{"", "unknown"} {
			w.cancel(Attempt{ID: id})
		}
	})
}

// Whenever the cancel comes, no login comes after it and no tokens are left.
func TestYesAndCancel(t *testing.T) {
	for after := time.Duration(0); after <= approveTime+pollTime+verifyTime+50*time.Millisecond; after += 50 * time.Millisecond {
		t.Run(fmt.Sprintf("after %v", after), func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.open(w.start())
				var wg sync.WaitGroup
				wg.Go(func() { _, _ = w.yes(a) })
				wg.Go(func() {
					time.Sleep(after)
					w.cancel(a)
				})
				wg.Wait()
				time.Sleep(time.Minute)
				synctest.Wait()
				w.wantEnd(a, Cancelled, "")
				w.provider.wantRevoked(w.provider.count().given)
				if n := len(w.provider.pollTimes()); n > 1 {
					w.Errorf("%d polls, want one at most", n)
				}
				if n := len(w.provider.pollTimes()); n > 0 && after < approveTime {
					w.Errorf("%d polls although it was cancelled before the provider had approved", n)
				}
			})
		})
	}
}

// A session that cannot be ended stays pending until it expires,
// and no claim makes it live.
func TestDiscardFails(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		w.sessions.set(func(s *sessions) { s.discardErr = errSessionsAway })
		w.cancel(a)
		if id, err := w.claim(a); !errors.Is(err, ErrNotApproved) || id != "" {
			w.Errorf("Claim: %q, %v, want %v", id, err, ErrNotApproved)
		}
		if s := w.sessions.get(w.record(a).Session); s.live {
			w.Error("the session of a cancelled attempt went live")
		}
		w.want(a, Cancelled)
	})
}
