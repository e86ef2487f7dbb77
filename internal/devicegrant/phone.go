package devicegrant

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
)

// Visit is a person's phone that shows a user code.
type Visit struct {
	UserCode string
	Phone    browser.Browser
	Person   idp.Person
	// Opened is the Ref of the attempt that this very browser has opened, as the
	// person who opened it first; empty if none. Nobody must be able to forge it:
	// another account in that browser counts as the same person.
	Opened string
	// Linked says that another site may have sent the browser here.
	Linked bool
}

// Answer is what a person answers on the phone.
type Answer struct {
	Visit
	Fingerprint string // of the question that was shown
	Voucher     string // the session that answers; see [Sessions]
	Access      string // its access token, for the provider
}

// Open is a person's phone arriving with a user code. It returns the attempt
// that the person is asked about, or that needs no answer any longer. Several
// people may open one code; the first to approve owns it. With
// [ErrProviderPage] comes the attempt, whose URIComplete is where to go. A
// [*limit.TooManyError] says that the person has tried too many unknown codes;
// those of visits that are Linked count apart.
func (m *Manager) Open(ctx context.Context, v Visit) (Attempt, error) {
	id, err := m.find(ctx, v)
	if err != nil {
		return Attempt{}, err
	}
	a, err := m.updateFor(ctx, id, v, func(r *record) error {
		switch r.State {
		case Waiting:
			r.Person = v.Person
			r.Expires = r.Device.Expires
			if err := r.to(Opened); err != nil {
				return err
			}
		case Opened:
		default:
			return nil
		}
		r.Phone = v.Phone
		r.DifferentNetwork = !r.near(v.Phone, m.cfg.Local)
		return nil
	})
	if !errors.Is(err, ErrProviderPage) {
		return a, err
	}
	a, refreshErr := m.Refresh(ctx, id)
	return a, errors.Join(err, refreshErr)
}

// No denies: it ends the attempt, even after an approval, as long as the laptop
// has not claimed it.
func (m *Manager) No(ctx context.Context, answer Answer) (Attempt, error) {
	ctx = context.WithoutCancel(ctx) // a person who closes the tab still wants it
	id, err := m.find(ctx, answer.Visit)
	if err != nil {
		return Attempt{}, err
	}
	return m.updateFor(ctx, id, answer.Visit, func(r *record) error {
		if !r.isAskedBy(answer.Fingerprint) {
			return ErrChanged
		}
		if r.State != Opened && !r.State.Answered() {
			return nil
		}
		r.Phone, r.Person = answer.Phone, answer.Person
		return r.to(Denied)
	})
}

// Yes approves, and passes the approval on to the provider with the phone's
// access token. Then the tokens are redeemed, or first the laptop must type the
// number (see [Manager.NumberFor]). [ErrNoAnswer] means that the person should
// approve again.
func (m *Manager) Yes(ctx context.Context, answer Answer) (Attempt, error) {
	id, err := m.find(ctx, answer.Visit)
	if err != nil {
		return Attempt{}, err
	}
	var asked record
	held := false
	a, err := m.updateFor(ctx, id, answer.Visit, func(r *record) (err error) {
		held = false
		if !r.isAskedBy(answer.Fingerprint) {
			return ErrChanged
		}
		switch r.State {
		case Opened:
			if r.Fingerprint() != answer.Fingerprint {
				return ErrChanged // what was shown of the laptop is no longer true
			}
			held, err = m.takeYes(r, answer)
		case Number, Yes:
			r.Voucher = answer.Voucher
			if !r.Approval.Answered() {
				r.Approval = ApprovalSentAgain
			}
		}
		asked = *r
		return err
	})
	if err != nil || a.State != Number && a.State != Yes {
		return a, err
	}
	// The approval stands, even if the phone goes away now.
	return m.approve(context.WithoutCancel(ctx), id, asked, held, answer.Access)
}

