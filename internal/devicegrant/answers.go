package devicegrant

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/store"
)

// Open is a person's phone arriving with a user code: it returns the attempt
// that the person is asked about, or whatever has become of it since. Several
// people may open one code; the first yes owns it. With [ErrTheirPage] comes
// the attempt, whose URIComplete is where to go.
func (m *Manager) Open(ctx context.Context, userCode string, phone browser.Browser, person idp.Person) (Attempt, error) {
	id, err := m.find(ctx, userCode, phone, person)
	if err != nil {
		return Attempt{}, err
	}
	a, err := m.answer(ctx, id, phone, person, func(r *record) error {
		switch r.State {
		case Waiting:
			r.Person = person
			r.Expires = r.Device.Expires
			if err := r.to(Opened); err != nil {
				return err
			}
		case Opened:
		default:
			return nil
		}
		r.Phone = phone
		r.Far = !browser.Near(r.Laptop, phone, m.cfg.Local)
		return nil
	})
	if !errors.Is(err, ErrTheirPage) {
		return a, err
	}
	a, getErr := m.Get(ctx, id)
	return a, errors.Join(err, getErr)
}

// No is the person's refusal: it ends the attempt, even after a yes that has
// not got through. shown is the [Attempt.Shown] of the question.
func (m *Manager) No(ctx context.Context, userCode, shown string, phone browser.Browser, person idp.Person) (Attempt, error) {
	id, err := m.find(ctx, userCode, phone, person)
	if err != nil {
		return Attempt{}, err
	}
	return m.answer(ctx, id, phone, person, func(r *record) error {
		if !r.isAskedBy(shown) {
			return ErrChanged
		}
		if r.State != Opened && !r.saidYes() {
			return nil
		}
		r.Phone, r.Person = phone, person
		return r.to(Denied)
	})
}

// Yes is the person's consent to the question shown. It asks the provider to
// approve the device with the phone's access token. Then the tokens are
// fetched, or first the laptop must type the number (see [Manager.NumberFor]).
// [ErrSilent] means that the person should say it again.
func (m *Manager) Yes(ctx context.Context, userCode, shown string, phone browser.Browser, person idp.Person, access string) (Attempt, error) {
	id, err := m.find(ctx, userCode, phone, person)
	if err != nil {
		return Attempt{}, err
	}
	first := false // this yes is the one that takes the step
	// The person and the state are written before the provider is asked: no
	// token may come of an approval that nobody here is known to have given.
	a, err := m.answer(ctx, id, phone, person, func(r *record) error {
		first = r.State == Opened
		// What was shown of the laptop must still be true at the yes.
		if !r.isAskedBy(shown) || first && r.Shown() != shown {
			return ErrChanged
		}
		if first {
			if err := m.takeYes(r, phone, person); err != nil {
				return err
			}
		}
		if r.State == Number || r.State == Yes {
			r.Yeses++
		}
		return nil
	})
	if err != nil || a.State != Number && a.State != Yes {
		return a, err
	}
	// What has been said is said, even if the phone goes away now.
	return m.approve(context.WithoutCancel(ctx), id, a, access, first)
}

// takeYes is the step that the first yes takes.
func (m *Manager) takeYes(r *record, phone browser.Browser, person idp.Person) error {
	r.Phone, r.Person = phone, person
	r.Far = !browser.Near(r.Laptop, phone, m.cfg.Local)
	r.Due = time.Now().Add(turn) // polls wait for the approval
	if !m.wantsNumber(r) {
		return r.to(Yes)
	}
	err := r.to(Number)
	r.Number = newNumber()
	return err
}

// isAskedBy reports whether the question shown was about this attempt.
func (r *record) isAskedBy(shown string) bool { return strings.HasPrefix(shown, r.Ref+"-") }

// approve passes a yes on to the provider and notes what became of it.
func (m *Manager) approve(ctx context.Context, id string, a Attempt, access string, first bool) (Attempt, error) {
	err := m.cfg.Provider.ApproveDevice(ctx, a.UserCode, access)
	refusal := refusalOf(err)
	refused, page := refusal != nil, ""
	if err != nil {
		m.log.Error("the provider did not take the yes", "attempt", a.Ref, "refused", refused, "err", err)
		page = m.cfg.Provider.DevicePage(a.UserCode, access)
	}
	a, updateErr := m.update(ctx, id, func(r *record) error {
		if r.State != Number && r.State != Yes {
			return nil
		}
		// Of a yes that was said twice, one is refused because the other got
		// through: then the next poll tells.
		if refused && r.Yeses == 1 && (page == "" || refusal.OfClient()) {
			return r.fail(reasonOf(refusal))
		}
		if err == nil {
			r.Continue = ""
		} else if !r.Heard {
			r.Continue = page
		}
		r.Heard = r.Heard || err == nil || refused
		if first { // even after a silence: the provider may have heard us
			r.Due = r.earliest()
		}
		return nil
	})
	m.redeem(id)
	if err != nil && !refused {
		return a, errors.Join(ErrSilent, updateErr)
	}
	return a, updateErr
}

// refusalOf returns the provider's word that it will not approve, nil if err is
// something else. Any 4xx says so, code or none: a provider that does not have
// the call answers 404. But 408 and 429 only ask for patience.
func refusalOf(err error) *idp.Error {
	e, ok := errors.AsType[*idp.Error](err)
	if !ok || e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests {
		return nil
	}
	if e.Status/100 == 4 || e.Status/100 == 2 && e.Code != "" {
		return e
	}
	return nil
}

// find returns the ID of the attempt with that user code.
func (m *Manager) find(ctx context.Context, userCode string, phone browser.Browser, person idp.Person) (string, error) {
	id, err := m.limits.guess(person, func() (string, error) {
		code, err := m.codes.Get(ctx, Fold(userCode))
		if errors.Is(err, store.ErrNotFound) {
			err = ErrUnknownCode
		}
		return code.Attempt, err
	})
	if tooMany, ok := errors.AsType[*TooManyError](err); ok {
		m.log.Warn("qr login", "step", "refused", "rule", "wrong codes", "phone", phone, "person", person, "wait", tooMany.Wait)
	} else if errors.Is(err, ErrUnknownCode) {
		m.log.Warn("qr login", "step", "refused", "rule", "unknown code", "phone", phone, "person", person)
	}
	return id, err
}

// answer is update for the person with the phone.
func (m *Manager) answer(ctx context.Context, id string, phone browser.Browser, person idp.Person, change func(*record) error) (Attempt, error) {
	second := false // this is another person than the one who opened it first
	ref := ""
	a, err := m.update(ctx, id, func(r *record) error {
		ref = r.Ref
		other := r.Person.Subject != "" && !r.Person.Is(person)
		second = false
		switch {
		case r.OnTheirPage:
			return ErrTheirPage
		case other && (r.State != Opened || m.cfg.ConfirmNumber == NumberNever):
			return ErrOtherPerson // without a number, only one person can be the right one
		case other:
			// A code that two people have was passed on: perhaps by the one
			// to the other, in good faith, perhaps by a thief to his victim.
			second = !r.Second
			r.Second = true
		}
		return change(r)
	})
	switch {
	case errors.Is(err, ErrNone):
		err = ErrUnknownCode
	case errors.Is(err, ErrOtherPerson):
		m.log.Warn("qr login", "step", "refused", "rule", "other person", "attempt", ref, "phone", phone, "person", person)
	case err == nil && second:
		m.logStep("opened by a second person", a, "second_phone", phone, "second_person", person)
	}
	return a, err
}
