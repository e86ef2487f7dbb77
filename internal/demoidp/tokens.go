package demoidp

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"changebank/internal/store"
)

// token passes codes and refresh tokens on to op. Device codes it cannot have:
// op would issue tokens for the same one again and again, and answer
// access_denied where the store fails.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	switch oidc.GrantType(r.PostForm.Get("grant_type")) {
	case oidc.GrantTypeCode:
		op.CodeExchange(w, r, p.op)
	case oidc.GrantTypeRefreshToken:
		op.RefreshTokenExchange(w, r, p.op)
	case oidc.GrantTypeDeviceCode:
		p.pollDevice(w, r)
	default:
		writeError(w, http.StatusBadRequest, "unsupported_grant_type", "", "unsupported grant_type")
	}
}

// revoke ends a refresh token. An access token lasts until it expires, and RFC
// 7009, section 2.2.1 has an error that says so.
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	token := r.PostForm.Get("token")
	if _, err := p.storage.accessToken(token); err == nil {
		writeError(w, http.StatusBadRequest, "unsupported_token_type", "", "access tokens cannot be revoked")
		return
	}
	if _, err := p.storage.refresh.Delete(r.Context(), token); err != nil && !errors.Is(err, store.ErrNotFound) {
		p.serverError(w, "revocation", err)
	}
}

// userInfo says as much as the access token's scope allows.
func (p *Provider) userInfo(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), oidc.PrefixBearer)
	claims, err := p.storage.accessToken(token)
	if err != nil || !slices.Contains(claims.scopes(), oidc.ScopeOpenID) {
		writeError(w, http.StatusUnauthorized, "invalid_token", "", "the access token is invalid")
		return
	}
	info := new(oidc.UserInfo)
	if err := p.storage.SetUserinfoFromScopes(r.Context(), info, claims.Subject, p.clientID, claims.scopes()); err != nil {
		p.serverError(w, "userinfo", err)
		return
	}
	writeJSON(w, http.StatusOK, info)
}

func (p *Provider) keys(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{p.storage.key.Public()}})
}

// accessClaims are those of an access token (RFC 9068).
type accessClaims struct {
	jwt.Claims
	Scope    string `json:"scope"`
	AuthTime int64  `json:"auth_time"`
}

func (c accessClaims) scopes() []string { return strings.Fields(c.Scope) }

// accessToken verifies an access token. op's own verifier panics if the payload
// is null.
func (s *storage) accessToken(text string) (claims accessClaims, err error) {
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	if err == nil {
		err = token.Claims(s.key.Public(), &claims)
	}
	if err == nil {
		err = claims.ValidateWithLeeway(jwt.Expected{Issuer: s.issuer, AnyAudience: jwt.Audience{s.clientID}, Time: time.Now()}, 0)
	}
	// ID tokens have the same signature but no jti. They travel in logout URLs,
	// and who reads one there must not be able to approve a device with it.
	if err == nil && claims.ID == "" {
		err = errors.New("not an access token")
	}
	if err == nil {
		_, err = s.person(claims.Subject)
	}
	return claims, err
}

// AuthRequestByCode spends the code: of two that present it, one gets tokens.
func (s *storage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	a, err := s.codes.Delete(ctx, code)
	if err == nil && time.Now().After(a.Expires) {
		err = store.ErrNotFound
	}
	return a, err
}

// DeleteAuthRequest has nothing left to do.
func (s *storage) DeleteAuthRequest(context.Context, string) error { return nil }

func (s *storage) CreateAccessToken(context.Context, op.TokenRequest) (id string, expires time.Time, err error) {
	return rand.Text(), time.Now().Add(s.app.accessTokens()), nil
}

// CreateAccessAndRefreshTokens makes a refresh token only where there is no
// current one, which stays good.
func (s *storage) CreateAccessAndRefreshTokens(ctx context.Context, request op.TokenRequest, current string) (id, refresh string, expires time.Time, err error) {
	if current == "" {
		of := request.(op.IDTokenRequest) // as are all that op has here
		refresh, err = s.refresh.Create(ctx, &refreshToken{
			grant:   grant{of.GetClientID(), of.GetSubject(), of.GetScopes(), of.GetAuthTime()},
			Expires: time.Now().Add(s.app.refreshTokens()),
		})
	}
	return rand.Text(), refresh, time.Now().Add(s.app.accessTokens()), err
}

func (s *storage) TokenRequestByRefreshToken(ctx context.Context, token string) (op.RefreshTokenRequest, error) {
	t, err := s.refresh.Get(ctx, token)
	if err == nil && time.Now().After(t.Expires) {
		err = store.ErrNotFound
	}
	return t, err
}

func (s *storage) SigningKey(context.Context) (op.SigningKey, error) { return s.key, nil }

// GetPrivateClaimsFromRequest puts into an access token what userinfo and
// approval need later.
func (s *storage) GetPrivateClaimsFromRequest(_ context.Context, request op.TokenRequest, _ []string) (map[string]any, error) {
	return map[string]any{
		"scope":     strings.Join(request.GetScopes(), " "),
		"auth_time": request.(op.IDTokenRequest).GetAuthTime().Unix(),
	}, nil
}

func (s *storage) SetUserinfoFromScopes(_ context.Context, info *oidc.UserInfo, id, _ string, scopes []string) error {
	who, err := s.person(id)
	if err != nil {
		return err
	}
	info.Subject = who.ID
	if slices.Contains(scopes, oidc.ScopeEmail) {
		info.Email, info.EmailVerified = who.Email, true
	}
	if slices.Contains(scopes, oidc.ScopeProfile) {
		info.Name, info.GivenName, info.FamilyName = who.FullName, who.FirstName, who.LastName
	}
	return nil
}

// person fails for a token or a session that is older than the present
// kickstart.
func (s *setup) person(id string) (person, error) {
	i := slices.IndexFunc(s.people, func(p person) bool { return p.ID == id })
	if i < 0 {
		return person{}, oidc.ErrInvalidGrant().WithDescription("this user no longer exists")
	}
	return s.people[i], nil
}
