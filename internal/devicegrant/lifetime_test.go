package devicegrant

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// wantTooLate checks that a person can neither open nor answer the attempt any
// longer, and leaves no trace in it.
func (w *world) wantTooLate(a Attempt, answer Answer) {
	w.Helper()
	before := w.record(a)
	for name, call := range map[string]func() (Attempt, error){
		"Open": func() (Attempt, error) { return w.m.Open(w.Context(), visit(a.UserCode, answer.Phone, answer.Person)) },
		"Yes":  func() (Attempt, error) { return w.m.Yes(w.Context(), answer) },
		"No":   func() (Attempt, error) { return w.m.No(w.Context(), answer) },
	} {
		if got, err := call(); !errors.Is(err, ErrTooLate) || got != (Attempt{}) {
			w.Errorf("%s: %+v, %v, want nothing and %v", name, got, err, ErrTooLate)
		}
	}
	w.wantUnchanged(a, before)
}

// The person who opened a code in time may answer until it expires at the
// provider. For everyone else it ends at CodeLifetime, or a phisher would open
// a code himself to keep it alive for his victim.
func TestCodeLifetimeBindsOthers(t *testing.T) {
	for _, confirm := range []string{NumberAuto, NumberAlways} {
		t.Run(confirm, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.reconfigure(func(w *world) { w.confirm = confirm })
				a := w.start()
				time.Sleep(codeLifetime - time.Nanosecond)
				a = w.open(a)
				if second, err := w.m.Open(w.Context(), visit(a.UserCode, tablet, mallory)); err != nil || !second.OpenedByOthers {
					w.Errorf("Open in time by a second person: %+v, %v", second, err)
				}
				time.Sleep(time.Nanosecond)
				w.wantTooLate(a, answerOf(a, mallory, tablet))
				time.Sleep(time.Until(a.Started.Add(expiresIn)) - time.Second)
				w.wantTooLate(a, answerOf(a, mallory, tablet))
				if got, err := w.yes(w.open(a)); err != nil || got.State != Number {
					w.Errorf("Yes by the first person: %s, %v, want %s", got.State, err, Number)
				}
				w.provider.wantApprovals(1)
			})
		})
	}
}

// Without a number, others have no part in it anyway, in time or not.
func TestCodeLifetimeWithoutNumber(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.open(w.start())
		time.Sleep(codeLifetime)
		if _, err := w.m.Yes(w.Context(), answerOf(a, mallory, tablet)); !errors.Is(err, ErrOtherPerson) {
			w.Errorf("Yes by a second person: %v, want %v", err, ErrOtherPerson)
		}
		if got, err := w.yes(a); err != nil || got.State != Yes {
			w.Errorf("Yes by the first person: %s, %v, want %s", got.State, err, Yes)
		}
	})
}

// A sleeping laptop is not logged in when someone else opens it later.
func TestClaimWindow(t *testing.T) {
	t.Run("in time", func(t *testing.T) {
		inBubble(t, func(w *world) {
			a := w.approved()
			time.Sleep(claimWindow - time.Nanosecond)
			w.wantClaim(w.m, a)
			w.wantEnd(a, Claimed, "")
			time.Sleep(time.Hour / 2)
			synctest.Wait()
			w.provider.wantKept()
		})
	})
	t.Run("late", func(t *testing.T) {
		inBubble(t, func(w *world) {
			a := w.approved()
			time.Sleep(claimWindow)
			if id, err := w.claim(a); !errors.Is(err, ErrNotApproved) || id != "" {
				w.Errorf("Claim: %q, %v, want %v", id, err, ErrNotApproved)
			}
			w.wantEnd(a, Expired, ReasonUnfinished)
			w.provider.wantRevoked(1)
		})
	})
	t.Run("late, while nobody runs", func(t *testing.T) {
		inBubble(t, func(w *world) {
			a := w.approved()
			w.wantCloseTakes(0)
			time.Sleep(claimWindow)
			w.m = w.newManager()
			if id, err := w.claim(a); !errors.Is(err, ErrNotApproved) || id != "" {
				w.Errorf("Claim: %q, %v, want %v", id, err, ErrNotApproved)
			}
			w.wantEnd(a, Expired, ReasonUnfinished)
			w.provider.wantRevoked(1)
		})
	})
}

// A session that the laptop never claims is discarded in time.
func TestApprovedAndNeverClaimed(t *testing.T) {
	for name, come := range map[string]func(w *world, a Attempt){
		"nobody watches": func(*world, Attempt) {},
		"a page watches": func(w *world, a Attempt) { w.watch(w.m, a.ID) },
		"many watch": func(w *world, a Attempt) {
			for range 5 {
				w.watch(w.m, a.ID)
				w.watch(w.newManager(), a.ID)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.approved()
				come(w, a)
				time.Sleep(claimWindow - time.Nanosecond)
				synctest.Wait()
				w.want(a, Approved)
				w.provider.wantKept()
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				w.wantEnd(a, Expired, ReasonUnfinished)
				w.provider.wantRevoked(1)
			})
		})
	}
}

// No process runs when the time is over. The next caller ends the attempt.
func TestNeverClaimedWhileStopped(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		w.wantCloseTakes(0)
		time.Sleep(10 * time.Minute)
		got, err := w.newManager().Refresh(w.Context(), a.ID)
		if err != nil || got.State != Expired {
			w.Errorf("Refresh: %s, %v, want %s", got.State, err, Expired)
		}
		synctest.Wait()
		w.wantEnd(a, Expired, ReasonUnfinished)
		w.provider.wantRevoked(1)
	})
}

// A page looks once after a restart, and is closed.
func TestNeverClaimedAfterARestart(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		w.wantCloseTakes(0)
		w.m = w.newManager()
		time.Sleep(time.Minute)
		if got, err := w.m.Refresh(w.Context(), a.ID); err != nil || got.State != Approved {
			w.Errorf("Refresh: %s, %v, want %s", got.State, err, Approved)
		}
		time.Sleep(claimWindow - time.Minute - time.Nanosecond)
		synctest.Wait()
		w.want(a, Approved)
		w.provider.wantKept()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		w.wantEnd(a, Expired, ReasonUnfinished)
		w.provider.wantRevoked(1)
	})
}

// An end that could not be written does not count.
func TestNeverClaimedWhileTheStoreIsAway(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		time.Sleep(claimWindow - time.Second)
		w.backend.noWrites.Store(true)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		w.provider.wantKept() // what is not written has not happened
		w.backend.noWrites.Store(false)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		w.wantEnd(a, Expired, ReasonUnfinished)
		w.provider.wantRevoked(1)
	})
}
