package session

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/store"
)

// repeatWindow is how long a claim can be repeated, because the answer that
// carried the cookie may have been lost.
const repeatWindow = time.Minute

// errBroken says that a voucher no longer holds.
var errBroken = errors.New("session: voucher broken")

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
func (m *Manager) Vouched(ctx context.Context, person idp.Person, voucher string) (bool, error) {
	ref, generation := readVoucher(voucher)
	var checked []entry
	for {
		l, err := m.list(ctx, person)
		if err != nil {
			return false, err
		}
		entries := l.withRef(ref)
		if l.Generation != generation || slices.Equal(entries, checked) {
			return false, nil
		}
		for _, e := range entries {
			s, err := m.get(ctx, e.ID)
			if err != nil || s.live(time.Now()) {
				return err == nil, err
			}
		}
		// A new login may have replaced the session after the list was read. It
		// is listed before the old one ends, so it is on the list by now.
		checked = entries
	}
}

// CreatePending makes the session that a phone approved, under an ID that the
// caller chose, and puts it on the person's list. The session waits for
// [Manager.Activate] for [ClaimWindow]. After a crash or an error the call can be
// repeated.
//
// It reports false if the voucher no longer holds, or if the session was ended
// before: it does not come back. Then nothing pending is left, and the tokens
// are the caller's to revoke. An empty voucher checks nothing: it is for a
// provider's own page, where no session of ours approves.
func (m *Manager) CreatePending(ctx context.Context, id string, person idp.Person, tokens idp.Tokens, laptop browser.Browser, voucher string) (bool, error) {
	s, err := m.createOrRenew(ctx, id, Session{
		Ref: newRef(), Person: person, Tokens: tokens, By: ByPhone, Pending: true, Began: time.Now(), Browser: laptop,
	})
	if err != nil || !s.Pending {
		return s.LoggedIn(), err // claimed already, or ended
	}
	l, err := m.enlist(ctx, person, func(l *list) error {
		if _, generation := readVoucher(voucher); voucher != "" && generation != l.Generation {
			return errBroken
		}
		l.add(entryOf(s))
		return nil
	})
	switch {
	case errors.Is(err, errBroken):
		return false, m.withdraw(ctx, id)
	case err != nil:
		return false, err
	}
	if voucher != "" {
		// The session that approved may have been logged out until just now.
		switch holds, err := m.Vouched(ctx, person, voucher); {
		case err != nil:
			return false, err
		case !holds:
			return false, m.withdraw(ctx, id)
		}
	}
	m.evictOldest(ctx, person, l, s.Ref)
	return true, nil
}

// createOrRenew stores a pending session. If an earlier try was cut short, it
// returns what that one has left, with a new claim window.
func (m *Manager) createOrRenew(ctx context.Context, id string, s Session) (Session, error) {
	err := m.sessions.CreateAs(ctx, id, s)
	if errors.Is(err, store.ErrExists) {
		return m.update(ctx, id, func(stored *Session) error {
			if stored.Pending {
				stored.Began = s.Began
			}
			return nil
		})
	}
	return found(id, s, err)
}

// withdraw removes a pending session, without a tombstone: the person may
// approve it again.
func (m *Manager) withdraw(ctx context.Context, id string) error {
	_, err := m.update(ctx, id, func(s *Session) error {
		if s.Pending {
			*s = Session{Began: time.Unix(0, 0)} // long expired: the store forgets it at once
		}
		return nil
	})
	return err
}

// Activate is the claim, after [Manager.CreatePending] has reported true: the
// session goes live, once. The caller decides which browser may claim it. As
// long as nobody has used the session, the same browser may repeat the claim
// for a minute, because the answer with the cookie may have been lost. Activate
// reports false if the session is gone, ended or in use, or if another browser
// has claimed it.
func (m *Manager) Activate(ctx context.Context, id string, laptop browser.Browser) (bool, error) {
	s, err := m.get(ctx, id)
	if err != nil {
		return false, err
	}
	// A crash may have left a pending session that is not listed. A listed one
	// stays listed until it ends.
	l, err := m.list(ctx, s.Person)
	if err != nil || !l.has(id) {
		return false, err
	}
	live := false
	s, err = m.update(ctx, id, func(s *Session) error {
		now := time.Now()
		live = false
		switch {
		case !s.valid(now):
			return store.ErrNotFound
		case s.Pending:
			live = true
			s.Pending, s.Began, s.Browser = false, now, laptop
		case !s.Seen.IsZero() || now.Sub(s.Began) >= repeatWindow || !sameBrowser(s.Browser, laptop):
			return store.ErrNotFound
		}
		return nil
	})
	if err == nil && live {
		m.started(s)
	}
	return s.LoggedIn(), err
}

// sameBrowser reports whether two requests seem to come from one browser: a
// stolen cookie of the QR page must not get the session elsewhere.
func sameBrowser(a, b browser.Browser) bool {
	return a.Agent == b.Agent && (a.Addr == b.Addr || browser.Near(a, b, false))
}

// Discard ends a session that no browser has used, because its attempt ended,
// and revokes its tokens. A session that is gone or in use is left alone.
func (m *Manager) Discard(ctx context.Context, id string) error {
	s, err := m.get(ctx, id)
	if err != nil || !s.hasPerson() || !s.Seen.IsZero() {
		return err
	}
	_, err = m.end(ctx, s.Person, []entry{entryOf(s)}, "")
	return err
}
