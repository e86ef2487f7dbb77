package devicegrant

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A browser with several tabs claims several times at once, at any process. All
// of them get the one session.
func TestManyClaimAtOnce(t *testing.T) {
	for _, slow := range []time.Duration{0, time.Second} {
		t.Run(fmt.Sprintf("activation takes %v", slow), func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.approved()
				w.sessions.set(func(s *sessions) {
					s.hook = func(call string) {
						if call == "activate" || call == "activated" {
							time.Sleep(slow)
						}
					}
				})
				const n = 16
				var ids [n]string
				var wg sync.WaitGroup
				managers := []*Manager{w.m, w.newManager()}
				for i := range n {
					wg.Go(func() {
						id, err := managers[i%2].Claim(w.Context(), a.ID, laptop)
						if err != nil {
							w.Errorf("Claim: %v", err)
						}
						ids[i] = id
					})
				}
				wg.Wait()
				for i, id := range ids {
					if id == "" || id != w.record(a).Session {
						w.Errorf("claim %d got %q, want the attempt's session", i, id)
					}
				}
				if w.want(a, Claimed); w.sessions.live() != 1 {
					w.Errorf("%d live sessions, want 1", w.sessions.live())
				}
				w.provider.wantKept()
			})
		})
	}
}

// Something ends the attempt during the claim: the session that has gone live
// is discarded again, and the laptop is not told its ID.
func TestAttemptEndsDuringTheClaim(t *testing.T) {
	ends := map[string]struct {
		end    func(w *world, a Attempt)
		state  State
		reason Reason
	}{
		"cancelled": {func(w *world, a Attempt) { w.cancel(a) }, Cancelled, ""},
		"denied":    {func(w *world, a Attempt) { w.noError(w.no(a)) }, Denied, ""},
		"stolen":    {func(w *world, a Attempt) { w.noError(w.m.CheckLaptop(w.Context(), a.ID, elsewhere)) }, Failed, ReasonMoved},
		"expired":   {func(_ *world, _ Attempt) { time.Sleep(claimWindow) }, Expired, ReasonUnfinished},
	}
	for name, tt := range ends {
		for _, moment := range []string{"vouched", "activate", "activated"} {
			t.Run(name+" at "+moment, func(t *testing.T) {
				inBubble(t, func(w *world) {
					a := w.approved()
					w.sessions.set(func(s *sessions) {
						s.hook = func(call string) {
							if call == moment {
								w.sessions.set(func(s *sessions) { s.hook = nil })
								tt.end(w, a)
							}
						}
					})
					if id, err := w.claim(a); !errors.Is(err, ErrNotApproved) || id != "" {
						w.Errorf("Claim: %q, %v, want %v", id, err, ErrNotApproved)
					}
					w.wantEnd(a, tt.state, tt.reason)
					w.provider.wantRevoked(1)
					if n := w.sessions.live(); n != 0 {
						w.Errorf("%d live sessions, want none", n)
					}
				})
			})
		}
	}
}

// The laptop cancels at the moment at which its claim finds that the phone is
// logged out: the cancel came first, and stands.
func TestCancelWhileTheClaimFindsThePhoneLoggedOut(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		w.sessions.set(func(s *sessions) {
			s.hook = func(call string) {
				if call == "vouched" {
					w.sessions.logOut(richards)
					w.cancel(a)
				}
			}
		})
		if id, err := w.claim(a); !errors.Is(err, ErrNotApproved) || id != "" {
			w.Errorf("Claim: %q, %v, want %v", id, err, ErrNotApproved)
		}
		w.wantEnd(a, Cancelled, "")
	})
}

// The process that ended the attempt dies before it discards the session. The
// claim does it.
func TestAttemptEndsDuringTheClaimWithoutDiscard(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		w.sessions.set(func(s *sessions) {
			s.hook = func(call string) {
				if call == "activated" {
					w.sessions.set(func(s *sessions) { s.hook, s.discardErr = nil, errSessionsAway })
					w.cancel(a)
					w.sessions.set(func(s *sessions) { s.discardErr = nil })
				}
			}
		})
		if id, err := w.claim(a); !errors.Is(err, ErrNotApproved) || id != "" {
			w.Errorf("Claim: %q, %v, want %v", id, err, ErrNotApproved)
		}
		w.wantEnd(a, Cancelled, "")
		w.provider.wantRevoked(1)
	})
}

// Claims, cancels and denials in any order: the attempt ends in one way, and
// its session is live or discarded.
func TestClaimAndEnd(t *testing.T) {
	inBubble(t, func(w *world) {
		for range 20 {
			discarded := w.provider.count().discarded
			a := w.approved()
			var id string
			var wg sync.WaitGroup
			wg.Go(func() { id, _ = w.claim(a) })
			wg.Go(func() { _ = w.m.Cancel(w.Context(), a.ID) })
			wg.Go(func() { _, _ = w.no(a) })
			wg.Wait()
			synctest.Wait()
			r := w.record(a)
			claimed := id != ""
			if claimed != (r.State == Claimed) || !claimed && r.State != Cancelled && r.State != Denied {
				w.Errorf("claimed: %v, and the attempt is %s", claimed, r.State)
			}
			if s := w.sessions.get(r.Session); s.live && !s.ended != claimed {
				w.Errorf("claimed: %v, and the session is live: %v, ended: %v", claimed, s.live, s.ended)
			}
			if n := w.provider.count().discarded - discarded; (n == 0) != claimed {
				w.Errorf("claimed: %v, and %d sessions discarded", claimed, n)
			}
		}
	})
}
