package session

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"changebank/internal/idp"
	"changebank/internal/store"
	"changebank/internal/typed"
)

var (
	// ErrUnknown says that the person has no session of that name: there is
	// none, it is another person's, or it ended before the person's last login.
	ErrUnknown = errors.New("session: no such session of this person")
	// ErrOver says that the session has ended already.
	ErrOver = errors.New("session: already ended")
	// ErrUnconfirmed says that a session cannot end or confirm others, because
	// no other session has confirmed it.
	ErrUnconfirmed = errors.New("session: not confirmed itself")
)

// Of returns the person's sessions, pending ones included, the newest first and
// without their secrets. It ends expired ones, so that their tokens are revoked.
func (m *Manager) Of(ctx context.Context, person idp.Person) ([]Session, error) {
	l, err := m.list(ctx, person)
	if err != nil {
		return nil, err
	}
	sessions, over, err := m.look(ctx, l.open())
	if err != nil {
		return nil, err
	}
	m.endOver(ctx, person, over)
	return shown(sessions), nil
}

// ToConfirm returns the sessions that by's person is asked about: those live
// ones that are unconfirmed. An unconfirmed session is asked about none.
func (m *Manager) ToConfirm(ctx context.Context, by Session) ([]Session, error) {
	if by.Unconfirmed() {
		return nil, nil
	}
	l, err := m.list(ctx, by.Person)
	if err != nil {
		return nil, err
	}
	var asked []entry // the others are not copied: there may be many
	for _, e := range l.Entries {
		if e.ID != "" && e.Unconfirmed {
			asked = append(asked, e)
		}
	}
	sessions, _, err := m.look(ctx, asked)
	return shown(slices.DeleteFunc(sessions, func(s Session) bool { return s.Pending || !s.Unconfirmed() })), err
}

// shown sorts sessions, the newest first, and removes their secrets.
func shown(sessions []Session) []Session {
	for i := range sessions {
		sessions[i].ID, sessions[i].Tokens = "", idp.Tokens{}
	}
	slices.SortFunc(sessions, func(a, b Session) int {
		return cmp.Or(b.Began.Compare(a.Began), cmp.Compare(a.Ref, b.Ref))
	})
	return sessions
}

// End ends the session called ref on behalf of by, another session of the same
// person, and returns what it was. Its browser is logged out at its next
// request, and its tokens are revoked. End returns [ErrUnknown] or [ErrOver] if
// there is nothing to end. It returns [ErrUnconfirmed] to an unconfirmed
// session: an attacker who tricked a phone into approving would log that phone
// out first.
func (m *Manager) End(ctx context.Context, by Session, ref string) (Session, error) {
	if _, err := m.entry(ctx, by, ref); err != nil {
		return Session{}, err
	}
	was, err := m.endDevice(ctx, by.Person, ref, by.Ref)
	if err == nil && !was.hasPerson() {
		err = ErrOver
	}
	return was, err
}

// EndOthers ends all sessions of by's person except by, and returns how many
// there were. Vouchers made before no longer hold. It returns [ErrUnconfirmed]
// as End does.
func (m *Manager) EndOthers(ctx context.Context, by Session) (int, error) {
	if by.Unconfirmed() {
		return 0, ErrUnconfirmed
	}
	ctx = context.WithoutCancel(ctx) // a person who closes the tab still wants it
	return m.endAll(ctx, by.Person, by.ID, by.Ref)
}

// Confirm notes that by's person recognizes the session called ref, which came
// by phone. It returns [ErrUnknown] and [ErrOver] as End does, and
// [ErrUnconfirmed] to an unconfirmed session: an attacker would have one laptop
// confirm the other.
func (m *Manager) Confirm(ctx context.Context, by Session, ref string) error {
	err := m.store.Atomically(ctx, func(ctx context.Context) error {
		e, err := m.entry(ctx, by, ref)
		if err != nil {
			return err
		}
		if err := m.changeValid(ctx, e.ID, func(s *Session) { s.Confirmed = true }); err != nil {
			return err
		}
		return m.changeEntry(ctx, by.Person, e.ID, func(e *entry) { e.Unconfirmed = false })
	})
	if errors.Is(err, store.ErrNotFound) {
		return ErrOver
	}
	return err
}

// maxName bounds the characters of a device's name.
const maxName = 40

// Rename names the device of the session called ref, for by's person alone. An
// empty name removes the name. Control, invisible and direction characters are
// dropped, and the name is cut to 40 characters. Rename returns [ErrUnknown] and
// [ErrOver] as End does. It returns [ErrUnconfirmed] to an unconfirmed session,
// which an attacker would otherwise make look like one of the person's devices.
func (m *Manager) Rename(ctx context.Context, by Session, ref, name string) error {
	e, err := m.entry(ctx, by, ref)
	if err != nil {
		return err
	}
	name = strings.TrimSpace(typed.Short(name, maxName))
	return m.changeValid(ctx, e.ID, func(s *Session) { s.Name = name })
}

// changeValid changes a session, or returns [ErrOver] if it has ended.
func (m *Manager) changeValid(ctx context.Context, id string, change func(*Session)) error {
	_, err := m.change(ctx, id, func(s *Session) error {
		if !s.valid(time.Now()) {
			return store.ErrNotFound
		}
		change(s)
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return ErrOver
	}
	return err
}

// entry finds a session of by's person by its Ref. It reads only that person's
// list, so a Ref of someone else's session is unknown.
func (m *Manager) entry(ctx context.Context, by Session, ref string) (entry, error) {
	if by.Unconfirmed() {
		return entry{}, ErrUnconfirmed
	}
	l, err := m.list(ctx, by.Person)
	if err != nil {
		return entry{}, err
	}
	if entries := l.withRef(ref); len(entries) > 0 {
		return entries[len(entries)-1], nil
	}
	if slices.ContainsFunc(l.Entries, func(e entry) bool { return e.Ref == ref }) {
		return entry{}, ErrOver
	}
	return entry{}, ErrUnknown
}
