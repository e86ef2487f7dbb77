package devicegrant

import (
	"errors"
	"slices"
	"testing"
	"time"
)

// Each change is told when it comes, once, and by whatever process it is made.
func TestWatch(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}, {after: pollTime}} // a record that changes more often than its state
		a := w.start()
		pages := []*watcher{w.watch(w.bank, a.ID), w.watch(w.bank, a.ID), w.watch(w.process(), a.ID)}
		time.Sleep(10 * time.Second)
		w.open(a)
		time.Sleep(5 * time.Second)
		w.open(a) // a reload
		time.Sleep(5 * time.Second)
		w.noError(w.yes(a))
		time.Sleep(10 * time.Second)
		if _, _, err := w.bank.Claim(w.Context(), a.ID, giveSession("s")); err != nil {
			w.Errorf("Claim: %v", err)
		}
		want := []sight{
			{Waiting, false, 0},
			{Opened, false, 10 * time.Second},
			{Yes, false, 20 * time.Second},
			{Approved, false, 20*time.Second + approveTime + pace + pollTime + verifyTime},
			{Claimed, false, 30*time.Second + approveTime},
		}
		for i, page := range pages {
			seen, over, err := page.saw()
			if !slices.Equal(seen, want) || !over || err != nil {
				w.Errorf("page %d saw\n%v (over: %v, %v), want\n%v", i, seen, over, err, want)
			}
		}
	})
}

// A page that comes late begins with how things are.
func TestWatchBeginsWithThePresent(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.open(w.start())
		if seen, over, _ := w.watch(w.bank, a.ID).saw(); !slices.Equal(seen, []sight{{Opened, false, 0}}) || over {
			w.Errorf("a late page saw %v (over: %v), want %s", seen, over, Opened)
		}
		if err := w.bank.Cancel(w.Context(), a.ID); err != nil {
			w.Errorf("Cancel: %v", err)
		}
		if seen, over, err := w.watch(w.bank, a.ID).saw(); !slices.Equal(seen, []sight{{Cancelled, false, 0}}) || !over || err != nil {
			w.Errorf("a page after the end saw %v (over: %v, %v), want %s and no more", seen, over, err, Cancelled)
		}
	})
}

func TestWatchWithoutAttempt(t *testing.T) {
	inBubble(t, func(w *world) {
		if seen, over, err := w.watch(w.bank, "unknown").saw(); len(seen) > 0 || !over || !errors.Is(err, ErrNone) {
			w.Errorf("saw %v (over: %v, %v), want nothing and %v", seen, over, err, ErrNone)
		}
	})
}

// A page that is closed leaves nothing behind.
func TestWatchEndsWithItsContext(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		page := w.watch(w.bank, a.ID)
		page.saw()
		page.cancel()
		seen, over, err := page.saw()
		if !slices.Equal(seen, []sight{{Waiting, false, 0}}) || !over || err != nil {
			w.Errorf("saw %v (over: %v, %v), want %s and an end without an error", seen, over, err, Waiting)
		}
	})
}

func TestWatchEndsWithItsReader(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		for got, err := range w.bank.Watch(w.Context(), a.ID) {
			if err != nil || got.State != Waiting {
				w.Errorf("saw %s, %v, want %s", got.State, err, Waiting)
			}
			break
		}
	})
}

func TestGetWithoutAttempt(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		for _, id := range []string{"", "unknown", a.Ref, a.UserCode} {
			if got, err := w.bank.Get(w.Context(), id); !errors.Is(err, ErrNone) || got != (Attempt{}) {
				w.Errorf("Get(%q): %+v, %v, want %v", id, got, err, ErrNone)
			}
		}
	})
}
