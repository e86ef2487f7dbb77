package devicegrant

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
)

var errInvalidUserCode = &idp.Error{Status: 400, Code: "invalid_request", Reason: "invalid_user_code"}

func (w *world) wantApproval(a Attempt, want Approval, fallback string) {
	w.Helper()
	if r := w.record(a); r.Approval != want || r.FallbackURL != fallback {
		w.Errorf("the approval is %q with fallback %q, want %q with %q", r.Approval, r.FallbackURL, want, fallback)
	}
}

// From the approval to the account page it takes as long as the provider takes.
func TestApprove(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.open(w.start())
		page := w.watch(w.m, a.ID)
		approved := time.Now()
		if a, err := w.yes(a); err != nil || a.State != Yes {
			w.Fatalf("Yes: %s, %v, want %s", a.State, err, Yes)
		}
		w.wantApproval(a, ApprovalConfirmed, "")
		time.Sleep(time.Second)
		w.wantSeen(page, false,
			sight{Opened, false, 0}, sight{Yes, false, 0}, sight{Approved, false, approveTime + pollTime + verifyTime})
		time.Sleep(time.Minute)
		w.provider.wantApprovals(1)
		w.provider.wantPolls(1)
		if r := w.want(a, Approved); !r.Person.Is(richard) || r.Tokens != (idp.Tokens{}) {
			w.Errorf("approved for %v with tokens %v, want Richard, and the tokens in the session only", r.Person, r.Tokens)
		}
		if got := w.provider.polled[0].Sub(approved); got != approveTime {
			w.Errorf("the poll came %v after the approval, want %v: as soon as the provider had taken it", got, approveTime)
		}
		w.wantClaim(w.m, a)
	})
}

// An approval that the provider refuses ends the attempt, if the provider has
// no page of its own where the person could continue.
func TestApproveRefused(t *testing.T) {
	for name, answer := range map[string]*idp.Error{
		"refused":       errInvalidUserCode,
		"no such call":  {Status: 404},
		"forbidden":     {Status: 403},
		"gone":          {Status: 410},
		"409 page":      {Status: 409},
		"said with 200": {Status: 200, Code: "access_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.approvals = script{{after: approveTime, err: answer}}
				a := w.open(w.start())
				got, err := w.yes(a)
				if err != nil || got.State != Failed || got.Reason != ReasonRefused {
					w.Errorf("Yes: %s %q, %v, want %s %q", got.State, got.Reason, err, Failed, ReasonRefused)
				}
				w.watch(w.m, a.ID)
				time.Sleep(10 * time.Minute)
				w.wantEnd(a, Failed, ReasonRefused)
				w.provider.wantPolls(0)
			})
		})
	}
}

// A client that may not approve may not redeem either, on any page.
func TestApproveRefusesTheClient(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.page = "https://idp.example/oauth2/device"
		w.provider.approvals = script{{err: &idp.Error{Status: 401, Code: "invalid_client"}}}
		a := w.open(w.start())
		got, err := w.yes(a)
		if err != nil || got.State != Failed || got.Reason != ReasonClient {
			w.Errorf("Yes: %s %q, %v, want %s %q", got.State, got.Reason, err, Failed, ReasonClient)
		}
		w.provider.wantPolls(0)
	})
}

// The approval may have succeeded although no answer came back. Taking the
// silence for a refusal would lose a login that the provider has approved.
func TestApproveNotAnswered(t *testing.T) {
	for name, answer := range map[string]error{
		"no answer":       context.DeadlineExceeded,
		"500":             &idp.Error{Status: 500},
		"503 with a code": &idp.Error{Status: 503, Code: "server_error"},
		"503, refusing":   &idp.Error{Status: 503, Code: "invalid_request"},
		"408":             &idp.Error{Status: 408},
		"429":             &idp.Error{Status: 429},
		"429 with a code": &idp.Error{Status: 429, Code: "slow_down"},
		"301":             &idp.Error{Status: 301},
		"307":             &idp.Error{Status: 307},
		"another word":    errors.New("idp: approve: the answer says \"x\""),
		"not discovered":  idp.ErrNotReady,
	} {
		t.Run(name+", heard", func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.approvals = script{{after: 10 * time.Second, err: answer}}
				a := w.open(w.start())
				if _, err := w.yes(a); !errors.Is(err, ErrNoAnswer) {
					w.Errorf("Yes: %v, want %v", err, ErrNoAnswer)
				}
				w.wantApproval(a, ApprovalUnknown, "")
				w.settle()
				w.want(a, Approved)
				w.provider.wantPolls(1)
			})
		})
		t.Run(name+", not heard", func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.approvals = script{{after: 10 * time.Second, err: answer}, {after: approveTime}}
				w.provider.polls = script{{after: pollTime, err: pending}, {after: pollTime}}
				a := w.open(w.start())
				if _, err := w.yes(a); !errors.Is(err, ErrNoAnswer) {
					w.Errorf("Yes: %v, want %v", err, ErrNoAnswer)
				}
				time.Sleep(2 * time.Second)
				if got, err := w.yes(a); err != nil || got.State != Yes {
					w.Errorf("Yes again: %s, %v, want %s", got.State, err, Yes)
				}
				w.wantApproval(a, ApprovalConfirmed, "")
				time.Sleep(pace)
				w.wantPollTimes(0, pace)
				w.want(a, Approved)
			})
		})
	}
}

