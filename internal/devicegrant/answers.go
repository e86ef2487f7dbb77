package devicegrant

import (
	"context"
	"errors"
	"time"

	"changebank/internal/idp"
	"changebank/internal/store"
)

// Open is a person's phone arriving with a user code: it returns the attempt
// that the person is asked about, or whatever has become of it since. The
// first person to open an attempt is the only one who can answer.
func (m *Manager) Open(ctx context.Context, userCode string, phone Browser, person idp.Person) (Attempt, error) {
	id, err := m.find(ctx, userCode, person)
	if err != nil {
		return Attempt{}, err
	}
	return m.answer(ctx, id, person, phone, func(r *record) error {
		if r.State == Waiting {
			r.Person = person
			r.Expires = r.Device.Expires
			return r.to(Opened)
		}
		return nil
	})
}

// No is the person's refusal: it ends the attempt.
func (m *Manager) No(ctx context.Context, userCode, ref string, phone Browser, person idp.Person) (Attempt, error) {
	id, err := m.find(ctx, userCode, person)
	if err != nil {
		return Attempt{}, err
	}
	return m.answer(ctx, id, person, phone, func(r *record) error {
		if r.Ref != ref {
			return ErrChanged
		}
		return skipStep(r.to(Denied))
	})
}

// Yes is the person's consent. It asks the provider to approve the device with
// the phone's access token, and has the tokens fetched. [ErrSilent] means that
// the person should say it again.
func (m *Manager) Yes(ctx context.Context, userCode, ref string, phone Browser, person idp.Person, access string) (Attempt, error) {
	id, err := m.find(ctx, userCode, person)
	if err != nil {
		return Attempt{}, err
	}
	first := false
	// The person and the state are written before the provider is asked: no
	// token may come of an approval that nobody here is known to have given.
	a, err := m.answer(ctx, id, person, phone, func(r *record) error {
		if r.Ref != ref {
			return ErrChanged
		}
		first = r.to(Yes) == nil
		if r.State == Yes {
			r.Due = time.Now().Add(turn) // polls wait for the approval
		}
		return nil
	})
	if err != nil || a.State != Yes {
		return a, err
	}
	err = m.cfg.Provider.ApproveDevice(ctx, a.UserCode, access)
	switch refused, ok := errors.AsType[*idp.Error](err); {
	case err == nil:
	case ok && refused.Status < 500 && first:
		m.log.Error("the provider refused to approve", "attempt", a.Ref, "err", err)
		return m.fail(ctx, id, ReasonRefused)
	case ok && refused.Status < 500:
		// Said twice. If the first yes got through, this one is refused: the
		// next poll tells.
		err = nil
	default:
		m.log.Warn("the provider did not take the yes", "attempt", a.Ref, "err", err)
		err = ErrSilent
	}
	// Even after a silence: the provider may have heard us.
	a, updateErr := m.update(ctx, id, func(r *record) error {
		if r.State == Yes {
			r.Due = r.earliest()
		}
		return nil
	})
	m.redeem(id)
	return a, errors.Join(err, updateErr)
}

// find returns the ID of the attempt with that user code.
func (m *Manager) find(ctx context.Context, userCode string, person idp.Person) (string, error) {
	return m.guesses.look(person, func() (string, error) {
		code, err := m.codes.Get(ctx, Fold(userCode))
		if errors.Is(err, store.ErrNotFound) {
			m.log.Warn("unknown user code", "person", person)
			err = ErrUnknownCode
		}
		return code.Attempt, err
	})
}

// answer is update for the person with the phone.
func (m *Manager) answer(ctx context.Context, id string, person idp.Person, phone Browser, change func(*record) error) (Attempt, error) {
	a, err := m.update(ctx, id, func(r *record) error {
		if r.Person.Subject != "" && !r.Person.Is(person) {
			return ErrOtherPerson
		}
		if !r.State.Ended() {
			r.Phone = phone
		}
		return change(r)
	})
	switch {
	case errors.Is(err, ErrNone):
		err = ErrUnknownCode
	case errors.Is(err, ErrOtherPerson):
		m.log.Warn("a second person opened the code", "phone", phone, "person", person)
	}
	return a, err
}

// skipStep makes a step that cannot be taken from here no error: the caller
// gets the attempt as it is and sees.
func skipStep(err error) error {
	if errors.Is(err, errStep) {
		return nil
	}
	return err
}
