package qrlogin

import (
	"context"
	"errors"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/store"
)

const (
	resultLifetime = time.Hour
	// repeatWindow is how long a claim can be repeated, since the response with the
	// application's cookie may have been lost.
	repeatWindow = time.Minute
	longestAsk   = 10 * time.Second // the timeout of LoggedIn
)

// result is a login that a phone has approved, until the laptop has a session of
// the application.
type result struct {
	Person idp.Person
	Tokens idp.Tokens
	Began  time.Time
	Taken  time.Time       // when a laptop claimed it; zero: not yet
	Laptop browser.Browser // that claimed it
	// Session is the ID of the laptop's session in the application, if known.
	Session string
	Over    bool // ended, or in use: it can no longer be claimed
}

// KeepUntil implements [store.Record].
func (r result) KeepUntil() time.Time { return r.Began.Add(resultLifetime) }

// results implements [devicegrant.Sessions]. An attempt's pending session is a
// result, and a voucher is the ID of the application's session that approved.
type results struct {
	table    *store.Table[result]
	loggedIn func(ctx context.Context, subject, session string) (bool, error)
	revoke   func(idp.Tokens)
}

// Vouched implements [devicegrant.Sessions].
func (s *results) Vouched(ctx context.Context, person idp.Person, voucher string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, longestAsk) // Close waits for it
	defer cancel()
	return s.loggedIn(ctx, person.Subject, voucher)
}

// CreatePending implements [devicegrant.Sessions].
func (s *results) CreatePending(ctx context.Context, id string, person idp.Person, tokens idp.Tokens, _ browser.Browser, voucher string) (bool, error) {
	err := s.table.CreateAs(ctx, id, result{Person: person, Tokens: tokens, Began: time.Now()})
	if errors.Is(err, store.ErrExists) {
		r, err := s.table.Get(ctx, id)
		if err != nil || r.Over || !r.Taken.IsZero() {
			return err == nil && !r.Over, err
		}
	} else if err != nil {
		return false, err
	}
	if voucher == "" {
		return true, nil // approved on the provider's own page, by no session here
	}
	ok, err := s.Vouched(ctx, person, voucher)
	if err == nil && !ok {
		// Deleted rather than ended, since the person may approve it again.
		if _, err := s.table.Delete(ctx, id); err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, err
		}
	}
	return ok, err
}

// Activate implements [devicegrant.Sessions]. A laptop that was logged out since it
// took the result gets no other session: it may have kept back its cookies for
// that.
func (s *results) Activate(ctx context.Context, id string, laptop browser.Browser) (bool, error) {
	r, err := s.table.Get(ctx, id)
	if err == nil && r.Session != "" {
		if ok, err := s.Vouched(ctx, r.Person, r.Session); err != nil || !ok {
			return false, err
		}
	}
	_, err = s.table.Update(ctx, id, func(r *result) error {
		now := time.Now()
		switch {
		case r.Over:
			return store.ErrNotFound
		case r.Taken.IsZero():
			r.Taken, r.Laptop = now, laptop
		case now.Sub(r.Taken) >= repeatWindow || !browser.Same(r.Laptop, laptop):
			return store.ErrNotFound
		}
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// noteSession notes which session the laptop got.
func (s *results) noteSession(ctx context.Context, id, session string) error {
	_, err := s.table.Update(ctx, id, func(r *result) error {
		r.Session = session
		return nil
	})
	return err
}

// Discard implements [devicegrant.Sessions].
func (s *results) Discard(ctx context.Context, id string) error {
	tokens, err := s.end(ctx, id)
	s.revoke(tokens)
	return err
}

// end ends a result, if there is one, and returns the tokens that it had. Its record
// stays, so that a slow poller cannot create it again.
func (s *results) end(ctx context.Context, id string) (idp.Tokens, error) {
	var tokens idp.Tokens
	_, err := s.table.Update(ctx, id, func(r *result) error {
		tokens = r.Tokens
		r.Over, r.Tokens = true, idp.Tokens{}
		return nil
	})
	if errors.Is(err, store.ErrNotFound) {
		return idp.Tokens{}, nil
	}
	return tokens, err
}
