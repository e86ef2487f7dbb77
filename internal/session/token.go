package session

import (
	"context"
	"errors"
	"time"

	"changebank/internal/idp"
	"changebank/internal/store"
)

// RefreshFunc trades tokens for new ones of the same person, as
// [idp.Client.Refresh] does.
type RefreshFunc func(ctx context.Context, old idp.Tokens, person idp.Person) (idp.Tokens, error)

var (
	// ErrNoToken says that there is no access token to be had without a login.
	ErrNoToken = errors.New("session: no access token without another login")
	// ErrEnded says that the provider has ended the login, and so the session
	// is over.
	ErrEnded = errors.New("session: the provider has ended the login")
)

const (
	soon         = 10 * time.Second // a token that ends so soon is as good as ended
	patience     = 33 * time.Second // how long a request waits for another that refreshes: a little longer than that one has
	refreshLease = 30 * time.Second // after so long another may try; a late answer does not count
)

// CanAct reports whether an access token can be had without another login,
// as far as is known here.
func (s Session) CanAct() bool {
	return s.LoggedIn() && (s.Tokens.Refresh != "" || s.fresh(time.Now()))
}

func (s Session) fresh(now time.Time) bool {
	return s.Tokens.Access != "" && s.Tokens.Expires.Sub(now) > soon
}

// Token returns an access token of the session's person that can be used for a
// while yet. It is refreshed if need be: once, for all who ask at the same
// time, in every process. Besides [ErrNoToken] and [ErrEnded] there are faults
// that leave the session as it is.
func (m *Manager) Token(ctx context.Context, s Session) (access string, err error) {
	if s.fresh(time.Now()) {
		return s.Tokens.Access, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	id := s.ID
	ticks := m.table.Watch(ctx, id)
	for ctx.Err() == nil {
		mine := false
		s, err = m.table.Update(ctx, id, func(s *Session) error {
			now := time.Now()
			mine = false
			switch {
			case !s.live(now) || !s.LoggedIn():
				return ErrNoToken
			case s.fresh(now):
			case s.Tokens.Refresh == "" && now.Before(s.Tokens.Expires):
				// Not for long, but there is no better one.
			case s.Tokens.Refresh == "":
				return ErrNoToken
			case !now.Before(s.Lease):
				mine = true
				s.Lease = now.Add(refreshLease)
				s.Turn++
			}
			return nil
		})
		switch {
		case errors.Is(err, store.ErrNotFound):
			return "", ErrNoToken
		case err != nil:
			return "", err
		case mine:
			access, err := m.refreshNow(context.WithoutCancel(ctx), id, s)
			if !errors.Is(err, errLate) {
				return access, err
			}
			continue // and see what has become of the session meanwhile
		case s.Tokens.Refresh == "" || s.fresh(time.Now()):
			return s.Tokens.Access, nil
		}
		select { // for whoever refreshes
		case <-ticks:
		case <-time.After(time.Until(s.Lease)):
		}
	}
	return "", ctx.Err()
}

// errLate says that a refresh took too long: another turn has begun, or the
// session was left for another.
var errLate = errors.New("session: the answer came too late")

// refreshNow takes the turn that s has got. It goes on when the request that
// began it has gone: a refresh token that has been used up must not be lost.
func (m *Manager) refreshNow(ctx context.Context, id string, s Session) (access string, err error) {
	tokens, err := m.refresh(ctx, s.Tokens, *s.Person)
	refused, ok := errors.AsType[*idp.Error](err)
	ended := ok && refused.Final() && refused.Code == "invalid_grant" || errors.Is(err, idp.ErrInvalidToken)
	_, updateErr := m.table.Update(ctx, id, func(now *Session) error {
		switch {
		case now.Turn != s.Turn || now.Successor != "":
			return errLate
		case ended:
			now.Person, now.Tokens = nil, idp.Tokens{}
		case err == nil:
			now.Tokens = tokens
		}
		now.Lease = time.Time{}
		return nil
	})
	if updateErr != nil && err == nil && m.revoke != nil {
		// Logged out meanwhile, or too late: nobody has these tokens now.
		if err := m.revoke(ctx, tokens); err != nil {
			m.log.Warn("refreshed tokens that nobody uses could not be revoked", "err", err)
		}
	}
	switch {
	case errors.Is(updateErr, store.ErrNotFound):
		return "", ErrNoToken
	case updateErr != nil:
		return "", errors.Join(err, updateErr)
	case ended:
		m.log.Warn("the provider has ended a login", "person", *s.Person, "err", err)
		return "", errors.Join(ErrEnded, m.Discard(ctx, id))
	}
	return tokens.Access, err
}
