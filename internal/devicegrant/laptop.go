package devicegrant

import (
	"context"
	"crypto/subtle"
	"errors"

	"changebank/internal/browser"
)

// CheckLaptop is [Manager.Refresh] for a request with the laptop's cookie.
// Until the approval the laptop may come from wherever it is now, and the
// question says from where. After it, the answer stands for the browser that it
// was given about: the cookie may have been stolen, so another User-Agent, or a
// network that was not shown, ends the attempt.
func (m *Manager) CheckLaptop(ctx context.Context, id string, laptop browser.Browser) (Attempt, error) {
	a, err := m.Refresh(ctx, id)
	return m.checkLaptop(ctx, a, err, laptop)
}

// CheckHidden is [Manager.CheckLaptop] for a page that nobody sees, such as one
// in a background tab. Polls that are made only while someone looks do not
// depend on it.
func (m *Manager) CheckHidden(ctx context.Context, id string, laptop browser.Browser) (Attempt, error) {
	a, err := m.refresh(ctx, id, false)
	return m.checkLaptop(ctx, a, err, laptop)
}

// checkLaptop compares the laptop with a, which was just read unless err says
// otherwise.
func (m *Manager) checkLaptop(ctx context.Context, a Attempt, err error, laptop browser.Browser) (Attempt, error) {
	if err != nil || a.Laptop == laptop || a.State.Ended() {
		return a, err
	}
	return m.update(ctx, a.ID, func(r *record) error {
		switch {
		case r.State.Ended(), r.ProviderPage && r.State == Approved:
		case !r.State.Answered():
			r.moveLaptop(laptop)
		case !r.isLaptop(laptop, m.cfg.Local):
			r.Laptop = laptop // for the log
			return r.fail(ReasonMoved)
		}
		return nil
	})
}

// Confirm is the laptop typing the number. [ErrWrongNumber] leaves it another
// try. The last wrong one ends the attempt, and so does a phone that was logged
// out. After the right one the tokens are redeemed.
func (m *Manager) Confirm(ctx context.Context, id, number string) (Attempt, error) {
	r, err := m.get(ctx, id)
	if err != nil {
		return Attempt{}, err
	}
	if r.State == Number {
		// A broken voucher has ended the attempt, and the update below returns it.
		if _, err := m.vouched(ctx, id, r); err != nil {
			return Attempt{}, err
		}
	}
	var mine record
	wrong, held := false, false
	a, err := m.update(ctx, id, func(r *record) error {
		wrong, held = false, false
		if r.State != Number {
			return nil // typed in another tab, or too late
		}
		if subtle.ConstantTimeCompare([]byte(number), []byte(r.Number)) == 1 {
			err := r.to(Yes)
			mine, held = m.takeLease(r)
			return err
		}
		wrong = true
		if r.Tries++; r.Tries >= m.cfg.Limits.WrongNumbers {
			return r.fail(ReasonNumber)
		}
		return nil
	})
	if err != nil {
		return a, err
	}
	if wrong {
		m.logStep("number wrong", a)
	}
	if wrong && a.State == Number {
		return a, ErrWrongNumber
	}
	if a.State == Yes {
		m.startPoller(id)
		if held {
			m.pollNow(id, mine)
		}
	}
	return a, nil
}

// TriesLeft returns how many numbers may still be typed.
func (m *Manager) TriesLeft(a Attempt) int { return max(0, m.cfg.Limits.WrongNumbers-a.Tries) }

// Shows reports whether the attempt has that user code and has not ended: a browser
// with its ID shows the code itself. An empty ID or code matches nothing.
func (m *Manager) Shows(ctx context.Context, id, userCode string) (bool, error) {
	if id == "" || userCode == "" {
		return false, nil
	}
	a, err := m.Refresh(ctx, id)
	if errors.Is(err, ErrNone) {
		return false, nil
	}
	return err == nil && !a.State.Ended() && Fold(a.UserCode) == Fold(userCode), err
}

// Cancel ends an attempt from the laptop's side, if it has not ended yet.
func (m *Manager) Cancel(ctx context.Context, id string) error {
	ctx = context.WithoutCancel(ctx) // a person who closes the tab still wants it
	_, err := m.update(ctx, id, func(r *record) error {
		if r.State.Ended() {
			return nil
		}
		return r.to(Cancelled)
	})
	if errors.Is(err, ErrNone) {
		return nil
	}
	return err
}

// Claim gives the laptop its session: it makes the pending one live and returns
// its ID, for the laptop's cookie. Several claims at once, and one that is
// repeated because its answer was lost, get the same session for a moment, as
// long as nobody has used it. After that the error is [ErrClaimed].
// [ErrNotApproved] says that there is nothing to claim, or no longer. Other
// errors are the store's, and the claim can be repeated.
func (m *Manager) Claim(ctx context.Context, id string, laptop browser.Browser) (session string, err error) {
	if _, err := m.CheckLaptop(ctx, id, laptop); err != nil {
		return "", err
	}
	var refused error
	err = m.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		session, refused = m.claim(ctx, id, laptop)
		if errors.Is(refused, ErrNotApproved) || errors.Is(refused, ErrClaimed) {
			return nil // commit: claim may have noted the reason
		}
		return refused
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return "", err
	}
	return session, nil
}

func (m *Manager) claim(ctx context.Context, id string, laptop browser.Browser) (session string, err error) {
	r, err := m.get(ctx, id)
	if err != nil {
		return "", err
	}
	switch r.State {
	case Claimed: // and the answer may have been lost
	case Approved:
		if ok, err := m.vouched(ctx, id, r); err != nil {
			return "", err
		} else if !ok {
			return "", ErrNotApproved
		}
	default:
		if r.State.Ended() {
			// It may have ended while the session went live. A laptop must not be
			// logged in after a denial.
			m.discard(ctx, r)
		}
		return "", ErrNotApproved
	}
	live, err := m.cfg.Sessions.Activate(ctx, r.Session, laptop)
	if err != nil {
		return "", err
	}
	a, err := m.update(ctx, id, func(r *record) error {
		switch {
		case r.State.Ended():
			return nil
		case !live:
			return r.fail(ReasonSessionEnded)
		}
		return r.to(Claimed)
	})
	switch {
	case errors.Is(err, ErrNone), err == nil && a.State != Claimed:
		m.discard(ctx, r)
		return "", ErrNotApproved
	case err != nil:
		return "", err
	case !live:
		return "", ErrClaimed
	}
	return r.Session, nil
}
