package devicegrant

import (
	"context"
	"errors"

	"changebank/internal/idp"
	"changebank/internal/store"
)

// Cancel ends an attempt from the laptop's side, if it has not ended yet.
func (m *Manager) Cancel(ctx context.Context, id string) error {
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

// Claim hands an approved attempt's person and tokens to give, which makes a
// session of them and returns its identifier. Of several claims at once one
// wins; the others, and later ones, get the winner's identifier too, so that
// an answer that was lost on the way can be repeated. claimed tells whether
// it was give's: if not, the caller discards what give made.
func (m *Manager) Claim(ctx context.Context, id string, give func(idp.Person, idp.Tokens) (session string, err error)) (session string, claimed bool, err error) {
	if _, err := m.Get(ctx, id); err != nil { // which ends it if it is too late
		return "", false, err
	}
	r, err := m.attempts.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return "", false, ErrNone
	}
	if err != nil {
		return "", false, err
	}
	if r.State == Claimed {
		return r.Session, false, nil
	}
	if r.State != Approved {
		return "", false, ErrNotApproved
	}
	// The session first: a crash in between costs a record that is forgotten
	// in time, and not the login.
	made, err := give(r.Person, r.Tokens)
	if err != nil {
		return "", false, err
	}
	_, err = m.update(ctx, id, func(r *record) error {
		session, claimed = r.Session, false
		if r.State == Claimed {
			return nil
		}
		if r.to(Claimed) != nil {
			return ErrNotApproved
		}
		session, claimed = made, true
		r.Session = made
		return nil
	})
	if err != nil {
		return "", false, err
	}
	return session, claimed, nil
}
