package session

import (
	"context"
	"crypto/rand"
	"net/http"
	"time"

	"changebank/internal/cookies"
	"changebank/internal/idp"
)

// LogIn logs in the browser that sent r, after a login at the provider. The
// browser gets a session with a new ID, and the one that it had ends, so that
// nobody who planted or saw the old cookie is logged in along with the person
// (session fixation). If the old session was the same person's, the new one
// keeps its Ref: it is the same device, and vouchers follow it.
//
// If LogIn fails, the browser keeps what it had and the tokens are revoked.
func (m *Manager) LogIn(w http.ResponseWriter, r *http.Request, person idp.Person, tokens idp.Tokens) (err error) {
	defer func() {
		if err != nil {
			m.revoke(tokens)
		}
	}()
	// A browser that disconnects must not leave half a login behind.
	ctx := context.WithoutCancel(r.Context())
	old, err := m.lookUp(r)
	if err != nil {
		return err
	}
	id, now := rand.Text(), time.Now()
	made := Session{Ref: newRef(), Person: person, Tokens: tokens, By: ByProvider, Pending: true, Began: now, Browser: m.browserOf(r)}
	if err := m.sessions.CreateAs(ctx, id, made); err != nil {
		return err
	}
	ref := made.Ref
	sameDevice := old.live(now) && old.Person.Is(person)
	l, err := m.enlist(ctx, person, func(l *list) error {
		// If the old session was ended after it was read, its vouchers are
		// broken, and must stay broken.
		if ref = made.Ref; sameDevice && len(l.withRef(old.Ref)) > 0 {
			ref = old.Ref
		}
		l.add(entry{ID: id, Ref: ref, Began: now, SID: tokens.SID})
		return nil
	})
	if err != nil {
		return err
	}
	// If another device has ended it already, the tombstone stays. The browser
	// gets its cookie all the same, and is told why it is logged out.
	live := false
	s, err := m.update(ctx, id, func(s *Session) error {
		if live = s.Pending; live {
			s.Ref, s.Pending, s.Began = ref, false, time.Now()
		}
		return nil
	})
	if err != nil {
		return err
	}
	if live {
		m.started(s)
	}
	// Only when the new session is live: a voucher needs one of the two.
	if err := m.endOld(ctx, old); err != nil {
		return err
	}
	m.evictOldest(ctx, person, l, ref)
	return m.setCookie(w, r, id)
}

// SetCookie gives the browser the session that it has just claimed, in place of
// the one that it had, which ends.
func (m *Manager) SetCookie(w http.ResponseWriter, r *http.Request, id string) error {
	old, err := m.lookUp(r)
	if err != nil {
		return err
	}
	if old.ID != id {
		if err := m.endOld(r.Context(), old); err != nil {
			return err
		}
	}
	return m.setCookie(w, r, id)
}

// Logout ends the session of the browser that sent r, revokes its tokens, and
// returns what it was. If the store fails, the cookie stays: it is needed to
// try again.
func (m *Manager) Logout(w http.ResponseWriter, r *http.Request) (Session, error) {
	s, err := m.lookUp(r)
	if err != nil {
		return Session{}, err
	}
	if !s.live(time.Now()) {
		m.cookie.Clear(w)
		return Session{}, nil
	}
	ended, err := m.endDevice(r.Context(), s.Person, entryOf(s), "")
	if err != nil {
		return Session{}, err
	}
	m.cookie.Clear(w)
	if len(ended) == 0 {
		return Session{}, nil // another request ended it first
	}
	return ended[0], nil
}

// endOld ends the session that a login replaces, if there is one.
func (m *Manager) endOld(ctx context.Context, old Session) error {
	if !old.hasPerson() {
		return nil
	}
	_, err := m.end(ctx, old.Person, []entry{entryOf(old)}, "")
	return err
}

func (m *Manager) setCookie(w http.ResponseWriter, r *http.Request, id string) error {
	return m.cookie.Write(w, r, cookies.Values{"id": id})
}

func newRef() string { return rand.Text()[:8] }
