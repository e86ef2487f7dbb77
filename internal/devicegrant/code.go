package devicegrant

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"time"

	"changebank/internal/limit"
	"changebank/internal/store"
	"changebank/internal/typed"
)

// triedCode says that a person has tried an unknown user code.
type triedCode struct{ Until time.Time }

// KeepUntil implements [store.Record].
func (t triedCode) KeepUntil() time.Time { return t.Until }

// maxTyped is the length in bytes of the longest text that is read as a user
// code, or as a link with one in it.
const maxTyped = 2 << 10

// Fold returns a user code in the form that it is found by, however people type
// it: in either case, with the digits of any script, and with or without dashes
// and spaces (RFC 8628, section 6.1).
func Fold(userCode string) string {
	if len(userCode) > maxTyped {
		return "" // which no code folds to
	}
	return strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z':
			return c - 'a' + 'A'
		case 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
			return c
		}
		return -1
	}, typed.Plain(userCode))
}

// inLink finds the user code in a verification_uri_complete (RFC 8628, section
// 3.3.1), and in a link that leads there. Most providers name it like this.
var inLink = regexp.MustCompile(`(?i)(?:^|[?&#;])user_code=([^?&#;\s]*)`)

// CodeIn returns the user code in what a person typed or pasted: the text itself,
// or the code of the link that it is. A link counts for its code only, and leads
// nowhere. The text is empty if it is too long.
func CodeIn(text string) string {
	if len(text) > maxTyped {
		return ""
	}
	// Otherwise each invalid byte becomes three, and the text may be too long.
	text = strings.ToValidUTF8(text, "")
	for range 3 { // a link inside another link is escaped twice
		text = strings.TrimSpace(typed.Plain(text))
		found := inLink.FindStringSubmatch(text)
		if found != nil {
			text = found[1]
		}
		unescaped, err := url.QueryUnescape(text)
		if err != nil {
			break
		}
		text = unescaped
	}
	return strings.TrimSpace(typed.Plain(text))
}

var fourDigits = regexp.MustCompile(`^[0-9]{4}$`)

// NumberIn returns the number in what a person typed. It reports false if that is
// no number of four digits: a typing mistake, which must not use up a try.
func NumberIn(text string) (number string, ok bool) {
	number = Fold(text)
	return number, fourDigits.MatchString(number)
}

// find returns the ID of the attempt with that user code. User codes are short,
// and each one that is guessed could be answered (RFC 8628, section 5.1), so
// wrong ones are limited, for each person. A right one writes nothing. A person's
// lookups wait for each other, so that many at once are no more than the limit
// allows; see [limit.Limiter.AllowTry] for those at several processes.
//
// A code that this person has tried before costs nothing, so that a page can be
// reloaded, and is not looked up again, so that nobody can wait for it to appear.
func (m *Manager) find(ctx context.Context, v Visit) (string, error) {
	guesser, code := v.Person.Issuer+"\x00"+v.Person.Subject, Fold(v.UserCode)
	guess := guesser + "\x00" + code
	if _, err := m.tried.Get(ctx, guess); err == nil {
		return "", ErrUnknownCode
	} else if !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	rule := m.triesRule(v)
	var found record
	wrong := false
	err := m.limiter.AllowTry(ctx, rule, guesser, func() (bool, error) {
		var err error
		if found, err = m.attempts.Get(ctx, code); !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
		err = m.tried.CreateAs(context.WithoutCancel(ctx), guess, triedCode{time.Now().Add(limitWindow)})
		wrong = !errors.Is(err, store.ErrExists) // else another request pays; if the store failed, a reload pays as well
		return wrong, ErrUnknownCode
	})
	if tooMany, ok := errors.AsType[*limit.TooManyError](err); ok {
		m.logRefused(rule.Name, "phone", v.Phone, "person", v.Person, "wait", tooMany.Wait)
	} else if wrong {
		m.logRefused("unknown code", "phone", v.Phone, "person", v.Person)
	}
	if err != nil {
		return "", err
	}
	return idOf(code, found.Secret), nil
}

// idOf returns the ID of an attempt: its folded user code, under which it is
// stored, and its secret.
func idOf(code, secret string) string { return code + "." + secret }

// keyOf returns the folded user code and the secret of an ID.
func keyOf(id string) (code, secret string) {
	code, secret, _ = strings.Cut(id, ".")
	return code, secret
}

// triesRule is the limit that a visit's wrong code counts in. Codes that another
// site may have sent count apart from those that the person scans or types: a
// site that opens made-up links must not use up the person's own tries. And they
// do count: a guesser can make his requests look as if another site sent them. So
// he gets twice the limit, and no more.
func (m *Manager) triesRule(v Visit) limit.Rule {
	rule := limit.Rule{Name: "wrong codes", N: m.cfg.Limits.WrongCodes, Window: limitWindow}
	if v.Linked {
		rule.Name = "wrong codes in links"
	}
	return rule
}
