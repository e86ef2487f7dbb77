package idp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// skew is how far our clock and the provider's may be apart.
const skew = 30 * time.Second

// scopes are what we ask for, at either kind of login: who the person is, and
// that a session may outlive its first access token.
var scopes = []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopeOfflineAccess}

// provider is what the discovery document told.
type provider struct {
	oidc     *oidc.Provider
	verifier *oidc.IDTokenVerifier
	oauth    oauth2.Config
	auth     AuthMethod
	// saysIssuer: answers to authorization requests name their issuer (RFC 9207).
	saysIssuer bool

	device             string // RFC 8628
	endSession, revoke string // empty where the provider has none

	// FusionAuth's own calls, empty at another provider.
	approve, refreshTokens string
}

func (c *Client) discover(ctx context.Context) (*provider, error) {
	ctx = oidc.ClientContext(ctx, c.http)
	discovered, err := oidc.NewProvider(ctx, c.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("idp: discover: %w", brief{err})
	}
	var document struct {
		JWKS        string   `json:"jwks_uri"`
		Algorithms  []string `json:"id_token_signing_alg_values_supported"`
		Scopes      []string `json:"scopes_supported"`
		EndSession  string   `json:"end_session_endpoint"`
		Revocation  string   `json:"revocation_endpoint"`
		AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
		SaysIssuer  bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := discovered.Claims(&document); err != nil {
		return nil, fmt.Errorf("idp: discover: %w", err)
	}
	endpoint := discovered.Endpoint()
	var missing []string
	for _, field := range []struct{ name, url string }{
		{"authorization_endpoint", endpoint.AuthURL},
		{"token_endpoint", endpoint.TokenURL},
		{"device_authorization_endpoint", endpoint.DeviceAuthURL},
		{"jwks_uri", document.JWKS},
	} {
		if field.url == "" {
			missing = append(missing, field.name)
		}
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("idp: discover: the document of %s has no %s", c.cfg.Issuer, strings.Join(missing, " and no "))
	}

	p := &provider{
		oidc: discovered,
		verifier: oidc.NewVerifier(c.cfg.Issuer, keySet{oidc.NewRemoteKeySet(ctx, document.JWKS)}, &oidc.Config{
			ClientID:             c.cfg.ClientID,
			SupportedSigningAlgs: asymmetric(document.Algorithms),
			Now:                  func() time.Time { return time.Now().Add(-skew) },
		}),
		auth:       c.authMethod(document.AuthMethods),
		saysIssuer: document.SaysIssuer,
		device:     endpoint.DeviceAuthURL,
		endSession: document.EndSession,
		revoke:     document.Revocation,
	}
	// FusionAuth does not announce these; it has them beside the device
	// authorization endpoint.
	if base, ok := strings.CutSuffix(p.device, "/oauth2/device_authorize"); ok {
		p.approve = base + "/oauth2/device/approve"
		p.refreshTokens = base + "/api/jwt/refresh"
	}
	// Left to itself x/oauth2 tries both ways until one succeeds.
	endpoint.AuthStyle = oauth2.AuthStyleInParams
	if p.auth == AuthBasic {
		endpoint.AuthStyle = oauth2.AuthStyleInHeader
	}
	secret := c.cfg.ClientSecret
	if p.auth == AuthNone {
		secret = ""
	}
	p.oauth = oauth2.Config{
		ClientID:     c.cfg.ClientID,
		ClientSecret: secret,
		Endpoint:     endpoint,
		RedirectURL:  c.cfg.RedirectURL,
		Scopes:       supported(scopes, document.Scopes),
	}
	return p, nil
}

// authMethod returns the configured method, or for [AuthAuto] one of those
// that discovery offers. FusionAuth builds its Basic header from the raw
// secret, others from the escaped one: post leaves no room for that.
func (c *Client) authMethod(offered []string) AuthMethod {
	switch {
	case c.cfg.Auth != AuthAuto && c.cfg.Auth != "":
		return c.cfg.Auth
	case c.cfg.ClientSecret == "":
		return AuthNone
	case len(offered) > 0 && !slices.Contains(offered, "client_secret_post"):
		return AuthBasic
	}
	return AuthPost
}

// supported returns the wanted scopes that the provider offers, all of them if
// it does not say: an unknown one could be refused. Without openid it would be
// no login, whatever the provider says.
func supported(wanted, offered []string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(scope string) bool {
		return scope != oidc.ScopeOpenID && len(offered) > 0 && !slices.Contains(offered, scope)
	})
}

// asymmetric returns the algorithms whose signatures only the provider can
// make. With HS256 and the like, whoever knows the client secret could.
func asymmetric(offered []string) []string {
	return slices.DeleteFunc(offered, func(algorithm string) bool {
		return algorithm == "none" || strings.HasPrefix(algorithm, "HS")
	})
}

// keySet tells keys that could not be fetched from a signature that is wrong:
// go-oidc's verifier reports both as text.
type keySet struct{ remote *oidc.RemoteKeySet }

// noKeys is the context key of an *error for why there are no keys.
type noKeys struct{}

// VerifySignature implements [oidc.KeySet].
func (k keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.remote.VerifySignature(ctx, token)
	// Only the error about fetching has a cause.
	if cause := errors.Unwrap(err); cause != nil {
		if report, ok := ctx.Value(noKeys{}).(*error); ok {
			*report = cause
		}
	}
	return payload, err
}

// Origins returns where forms and redirects of ours may lead a browser: the
// provider's login and logout pages. It is nil until the provider is known.
func (c *Client) Origins() []string {
	p, err := c.ready()
	if err != nil {
		return nil
	}
	origins := []string{origin(p.oauth.Endpoint.AuthURL)}
	if o := origin(p.endSession); o != "" && o != origins[0] {
		origins = append(origins, o)
	}
	return origins
}

// Owns reports whether a page is the provider's: at its issuer's origin, or
// where it has its login and logout pages.
func (c *Client) Owns(uri string) bool {
	o := origin(uri)
	return o == origin(c.cfg.Issuer) || slices.Contains(c.Origins(), o)
}
