package demoidp

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// server is op's server, with what op leaves open or does otherwise than
// FusionAuth.
type server struct {
	*op.LegacyServer
	storage *storage
}

// Discovery lists only what the application may use; op always adds the
// implicit and JWT bearer grants and "none" as a client authentication.
func (s server) Discovery(ctx context.Context, r *op.Request[struct{}]) (*op.Response, error) {
	response, err := s.LegacyServer.Discovery(ctx, r)
	if err != nil {
		return nil, err
	}
	document := response.Data.(*oidc.DiscoveryConfiguration)
	c := client{s.storage.setup}
	document.GrantTypesSupported = c.GrantTypes()
	document.ResponseTypesSupported = []string{string(oidc.ResponseTypeCode)}
	document.ScopesSupported = supportedScopes
	methods := []oidc.AuthMethod{oidc.AuthMethodBasic, oidc.AuthMethodPost}
	document.TokenEndpointAuthMethodsSupported = methods
	document.RevocationEndpointAuthMethodsSupported = methods
	document.IntrospectionEndpointAuthMethodsSupported = methods
	return response, nil
}

// CodeExchange asks for the verifier of every code that has a challenge. op
// forgets about it if a client with a secret sends none, and then a stolen
// code could be injected into the thief's own login.
func (s server) CodeExchange(ctx context.Context, r *op.ClientRequest[oidc.AccessTokenRequest]) (*op.Response, error) {
	if r.Data.CodeVerifier == "" {
		if a, err := s.storage.codes.Get(ctx, r.Data.Code); err == nil && a.CodeChallenge != "" {
			return nil, oidc.ErrInvalidGrant().WithDescription("code_verifier missing")
		}
	}
	return s.LegacyServer.CodeExchange(ctx, r)
}

// DeviceAuthorization tries again when the user code it made is taken.
func (s server) DeviceAuthorization(ctx context.Context, r *op.ClientRequest[oidc.DeviceAuthorizationRequest]) (response *op.Response, err error) {
	for range 3 {
		if response, err = s.LegacyServer.DeviceAuthorization(ctx, r); !errors.Is(err, op.ErrDuplicateUserCode) {
			break
		}
	}
	return response, err
}

// DeviceToken answers with the storage's own error, which op makes an
// access_denied of, whatever it was.
func (s server) DeviceToken(ctx context.Context, r *op.ClientRequest[oidc.DeviceAccessTokenRequest]) (*op.Response, error) {
	response, err := s.LegacyServer.DeviceToken(ctx, r)
	if denied, ok := errors.AsType[*oidc.Error](err); ok && denied.ErrorType == oidc.AccessDenied && denied.Parent != nil {
		err = denied.Parent
	}
	return response, err
}

// UserInfo says as much as the access token's scope allows.
func (s server) UserInfo(ctx context.Context, r *op.Request[oidc.UserInfoRequest]) (*op.Response, error) {
	claims, err := s.storage.accessToken(ctx, r.Data.AccessToken)
	if err != nil || !slices.Contains(claims.Scopes, oidc.ScopeOpenID) {
		refusal := &oidc.Error{ErrorType: "invalid_token", Description: "the access token is invalid"}
		return nil, op.NewStatusError(refusal, http.StatusUnauthorized)
	}
	info := new(oidc.UserInfo)
	if err := s.storage.SetUserinfoFromScopes(ctx, info, claims.Subject, claims.ClientID, claims.Scopes); err != nil {
		return nil, err
	}
	return op.NewResponse(info), nil
}

// accessToken returns what a valid access token of a person here says.
func (s *storage) accessToken(ctx context.Context, token string) (*oidc.AccessTokenClaims, error) {
	if isHollow(token) {
		return nil, oidc.ErrParse
	}
	verifier := op.NewAccessTokenVerifier(s.tenantIssuer, &op.OpenIDKeySet{Storage: s})
	claims, err := op.VerifyAccessToken[*oidc.AccessTokenClaims](ctx, token, verifier)
	if err != nil {
		return nil, err
	}
	// ID tokens bear the same signature but no jti. They travel in logout URLs,
	// so whoever reads one there must not be able to approve a device with it.
	if claims.JWTID == "" || claims.ClientID != s.clientID || !slices.Contains(claims.Audience, s.clientID) {
		return nil, errors.New("demoidp: not an access token for this client")
	}
	_, err = s.person(claims.Subject)
	return claims, err
}
