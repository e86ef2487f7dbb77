package devicegrant

import (
	"context"
	"errors"
	"strings"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/limit"
	"changebank/internal/store"
)

// codeRecord finds an attempt by its user code.
type codeRecord struct {
	Attempt string
	Until   time.Time
}

// KeepUntil implements [store.Record].
func (c codeRecord) KeepUntil() time.Time { return c.Until }

// Fold returns a user code as people may type it: in either case, with or
// without dashes and spaces (RFC 8628, section 6.1).
func Fold(userCode string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z':
			return c - 'a' + 'A'
		case 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			return c
		}
		return -1
	}, userCode)
}

// find returns the ID of the attempt with that user code. User codes are short,
// and each one that is guessed could be answered (RFC 8628, section 5.1), so
// wrong ones are limited. A lookup is paid for in advance and refunded when it
// finds an attempt: many requests at once must not look for free.
func (m *Manager) find(ctx context.Context, userCode string, phone browser.Browser, person idp.Person) (string, error) {
	rule := limit.Rule{Name: "wrong codes", N: m.cfg.Limits.WrongCodes, Window: limitWindow}
	guesser := person.Issuer + "\x00" + person.Subject
	err := m.limiter.Allow(ctx, rule, guesser)
	if tooMany, ok := errors.AsType[*limit.TooManyError](err); ok {
		m.logRefused(rule.Name, "phone", phone, "person", person, "wait", tooMany.Wait)
	}
	if err != nil {
		return "", err
	}
	code, err := m.codes.Get(ctx, Fold(userCode))
	if errors.Is(err, store.ErrNotFound) {
		m.logRefused("unknown code", "phone", phone, "person", person)
		return "", ErrUnknownCode
	}
	m.limiter.Refund(context.WithoutCancel(ctx), rule, guesser)
	return code.Attempt, err
}
