package devicegrant

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// A code that lies about is a code that somebody else may find: our own clock
// ends it, whatever the provider says.
func TestHowLongACodeLives(t *testing.T) {
	tests := []struct {
		name      string
		expiresIn time.Duration // of the provider
		opened    bool
		want      time.Duration
	}{
		{"waiting", expiresIn, false, codeLifetime},
		{"waiting, with a hasty provider", 2 * time.Minute, false, 2 * time.Minute},
		// Who is reading the question is not hurried.
		{"opened", expiresIn, true, expiresIn},
		{"opened, with a hasty provider", 2 * time.Minute, true, 2 * time.Minute},
	}
	for _, tt := range tests {
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
				page := w.watch(w.bank, a.ID)
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
				got, err := w.bank.Open(w.Context(), a.UserCode, phone, richard)
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

// Everybody hears of the end, also those whom no timer told.
func TestExpiryIsNoticedByWhoComes(t *testing.T) {
	over := func(w *world, a Attempt, how string, got Attempt, err error) {
		w.Helper()
		if err != nil || got.State != Expired {
			w.Errorf("%s: %s, %v, want %s", how, got.State, err, Expired)
		}
		w.wantEnd(a, Expired, "")
	}
	for how, ask := range map[string]func(w *world, a Attempt) (Attempt, error){
		"Get": func(w *world, a Attempt) (Attempt, error) { return w.bank.Get(w.Context(), a.ID) },
		"Yes": func(w *world, a Attempt) (Attempt, error) { return w.yes(a) },
		"Open": func(w *world, a Attempt) (Attempt, error) {
			return w.bank.Open(w.Context(), a.UserCode, phone, richard)
		},
		"No": func(w *world, a Attempt) (Attempt, error) {
			return w.bank.No(w.Context(), a.UserCode, a.Shown(), phone, richard)
		},
		"Cancel": func(w *world, a Attempt) (Attempt, error) {
			err := w.bank.Cancel(w.Context(), a.ID)
			return w.record(a).Attempt, err
		},
	} {
		t.Run(how, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.open(w.start())
				time.Sleep(time.Until(a.Expires))
				got, err := ask(w, a)
				over(w, a, how, got, err)
			})
		})
	}
}

// While a provider is pending for ever, we are not.
func TestExpiryWhilePolling(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}}
		a := w.open(w.start())
		page := w.watch(w.bank, a.ID)
		w.noError(w.yes(a))
		time.Sleep(time.Until(a.Expires))
		seen, over, _ := page.saw()
		if want := []sight{{Opened, false, 0}, {Yes, false, 0}, {Expired, false, expiresIn}}; !slices.Equal(seen, want) || !over {
			w.Errorf("the laptop saw %v (over: %v), want %v", seen, over, want)
		}
		polls := len(w.provider.pollTimes())
		time.Sleep(time.Hour)
		w.provider.wantPolls(polls)
	})
}

// The laptop is closed and nobody comes: the poller ends itself.
func TestExpiryWithNobodyWatching(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}}
		a := w.agreed()
		time.Sleep(time.Until(a.Expires))
		synctest.Wait()
		polls := len(w.provider.pollTimes())
		time.Sleep(time.Hour)
		w.provider.wantPolls(polls)
	})
}

// A late success is thrown away, and not left lying around.
func TestYesAndExpiry(t *testing.T) {
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
				w.noError(w.bank.Get(w.Context(), a.ID))
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
				case before <= approveTime+pollTime:
					w.wantEnd(a, Expired, ReasonUnfinished)
					w.provider.wantRevoked(1)
				case before <= approveTime+pollTime+verifyTime:
					// Stored and not verified yet: they are nobody's.
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

// A laptop that has gone to sleep is not logged in when somebody else opens it.
func TestClaimWindow(t *testing.T) {
	for _, late := range []bool{false, true} {
		t.Run(fmt.Sprintf("late: %v", late), func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.approved()
				wait := 2 * time.Minute
				if !late {
					wait -= time.Nanosecond
				}
				time.Sleep(wait)
				give := giveSession("s")
				if late {
					give = w.neverGive
				}
				session, claimed, err := w.bank.Claim(w.Context(), a.ID, give)
				if late && (!errors.Is(err, ErrNotApproved) || session != "" || claimed) {
					w.Errorf("Claim: %q, %v, %v, want %v", session, claimed, err, ErrNotApproved)
				}
				if !late && (err != nil || session != "s" || !claimed) {
					w.Errorf("Claim: %q, %v, %v, want it", session, claimed, err)
				}
				synctest.Wait()
				if late {
					w.wantEnd(a, Expired, ReasonUnfinished)
					w.provider.wantRevoked(1)
				} else {
					w.wantEnd(a, Claimed, "")
					time.Sleep(time.Hour / 2)
					synctest.Wait()
					w.provider.wantKept()
				}
			})
		})
	}
}

func TestClaimWindowEndsDuringTheClaim(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		time.Sleep(2*time.Minute - time.Second)
		session, claimed, err := w.bank.Claim(w.Context(), a.ID, func(idp.Person, idp.Tokens) (string, error) {
			time.Sleep(time.Second)
			return "s", nil
		})
		if !errors.Is(err, ErrNotApproved) || session != "" || claimed {
			w.Errorf("Claim: %q, %v, %v, want %v", session, claimed, err, ErrNotApproved)
		}
		synctest.Wait()
		w.wantEnd(a, Expired, ReasonUnfinished)
		w.provider.wantRevoked(1)
	})
}

// The laptop never comes for what it was given: nobody else may have it, and
// it must not lie around at the provider either.
func TestApprovedAndNeverClaimed(t *testing.T) {
	for name, come := range map[string]func(w *world, a Attempt){
		"nobody watches": func(*world, Attempt) {},
		"a page watches": func(w *world, a Attempt) { w.watch(w.bank, a.ID) },
		"many watch": func(w *world, a Attempt) {
			for range 5 {
				w.watch(w.bank, a.ID)
				w.watch(w.process(), a.ID)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.approved()
				come(w, a)
				time.Sleep(2*time.Minute - time.Nanosecond)
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
	// Nobody is there when the time is over: who comes next sees to it.
	t.Run("after a restart", func(t *testing.T) {
		inBubble(t, func(w *world) {
			a := w.approved()
			w.wantCloseTakes(0)
			time.Sleep(10 * time.Minute)
			got, err := w.process().Get(w.Context(), a.ID)
			if err != nil || got.State != Expired {
				w.Errorf("Get: %s, %v, want %s", got.State, err, Expired)
			}
			synctest.Wait()
			w.wantEnd(a, Expired, ReasonUnfinished)
			w.provider.wantRevoked(1)
		})
	})
	t.Run("the store is away", func(t *testing.T) {
		inBubble(t, func(w *world) {
			a := w.approved()
			time.Sleep(2*time.Minute - time.Second)
			w.backend.noWrites.Store(true)
			time.Sleep(10 * time.Second)
			synctest.Wait()
			w.provider.wantKept() // nobody may be told what is not written
			w.backend.noWrites.Store(false)
			time.Sleep(5 * time.Second)
			synctest.Wait()
			w.wantEnd(a, Expired, ReasonUnfinished)
			w.provider.wantRevoked(1)
		})
	})
}