// takeYes makes the transition of the first approval. It is stored before the
// provider is told, so that tokens never come without a person to compare them
// with. It takes the lease of the first poll as well, unless the number comes
// first, or this process is stopping.
func (m *Manager) takeYes(r *record, answer Answer) (held bool, err error) {
	r.Phone, r.Person, r.Voucher = answer.Phone, answer.Person, answer.Voucher
	r.DifferentNetwork = !r.near(answer.Phone, m.cfg.Local)
	r.Approval = ApprovalSent
	// Nobody else polls until approve has the provider's answer, or for this long if
	// the process crashes.
	if m.wantsNumber(r) {
		err = r.to(Number)
		r.Number = newNumber()
		r.Due = time.Now().Add(leaseDuration)
		return false, err
	}
	err = r.to(Yes)
	r.Due = time.Now()
	if _, held = m.takeLease(r); !held {
		r.Due = r.Due.Add(leaseDuration)
	}
	return held, err
}

// updateFor is update for the person with the phone. It refuses people who may
// not answer, and notes that more than one person has opened the code.
func (m *Manager) updateFor(ctx context.Context, id string, v Visit, change func(*record) error) (Attempt, error) {
	second := false // this person is the first one besides the one who opened it
	ref := ""
	a, err := m.update(ctx, id, func(r *record) error {
		ref = r.Ref
		// A person who switches accounts is still the one who opened the code,
		// until somebody has answered.
		switched := r.State == Opened && v.Opened == r.Ref
		other := r.Person.Subject != "" && !r.Person.Is(v.Person) && !switched
		second = false
		switch {
		case r.ProviderPage:
			return ErrProviderPage
		case other && (r.State != Opened || m.cfg.ConfirmNumber == NumberNever):
			return ErrOtherPerson // without a number, only the person who opened it first may answer
		case other && time.Since(r.Started) >= m.cfg.CodeLifetime:
			// Opening a code must not keep it alive for others: a phisher would
			// open his own.
			return ErrTooLate
		case other:
			// A code that two people have was passed on: in good faith, or by
			// an attacker to a victim.
			second = !r.OpenedByOthers
			r.OpenedByOthers = true
		}
		return change(r)
	})
	switch {
	case errors.Is(err, ErrNone):
		err = ErrUnknownCode
	case errors.Is(err, ErrOtherPerson):
		m.logRefused("other person", "attempt", ref, "phone", v.Phone, "person", v.Person)
	case errors.Is(err, ErrTooLate):
		m.logRefused("opened too late", "attempt", ref, "phone", v.Phone, "person", v.Person)
	case err == nil && second:
		m.logStep("opened by a second person", a, "second_phone", v.Phone, "second_person", v.Person)
	}
	return a, err
}

// isAskedBy reports whether the question that was shown was about this attempt.
func (r *record) isAskedBy(fingerprint string) bool { return strings.HasPrefix(fingerprint, r.Ref+"-") }

// wantsNumber decides, at the approval, whether the laptop must type a number.
// Two people who opened one code are never known to be in the same place.
func (m *Manager) wantsNumber(r *record) bool {
	switch m.cfg.ConfirmNumber {
	case NumberAlways:
		return true
	case NumberNever:
		return false
	}
	return r.OpenedByOthers || r.DifferentNetwork
}

func newNumber() string {
	n, err := rand.Int(rand.Reader, big.NewInt(10000))
	if err != nil {
		panic(err) // crypto/rand never fails
	}
	return fmt.Sprintf("%04d", n)
}

// NumberFor returns the number for the phone of the person who approved, "" if
// the laptop need not type one, or need not any longer.
func (m *Manager) NumberFor(ctx context.Context, id string, person idp.Person) (string, error) {
	r, err := m.get(ctx, id)
	if err == nil && !r.Person.Is(person) {
		err = ErrNone
	}
	if err != nil {
		return "", err
	}
	return r.Number, nil
}
