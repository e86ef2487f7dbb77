package demoidp

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"changebank/internal/store"
)

var errReused = errors.New("the refresh token was used before")

// CreateAccessAndRefreshTokens begins a family or, if there is a current
// token, replaces that token within its family.
func (s *storage) CreateAccessAndRefreshTokens(ctx context.Context, request op.TokenRequest, current string) (id, refresh string, expires time.Time, err error) {
	var family *refreshFamily
	familyID, secret, _ := strings.Cut(current, ".")
	if current == "" {
		of := request.(op.IDTokenRequest) // all that op has here
		family = &refreshFamily{
			grant:   grant{of.GetClientID(), of.GetSubject(), of.GetScopes(), of.GetAuthTime()},
			Secret:  rand.Text(),
			Expires: time.Now().Add(s.refreshTokens()),
		}
		familyID, err = s.families.Create(ctx, family)
	} else {
		family, err = s.families.Update(ctx, familyID, func(f **refreshFamily) error {
			if !sameSecret((*f).Secret, secret) {
				return errReused
			}
			(*f).Secret = rand.Text()
			return nil
		})
	}
	if err != nil {
		return "", "", time.Time{}, s.refreshError(ctx, familyID, err)
	}
	return rand.Text(), familyID + "." + family.Secret, time.Now().Add(s.accessTokens()), nil
}

func (s *storage) TokenRequestByRefreshToken(ctx context.Context, token string) (op.RefreshTokenRequest, error) {
	familyID, secret, _ := strings.Cut(token, ".")
	family, err := s.families.Get(ctx, familyID)
	if err == nil && !sameSecret(family.Secret, secret) {
		err = errReused
	}
	if err == nil && time.Now().After(family.Expires) {
		err = store.ErrNotFound
	}
	return family, s.refreshError(ctx, familyID, err)
}

// refreshError ends the family of a token that was used twice: one of the two
// who had it is a thief, and nobody can tell which.
func (s *storage) refreshError(ctx context.Context, familyID string, err error) error {
	switch {
	case errors.Is(err, errReused):
		s.log.Warn("demo provider: refresh token used twice, login ended")
		if _, err := s.families.Delete(ctx, familyID); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		return oidc.ErrInvalidGrant().WithDescription("the refresh token was used before")
	case errors.Is(err, store.ErrNotFound):
		return oidc.ErrInvalidGrant().WithDescription("the refresh token is unknown or expired")
	}
	return err
}

// GetRefreshTokenInfo returns the family in place of a token's ID. The empty
// user tells RevokeToken that this was a refresh token.
func (s *storage) GetRefreshTokenInfo(ctx context.Context, _, token string) (userID, tokenID string, err error) {
	familyID, _, _ := strings.Cut(token, ".")
	if _, err = s.families.Get(ctx, familyID); errors.Is(err, store.ErrNotFound) {
		err = op.ErrInvalidRefreshToken
	}
	return "", familyID, err
}

// RevokeToken ends a refresh token's family, whichever of its tokens it was.
// An access token is good until it expires, and RFC 7009 has an answer that
// says so.
func (s *storage) RevokeToken(ctx context.Context, tokenID, userID, _ string) *oidc.Error {
	if userID != "" {
		return &oidc.Error{ErrorType: "unsupported_token_type", Description: "access tokens cannot be revoked"}
	}
	if _, err := s.families.Delete(ctx, tokenID); err != nil && !errors.Is(err, store.ErrNotFound) {
		return oidc.ErrServerError().WithParent(err)
	}
	return nil
}
