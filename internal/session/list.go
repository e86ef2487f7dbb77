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
	maxSessions = 100 // of one person; then the oldest end
	sweepMost   = 20  // expired sessions that one login or one view of the list ends
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
	Ref   string // two entries share it if two tabs of a browser log in at once
	Began time.Time
	// Until is when the session's record has expired, even if settings change. It is
	// zero in entries of older versions.
	Until time.Time `json:",omitzero"`
	// SID is the provider's name of its own session that the login belongs to, if
	// a back-channel logout may name it.
	SID string `json:",omitzero"`
	// Unconfirmed repeats that of the session, so that nobody must read all of
	// a person's sessions to find those to ask about.
	Unconfirmed bool `json:",omitzero"`
}

func entryOf(s Session) entry {
	return entry{ID: s.ID, Ref: s.Ref, Began: s.Began, Until: s.Began.Add(listedFor(s.Lifetime)), SID: s.Tokens.SID, Unconfirmed: s.Unconfirmed()}
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

// listedFor is how long a session of that lifetime stays listed: as long as its
// record can last.
func listedFor(lifetime time.Duration) time.Duration { return lifetime + ClaimWindow + overFor }

// add appends a session, and drops those whose records have expired by now.
func (l *list) add(added entry) {
	now := time.Now()
	l.Entries = slices.DeleteFunc(l.open(), func(e entry) bool {
		until := e.Until
		if until.IsZero() {
			until = e.Began.Add(listedFor(defaultLifetime))
		}
		return e.ID == added.ID || !now.Before(until)
	})
	l.Entries = append(l.Entries, added)
	if added.Until.After(l.Until) {
		l.Until = added.Until
	}
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

// enlist adds a session to its person's list, and creates the list if there is
// none. Call it in the transaction that stores the session.
func (m *Manager) enlist(ctx context.Context, s Session) error {
	l, err := m.lists.Upsert(ctx, key(s.Person), func(l *list) error {
		if l.Generation == "" { // there was none
			l.Generation = rand.Text()
		}
		l.add(entryOf(s))
		return nil
	})
	if err != nil {
		return err
	}
	m.store.After(ctx, func() { m.tidy(ctx, s.Person, l, s.Ref) })
	return m.noteHolder(ctx, s.Person, s.Tokens.SID)
}

// unlist marks a session that has ended.
func (m *Manager) unlist(ctx context.Context, person idp.Person, id string) error {
	return m.changeEntry(ctx, person, id, func(e *entry) { e.ID = "" })
}

// changeEntry changes a session's entry, if it is listed. Call it in a transaction.
func (m *Manager) changeEntry(ctx context.Context, person idp.Person, id string, change func(*entry)) error {
	_, err := m.lists.Update(ctx, key(person), func(l *list) error {
		for i := range l.Entries {
			if l.Entries[i].ID == id {
				change(&l.Entries[i])
			}
		}
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// endDevice ends the session with that Ref, or both if two share it. It returns the
// session as it was, or the zero Session if there is none.
func (m *Manager) endDevice(ctx context.Context, person idp.Person, ref, by string) (was Session, err error) {
	ctx = context.WithoutCancel(ctx) // also if the person closes the tab
	err = m.store.Atomically(ctx, func(ctx context.Context) error {
		was = Session{}
		l, err := m.list(ctx, person)
		if err != nil {
			return err
		}
		for _, e := range l.withRef(ref) {
			ended, err := m.endOne(ctx, person, e.ID, by)
			if err != nil {
				return err
			}
			if !was.hasPerson() {
				was = ended
			}
		}
		return nil
	})
	return was, err
}

// end ends sessions of a person, takes them off the list, and returns those
// that were valid. by is the Ref of the person's other session that ends them,
// or theProvider: then their browsers are told (see [Manager.WasEnded]). Each is
// a separate commit, since a full disk may have no room for a hundred at once.
func (m *Manager) end(ctx context.Context, person idp.Person, entries []entry, by string) (ended []Session, err error) {
	ctx = context.WithoutCancel(ctx) // also if the person closes the tab
	for _, e := range entries {
		was, err := m.endOne(ctx, person, e.ID, by)
		if err != nil {
			return ended, err // the rest stays listed, and can be ended again
		}
		if was.hasPerson() {
			ended = append(ended, was)
		}
	}
	return ended, nil
}

// endOne ends a session for good and takes it off the list. It returns the session
// as it was, or the zero Session if it was over. Its tokens are revoked in either
// case. A refresh in progress finds the tombstone, and its tokens are revoked too.
func (m *Manager) endOne(ctx context.Context, person idp.Person, id, by string) (was Session, err error) {
	err = m.store.Atomically(ctx, func(ctx context.Context) error {
		was = Session{}
		_, err := m.update(ctx, id, func(s *Session) error {
			if was = *s; s.hasPerson() {
				*s = Session{Began: time.Now(), Ended: endingOf(by)}
			}
			return nil
		})
		if err != nil {
			return err
		}
		return m.unlist(ctx, person, id)
	})
	if err != nil || !was.hasPerson() {
		return Session{}, err
	}
	was.ID = id
	now := time.Now()
	m.noteEnded(ctx, was, by, now)
	if !was.valid(now) {
		return Session{}, nil
	}
	return was, nil
}

// noteEnded revokes the tokens of a session that was ended, and counts it, once
// its end is stored.
func (m *Manager) noteEnded(ctx context.Context, was Session, by string, now time.Time) {
	m.store.After(ctx, func() {
		m.revoke(was.Tokens)
		if was.live(now) {
			m.observe(Ended, was.By)
		}
		if by != "" && was.valid(now) {
			m.log.Info("session ended", "ref", was.Ref, "by", by, "person", was.Person)
		}
	})
}

// look returns the sessions that the entries name and that are valid, and the
// entries of those that are over, so that their tokens can be revoked. A pending
// session that is over is in neither: its attempt ends it.
func (m *Manager) look(ctx context.Context, entries []entry) (valid []Session, over []entry, err error) {
	for _, e := range entries {
		s, err := m.get(ctx, e.ID)
		switch {
		case err != nil:
			return nil, nil, err
		case s.valid(time.Now()):
			s.Ref = e.Ref
			valid = append(valid, s)
		case !s.Pending:
			over = append(over, e)
		}
	}
	return valid, over, nil
}

// endOver ends expired sessions, so that their tokens are revoked, and takes them
// off the list. The rest, and those that it fails to end, are left to the next
// login or view of the list.
func (m *Manager) endOver(ctx context.Context, person idp.Person, over []entry) {
	if len(over) == 0 {
		return
	}
	if _, err := m.end(ctx, person, over[:min(len(over), sweepMost)], ""); err != nil {
		m.log.Warn("expired sessions not ended", "person", person, "err", err)
	}
}

// tidy ends a person's expired sessions, and the oldest ones if there are too many.
// Only in that case does it read all of them. If it fails, the next login repeats it.
func (m *Manager) tidy(ctx context.Context, person idp.Person, l list, by string) {
	entries := l.open()
	if len(entries) <= maxSessions {
		young := time.Now().Add(-min(m.idle, PublicIdle))
		entries = slices.DeleteFunc(entries, func(e entry) bool { return e.Began.After(young) })
		entries = entries[:min(len(entries), sweepMost)]
	}
	valid, over, err := m.look(ctx, entries)
	if err == nil {
		m.endOver(ctx, person, over)
		var extra []entry
		for _, s := range valid[:max(0, len(valid)-maxSessions)] {
			extra = append(extra, entryOf(s))
		}
		if len(extra) > 0 {
			_, err = m.end(ctx, person, extra, by)
		}
	}
	if err != nil {
		m.log.Warn("oldest sessions not ended", "person", person, "err", err)
	}
}
