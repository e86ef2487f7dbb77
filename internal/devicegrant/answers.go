package devicegrant

import (
	"context"
	"errors"
	"net/http"
	"time"

	"changebank/internal/idp"
	"changebank/internal/store"
)

// Open is a person's phone arriving with a user code: it returns the attempt
// that the person is asked about, or whatever has become of it since. The
// first person to open an attempt is the only one who can answer. With
// [ErrTheirPage] comes the attempt, whose URIComplete is where to go.
func (m *Manager) Open(ctx context.Context, userCode string, phone Browser, person idp.Person) (Attempt, error) {
	id, err := m.find(ctx, userCode, person)
	if err != nil {
		return Attempt{}, err
	}
	a, err := m.answer(ctx, id, phone, person, func(r *record) error {
		switch r.State {
		case Waiting:
			r.Phone, r.Person = phone, person
			r.Expires = r.Device.Expires
			return r.to(Opened)
		case Opened:
			r.Phone = phone
		}
		return nil
	})
	if !errors.Is(err, ErrTheirPage) {
		return a, err
	}
	a, getErr := m.Get(ctx, id)
	return a, errors.Join(err, getErr)
}

// No is the person's refusal: it ends the attempt, even after a yes that has
// not got through.
func (m *Manager) No(ctx context.Context, userCode, ref string, phone Browser, person idp.Person) (Attempt, error) {
	id, err := m.find(ctx, userCode, person)
	if err != nil {
		return Attempt{}, err
	}
	return m.answer(ctx, id, phone, person, func(r *record) error {
		if r.Ref != ref {
			return ErrChanged
		}
		if r.State != Opened && r.State != Yes {
			return nil
		}
		r.Phone = phone
		return r.to(Denied)
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
	first := false // this yes is the one that takes the step
	// The person and the state are written before the provider is asked: no
	// token may come of an approval that nobody here is known to have given.
	a, err := m.answer(ctx, id, phone, person, func(r *record) error {
		if r.Ref != ref {
			return ErrChanged
		}
		if first = r.to(Yes) == nil; first {
			r.Phone = phone
			r.Due = time.Now().Add(turn) // polls wait for the approval
		}
		if r.State == Yes {
			r.Yeses++
		}
		return nil
	})
	if err != nil || a.State != Yes {
		return a, err
	}
	// What has been said is said, even if the phone goes away now.
	ctx = context.WithoutCancel(ctx)
	err = m.cfg.Provider.ApproveDevice(ctx, a.UserCode, access)
	refusal := refusalOf(err)
	refused, page := refusal != nil, ""
	if err != nil {
		m.log.Error("the provider did not take the yes", "attempt", a.Ref, "refused", refused, "err", err)
		page = m.cfg.Provider.DevicePage(a.UserCode, access)
	}
	a, updateErr := m.update(ctx, id, func(r *record) error {
		if r.State != Yes {
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
func (m *Manager) answer(ctx context.Context, id string, phone Browser, person idp.Person, change func(*record) error) (Attempt, error) {
	a, err := m.update(ctx, id, func(r *record) error {
		if r.OnTheirPage {
			return ErrTheirPage
		}
		if r.Person.Subject != "" && !r.Person.Is(person) {
			return ErrOtherPerson
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
