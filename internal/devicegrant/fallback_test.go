package devicegrant

import (
	"errors"
	"testing"
	"time"

	"changebank/internal/idp"
)

const fallbackPage = "https://idp.example/oauth2/device?user_code=X"

// fallback is an attempt whose approval the provider refused, and which the
// person may approve on the provider's own page.
func (w *world) fallback() Attempt {
	w.Helper()
	w.provider.page = fallbackPage
	w.provider.approvals = script{{err: &idp.Error{Status: 404}}}
	a, err := w.yes(w.open(w.start()))
	if err != nil || a.State != Yes || a.Approval != ApprovalRefused || a.FallbackURL != fallbackPage {
		w.Errorf("Yes: %s, approval %s, fallback %q, %v; want %s and the provider's page", a.State, a.Approval, a.FallbackURL, err, Yes)
	}
	return a
}

// Polls for the outcome keep the provider's pace, and continue while someone
// looks.
func TestFallback(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}, {err: pending}, {}}
		a := w.fallback()
		page := w.watch(w.m, a.ID)
		time.Sleep(time.Minute)
		w.want(a, Approved)
		w.wantPollTimes(0, pace, 2*pace)
		w.wantLastSeen(page, Approved)
	})
}

func TestFallbackWithNobodyWatching(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}}
		w.fallback()
		time.Sleep(time.Minute)
		if n := len(w.provider.pollTimes()); n > 3 {
			w.Errorf("%d polls in a minute in which nobody looked", n)
		}
	})
}

// What is approved on the provider's page counts only for the person who
// approved on ours.
func TestFallbackByAnotherPerson(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{person: mallory}}
		a := w.fallback()
		w.watch(w.m, a.ID)
		time.Sleep(time.Minute)
		w.wantEnd(a, Failed, ReasonOtherPerson)
		w.provider.wantRevoked(1)
	})
}

func TestNoInsteadOfFallback(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.fallback()
		if got, err := w.no(a); err != nil || got.State != Denied {
			w.Errorf("No: %s, %v, want %s", got.State, err, Denied)
		}
	})
}

// While it is unknown whether the provider approved, the person can
// approve again or use the provider's page.
func TestFallbackWhileUnknown(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.page = fallbackPage
		w.provider.approvals = script{{err: &idp.Error{Status: 502}}, {}}
		w.provider.polls = script{{err: pending}, {}}
		a := w.open(w.start())
		got, err := w.yes(a)
		if !errors.Is(err, ErrNoAnswer) || got.Approval != ApprovalUnknown || got.FallbackURL != fallbackPage {
			w.Errorf("Yes: approval %s, fallback %q, %v; want %v and the page beside the question", got.Approval, got.FallbackURL, err, ErrNoAnswer)
		}
		if got, err = w.yes(a); err != nil || got.FallbackURL != "" {
			w.Errorf("Yes again: fallback %q, %v; want it confirmed", got.FallbackURL, err)
		}
	})
}

// A person who comes back to the question may approve again after a refusal,
// for example with a renewed access token.
func TestApproveAgainAfterARefusal(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.fallback()
		w.provider.set(func(p *provider) { p.approvals, p.polls = script{{}}, script{{err: pending}} })
		if got, err := w.yes(a); err != nil || got.Approval != ApprovalConfirmed || got.FallbackURL != "" {
			w.Errorf("Yes again: approval %s, fallback %q, %v; want it confirmed", got.Approval, got.FallbackURL, err)
		}
	})
}
