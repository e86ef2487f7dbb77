package devicegrant

import (
	"errors"
	"testing"
	"time"
)

// Each change shows when it comes, once, whichever process makes it.
func TestWatch(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}, {after: pollTime}} // a record that changes more often than its state
		a := w.start()
		pages := []*watcher{w.watch(w.m, a.ID), w.watch(w.m, a.ID), w.watch(w.newManager(), a.ID)}
		time.Sleep(10 * time.Second)
		w.open(a)
		time.Sleep(5 * time.Second)
		w.open(a) // a reload
		time.Sleep(5 * time.Second)
		w.noError(w.yes(a))
		time.Sleep(10 * time.Second)
		w.wantClaim(w.m, a)
		for _, page := range pages {
			w.wantSeen(page, true,
				sight{Waiting, false, 0},
				sight{Opened, false, 10 * time.Second},
				sight{Yes, false, 20 * time.Second},
				sight{Approved, false, 20*time.Second + approveTime + pace + pollTime + verifyTime},
				sight{Claimed, false, 30*time.Second + approveTime})
		}
	})
}

// A page that comes late begins with the present.
func TestWatchBeginsWithThePresent(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.open(w.start())
		w.wantSeen(w.watch(w.m, a.ID), false, sight{Opened, false, 0})
		if err := w.m.Cancel(w.Context(), a.ID); err != nil {
			w.Errorf("Cancel: %v", err)
		}
		w.wantSeen(w.watch(w.m, a.ID), true, sight{Cancelled, false, 0})
	})
}

func TestWatchWithoutAttempt(t *testing.T) {
	inBubble(t, func(w *world) {
		if seen, over, err := w.watch(w.m, "unknown").saw(); len(seen) > 0 || !over || !errors.Is(err, ErrNone) {
			w.Errorf("saw %v (over: %v, %v), want nothing and %v", seen, over, err, ErrNone)
		}
	})
}

// A page that is closed leaves nothing behind.
func TestWatchEndsWithItsContext(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		page := w.watch(w.m, a.ID)
		page.saw()
		page.cancel()
		w.wantSeen(page, true, sight{Waiting, false, 0})
	})
}

func TestRefreshWithoutAttempt(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		for _, id := range []string{"", "unknown", a.Ref, a.UserCode} {
			if got, err := w.m.Refresh(w.Context(), id); !errors.Is(err, ErrNone) || got != (Attempt{}) {
				w.Errorf("Refresh(%q): %+v, %v, want %v", id, got, err, ErrNone)
			}
		}
	})
}
