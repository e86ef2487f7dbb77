package devicegrant

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// The process was told to stop between the yes and the tokens: the next one
// finishes the login, when the laptop's page comes to it.
func TestRestart(t *testing.T) {
	comes := map[string]func(w *world, m *Manager, a Attempt){
		"an event stream": func(w *world, m *Manager, a Attempt) { w.watch(m, a.ID) },
		"a page":          func(w *world, m *Manager, a Attempt) { w.noError(m.Get(w.Context(), a.ID)) },
	}
	for who, come := range comes {
		t.Run("before the first poll, "+who, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.open(w.start())
				var wg sync.WaitGroup
				wg.Go(func() { _, _ = w.yes(a) })
				time.Sleep(approveTime / 2)
				w.bank.Close()
				wg.Wait()
				time.Sleep(time.Minute)
				w.want(a, Yes)
				w.provider.wantPolls(0) // nobody is there, nobody asks

				come(w, w.process(), a)
				time.Sleep(pollTime + verifyTime)
				synctest.Wait()
				w.want(a, Approved)
				w.provider.wantPolls(1)
			})
		})
		t.Run("between two polls, "+who, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{err: pending}, {after: pollTime}}
				a := w.agreed()
				time.Sleep(time.Second)
				w.bank.Close()
				come(w, w.process(), a)
				time.Sleep(time.Minute)
				synctest.Wait()
				w.want(a, Approved)
				w.wantPollTimes(0, pace)
			})
		})
		// What a poll brings can be had only once.
		t.Run("during a poll, "+who, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{after: 5 * time.Second}}
				a := w.agreed()
				time.Sleep(time.Second)
				w.wantCloseTakes(4*time.Second + verifyTime)
				w.want(a, Approved)
				next := w.process()
				come(w, next, a)
				time.Sleep(time.Minute)
				w.wantFirstTokens(next, a)
			})
		})
		t.Run("during a poll, with the keys away, "+who, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{after: 5 * time.Second}}
				w.provider.verdicts = script{{after: verifyTime, err: errKeysAway}, {after: verifyTime, person: richard}}
				a := w.agreed()
				time.Sleep(time.Second)
				w.wantCloseTakes(4*time.Second + verifyTime)
				if r := w.want(a, Yes); r.Tokens.Access != w.provider.first().Access {
					w.Error("the tokens are not stored")
				}
				next := w.process()
				come(w, next, a)
				time.Sleep(time.Minute)
				w.wantFirstTokens(next, a)
			})
		})
		t.Run("while verifying, "+who, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.verdicts = script{{after: 5 * time.Second, person: richard}}
				a := w.agreed()
				time.Sleep(time.Second)
				w.wantCloseTakes(4*time.Second + pollTime)
				w.want(a, Approved)
				next := w.process()
				come(w, next, a)
				time.Sleep(time.Minute)
				w.wantFirstTokens(next, a)
				w.provider.wantVerdicts(1)
			})
		})
		t.Run("during a poll that brings nothing, "+who, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{after: 3 * time.Second, err: pending}, {after: pollTime}}
				a := w.agreed()
				time.Sleep(time.Second)
				w.wantCloseTakes(2 * time.Second)
				w.want(a, Yes)
				come(w, w.process(), a)
				time.Sleep(time.Minute)
				synctest.Wait()
				w.want(a, Approved)
				w.wantPollTimes(0, pace)
			})
		})
	}
}

// wantCloseTakes closes the bank, and checks that it waits for what is under
// way and for no more.
func (w *world) wantCloseTakes(want time.Duration) {
	w.Helper()
	start := time.Now()
	w.bank.Close()
	if took := time.Since(start); took != want {
		w.Errorf("Close took %v, want %v", took, want)
	}
}

// wantFirstTokens claims an attempt, and checks that it comes with the tokens
// of the only poll there was.
func (w *world) wantFirstTokens(m *Manager, a Attempt) {
	w.Helper()
	synctest.Wait()
	w.want(a, Approved)
	_, claimed, err := m.Claim(w.Context(), a.ID, func(person idp.Person, tokens idp.Tokens) (string, error) {
		if person != richard || tokens.Access != w.provider.first().Access || tokens.Refresh != w.provider.first().Refresh {
			w.Errorf("given to %+v, want Richard and the tokens that the provider gave", person)
		}
		return "s", nil
	})
	if err != nil || !claimed {
		w.Errorf("Claim: %v, %v, want it", claimed, err)
	}
	synctest.Wait()
	w.provider.wantPolls(1)
	w.provider.wantKept()
}

