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

// theProvider is what ends a session, in the place of a Ref, which is never in
// lower case.
const theProvider = "provider"

func endingOf(by string) Ending {
	switch by {
	case "":
		return ""
	case theProvider:
		return EndedByProvider
	}
	return EndedByDevice
}

// holder says whose a session at the provider is: a logout token may name
// nothing but the session.
type holder struct {
	Person idp.Person // only Issuer and Subject
	Until  time.Time
}

// KeepUntil implements [store.Record].
func (h holder) KeepUntil() time.Time { return h.Until }

// noteHolder remembers whose a session at the provider is, for as long as any
// session of ours that came from it lasts.
func (m *Manager) noteHolder(ctx context.Context, person idp.Person, sid string) error {
	if sid == "" {
		return nil
	}
	_, err := m.holders.Upsert(ctx, sidKey(person.Issuer, sid), func(h *holder) error {
		*h = holder{idp.Person{Issuer: person.Issuer, Subject: person.Subject}, time.Now().Add(listedFor(m.lifetime))}
		return nil
	})
	return err
}

func sidKey(issuer, sid string) string { return issuer + "\x00" + sid }

// EndByProvider ends the sessions that a verified logout token names, and returns
// how many there were: those that came from the session sid at the provider, or
// all of the person's if there is no sid (OpenID Connect Back-Channel Logout 1.0,
// section 2.7). A person without a Subject is found through sid. Sessions not yet
// claimed end, too, and the vouchers of those that ended no longer hold.
func (m *Manager) EndByProvider(ctx context.Context, person idp.Person, sid string) (int, error) {
	ctx = context.WithoutCancel(ctx) // the provider may not repeat it
	if person.Subject == "" {
		h, err := m.holders.Get(ctx, sidKey(person.Issuer, sid))
		if errors.Is(err, store.ErrNotFound) {
			return 0, nil
		}
		if err != nil {
			return 0, err
		}
		person = h.Person
	}
	if sid == "" {
		return m.endAll(ctx, person, "", theProvider)
	}
	l, err := m.list(ctx, person)
	if err != nil {
		return 0, err
	}
	entries := slices.DeleteFunc(l.open(), func(e entry) bool { return e.SID != sid })
	ended, err := m.end(ctx, person, entries, theProvider)
	return len(ended), err
}

// endAll ends all of a person's sessions except the one with the ID but, and
// returns how many there were.
func (m *Manager) endAll(ctx context.Context, person idp.Person, but, by string) (int, error) {
	// The new generation comes first. What is listed before it ends here; what
	// an older voucher stands for can no longer be listed after it.
	l, err := m.lists.Update(ctx, key(person), func(l *list) error {
		l.Generation = rand.Text()
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	entries := slices.DeleteFunc(l.open(), func(e entry) bool { return e.ID == but })
	ended, err := m.end(ctx, person, entries, by)
	return len(ended), err
}
