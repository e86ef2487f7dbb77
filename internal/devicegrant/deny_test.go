package devicegrant

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestNoEndsTheAttempt(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.open(w.start())
		page := w.watch(w.m, a.ID)
		time.Sleep(20 * time.Second)
		got, err := w.no(a)
		if err != nil || got.State != Denied {
			w.Errorf("No: %s, %v, want %s", got.State, err, Denied)
		}
		w.wantSeen(page, true, sight{Opened, false, 0}, sight{Denied, false, 20 * time.Second})
		got, err = w.yes(a)
		if err != nil || got.State != Denied {
			w.Errorf("Yes after it: %s, %v, want %s", got.State, err, Denied)
		}
		time.Sleep(time.Minute)
		w.wantEnd(a, Denied, "")
		w.provider.wantApprovals(0)
		w.provider.wantPolls(0)
	})
}

// A denial counts until the laptop has claimed its session.
func TestNoAfterApproval(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		got, err := w.no(a)
		if err != nil || got.State != Denied {
			w.Errorf("No: %s, %v, want %s", got.State, err, Denied)
		}
		synctest.Wait()
		w.wantEnd(a, Denied, "")
		w.provider.wantRevoked(1)
	})
}

func TestNoAfterClaim(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		w.wantClaim(w.m, a)
		if got, err := w.no(a); err != nil || got.State != Claimed {
			w.Errorf("No: %s, %v, want it to come too late", got.State, err)
		}
		w.provider.wantKept()
	})
}

// A person whose approval got no answer may deny instead. Even if the provider
// did approve, and tokens come, nobody is logged in.
func TestNoAfterUnansweredApproval(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.approvals = script{{after: approveTime, err: context.DeadlineExceeded}}
		w.provider.polls = script{{after: time.Minute}}
		a := w.open(w.start())
		if _, err := w.yes(a); !errors.Is(err, ErrNoAnswer) {
			w.Fatalf("Yes: %v, want %v", err, ErrNoAnswer)
		}
		if got, err := w.m.Open(w.Context(), visit(a.UserCode, phone, richard)); err != nil || got.State != Yes || got.Approval.Answered() {
			w.Errorf("Open: %s, approval %s, %v, want %s to be asked again", got.State, got.Approval, err, Yes)
		}
		synctest.Wait() // a poll is in flight
		if got, err := w.no(a); err != nil || got.State != Denied {
			w.Errorf("No: %s, %v, want %s", got.State, err, Denied)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		w.wantEnd(a, Denied, "")
		w.provider.wantRevoked(1)
	})
}

// The person answers no, or cancels on the laptop, and closes the page at once.
func TestEndedByAPersonWhoLeaves(t *testing.T) {
	left, leave := context.WithCancel(context.Background())
	leave()
	inBubble(t, func(w *world) {
		denied, cancelled := w.approved(), w.open(w.start())
		w.noError(w.m.No(left, answerOf(denied, richard, phone)))
		w.noError(cancelled, w.m.Cancel(left, cancelled.ID))
		w.wantEnd(denied, Denied, "")
		w.wantEnd(cancelled, Cancelled, "")
	})
}

// The person denies after the approval has been sent, and before the first poll.
// Nobody polls with the lease that the approval took.
func TestDenyBeforeThePoll(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.open(w.start())
		w.sessions.hook = func(string) { // the approval has been sent
			w.sessions.hook = nil
			w.noError(w.no(a))
		}
		w.noError(w.yes(a))
		w.want(a, Denied)
		time.Sleep(time.Minute)
		w.wantEnd(a, Denied, "")
		w.provider.wantPolls(0)
	})
}