// A process that was killed in mid-poll cannot say so. Two pollers at once may
// both redeem, and the provider then revokes the login: its turn is waited for.
func TestKilledInAPoll(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.takeover = true
		w.provider.polls = script{{after: time.Hour}, {after: pollTime}}
		a := w.agreed()
		synctest.Wait()
		page := w.watch(w.process(), a.ID)
		time.Sleep(15*time.Second - time.Nanosecond)
		w.provider.wantPolls(1)
		time.Sleep(time.Second)
		synctest.Wait()
		w.want(a, Approved)
		w.wantPollTimes(0, 15*time.Second)
		seen, _, _ := page.saw()
		if last := seen[len(seen)-1]; last.State != Approved {
			w.Errorf("the laptop saw %v, want it to end with %s", seen, Approved)
		}
	})
}

// It was only slow: what it brings in another's turn counts for nothing.
func TestAnswerInAnothersTurn(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.takeover = true
		w.provider.polls = script{{after: 20 * time.Second}, {after: 10 * time.Second, err: &idp.Error{Status: 400, Code: "invalid_grant"}}}
		a := w.agreed()
		w.watch(w.process(), a.ID)
		time.Sleep(22 * time.Second)
		synctest.Wait()
		r := w.want(a, Yes)
		if r.Turn != 2 || r.Tokens.Access != "" {
			w.Errorf("turn %d, tokens of an earlier one stored: %v; want turn 2 and no tokens", r.Turn, r.Tokens.Access != "")
		}
		w.provider.wantRevoked(1)
		time.Sleep(10 * time.Second)
		w.wantEnd(a, Failed, ReasonGone)
		w.provider.wantRevoked(1)
	})
}

// A refusal that comes in another's turn is the answer to a question that
// nobody asks any more.
func TestRefusalInAnothersTurn(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.takeover = true
		w.provider.polls = script{{after: 15500 * time.Millisecond, err: slowdown}, {after: 2 * time.Second}}
		a := w.agreed()
		w.watch(w.process(), a.ID)
		time.Sleep(16 * time.Second)
		synctest.Wait()
		if r := w.want(a, Yes); r.Device.Interval != interval || r.Lease.IsZero() {
			w.Errorf("interval %v and lease until %v, want the second turn left alone", r.Device.Interval, r.Lease)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		w.want(a, Approved)
	})
}

// Redeeming cannot be repeated, so the tokens are stored before they are
// verified; verifying can.
func TestKilledWhileVerifying(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{after: time.Hour, person: richard}, {after: verifyTime, person: richard}}
		a := w.agreed()
		time.Sleep(time.Second)
		if r := w.want(a, Yes); r.Tokens.Access != w.provider.first().Access {
			w.Error("the tokens are not stored while they are being verified")
		}
		next := w.process()
		w.watch(next, a.ID)
		time.Sleep(time.Until(w.record(a).Lease) - time.Nanosecond)
		w.provider.wantVerdicts(1)
		time.Sleep(time.Second)
		w.wantFirstTokens(next, a)
		w.provider.wantVerdicts(2)
	})
}

// It was only slow: a verdict that comes in another's turn counts for nothing,
// and above all it revokes nothing. The tokens are the same in both turns.
func TestVerdictInAnothersTurn(t *testing.T) {
	for name, late := range map[string]reply{
		"right":          {person: richard},
		"another person": {person: mallory},
		"invalid":        {err: errForged},
		"keys away":      {err: errKeysAway},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				late.after = 20 * time.Second
				w.provider.verdicts = script{late, {after: 10 * time.Second, person: richard}}
				a := w.agreed()
				next := w.process()
				w.watch(next, a.ID)
				time.Sleep(18 * time.Second)
				before := w.want(a, Yes)
				time.Sleep(4 * time.Second)
				synctest.Wait()
				if after := w.record(a); after != before || after.Turn != 2 {
					w.Errorf("the attempt was %+v, is %+v, want the second turn left alone", before, after)
				}
				time.Sleep(10 * time.Second)
				w.wantFirstTokens(next, a)
				w.provider.wantVerdicts(2)
			})
		})
	}
}

