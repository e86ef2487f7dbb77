package devicegrant

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

func TestClaimOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		session, claimed, err := w.bank.Claim(w.Context(), a.ID, func(person idp.Person, tokens idp.Tokens) (string, error) {
			if person != richard || tokens.Access != w.provider.first().Access || tokens.Refresh != w.provider.first().Refresh || tokens.ID != w.provider.first().ID {
				w.Errorf("given to %+v, want Richard and the tokens that the provider gave", person)
			}
			return "first", nil
		})
		if err != nil || session != "first" || !claimed {
			w.Errorf("Claim: %q, %v, %v, want first, true", session, claimed, err)
		}
		w.wantEnd(a, Claimed, "")
		// The answer may have been lost: it can be had again, and makes no second session.
		for range 2 {
			session, claimed, err = w.bank.Claim(w.Context(), a.ID, w.neverGive)
			if err != nil || session != "first" || claimed {
				w.Errorf("Claim again: %q, %v, %v, want first, false", session, claimed, err)
			}
		}
		time.Sleep(time.Minute)
		w.want(a, Claimed)
		w.provider.wantKept() // the session needs them
	})
}

// A browser with two tabs asks twice; one session is the login's, and who lost
// is told which, and that the one it made is to be discarded.
func TestManyClaimAtOnce(t *testing.T) {
	for _, slow := range []time.Duration{0, time.Second} {
		t.Run(fmt.Sprintf("making a session takes %v", slow), func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.approved()
				const n = 16
				var sessions [n]string
				var made, won atomic.Int64
				var wg sync.WaitGroup
				banks := []*Manager{w.bank, w.process()}
				for i := range n {
					wg.Go(func() {
						session, claimed, err := banks[i%2].Claim(w.Context(), a.ID, func(idp.Person, idp.Tokens) (string, error) {
							made.Add(1)
							time.Sleep(slow)
							return fmt.Sprintf("session %d", i), nil
						})
						if err != nil {
							w.Errorf("Claim: %v", err)
						}
						if claimed {
							won.Add(1)
							if want := fmt.Sprintf("session %d", i); session != want {
								w.Errorf("claim %d won with %q, want its own", i, session)
							}
						}
						sessions[i] = session
					})
				}
				wg.Wait()
				if won.Load() != 1 {
					w.Errorf("%d of %d claims won, want 1", won.Load(), n)
				}
				for i, session := range sessions {
					if session != w.record(a).Session || session == "" {
						w.Errorf("claim %d got %q, want the winner's %q", i, session, w.record(a).Session)
					}
				}
				if slow > 0 && made.Load() != n {
					w.Errorf("%d sessions made, want %d: this test is about claims that cross", made.Load(), n)
				}
			})
		})
	}
}

// A store that is away for a moment costs a retry and not the login.
func TestClaimCanBeRepeated(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		trouble := errors.New("no session today")
		session, claimed, err := w.bank.Claim(w.Context(), a.ID, func(idp.Person, idp.Tokens) (string, error) { return "half", trouble })
		if !errors.Is(err, trouble) || session != "" || claimed {
			w.Errorf("Claim: %q, %v, %v, want %v", session, claimed, err, trouble)
		}
		synctest.Wait()
		w.want(a, Approved)
		session, claimed, err = w.bank.Claim(w.Context(), a.ID, giveSession("s"))
		if err != nil || session != "s" || !claimed {
			w.Errorf("Claim again: %q, %v, %v, want s, true", session, claimed, err)
		}
	})
}

// What give made is not the login's if that could not be written: whoever
// takes it for that leaves a session behind, and the next claim makes another.
func TestClaimThatIsNotWritten(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		session, claimed, err := w.bank.Claim(w.Context(), a.ID, func(idp.Person, idp.Tokens) (string, error) {
			w.backend.noWrites.Store(true)
			return "lost", nil
		})
		if !errors.Is(err, errAway) || session != "" || claimed {
			w.Errorf("Claim: %q, %v, %v, want nothing and %v", session, claimed, err, errAway)
		}
		w.backend.noWrites.Store(false)
		w.backend.noReads.Store(true)
		session, claimed, err = w.bank.Claim(w.Context(), a.ID, w.neverGive)
		if !errors.Is(err, errAway) || session != "" || claimed {
			w.Errorf("Claim: %q, %v, %v, want nothing and %v", session, claimed, err, errAway)
		}
		w.backend.noReads.Store(false)
		w.wantFirstTokens(w.bank, a)
	})
}

func TestNothingToClaim(t *testing.T) {
	inBubble(t, func(w *world) {
		for _, id := range []string{"", "unknown"} {
			if _, _, err := w.bank.Claim(w.Context(), id, w.neverGive); !errors.Is(err, ErrNone) {
				w.Errorf("Claim(%q): %v, want %v", id, err, ErrNone)
			}
		}
		w.provider.polls = script{{err: pending}}
		a := w.start()
		notApproved := func(state State) {
			w.Helper()
			w.want(a, state)
			if _, _, err := w.bank.Claim(w.Context(), a.ID, w.neverGive); !errors.Is(err, ErrNotApproved) {
				w.Errorf("Claim of what is %s: %v, want %v", state, err, ErrNotApproved)
			}
		}
		notApproved(Waiting)
		w.open(a)
		notApproved(Opened)
		w.noError(w.yes(a))
		notApproved(Yes)
		// Neither what a phone knows opens it, nor what stands in a log.
		for _, id := range []string{a.Ref, a.UserCode, Fold(a.UserCode)} {
			if _, _, err := w.bank.Claim(w.Context(), id, w.neverGive); !errors.Is(err, ErrNone) {
				w.Errorf("Claim(%q): %v, want %v", id, err, ErrNone)
			}
		}
	})
}

// The session that is being made when the attempt is cancelled is nobody's.
func TestCancelDuringClaim(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		session, claimed, err := w.bank.Claim(w.Context(), a.ID, func(idp.Person, idp.Tokens) (string, error) {
			return "s", w.bank.Cancel(w.Context(), a.ID)
		})
		if !errors.Is(err, ErrNotApproved) || session != "" || claimed {
			w.Errorf("Claim: %q, %v, %v, want %v", session, claimed, err, ErrNotApproved)
		}
		synctest.Wait()
		w.wantEnd(a, Cancelled, "")
		w.provider.wantRevoked(1)
	})
}

// Claims and cancels in any order: the attempt is the one or the other, and
// its tokens are a session's or revoked.
func TestClaimAndCancel(t *testing.T) {
	inBubble(t, func(w *world) {
		for range 20 {
			given, revoked := len(w.provider.given), len(w.provider.revoked)
			a := w.approved()
			var claimed bool
			var wg sync.WaitGroup
			wg.Go(func() { _, claimed, _ = w.bank.Claim(w.Context(), a.ID, giveSession("s")) })
			wg.Go(func() { _ = w.bank.Cancel(w.Context(), a.ID) })
			wg.Wait()
			synctest.Wait()
			state := w.record(a).State
			if claimed != (state == Claimed) || !claimed && state != Cancelled {
				w.Errorf("claimed: %v, and the attempt is %s", claimed, state)
			}
			if n := len(w.provider.revoked) - revoked; (n == 0) != claimed || len(w.provider.given) != given+1 {
				w.Errorf("claimed: %v, and %d sets of tokens revoked", claimed, n)
			}
		}
	})
}
