package devicegrant

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

var richards = voucherOf(richard)

// logouts have the phone log out at each moment of a login, and the number of
// polls that are made all the same.
var logouts = map[string]struct {
	test  func(w *world) Attempt
	polls int
}{
	"before the number": {func(w *world) Attempt {
		a, number := w.asked()
		w.sessions.logOut(richards)
		if got, err := w.m.Confirm(w.Context(), a.ID, number); err != nil || got.State != Failed {
			w.Errorf("Confirm: %s, %v, want %s", got.State, err, Failed)
		}
		return a
	}, 0},
	"before a wrong number": {func(w *world) Attempt {
		a, number := w.asked()
		w.sessions.logOut(richards)
		if got, err := w.m.Confirm(w.Context(), a.ID, another(number)); err != nil || got.State != Failed || got.Tries != 0 {
			w.Errorf("Confirm: %s after %d tries, %v, want %s", got.State, got.Tries, err, Failed)
		}
		return a
	}, 0},
	"during the approval": {func(w *world) Attempt {
		time.AfterFunc(approveTime/2, func() { w.sessions.logOut(richards) })
		return w.answered()
	}, 0},
	"between two polls": {func(w *world) Attempt {
		w.provider.polls = script{{err: pending}}
		a := w.answered()
		time.Sleep(time.Second)
		w.sessions.logOut(richards)
		return a
	}, 1},
	"during a poll": {func(w *world) Attempt {
		w.provider.polls = script{{after: 2 * time.Second}}
		a := w.answered()
		time.Sleep(time.Second)
		w.sessions.logOut(richards)
		return a
	}, 1},
	"during the verification": {func(w *world) Attempt {
		w.provider.verdicts = script{{after: 2 * time.Second, person: richard}}
		a := w.answered()
		time.Sleep(time.Second)
		w.sessions.logOut(richards)
		return a
	}, 1},
	"before the tokens are verified again": {func(w *world) Attempt {
		w.provider.verdicts = script{{err: errKeysAway}}
		a := w.answered()
		time.Sleep(time.Second)
		w.sessions.logOut(richards)
		return a
	}, 1},
	"while the session is made": {func(w *world) Attempt {
		w.sessions.hook = func(call string) {
			if call == "create" {
				w.sessions.logOut(richards)
			}
		}
		return w.answered()
	}, 1},
	"before the claim": {func(w *world) Attempt {
		a := w.approved()
		w.sessions.logOut(richards)
		if id, err := w.claim(a); !errors.Is(err, ErrNotApproved) || id != "" {
			w.Errorf("Claim: %q, %v, want %v", id, err, ErrNotApproved)
		}
		return a
	}, 1},
}

// A thief who approved on a stolen phone must not get in after its owner logged
// that phone out, at any moment of the login.
func TestPhoneIsLoggedOut(t *testing.T) {
	for name, tt := range logouts {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := tt.test(w)
				time.Sleep(time.Minute)
				w.wantEnd(a, Failed, ReasonLoggedOut)
				w.provider.wantPolls(tt.polls)
				w.provider.wantRevoked(w.provider.count().given)
				if n := w.sessions.live(); n != 0 {
					w.Errorf("%d live sessions, want none", n)
				}
			})
		})
	}
}

// After the claim the laptop's session no longer depends on the phone's: the
// person ends it in the list of devices.
func TestPhoneIsLoggedOutAfterTheClaim(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		id := w.wantClaim(w.m, a)
		w.sessions.logOut(richards)
		if again, err := w.claim(a); err != nil || again != id {
			w.Errorf("Claim again: %q, %v, want the same session", again, err)
		}
	})
}

