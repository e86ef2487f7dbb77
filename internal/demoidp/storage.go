package demoidp

import (
	"context"
	"errors"

	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"changebank/internal/store"
)

// storage implements [op.Storage] and keeps the demo provider's records.
type storage struct {
	refused
	*setup
	keys   signingKeys
	crypto op.Crypto // seals authorization requests

	codes   *store.Table[authRequest]
	sso     *store.Table[ssoSession]
	devices *store.Table[device]
	refresh *store.Table[refreshToken]
}

func newStorage(s *store.Store, set *setup) *storage {
	return &storage{
		setup:   set,
		keys:    signingKeys{store: s},
		crypto:  op.NewAES256GCMCrypto([32]byte(s.DeriveKeys("demo login")[0]), ""),
		codes:   store.NewTable[authRequest](s, "demo code"),
		sso:     store.NewTable[ssoSession](s, "demo sso"),
		devices: store.NewTable[device](s, "demo device"),
		refresh: store.NewTable[refreshToken](s, "demo refresh"),
	}
}

func (s *storage) GetClientByClientID(_ context.Context, id string) (op.Client, error) {
	if id != s.clientID {
		return nil, errors.New("unknown client")
	}
	return client{s.setup}, nil
}

// AuthorizeClientIDSecret does nothing: [Provider.authenticated] checked the
// secret.
func (s *storage) AuthorizeClientIDSecret(context.Context, string, string) error { return nil }

var errRefused = errors.New("not supported by the demo provider")

// refused has the methods of [op.Storage] for features that the demo provider
// does not have.
type refused struct{}

func (refused) AuthRequestByID(context.Context, string) (op.AuthRequest, error) {
	return nil, errRefused
}
func (refused) SaveAuthCode(context.Context, string, string) error     { return errRefused }
func (refused) TerminateSession(context.Context, string, string) error { return errRefused }
func (refused) RevokeToken(context.Context, string, string, string) *oidc.Error {
	return oidc.ErrServerError().WithParent(errRefused)
}
func (refused) GetRefreshTokenInfo(context.Context, string, string) (user, token string, err error) {
	return "", "", errRefused
}
func (refused) SignatureAlgorithms(context.Context) ([]jose.SignatureAlgorithm, error) {
	return nil, errRefused
}
func (refused) KeySet(context.Context) ([]op.Key, error) { return nil, errRefused }
func (refused) SetUserinfoFromToken(context.Context, *oidc.UserInfo, string, string, string) error {
	return errRefused
}
func (refused) SetIntrospectionFromToken(context.Context, *oidc.IntrospectionResponse, string, string, string) error {
	return errRefused
}
func (refused) GetPrivateClaimsFromScopes(context.Context, string, string, []string) (map[string]any, error) {
	return nil, errRefused
}
func (refused) GetKeyByIDAndClientID(context.Context, string, string) (*jose.JSONWebKey, error) {
	return nil, errRefused
}
func (refused) ValidateJWTProfileScopes(context.Context, string, []string) ([]string, error) {
	return nil, errRefused
}
func (refused) Health(context.Context) error { return errRefused }
