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
	// ErrNoToken says that there is no access token without another login.
	ErrNoToken = errors.New("session: no access token without another login")
	// ErrLoginEnded says that the provider has ended the login, and so the session
	// has ended.
	ErrLoginEnded = errors.New("session: login ended by the provider")
)

const (
	soon         = 10 * time.Second // a token that expires so soon counts as expired
	refreshLease = 30 * time.Second // then another request may try; a late answer does not count
	longestAsk   = 10 * time.Second // of a refresh: the timeout of the provider's client
	patience     = 33 * time.Second // how long a request waits for the one that refreshes: a little longer than its lease
)

// CanAct reports whether an access token can be had without another login, as
// far as is known here.
func (s Session) CanAct() bool {
	return s.LoggedIn() && (s.Tokens.Refresh != "" || s.hasUsableToken(time.Now()))
}

func (s Session) hasUsableToken(now time.Time) bool {
	return s.Tokens.Access != "" && s.Tokens.Expires.Sub(now) > soon
}

// Token returns an access token of the session's person that does not expire
// soon. If need be it is refreshed: once, for all who ask at the same time, in
// every process. Errors other than [ErrNoToken] and [ErrLoginEnded] leave the
// session as it is.
func (m *Manager) Token(ctx context.Context, s Session) (access string, err error) {
	if s.hasUsableToken(time.Now()) {
		return s.Tokens.Access, nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	id := s.ID
	ticks := m.sessions.Watch(ctx, id)
	for ctx.Err() == nil {
		leased := false
		s, err = m.change(ctx, id, func(s *Session) error {
			now := time.Now()
			leased = false
			switch {
			case !s.live(now):
				return ErrNoToken
			case s.hasUsableToken(now):
			case s.Tokens.Refresh == "" && now.Before(s.Tokens.Expires):
				// It expires soon, but there is no better one.
			case s.Tokens.Refresh == "":
				return ErrNoToken
			default:
				leased = s.Lease.Take(now, refreshLease)
			}
			return nil
		})
		switch {
		case errors.Is(err, store.ErrNotFound):
			return "", ErrNoToken
		case err != nil:
			return "", err
		case leased:
			access, err := m.refreshNow(context.WithoutCancel(ctx), id, s)
			if !errors.Is(err, errLate) {
				return access, err
			}
			continue // with the session as it is now
		case s.Tokens.Refresh == "" || s.hasUsableToken(time.Now()):
			return s.Tokens.Access, nil
		}
		select { // until the holder of the lease is done
		case <-ticks:
		case <-time.After(time.Until(s.Lease.Until)):
		}
	}
	return "", ctx.Err()
}

// errLate says that a refresh took too long: another request has taken the lease,
// or the session has ended.
var errLate = errors.New("session: refresh answered too late")

// refreshNow refreshes the tokens under the lease that s has. It continues when
// the request that began it has left: a refresh token that was used up must not
// be lost.
func (m *Manager) refreshNow(ctx context.Context, id string, s Session) (access string, err error) {
	if time.Until(s.Lease.Until) < longestAsk {
		// This process was paused after it took the lease. A refresh that outlasts
		// the lease could overlap with another process's, and a provider that
		// rotates refresh tokens ends the login when one is used twice (RFC 9700,
		// section 4.14.2).
		return "", errLate
	}
	tokens, err := m.refresh(ctx, s.Tokens, s.Person)
	// No refresh can succeed any longer, or the new tokens are another person's.
	refusal, refused := errors.AsType[*idp.Error](err)
	ended := refused && refusal.Final() && refusal.Code == "invalid_grant" || errors.Is(err, idp.ErrInvalidToken)
	nextCheck := m.nextCheck(err)
	_, updateErr := m.change(ctx, id, func(now *Session) error {
		switch {
		case now.Lease.Number != s.Lease.Number:
			return errLate
		case ended:
			*now = Session{Began: time.Now(), Ended: EndedByProvider} // a tombstone
			return nil
		case err == nil:
			now.Tokens = tokens
		}
		now.NextCheck = nextCheck
		now.Lease.Release()
		return nil
	})
	if updateErr != nil && err == nil {
		m.revoke(tokens) // nobody has them
	}
	switch {
	case errors.Is(updateErr, store.ErrNotFound):
		return "", ErrNoToken
	case updateErr != nil:
		return "", errors.Join(err, updateErr)
	case ended:
		m.log.Warn("login ended by the provider", "ref", s.Ref, "person", s.Person, "err", err)
		m.observe(Ended, s.By)
		return "", ErrLoginEnded
	}
	return tokens.Access, err
}
