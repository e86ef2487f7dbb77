package devicegrant

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"math/big"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/store"
)

// When the laptop must type a number that the phone shows (RFC 10027, section
// 6.1.16). A QR code that was mailed to a victim is then worthless to a sender
// who cannot get the number out of him as well.
const (
	NumberAuto   = "auto" // unless both are known to be in the same network
	NumberAlways = "always"
	NumberNever  = "never"
)

var (
	// ErrWrongNumber says that the number was not the one on the phone, and
	// that there is another try.
	ErrWrongNumber = errors.New("devicegrant: wrong number")
	// ErrNoNumber says that the number was asked for always, but the provider
	// has a page of its own, where nobody shows one.
	ErrNoNumber = errors.New("devicegrant: a number is wanted, and the provider's own page shows none")
)

// wantsNumber decides, at the yes, whether the laptop must type a number. Two
// people who opened one code are never in the same place for sure.
func (m *Manager) wantsNumber(r *record) bool {
	switch m.cfg.ConfirmNumber {
	case NumberAlways:
		return true
	case NumberNever:
		return false
	}
	return r.Second || r.Far
}

func newNumber() string {
	n, err := rand.Int(rand.Reader, big.NewInt(10000))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return fmt.Sprintf("%04d", n)
}

// NumberFor returns the number for the phone of the person who said yes, "" if
// the laptop need not type one (any more).
func (m *Manager) NumberFor(ctx context.Context, id string, person idp.Person) (string, error) {
	r, err := m.attempts.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && !r.Person.Is(person) {
		return "", ErrNone
	}
	return r.Number, err
}

// Confirm is the laptop typing the number. [ErrWrongNumber] leaves it another
// try; the last wrong one ends the attempt, for the laptop and for the phone.
// After the right one the tokens are fetched.
func (m *Manager) Confirm(ctx context.Context, id, number string) (Attempt, error) {
	wrong := false
	a, err := m.update(ctx, id, func(r *record) error {
		wrong = false
		if r.State != Number {
			return nil // typed in another tab, or too late
		}
		if subtle.ConstantTimeCompare([]byte(number), []byte(r.Number)) == 1 {
			return r.to(Yes)
		}
		wrong = true
		if r.Tries++; r.Tries >= m.limits.WrongNumbers {
			return r.fail(ReasonNumber)
		}
		return nil
	})
	if err != nil {
		return a, err
	}
	if wrong {
		m.logStep("number wrong", a)
	}
	if wrong && a.State == Number {
		return a, ErrWrongNumber
	}
	if a.State == Yes {
		m.redeem(id)
	}
	return a, nil
}

// TriesLeft returns how many numbers may still be typed.
func (m *Manager) TriesLeft(a Attempt) int { return max(0, m.limits.WrongNumbers-a.Tries) }

// Look is the laptop's browser looking at its attempt. Until the yes it may
// come from wherever it is now, and the question says from where. After it the
// answer stands for the network that it was given about: the cookie may have
// been stolen, so who comes from another one ends the attempt.
func (m *Manager) Look(ctx context.Context, id string, laptop browser.Browser) (Attempt, error) {
	a, err := m.Get(ctx, id)
	if err != nil || a.Laptop.Addr == laptop.Addr || a.State.Ended() {
		return a, err
	}
	return m.update(ctx, id, func(r *record) error {
		switch {
		case r.State.Ended():
		case !r.saidYes():
			r.Laptop = laptop
		case !r.OnTheirPage && !browser.Near(r.Laptop, laptop, m.cfg.Local):
			r.Laptop = laptop // for the log
			return r.fail(ReasonMoved)
		}
		return nil
	})
}
