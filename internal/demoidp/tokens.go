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

// token is the token endpoint. It does not use op for device codes: op would
// redeem the same one again and again, and report a failing store as
// access_denied.
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

// revoke ends a refresh token (RFC 7009). An access token cannot be revoked;
// section 2.2.1 has an error for that.
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	token := r.PostForm.Get("token")
	if _, err := p.storage.accessToken(r.Context(), token); err == nil {
		writeError(w, http.StatusBadRequest, "unsupported_token_type", "", "access tokens cannot be revoked")
		return
	}
	if _, err := p.storage.refresh.Delete(r.Context(), token); err != nil && !errors.Is(err, store.ErrNotFound) {
		p.serverError(w, "revocation", err)
	}
}

// userInfo returns the claims that the access token's scope includes.
func (p *Provider) userInfo(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), oidc.PrefixBearer)
	claims, err := p.storage.accessToken(r.Context(), token)
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

func (p *Provider) keys(w http.ResponseWriter, r *http.Request) {
	key, err := p.storage.keys.get(r.Context())
	if err != nil {
		p.serverError(w, "signing key", err)
		return
	}
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}})
}

// accessClaims are the claims of an access token (RFC 9068).
type accessClaims struct {
	jwt.Claims
	Scope    string `json:"scope"`
	AuthTime int64  `json:"auth_time"`
}

func (c accessClaims) scopes() []string { return strings.Fields(c.Scope) }

// accessToken verifies an access token. op's own verifier panics if the payload
// is null.
func (s *storage) accessToken(ctx context.Context, text string) (claims accessClaims, err error) {
	token, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	var key signingKey
	if err == nil {
		key, err = s.keys.get(ctx)
	}
	if err == nil {
		err = token.Claims(key.Public(), &claims)
	}
	if err == nil {
		err = claims.ValidateWithLeeway(jwt.Expected{Issuer: s.issuer, AnyAudience: jwt.Audience{s.clientID}}, 0)
	}
	// ID tokens have the same signature but no jti. They appear in logout URLs.
	// An attacker who reads one there must not be able to approve a device.
	if err == nil && claims.ID == "" {
		err = errors.New("not an access token")
	}
	if err == nil {
		_, err = s.person(claims.Subject)
	}
	return claims, err
}

// AuthRequestByCode spends the code: of several requests with the same code, one
// gets tokens.
func (s *storage) AuthRequestByCode(ctx context.Context, code string) (op.AuthRequest, error) {
	a, err := s.codes.Delete(ctx, code)
	return &a, err
}

// DeleteAuthRequest does nothing: the code is spent already.
func (s *storage) DeleteAuthRequest(context.Context, string) error { return nil }

func (s *storage) CreateAccessToken(context.Context, op.TokenRequest) (id string, expires time.Time, err error) {
	return rand.Text(), time.Now().Add(s.app.accessTokens()), nil
}

// CreateAccessAndRefreshTokens makes a refresh token unless there is a current
// one, which stays valid.
func (s *storage) CreateAccessAndRefreshTokens(ctx context.Context, request op.TokenRequest, current string) (id, refresh string, expires time.Time, err error) {
	if current == "" {
		of := request.(op.IDTokenRequest) // all of ours are
		refresh, err = s.refresh.Create(ctx, refreshToken{
			grant:   grant{of.GetClientID(), of.GetSubject(), of.GetScopes(), of.GetAuthTime()},
			Expires: time.Now().Add(s.app.refreshTokens()),
		})
	}
	return rand.Text(), refresh, time.Now().Add(s.app.accessTokens()), err
}

func (s *storage) TokenRequestByRefreshToken(ctx context.Context, token string) (op.RefreshTokenRequest, error) {
	t, err := s.refresh.Get(ctx, token)
	return &t, err // op changes its scopes, which must not change those of the record
}

func (s *storage) SigningKey(ctx context.Context) (op.SigningKey, error) { return s.keys.get(ctx) }

// GetPrivateClaimsFromRequest adds what userInfo and approveDevice need to an
// access token.
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
