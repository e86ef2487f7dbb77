package devicegrant

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/browser"
)

func TestClaim(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		id := w.wantClaim(w.m, a)
		w.wantEnd(a, Claimed, "")
		// The answer may have been lost. It can be repeated, at any process, and
		// makes no second session.
		for _, m := range []*Manager{w.m, w.newManager()} {
			if again, err := m.Claim(w.Context(), a.ID, laptop); err != nil || again != id {
				w.Errorf("Claim again: %q, %v, want the same session", again, err)
			}
		}
		time.Sleep(time.Minute)
		w.want(a, Claimed)
		w.provider.wantKept() // the session needs them
	})
}

// A session that has been used is not handed out again: the cookie of the
// attempt may have been stolen.
func TestClaimAfterUse(t *testing.T) {
	for name, use := range map[string]func(w *world, id string){
		"used":       func(w *world, id string) { w.sessions.use(id) },
		"too late":   func(*world, string) { time.Sleep(time.Minute) },
		"logged out": func(w *world, id string) { w.sessions.end(id) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.approved()
				id := w.wantClaim(w.m, a)
				use(w, id)
				before := w.sessions.get(id)
				if again, err := w.claim(a); !errors.Is(err, ErrClaimed) || again != "" {
					w.Errorf("Claim: %q, %v, want %v", again, err, ErrClaimed)
				}
				w.want(a, Claimed)
				if after := w.sessions.get(id); after != before {
					w.Errorf("the session was %+v, is %+v, want it left alone", before, after)
				}
			})
		})
	}
}

func TestNothingToClaim(t *testing.T) {
	inBubble(t, func(w *world) {
		for _, id := range []string{"", "unknown"} {
			if _, err := w.claim(Attempt{ID: id}); !errors.Is(err, ErrNone) {
				w.Errorf("Claim(%q): %v, want %v", id, err, ErrNone)
			}
		}
		w.provider.polls = script{{err: pending}}
		a := w.start()
		notApproved := func(state State) {
			w.Helper()
			w.want(a, state)
			if id, err := w.claim(a); !errors.Is(err, ErrNotApproved) || id != "" {
				w.Errorf("Claim of what is %s: %q, %v, want %v", state, id, err, ErrNotApproved)
			}
		}
		notApproved(Waiting)
		w.open(a)
		notApproved(Opened)
		w.noError(w.yes(a))
		notApproved(Yes)
		w.noError(w.no(a))
		notApproved(Denied)
		for _, id := range []string{a.Ref, a.UserCode, Fold(a.UserCode)} {
			if _, err := w.claim(Attempt{ID: id}); !errors.Is(err, ErrNone) {
				w.Errorf("Claim(%q): %v, want %v", id, err, ErrNone)
			}
		}
	})
}

// The person ended the pending session in the list of devices.
func TestPendingSessionIsEnded(t *testing.T) {
	for name, end := range map[string]func(w *world) Attempt{
		"approved": func(w *world) Attempt {
			a := w.approved()
			w.sessions.end(w.record(a).Session)
			return a
		},
		"not yet approved": func(w *world) Attempt {
			w.sessions.hook = func(call string) {
				if call == "created" {
					w.sessions.set(func(s *sessions) {
						for _, made := range s.made {
							made.ended = true
						}
					})
				}
			}
			return w.approved()
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := end(w)
				if id, err := w.claim(a); !errors.Is(err, ErrNotApproved) || id != "" {
					w.Errorf("Claim: %q, %v, want %v", id, err, ErrNotApproved)
				}
				w.wantEnd(a, Failed, ReasonSessionEnded)
			})
		})
	}
}

// A store or sessions that are away for a moment cost a retry and not the login.
func TestClaimCanBeRepeated(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		w.sessions.activateErr = errSessionsAway
		if id, err := w.claim(a); !errors.Is(err, errSessionsAway) || errors.Is(err, ErrNotApproved) || id != "" {
			w.Errorf("Claim: %q, %v, want only %v", id, err, errSessionsAway)
		}
		w.sessions.activateErr = nil
		w.backend.noReads.Store(true)
		if id, err := w.claim(a); !errors.Is(err, errAway) || id != "" {
			w.Errorf("Claim: %q, %v, want %v", id, err, errAway)
		}
		w.backend.noReads.Store(false)
		synctest.Wait()
		w.want(a, Approved)
		w.wantClaim(w.m, a)
	})
}

// cutShort is an attempt whose session has gone live in a claim that was not
// written, as after a crash.
func (w *world) cutShort() Attempt {
	w.Helper()
	a := w.approved()
	w.sessions.set(func(s *sessions) {
		s.hook = func(call string) {
			if call == "activated" {
				w.backend.noWrites.Store(true)
			}
		}
	})
	if id, err := w.claim(a); !errors.Is(err, errAway) || id != "" {
		w.Errorf("Claim: %q, %v, want %v", id, err, errAway)
	}
	w.sessions.set(func(s *sessions) { s.hook = nil })
	w.backend.noWrites.Store(false)
	w.want(a, Approved)
	return a
}

// The same browser claims again, and gets the session that is live already.
func TestClaimThatIsNotWritten(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.cutShort()
		w.m.Close()
		w.m = w.newManager()
		w.wantClaim(w.m, a)
	})
}

// Nobody else gets that session, and it does not stay.
func TestClaimThatIsNotWrittenEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end    func(w *world, a Attempt)
		state  State
		reason Reason
	}{
		"claimed too late":      {func(w *world, a Attempt) { time.Sleep(time.Minute); _, _ = w.claim(a) }, Failed, ReasonSessionEnded},
		"stolen":                {func(w *world, a Attempt) { _, _ = w.m.Claim(w.Context(), a.ID, elsewhere) }, Failed, ReasonMoved},
		"cancelled":             {func(w *world, a Attempt) { w.cancel(a) }, Cancelled, ""},
		"denied":                {func(w *world, a Attempt) { w.noError(w.no(a)) }, Denied, ""},
		"expired":               {func(_ *world, a Attempt) { time.Sleep(claimWindow); synctest.Wait() }, Expired, ReasonUnfinished},
		"phone is logged out":   {func(w *world, a Attempt) { w.sessions.logOut(richards); _, _ = w.claim(a) }, Failed, ReasonLoggedOut},
		"session is logged out": {func(w *world, a Attempt) { w.sessions.end(w.record(a).Session); _, _ = w.claim(a) }, Failed, ReasonSessionEnded},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.cutShort()
				tt.end(w, a)
				w.wantEnd(a, tt.state, tt.reason)
				if n := w.sessions.live(); n != 0 {
					w.Errorf("%d live sessions, want none", n)
				}
			})
		})
	}
}

// The page and the claim may come from different addresses of one laptop.
func TestClaimFromAnotherShownAddress(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.inState(Approved, func(a Attempt) {
			for _, b := range []browser.Browser{laptopIPv6, laptop} {
				w.noError(w.m.CheckLaptop(w.Context(), a.ID, b))
			}
		})
		if id, err := w.m.Claim(w.Context(), a.ID, laptopIPv6); err != nil || id == "" {
			w.Errorf("Claim: %q, %v, want the session", id, err)
		}
		w.want(a, Claimed)
	})
}
