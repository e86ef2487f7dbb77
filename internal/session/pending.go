package session

import (
	"context"
	"errors"
	"strings"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/store"
)

// repeatWindow is how long a claim can be repeated, because the answer that
// carried the cookie may have been lost.
const repeatWindow = time.Minute

// Voucher returns a text by which [Manager.Vouched] knows s again: its Ref, and
// the generation of its person's list. It returns [ErrOver] if s has ended.
func (m *Manager) Voucher(ctx context.Context, s Session) (string, error) {
	l, err := m.list(ctx, s.Person)
	if err != nil {
		return "", err
	}
	if !l.has(s.ID) {
		return "", ErrOver // never an empty voucher, which checks nothing
	}
	return s.Ref + " " + l.Generation, nil
}

func readVoucher(voucher string) (ref, generation string) {
	ref, generation, _ = strings.Cut(voucher, " ")
	return ref, generation
}

// Vouched reports whether the session that voucher was made for is still
// person's and logged in, and nobody has logged out all the person's other
// sessions since.
func (m *Manager) Vouched(ctx context.Context, person idp.Person, voucher string) (holds bool, err error) {
	ref, generation := readVoucher(voucher)
	err = m.store.Atomically(ctx, func(ctx context.Context) error { // or a new login could replace the session in between
		holds = false
		l, err := m.list(ctx, person)
		if err != nil || l.Generation != generation {
			return err
		}
		for _, e := range l.withRef(ref) {
			s, err := m.get(ctx, e.ID)
			if err != nil {
				return err
			}
			holds = holds || s.live(time.Now())
		}
		return nil
	})
	return holds && err == nil, err
}

// CreatePending makes the session that a phone approved, under an ID that the
// caller chose, and puts it on the person's list. The session waits for
// [Manager.Activate] for [ClaimWindow]. The call can be repeated.
//
// It reports false if the voucher no longer holds, or if the session was ended
// before: it does not come back. Then nothing pending is left, and the tokens
// are the caller's to revoke. An empty voucher checks nothing: it is for a
// provider's own page, where no session of ours approves.
func (m *Manager) CreatePending(ctx context.Context, id string, person idp.Person, tokens idp.Tokens, laptop browser.Browser, voucher string) (made bool, err error) {
	err = m.store.Atomically(ctx, func(ctx context.Context) error {
		made = false
		s, err := m.get(ctx, id)
		if err != nil {
			return err
		}
		if s.ID != "" && !s.Pending {
			made = s.LoggedIn() // claimed already, or ended
			return nil
		}
		if voucher != "" {
			holds, err := m.Vouched(ctx, person, voucher)
			if err != nil || !holds {
				return errors.Join(err, m.withdraw(ctx, s))
			}
		}
		if !s.Pending {
			s = Session{ID: id, Ref: newRef(), Person: person, Tokens: tokens, By: ByPhone, Pending: true, Browser: laptop}
		}
		m.limit(&s)
		s.Began = time.Now() // a new claim window, if an earlier try was cut short
		_, err = m.sessions.Upsert(ctx, id, func(stored *Session) error {
			*stored = s
			return nil
		})
		if err != nil {
			return err
		}
		made = true
		return m.enlist(ctx, s)
	})
	return made && err == nil, err
}

// withdraw removes a pending session, if there is one, without a tombstone: the
// person may approve it again.
func (m *Manager) withdraw(ctx context.Context, s Session) error {
	if !s.Pending {
		return nil
	}
	if _, err := m.sessions.Delete(ctx, s.ID); err != nil {
		return err
	}
	return m.unlist(ctx, s.Person, s.ID)
}

// Activate is the claim, after [Manager.CreatePending] has reported true: the
// session goes live, once. The caller decides which browser may claim it. As
// long as nobody has used the session, the same browser may repeat the claim
// for a minute, because the answer with the cookie may have been lost. Activate
// reports false if the session is gone, ended or in use, or if another browser
// has claimed it.
func (m *Manager) Activate(ctx context.Context, id string, laptop browser.Browser) (bool, error) {
	live := false
	s, err := m.update(ctx, id, func(s *Session) error {
		now := time.Now()
		live = false
		switch {
		case !s.valid(now):
			return store.ErrNotFound
		case s.Pending:
			live = true
			s.Pending, s.Began, s.Browser = false, now, laptop
		case !s.Seen.IsZero() || now.Sub(s.Began) >= repeatWindow || !browser.Same(s.Browser, laptop):
			return store.ErrNotFound
		}
		return nil
	})
	if err == nil && live && s.LoggedIn() {
		m.store.After(ctx, func() { m.started(s) })
	}
	return s.LoggedIn(), err
}

// Discard ends a session that no browser has used, because its attempt ended,
// and revokes its tokens. A session that is gone or in use is left alone.
func (m *Manager) Discard(ctx context.Context, id string) error {
	return m.store.Atomically(ctx, func(ctx context.Context) error {
		s, err := m.get(ctx, id)
		if err != nil || !s.hasPerson() || !s.Seen.IsZero() {
			return err
		}
		_, err = m.endOne(ctx, s.Person, id, "")
		return err
	})
}
