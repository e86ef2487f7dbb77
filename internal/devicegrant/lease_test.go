package devicegrant

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A process that was killed during a poll cannot say so. Two pollers at once
// may both redeem, and the provider then revokes the login, so the next process
// waits until the lease has run out.
func TestKilledDuringAPoll(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.takeover = true
		w.provider.polls = script{{after: time.Hour}, {after: pollTime}}
		a := w.answered()
		synctest.Wait()
		page := w.watch(w.newManager(), a.ID)
		free := leaseDuration - approveTime // after the first poll, since the approval took the lease
		time.Sleep(free - pollQuickly - time.Nanosecond)
		w.provider.wantPolls(1)
		time.Sleep(time.Second)
		w.wantPollTimes(0, free)
		w.want(a, Approved)
		w.wantLastSeen(page, Approved)
	})
}

// A process that is paused after it took the lease does not poll once the next holder
// has polled.
func TestPausedBeforeAPoll(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}, {after: pollTime}}
		began := time.Now()
		var paused atomic.Bool
		w.backend.wrote = func() {
			if time.Since(began) >= pace && paused.CompareAndSwap(false, true) {
				time.Sleep(20 * time.Second)
			}
		}
		a := w.answered()
		w.watch(w.newManager(), a.ID)
		time.Sleep(time.Minute)
		w.wantPollTimes(0, pace+leaseDuration)
		w.want(a, Approved)
	})
}

// A paused poller whose answer comes after its lease ran out stores nothing,
// and its tokens are revoked.
func TestTokensAfterTheLease(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.takeover = true
		w.provider.polls = script{{after: 20 * time.Second}, {after: 10 * time.Second, err: spent}}
		a := w.answered()
		w.watch(w.newManager(), a.ID)
		time.Sleep(22 * time.Second)
		synctest.Wait()
		r := w.want(a, Yes)
		if r.Lease.Number != 2 || r.Tokens.Access != "" || r.Session != "" {
			w.Errorf("lease %d, tokens of an earlier one stored: %v; want lease 2 and no tokens", r.Lease.Number, r.Tokens.Access != "")
		}
		w.provider.wantRevoked(1)
		time.Sleep(10 * time.Second)
		w.wantEnd(a, Failed, ReasonCodeGone)
		w.provider.wantRevoked(1)
	})
}

// A refusal under an old lease ends nothing and slows nothing down.
func TestRefusalAfterTheLease(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.takeover = true
		w.provider.polls = script{{after: 15500 * time.Millisecond, err: slowdown}, {after: 2 * time.Second}}
		a := w.answered()
		w.watch(w.newManager(), a.ID)
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if r := w.want(a, Yes); r.Device.Interval != interval || r.Lease.Until.IsZero() {
			w.Errorf("interval %v and lease until %v, want the second lease left alone", r.Device.Interval, r.Lease.Until)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		w.want(a, Approved)
	})
}

// Redeeming cannot be repeated, so the tokens are stored before they are
// verified. Verifying can be repeated.
func TestKilledWhileVerifying(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{after: time.Hour, person: richard}, {after: verifyTime, person: richard}}
		a := w.answered()
		time.Sleep(time.Second)
		if r := w.want(a, Yes); r.Tokens.Access != w.provider.first().Access {
			w.Error("the tokens are not stored while they are being verified")
		}
		next := w.newManager()
		w.watch(next, a.ID)
		time.Sleep(time.Until(w.record(a).Lease.Until) - time.Nanosecond)
		w.provider.wantVerdicts(1)
		time.Sleep(time.Second)
		w.wantClaim(next, a)
		w.provider.wantPolls(1)
		w.provider.wantVerdicts(2)
	})
}

// lateVerdicts are what a paused poller may find about its tokens, too late.
var lateVerdicts = map[string]reply{
	"right":          {person: richard},
	"another person": {person: mallory},
	"invalid":        {err: errForged},
	"keys away":      {err: errKeysAway},
}

// A verdict under an old lease counts for nothing, and above all revokes
// nothing: both holders have the same tokens.
func TestVerdictAfterTheLease(t *testing.T) {
	for name, late := range lateVerdicts {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				late.after = 20 * time.Second
				w.provider.verdicts = script{late, {after: 10 * time.Second, person: richard}}
				a := w.answered()
				next := w.newManager()
				w.watch(next, a.ID)
				time.Sleep(18 * time.Second)
				before := w.want(a, Yes)
				time.Sleep(4 * time.Second)
				synctest.Wait()
				w.wantUnchanged(a, before)
				if before.Lease.Number != 2 || w.sessions.count() != 0 {
					w.Errorf("lease %d, %d sessions; want the second lease left alone", before.Lease.Number, w.sessions.count())
				}
				time.Sleep(10 * time.Second)
				w.wantClaim(next, a)
				w.provider.wantPolls(1)
				w.provider.wantVerdicts(2)
			})
		})
	}
}

// A paused poller wakes up when another process has finished the attempt: the
// session is claimed and used, or even logged out again. It stores nothing and
// ends nothing.
func TestVerdictAfterTheClaim(t *testing.T) {
	for name, late := range lateVerdicts {
		for _, loggedOut := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				inBubble(t, func(w *world) {
					late.after = time.Minute
					w.provider.verdicts = script{late, {after: verifyTime, person: richard}}
					a := w.answered()
					next := w.newManager()
					w.watch(next, a.ID)
					time.Sleep(30 * time.Second)
					id := w.wantClaim(next, a)
					if loggedOut {
						w.sessions.set(func(s *sessions) { delete(s.made, id) }) // and leaves no trace
					}
					before := w.record(a)
					time.Sleep(time.Minute)
					synctest.Wait()
					w.wantUnchanged(a, before)
					w.provider.wantKept()
					if s := w.sessions.get(id); s.live == loggedOut || s.ended {
						w.Errorf("the session is live: %v, ended: %v", s.live, s.ended)
					}
				})
			})
		}
	}
}

// The same for a poller that is paused before or after it makes the session:
// the session is another holder's by then, and maybe the laptop's.
func TestPausedWhileTheSessionIsMade(t *testing.T) {
	for _, moment := range []string{"create", "created"} {
		for _, wakes := range []State{Yes, Approved, Claimed} {
			t.Run(fmt.Sprintf("at %s, wakes when it is %s", moment, wakes), func(t *testing.T) {
				inBubble(t, func(w *world) {
					var calls atomic.Int32
					w.sessions.hook = func(call string) {
						if call == moment && calls.Add(1) == 1 {
							time.Sleep(25 * time.Second)
						}
					}
					if wakes == Yes {
						w.provider.verdicts = script{{person: richard}, {after: leaseDuration - time.Second, person: richard}}
					}
					a := w.answered()
					next := w.newManager()
					w.watch(next, a.ID)
					time.Sleep(20 * time.Second)
					if wakes == Claimed {
						w.sessions.use(w.wantClaim(next, a))
					}
					before := w.want(a, wakes)
					time.Sleep(7 * time.Second)
					synctest.Wait()
					w.wantUnchanged(a, before)
					w.provider.wantKept()
					if wakes != Claimed {
						time.Sleep(10 * time.Second)
						w.wantClaim(next, a)
					}
					if s := w.sessions.get(w.record(a).Session); !s.live || s.ended || w.sessions.count() != 1 {
						w.Errorf("%d sessions, the laptop's live: %v, ended: %v", w.sessions.count(), s.live, s.ended)
					}
				})
			})
		}
	}
}