// Many pages and processes watch; one asks.
func TestManyWatchersOnePoller(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{after: time.Second, err: pending}, {after: time.Second, err: pending}, {after: time.Second}}
		a := w.open(w.start())
		for range 5 {
			m := w.process()
			for range 3 {
				w.watch(m, a.ID)
			}
		}
		w.noError(w.yes(a))
		for range 60 {
			w.noError(w.bank.Get(w.Context(), a.ID))
			time.Sleep(time.Second / 2)
		}
		w.want(a, Approved)
		w.wantPollTimes(0, pace, 2*pace)
	})
}

// After Close nothing goes on behind its back.
func TestCloseEndsPolling(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}}
		a := w.agreed()
		time.Sleep(time.Minute)
		w.bank.Close()
		polls := len(w.provider.pollTimes())
		w.noError(w.bank.Get(w.Context(), a.ID))
		w.noError(w.yes(a))
		time.Sleep(5 * time.Minute)
		w.provider.wantPolls(polls)
	})
}

// A store that is away for a moment costs a delay. Nobody watches, so nobody
// else would try again.
func TestStoreIsAwayBetweenPolls(t *testing.T) {
	for name, away := range map[string]func(*shaky) *atomic.Bool{
		"reads":  func(s *shaky) *atomic.Bool { return &s.noReads },
		"writes": func(s *shaky) *atomic.Bool { return &s.noWrites },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{err: pending}, {after: pollTime}}
				a := w.agreed()
				time.Sleep(time.Second)
				away(w.backend).Store(true)
				time.Sleep(11 * time.Second)
				away(w.backend).Store(false)
				time.Sleep(10 * time.Second)
				w.wantPollTimes(0, pace+10*time.Second) // tried in vain at pace and 5 s later
				w.want(a, Approved)
			})
		})
	}
}

// What a poll said could not be written: for all that the record tells, it is
// still under way.
func TestStoreIsAwayAfterAPoll(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{after: 2 * time.Second, err: pending}, {after: pollTime}}
		a := w.agreed()
		time.Sleep(time.Second)
		w.backend.noWrites.Store(true)
		time.Sleep(2 * time.Second)
		w.backend.noWrites.Store(false)
		time.Sleep(20 * time.Second)
		w.wantPollTimes(0, 15*time.Second)
		w.want(a, Approved)
	})
}

func (w *world) wantPollTimes(want ...time.Duration) {
	w.Helper()
	synctest.Wait()
	if got := w.provider.pollTimes(); !slices.Equal(got, want) {
		w.Errorf("polls at %v, want %v", got, want)
	}
}

// The laptop's request ends when its page has been sent; the polling it set
// off does not.
func TestPollingOutlivesTheRequest(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}, {after: pollTime}}
		a := w.open(w.start())
		ctx, cancel := context.WithCancel(w.Context())
		w.noError(w.bank.Yes(ctx, a.UserCode, a.Shown(), phone, richard, phoneToken))
		cancel()
		time.Sleep(time.Minute)
		synctest.Wait()
		w.want(a, Approved)
	})
}

// What has been said is said: a phone that is put away while the provider is
// being told neither takes it back nor keeps the laptop waiting.
func TestPhoneGoesAwayDuringTheYes(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.open(w.start())
		page := w.watch(w.bank, a.ID)
		ctx, cancel := context.WithCancel(w.Context())
		time.AfterFunc(approveTime/2, cancel)
		got, err := w.bank.Yes(ctx, a.UserCode, a.Shown(), phone, richard, phoneToken)
		if err != nil || got.State != Yes {
			w.Errorf("Yes: %s, %v, want %s", got.State, err, Yes)
		}
		time.Sleep(time.Second)
		seen, _, _ := page.saw()
		want := []sight{{Opened, false, 0}, {Yes, false, 0}, {Approved, false, approveTime + pollTime + verifyTime}}
		if !slices.Equal(seen, want) {
			w.Errorf("the laptop saw %v, want %v", seen, want)
		}
		w.provider.wantApprovals(1)
		w.provider.wantPolls(1)
	})
}
