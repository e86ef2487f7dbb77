package session

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"time"

	"changebank/internal/idp"
	"changebank/internal/store"
)

const (
	maxSessions = 100                    // of one person; then the oldest end
	listedFor   = lifetime + ClaimWindow // longer than any session lasts
)

// list names a person's sessions, the oldest first, because a store cannot be
// searched. Every live session is listed; a listed session may have ended.
type list struct {
	Generation string // random, and another one after EndOthers
	Entries    []entry
	Until      time.Time // when all of them are over
}

type entry struct {
	// ID is empty if the session was ended. Such an entry stays until the next
	// login, so that ending a session twice returns ErrOver.
	ID    string
	Ref   string // two entries share it while a new login replaces a session
	Began time.Time
	// SID is the provider's name of its own session that the login belongs to, if
	// a back-channel logout may name it.
	SID string `json:",omitzero"`
	// Unconfirmed repeats that of the session, so that nobody must read all of
	// a person's sessions to find those to ask about.
	Unconfirmed bool `json:",omitzero"`
}

func entryOf(s Session) entry {
	return entry{ID: s.ID, Ref: s.Ref, Began: s.Began, SID: s.Tokens.SID, Unconfirmed: s.Unconfirmed()}
}

// KeepUntil implements [store.Record].
func (l list) KeepUntil() time.Time { return l.Until }

// open returns the entries of the sessions that were not ended.
func (l list) open() []entry {
	return slices.DeleteFunc(slices.Clone(l.Entries), func(e entry) bool { return e.ID == "" })
}

// withRef returns the open entries with that Ref.
func (l list) withRef(ref string) []entry {
	return slices.DeleteFunc(l.open(), func(e entry) bool { return e.Ref != ref })
}

func (l list) has(id string) bool {
	return slices.ContainsFunc(l.open(), func(e entry) bool { return e.ID == id })
}

// add puts a session at the end, and drops what is over.
func (l *list) add(added entry) {
	now := time.Now()
	l.Entries = slices.DeleteFunc(l.open(), func(e entry) bool {
		return e.ID == added.ID || now.Sub(e.Began) >= listedFor
	})
	l.Entries = append(l.Entries, added)
	l.Until = now.Add(listedFor)
}

// key returns the key of a person's list.
func key(person idp.Person) string { return person.Issuer + "\x00" + person.Subject }

// list returns a person's list, an empty one if there is none.
func (m *Manager) list(ctx context.Context, person idp.Person) (list, error) {
	l, err := m.lists.Get(ctx, key(person))
	if errors.Is(err, store.ErrNotFound) {
		return list{}, nil
	}
	return l, err
}

// enlist adds a session to a person's list, and makes the list if there is none.
// add may run more than once, and refuse with an error.
func (m *Manager) enlist(ctx context.Context, person idp.Person, add func(*list) error) (list, error) {
	l, err := m.lists.Upsert(ctx, key(person), func(l *list) error {
		if l.Generation == "" { // there was none
			l.Generation = rand.Text()
		}
		return add(l)
	})
	if err != nil {
		return l, err
	}
	return l, m.noteHolder(ctx, person, l.Entries[len(l.Entries)-1].SID)
}

// unlist marks sessions that have ended.
func (m *Manager) unlist(ctx context.Context, person idp.Person, ids ...string) error {
	_, err := m.lists.Update(ctx, key(person), func(l *list) error {
		for i := range l.Entries {
			if slices.Contains(ids, l.Entries[i].ID) {
				l.Entries[i].ID = ""
			}
		}
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// endDevice ends a session, and any other that has its Ref: there are two while a
// new login replaces a session, and after a crash in the middle of that. It
// returns those that were valid, the given one first.
func (m *Manager) endDevice(ctx context.Context, person idp.Person, e entry, by string) (ended []Session, err error) {
	for entries := []entry{e}; len(entries) > 0; {
		more, err := m.end(ctx, person, entries, by)
		ended = append(ended, more...)
		if err != nil {
			return ended, err
		}
		l, err := m.list(ctx, person)
		if err != nil {
			return ended, err
		}
		entries = l.withRef(e.Ref)
	}
	return ended, nil
}

// end ends sessions of a person, takes them off the list, and returns those
// that were valid. by is the Ref of the person's other session that ends them,
// or theProvider: then their browsers are told (see [Manager.WasEnded]).
func (m *Manager) end(ctx context.Context, person idp.Person, entries []entry, by string) (ended []Session, err error) {
	ctx = context.WithoutCancel(ctx) // a person who closes the tab still wants it
	var over []string
	for _, e := range entries {
		was, err := m.tombstone(ctx, e.ID, endingOf(by))
		if err != nil {
			return ended, err // the rest stays listed, and can be ended again
		}
		over = append(over, e.ID)
		if !was.valid(time.Now()) {
			continue
		}
		ended = append(ended, was)
		if by != "" {
			m.log.Info("session ended", "ref", e.Ref, "by", by, "person", person)
		}
	}
	return ended, m.unlist(ctx, person, over...)
}

// tombstone ends a session for good, revokes its tokens, and returns what it
// was. Tokens that are being refreshed at this moment find the tombstone and
// are revoked.
func (m *Manager) tombstone(ctx context.Context, id string, ended Ending) (was Session, err error) {
	_, err = m.update(ctx, id, func(s *Session) error {
		if was = *s; s.hasPerson() {
			*s = Session{Began: time.Now(), Ended: ended}
		}
		return nil
	})
	if err != nil || !was.hasPerson() {
		return Session{}, err
	}
	m.revoke(was.Tokens)
	if was.live(time.Now()) {
		m.observe(Ended, was.By)
	}
	was.ID = id
	return was, nil
}

// evictOldest ends the oldest sessions of a person who has too many. If it
// fails, the next login does it.
func (m *Manager) evictOldest(ctx context.Context, person idp.Person, l list, by string) {
	if len(l.open()) <= maxSessions {
		return
	}
	var over, valid []entry
	for _, e := range l.open() {
		s, err := m.get(ctx, e.ID)
		switch {
		case err != nil:
			m.log.Warn("oldest sessions not ended", "person", person, "err", err)
			return
		case s.valid(time.Now()):
			valid = append(valid, e)
		default:
			over = append(over, e)
		}
	}
	if extra := len(valid) - maxSessions; extra > 0 {
		over = append(over, valid[:extra]...)
	}
	if _, err := m.end(ctx, person, over, by); err != nil {
		m.log.Warn("oldest sessions not ended", "person", person, "err", err)
	}
}