// Nobody knows whether the phone is still logged in: the login waits.
func TestVouchedFails(t *testing.T) {
	fail := func(w *world, err error) {
		w.sessions.set(func(s *sessions) { s.vouchedErr = err })
	}
	t.Run("at the number", func(t *testing.T) {
		inBubble(t, func(w *world) {
			a, number := w.asked()
			before := w.record(a)
			fail(w, errSessionsAway)
			if got, err := w.m.Confirm(w.Context(), a.ID, number); !errors.Is(err, errSessionsAway) || errors.Is(err, ErrNotApproved) || got != (Attempt{}) {
				w.Errorf("Confirm: %+v, %v, want only %v", got, err, errSessionsAway)
			}
			w.wantUnchanged(a, before)
			fail(w, nil)
			w.noError(w.m.Confirm(w.Context(), a.ID, number))
			w.settle()
			w.wantClaim(w.m, a)
		})
	})
	t.Run("before the redemption", func(t *testing.T) {
		inBubble(t, func(w *world) {
			a := w.open(w.start())
			fail(w, errSessionsAway)
			w.noError(w.yes(a))
			time.Sleep(20 * time.Second)
			w.want(a, Yes)
			w.provider.wantPolls(0)
			fail(w, nil)
			time.Sleep(storeRetry)
			w.settle()
			w.wantClaim(w.m, a)
		})
	})
	t.Run("at the claim", func(t *testing.T) {
		inBubble(t, func(w *world) {
			a := w.approved()
			fail(w, errSessionsAway)
			// A caller that took this for an end would go round in circles: the
			// attempt's page leads to the claim.
			if id, err := w.claim(a); !errors.Is(err, errSessionsAway) || errors.Is(err, ErrNotApproved) || id != "" {
				w.Errorf("Claim: %q, %v, want only %v", id, err, errSessionsAway)
			}
			w.want(a, Approved)
			fail(w, nil)
			w.wantClaim(w.m, a)
		})
	})
}

// The session could not be made: the saved tokens are used later.
func TestCreatePendingFails(t *testing.T) {
	inBubble(t, func(w *world) {
		w.sessions.createErr = errSessionsAway
		a := w.answered()
		time.Sleep(20 * time.Second)
		w.want(a, Yes)
		w.provider.wantKept()
		w.sessions.set(func(s *sessions) { s.createErr = nil })
		time.Sleep(leaseDuration)
		synctest.Wait()
		w.wantClaim(w.m, a)
		w.provider.wantPolls(1)
	})
}

// approveElsewhere is Richard approving again from another session, while the
// first one is logged out.
func (w *world) approveElsewhere(a Attempt) {
	w.Helper()
	w.sessions.logOut(richards)
	answer := answerOf(a, richard, tablet)
	answer.Voucher += " elsewhere"
	w.noError(w.m.Yes(context.WithoutCancel(w.Context()), answer))
}

// An approval that is sent again replaces the voucher, at any moment.
func TestApproveAgainReplacesTheVoucher(t *testing.T) {
	t.Run("at the number", func(t *testing.T) {
		inBubble(t, func(w *world) {
			a, number := w.asked()
			w.approveElsewhere(a)
			w.noError(w.m.Confirm(w.Context(), a.ID, number))
			w.settle()
			w.wantClaim(w.m, a)
		})
	})
	t.Run("between two polls", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.polls = script{{err: pending}, {}}
			a := w.answered()
			time.Sleep(time.Second)
			w.approveElsewhere(a)
			time.Sleep(time.Minute)
			w.wantClaim(w.m, a)
		})
	})
	for _, moment := range []string{"vouched", "create"} {
		t.Run("at "+moment, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.open(w.start())
				page := w.watch(w.m, a.ID)
				w.sessions.hook = func(call string) {
					if call == moment {
						w.sessions.set(func(s *sessions) { s.hook = nil })
						w.approveElsewhere(a)
					}
				}
				w.noError(w.yes(a))
				time.Sleep(time.Minute)
				// The second approval takes its time, and what it renewed is used at once.
				end := approveTime + pollTime + verifyTime + approveTime
				if moment == "create" {
					end += verifyTime
				}
				w.wantSeen(page, false, sight{Opened, false, 0}, sight{Yes, false, 0}, sight{Approved, false, end})
				w.wantClaim(w.m, a)
				w.provider.wantPolls(1)
			})
		})
	}
}

// An answer that does not count replaces nothing.
func TestRefusedAnswersReplaceNoVoucher(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}}
		a := w.answered()
		before := w.record(a)
		changed := answerOf(a, richard, phone)
		changed.Fingerprint, changed.Voucher = "another", "SECRET-another"
		for _, answer := range []Answer{answerOf(a, mallory, tablet), changed, answerOf(a, idp.Person{}, phone)} {
			if _, err := w.m.Yes(w.Context(), answer); err == nil {
				w.Errorf("Yes by %v to %q: no error", answer.Person, answer.Fingerprint)
			}
		}
		if r := w.record(a); r.Voucher != before.Voucher || r.Voucher == "" {
			w.Error("the voucher has changed")
		}
	})
}
