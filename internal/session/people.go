package session

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"time"

	"changebank/internal/idp"
	"changebank/internal/store"
)

var (
	// ErrUnknown says that the person has no session of that name: none ever
	// had it, it is another person's, or it ended before their last login.
	ErrUnknown = errors.New("session: the person has no such session")
	// ErrOver says that the session has ended already.
	ErrOver = errors.New("session: it has ended already")
	// ErrUnconfirmed says that a session cannot answer for another one, because
	// nobody has answered for it yet.
	ErrUnconfirmed = errors.New("session: it is not confirmed itself")
)

const (
	maxSessions   = 100             // of one person; the oldest end
	revokeTimeout = 3 * time.Second // how long who ends sessions waits for their tokens to be revoked
)

// list names a person's sessions, the oldest first, since a store cannot be
// asked whose its records are. Whatever lives is in it; what is in it need not live.
type list struct {
	Sessions []entry
	Until    time.Time // all of them are over then
}

type entry struct {
	ID    string // empty: it was ended, and stays until the next login so that to end it twice is no error
	Ref   string
	Began time.Time
}

// KeepUntil implements [store.Record].
func (l list) KeepUntil() time.Time { return l.Until }

// listOf returns the identifier of a person's list.
func listOf(person idp.Person) string { return person.Issuer + "\x00" + person.Subject }

// Unconfirmed reports whether the session came of a phone's yes that no other
// session of the person has confirmed: the phone may have been tricked.
func (s Session) Unconfirmed() bool { return s.By == ByPhone && !s.Confirmed }

// Of returns the live sessions of a person, the newest first, without their
// secrets.
func (m *Manager) Of(ctx context.Context, person idp.Person) ([]Session, error) {
	entries, err := m.entries(ctx, person)
	if err != nil {
		return nil, err
	}
	var sessions []Session
	for _, e := range entries {
		s, err := m.table.Get(ctx, e.ID)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if s.live(time.Now()) && s.LoggedIn() {
			s.Tokens, s.Flows = idp.Tokens{}, nil
			sessions = append(sessions, s)
		}
	}
	slices.SortFunc(sessions, func(a, b Session) int {
		return cmp.Or(b.Began.Compare(a.Began), cmp.Compare(a.Ref, b.Ref))
	})
	return sessions, nil
}

// End ends the session that is called ref, in the name of the session by of
// the same person, and returns what it was. Its browser is logged out at its
// next request, and its tokens are revoked. It returns [ErrUnknown] or
// [ErrOver] if there is nothing to end, and [ErrUnconfirmed] to a session that
// is itself in question: whoever tricked a phone would log out that phone first.
func (m *Manager) End(ctx context.Context, by Session, ref string) (Session, error) {
	if by.Unconfirmed() {
		return Session{}, ErrUnconfirmed
	}
	e, err := m.entry(ctx, by, ref)
	if err != nil {
		return Session{}, err
	}
	ended, err := m.end(ctx, by, []entry{e})
	if err != nil {
		return Session{}, err
	}
	if len(ended) == 0 {
		return Session{}, ErrOver
	}
	return ended[0], nil
}

// EndOthers ends all sessions of by's person but by itself, and returns how
// many there were. It returns [ErrUnconfirmed] as End does.
func (m *Manager) EndOthers(ctx context.Context, by Session) (int, error) {
	if by.Unconfirmed() {
		return 0, ErrUnconfirmed
	}
	entries, err := m.entries(ctx, *by.Person)
	if err != nil {
		return 0, err
	}
	ended, err := m.end(ctx, by, slices.DeleteFunc(entries, func(e entry) bool { return e.Ref == by.Ref }))
	return len(ended), err
}

// Confirm notes that the session called ref, which came of a phone's yes, is
// the person's, as the session by says. A session that is itself unconfirmed
// has no say, and gets [ErrUnconfirmed]: whoever tricked a phone into logging
// in a laptop would answer for that laptop, or have a second one do it.
func (m *Manager) Confirm(ctx context.Context, by Session, ref string) error {
	if by.Unconfirmed() {
		return ErrUnconfirmed
	}
	e, err := m.entry(ctx, by, ref)
	if err != nil {
		return err
	}
	_, err = m.table.Update(ctx, e.ID, func(s *Session) error {
		if !s.live(time.Now()) || !s.LoggedIn() {
			return ErrOver
		}
		s.Confirmed = true
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return ErrOver
	}
	return err
}

// WasEnded reports whether another session has ended the one of the browser
// that sent r.
func (m *Manager) WasEnded(r *http.Request) (bool, error) {
	s, err := m.lookUp(r)
	return s.Ended && time.Now().Before(s.KeepUntil()), err
}

// entries returns those of a person's list that were not ended.
func (m *Manager) entries(ctx context.Context, person idp.Person) ([]entry, error) {
	l, err := m.people.Get(ctx, listOf(person))
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	return slices.DeleteFunc(l.Sessions, func(e entry) bool { return e.ID == "" }), err
}

// entry finds a session of by's person by its name. Other people's sessions
// are not even looked for.
func (m *Manager) entry(ctx context.Context, by Session, ref string) (entry, error) {
	l, err := m.people.Get(ctx, listOf(*by.Person))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return entry{}, err
	}
	i := slices.IndexFunc(l.Sessions, func(e entry) bool { return e.Ref == ref })
	switch {
	case i < 0:
		return entry{}, ErrUnknown
	case l.Sessions[i].ID == "":
		return entry{}, ErrOver
	}
	return l.Sessions[i], nil
}

