package devicegrant

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// A code that was left on a screen may be found by someone else. Our own clock
// ends it, even if the provider does not.
func TestCodeLifetime(t *testing.T) {
	for _, tt := range []struct {
		name      string
		expiresIn time.Duration // at the provider
		opened    bool
		want      time.Duration
	}{
		{"waiting", expiresIn, false, codeLifetime},
		{"waiting, with a hasty provider", 2 * time.Minute, false, 2 * time.Minute},
		// A code that was opened in time does not expire while its question is read.
		{"opened", expiresIn, true, expiresIn},
		{"opened, with a hasty provider", 2 * time.Minute, true, 2 * time.Minute},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.change = func(c *idp.DeviceCode) { c.Expires = time.Now().Add(tt.expiresIn) }
				start := time.Now()
				a := w.start()
				if tt.opened {
					time.Sleep(time.Minute)
					a = w.open(a)
				}
				if got := a.Expires.Sub(start); got != tt.want {
					w.Errorf("the page says %v, want %v", got, tt.want)
				}
				page := w.watch(w.m, a.ID)
				time.Sleep(time.Until(start.Add(tt.want)) - time.Nanosecond)
				if seen, over, _ := page.saw(); over {
					w.Errorf("the laptop saw %v, want no end before the time is over", seen)
				}
				time.Sleep(time.Nanosecond)
				seen, over, err := page.saw()
				if last := seen[len(seen)-1]; last.State != Expired || !over || err != nil {
					w.Errorf("the laptop saw %v (over: %v, %v), want %s at once", seen, over, err, Expired)
				}
				w.wantEnd(a, Expired, "")
				got, err := w.m.Open(w.Context(), visit(a.UserCode, phone, richard))
				if err != nil || got.State != Expired {
					w.Errorf("Open: %s, %v, want %s", got.State, err, Expired)
				}
				w.noError(w.yes(a))
				time.Sleep(time.Minute)
				w.want(a, Expired)
				w.provider.wantApprovals(0)
			})
		})
	}
}

// An expiry that no timer noticed is noticed by the next caller.
func TestExpiryIsNoticed(t *testing.T) {
	for call, ask := range map[string]func(w *world, a Attempt) (Attempt, error){
		"Refresh":     func(w *world, a Attempt) (Attempt, error) { return w.m.Refresh(w.Context(), a.ID) },
		"CheckLaptop": func(w *world, a Attempt) (Attempt, error) { return w.m.CheckLaptop(w.Context(), a.ID, elsewhere) },
		"Yes":         func(w *world, a Attempt) (Attempt, error) { return w.yes(a) },
		"Open": func(w *world, a Attempt) (Attempt, error) {
			return w.m.Open(w.Context(), visit(a.UserCode, phone, richard))
		},
		"No":      func(w *world, a Attempt) (Attempt, error) { return w.no(a) },
		"Confirm": func(w *world, a Attempt) (Attempt, error) { return w.m.Confirm(w.Context(), a.ID, "1234") },
		"Cancel": func(w *world, a Attempt) (Attempt, error) {
			err := w.m.Cancel(w.Context(), a.ID)
			return w.record(a).Attempt, err
		},
	} {
		t.Run(call, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.open(w.start())
				time.Sleep(time.Until(a.Expires))
				got, err := ask(w, a)
				if err != nil || got.State != Expired {
					w.Errorf("%s: %s, %v, want %s", call, got.State, err, Expired)
				}
				w.wantEnd(a, Expired, "")
			})
		})
	}
}

// A provider may answer authorization_pending forever. The attempt expires.
func TestExpiryWhilePolling(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}}
		a := w.open(w.start())
		page := w.watch(w.m, a.ID)
		w.noError(w.yes(a))
		time.Sleep(time.Until(a.Expires))
		w.wantSeen(page, true, sight{Opened, false, 0}, sight{Yes, false, 0}, sight{Expired, false, expiresIn})
		polls := len(w.provider.pollTimes())
		time.Sleep(time.Hour)
		w.provider.wantPolls(polls)
	})
}

// The laptop is closed and nobody looks: the poller ends the attempt.
func TestExpiryWithNobodyWatching(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}}
		a := w.answered()
		time.Sleep(time.Until(a.Expires))
		synctest.Wait()
		w.wantEnd(a, Expired, ReasonUnfinished)
		polls := len(w.provider.pollTimes())
		time.Sleep(time.Hour / 2)
		w.provider.wantPolls(polls)
	})
}

// Tokens that come too late are revoked.
func TestApprovalJustBeforeExpiry(t *testing.T) {
	for before := time.Duration(0); before <= time.Second; before += 50 * time.Millisecond {
		t.Run(fmt.Sprintf("%v before", before), func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.open(w.start())
				time.Sleep(time.Until(a.Expires) - before)
				got, err := w.yes(a)
				if err != nil {
					w.Errorf("Yes: %v", err)
				}
				time.Sleep(before + time.Second)
				synctest.Wait()
				w.noError(w.m.Refresh(w.Context(), a.ID))
				switch {
				case before == 0:
					if got.State != Expired {
						w.Errorf("Yes: %s, want %s", got.State, Expired)
					}
					w.wantEnd(a, Expired, "")
					w.provider.wantApprovals(0)
				case before <= approveTime:
					w.wantEnd(a, Expired, ReasonUnfinished)
					w.provider.wantPolls(0)
				case before <= approveTime+pollTime+verifyTime: // polled, and perhaps stored, but not verified
					w.wantEnd(a, Expired, ReasonUnfinished)
					w.provider.wantRevoked(1)
				default:
					w.want(a, Approved)
					w.provider.wantKept()
				}
			})
		})
	}
}

// setClockBack changes the times in an attempt as if the clock had been set back.
func (w *world) setClockBack(a Attempt, by time.Duration) {
	w.Helper()
	code, _ := keyOf(a.ID)
	_, err := w.records.Update(w.Context(), code, func(r *record) error {
		for _, t := range []*time.Time{&r.Started, &r.Expires, &r.Device.Expires, &r.Due, &r.Lease.Until} {
			if !t.IsZero() {
				*t = t.Add(by)
			}
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
}

// After the clock is set back by an hour, an attempt from before must not show its
// code, or wait for its next poll, for an hour. It expires, its session and tokens
// are discarded, and the laptop can get a new code. A small step back changes
// nothing.
func TestClockSetBack(t *testing.T) {
	for name, attempt := range map[string]func(w *world) Attempt{
		"waiting": (*world).start,
		"opened":  func(w *world) Attempt { return w.open(w.start()) },
		"polling": func(w *world) Attempt {
			w.provider.polls = script{{err: pending}}
			a := w.answered()
			w.settle()
			return a
		},
		"approved": (*world).approved,
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := attempt(w)
				before := w.record(a)
				w.setClockBack(a, maxAhead/2)
				w.noError(w.m.Refresh(w.Context(), a.ID))
				w.want(a, before.State)
				w.setClockBack(a, time.Hour)
				got, err := w.m.Refresh(w.Context(), a.ID)
				if err != nil || got.State != Expired {
					w.Errorf("Refresh: %s, %v, want %s", got.State, err, Expired)
				}
				w.wantEnd(a, Expired, w.record(a).Reason)
				w.start()
			})
		})
	}
}
