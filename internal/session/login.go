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
	// A browser that disconnects must not leave a login without a cookie behind.
	ctx := context.WithoutCancel(r.Context())
	old, err := m.lookUp(r)
	if err != nil {
		return err
	}
	id, now := rand.Text(), time.Now()
	made := Session{ID: id, Ref: newRef(), Person: person, Tokens: tokens, By: ByProvider, Began: now, Browser: m.browserOf(r)}
	m.limit(&made)
	if old.Person.Is(person) {
		made.Name = old.Name // even if the old session is over
	}
	sameDevice := old.live(now) && old.Person.Is(person)
	err = m.store.Atomically(ctx, func(ctx context.Context) error {
		s := made
		l, err := m.list(ctx, person)
		if err != nil {
			return err
		}
		// If the old session was ended after it was read, its vouchers are
		// broken, and must stay broken.
		if sameDevice && len(l.withRef(old.Ref)) > 0 {
			s.Ref = old.Ref
		}
		if err := m.endOld(ctx, old); err != nil {
			return err
		}
		if err := m.sessions.CreateAs(ctx, id, s); err != nil {
			return err
		}
		m.store.After(ctx, func() { m.started(s) })
		return m.enlist(ctx, s)
	})
	if err != nil {
		return err
	}
	return m.cookie.Write(w, r, cookies.Values{"id": id})
}

// MakePublic shortens a session that was just claimed on a public computer: it
// ends after [PublicIdle] without a request, and its cookie ends with the browser.
// Nothing extends it again; a login at the provider creates a new session.
func (m *Manager) MakePublic(ctx context.Context, id string) error {
	_, err := m.update(ctx, id, func(s *Session) error {
		if s.hasPerson() {
			s.Public, s.Idle = true, min(s.Idle, PublicIdle)
		}
		return nil
	})
	return err
}

// SetCookie gives the browser the session that it has just claimed, and ends its
// previous one. On a public computer, the cookie ends when the browser is closed.
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
	s, err := m.get(r.Context(), id)
	if err != nil {
		return err
	}
	write := m.cookie.Write
	if s.Public {
		write = m.cookie.WriteUntilClosed
	}
	return write(w, r, cookies.Values{"id": id})
}

// Logout ends the session of the browser that sent r, revokes its tokens, and
// returns what it was. If the store fails, the cookie stays: it is needed to
// try again.
func (m *Manager) Logout(w http.ResponseWriter, r *http.Request) (was Session, err error) {
	s, err := m.lookUp(r)
	if err != nil {
		return Session{}, err
	}
	if s.live(time.Now()) {
		if was, err = m.endDevice(r.Context(), s.Person, s.Ref, ""); err != nil {
			return Session{}, err
		}
	}
	m.cookie.Clear(w)
	return was, nil
}

// endOld ends the session that a login replaces, if there is one.
func (m *Manager) endOld(ctx context.Context, old Session) error {
	if !old.hasPerson() {
		return nil
	}
	_, err := m.endOne(ctx, old.Person, old.ID, "")
	return err
}

func newRef() string { return rand.Text()[:8] }