// enlist adds a session to its person's list, and drops what is over.
func (m *Manager) enlist(ctx context.Context, person idp.Person, e entry) (list, error) {
	add := func(l *list) error {
		over := time.Now().Add(-lifetime)
		l.Sessions = slices.DeleteFunc(l.Sessions, func(e entry) bool { return e.ID == "" || e.Began.Before(over) })
		l.Sessions = append(l.Sessions, e)
		l.Until = time.Now().Add(lifetime)
		return nil
	}
	for {
		l, err := m.people.Update(ctx, listOf(person), add)
		if !errors.Is(err, store.ErrNotFound) {
			return l, err
		}
		l = list{}
		_ = add(&l) // has no error
		if err := m.people.CreateAs(ctx, listOf(person), l); !errors.Is(err, store.ErrExists) {
			return l, err
		}
	}
}

// makeRoom strikes off a list that is too long what is over. If too much lives,
// the oldest end, as if by had ended them.
func (m *Manager) makeRoom(ctx context.Context, by Session, l list) error {
	var over []string
	var live []entry
	for _, e := range l.Sessions {
		s, err := m.table.Get(ctx, e.ID)
		switch {
		case errors.Is(err, store.ErrNotFound) && time.Since(e.Began) < time.Minute:
			live = append(live, e) // its login may be between the list and the session
		case errors.Is(err, store.ErrNotFound), err == nil && !s.live(time.Now()):
			over = append(over, e.ID)
		case err != nil:
			return err
		default:
			live = append(live, e)
		}
	}
	m.strike(ctx, *by.Person, over...)
	if extra := len(live) - maxSessions; extra > 0 {
		_, err := m.end(ctx, by, live[:extra])
		return err
	}
	return nil
}

// strike marks sessions as ended in their person's list. The sessions are gone
// by then, so that a fault here is worth no more than a line in the log.
func (m *Manager) strike(ctx context.Context, person idp.Person, ids ...string) {
	_, err := m.people.Update(ctx, listOf(person), func(l *list) error {
		for i := range l.Sessions {
			if slices.Contains(ids, l.Sessions[i].ID) {
				l.Sessions[i].ID = ""
			}
		}
		return nil
	})
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		m.log.Warn("sessions that have ended could not be struck off a list", "person", person, "err", err)
	}
}

// end ends some sessions of by's person, and returns those that were alive.
func (m *Manager) end(ctx context.Context, by Session, entries []entry) (ended []Session, err error) {
	// Who leaves in the middle still wants it.
	ctx = context.WithoutCancel(ctx)
	var over []string
	for _, e := range entries {
		var was Session
		if was, err = m.bury(ctx, e.ID); err != nil && !errors.Is(err, store.ErrNotFound) {
			break
		}
		switch {
		case err == nil:
			ended, over = append(ended, was), append(over, e.ID)
			m.log.Info("session ended", "ref", e.Ref, "by", by.Ref, "person", *by.Person)
		case time.Since(e.Began) >= idle:
			over = append(over, e.ID)
		default:
			// Perhaps its login is just being written: to strike it off would
			// leave a session that is in no list.
		}
		err = nil
	}
	if len(over) > 0 {
		m.strike(ctx, *by.Person, over...)
	}
	m.revokeAll(ctx, ended)
	return ended, err
}

// bury puts a tombstone in the place of a live session, so that its browser
// can be told why it is logged out. Tokens that are being refreshed at this
// moment find it and are revoked.
func (m *Manager) bury(ctx context.Context, id string) (was Session, err error) {
	_, err = m.table.Update(ctx, id, func(s *Session) error {
		now := time.Now()
		if !s.live(now) || !s.LoggedIn() {
			return store.ErrNotFound
		}
		was = *s
		*s = Session{Began: now, Ended: true}
		return nil
	})
	return was, err
}

// revokeAll ends the tokens of sessions that are over, as well as it can:
// without our secret and the store nobody could use them anyway.
func (m *Manager) revokeAll(ctx context.Context, sessions []Session) {
	if m.revoke == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	var all sync.WaitGroup
	for _, s := range sessions {
		all.Go(func() {
			if err := m.revoke(ctx, s.Tokens); err != nil {
				m.log.Warn("the tokens of an ended session could not be revoked", "ref", s.Ref, "err", err)
			}
		})
	}
	all.Wait()
}