// A provider that has taken an approval may refuse it the second time.
func TestYesAgainIsHarmless(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.approvals = script{{}, {after: approveTime, err: errInvalidUserCode}}
		w.provider.polls = script{{after: 3 * time.Second, err: pending}, {after: 3 * time.Second}}
		a := w.answered()
		time.Sleep(time.Second)
		if got, err := w.yes(a); err != nil || got.State != Yes { // while a poll is under way
			w.Errorf("Yes again: %s, %v, want %s", got.State, err, Yes)
		}
		time.Sleep(3 * time.Second)
		if got, err := w.yes(a); err != nil || got.State != Yes { // between two polls
			w.Errorf("Yes again: %s, %v, want %s", got.State, err, Yes)
		}
		w.wantApproval(a, ApprovalConfirmed, "")
		time.Sleep(10 * time.Second)
		synctest.Wait()
		w.want(a, Approved)
		approvals := w.provider.count().approved
		if got, err := w.yes(a); err != nil || got.State != Approved {
			w.Errorf("Yes after the approval: %s, %v, want %s", got.State, err, Approved)
		}
		w.provider.wantApprovals(approvals)
		w.wantPollTimes(0, pace)
	})
}

// Of two approvals at the same moment the provider takes the second one first,
// and refuses the one that began. The login is not lost.
func TestTwoApprovalsAtOnce(t *testing.T) {
	for name, page := range map[string]string{"no fallback": "", "with a fallback": issuer + "/device?user_code=X"} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.page = page
				w.provider.approvals = script{{after: time.Second, err: errInvalidUserCode}, {after: approveTime}}
				w.provider.polls = script{{after: 10 * time.Second}}
				a := w.open(w.start())
				var both sync.WaitGroup
				both.Go(func() { w.noError(w.yes(a)) })
				synctest.Wait()
				both.Go(func() { w.noError(w.yes(a)) })
				synctest.Wait()
				w.wantApproval(a, ApprovalSentAgain, "")
				both.Wait()
				w.wantApproval(a, ApprovalConfirmed, "")
				time.Sleep(time.Minute)
				synctest.Wait()
				w.want(a, Approved)
			})
		})
	}
}

// The provider heard an approval that it did not answer, and refuses the next
// one. The poll tells.
func TestApprovalUnknownThenRefused(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.approvals = script{{err: context.DeadlineExceeded}, {err: errInvalidUserCode}}
		w.provider.polls = script{{err: &idp.Error{Status: 503}}, {}}
		w.provider.change = func(c *idp.DeviceCode) { c.Interval = 20 * time.Second }
		a := w.open(w.start())
		if _, err := w.yes(a); !errors.Is(err, ErrNoAnswer) {
			w.Errorf("Yes: %v, want %v", err, ErrNoAnswer)
		}
		w.watch(w.m, a.ID)
		if got, err := w.yes(a); err != nil || got.State != Yes {
			w.Errorf("Yes again: %s, %v, want %s", got.State, err, Yes)
		}
		w.wantApproval(a, ApprovalRefused, "")
		// The next poll comes later than a look is remembered, and the page is still open.
		time.Sleep(time.Minute)
		w.want(a, Approved)
		w.wantPollTimes(0, 40*time.Second)
	})
}

func TestYesOnTwoPhonesOfOnePerson(t *testing.T) {
	inBubble(t, func(w *world) {
		for range 10 {
			polls := len(w.provider.pollTimes())
			a := w.open(w.start())
			var wg sync.WaitGroup
			for _, from := range []browser.Browser{phone, tablet} {
				wg.Go(func() {
					got, err := w.m.Yes(w.Context(), answerOf(a, richard, from))
					if err != nil || got.State != Yes {
						w.Errorf("Yes from %s: %s, %v, want %s", from.Agent, got.State, err, Yes)
					}
				})
			}
			wg.Wait()
			time.Sleep(time.Minute)
			synctest.Wait()
			w.want(a, Approved)
			w.provider.wantPolls(polls + 1)
		}
	})
}

// An approval stands: a phone that goes away while the provider is being told
// neither takes it back nor keeps the laptop waiting.
func TestPhoneGoesAwayDuringTheApproval(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.open(w.start())
		page := w.watch(w.m, a.ID)
		ctx, cancel := context.WithCancel(w.Context())
		time.AfterFunc(approveTime/2, cancel)
		got, err := w.m.Yes(ctx, answerOf(a, richard, phone))
		if err != nil || got.State != Yes {
			w.Errorf("Yes: %s, %v, want %s", got.State, err, Yes)
		}
		time.Sleep(time.Second)
		w.wantSeen(page, false,
			sight{Opened, false, 0}, sight{Yes, false, 0}, sight{Approved, false, approveTime + pollTime + verifyTime})
		w.provider.wantApprovals(1)
		w.provider.wantPolls(1)
	})
}
