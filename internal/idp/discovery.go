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
	approve, devicePage, refreshTokens string
}

func (c *Client) discover(ctx context.Context) (*provider, error) {
	ctx = oidc.ClientContext(ctx, c.http)
	discovered, err := oidc.NewProvider(ctx, c.cfg.Issuer)
	if mismatch, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok {
		// FusionAuth is acme.com until its kickstart has come so far.
		return nil, fmt.Errorf("idp: discover: the provider calls itself %.100q, but ISSUER is %.100q, and the two must be the same to the letter; "+
			"change ISSUER, or the issuer at the provider (at FusionAuth it is the tenant's)", mismatch.Discovered, mismatch.Provided)
	}
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
		return nil, fmt.Errorf("idp: discover: the document of %s has no %s, without which nobody can be logged in", c.cfg.Issuer, strings.Join(missing, " and no "))
	}
	algorithms := asymmetric(document.Algorithms)
	if len(document.Algorithms) > 0 && len(algorithms) == 0 {
		return nil, fmt.Errorf("idp: discover: %s signs with %.100q only, which whoever knows the client secret could do; have it sign with RS256", c.cfg.Issuer, document.Algorithms)
	}

	p := &provider{
		oidc: discovered,
		verifier: oidc.NewVerifier(c.cfg.Issuer, c.newKeySet(document.JWKS), &oidc.Config{
			ClientID:             c.cfg.ClientID,
			SupportedSigningAlgs: algorithms,
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
		p.devicePage = base + "/oauth2/device"
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
	if p.approve != "" {
		p.oauth.Scopes = scopes // FusionAuth has them all, and lists two
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
	return slices.DeleteFunc(slices.Clone(offered), func(algorithm string) bool {
		return algorithm == "none" || strings.HasPrefix(algorithm, "HS")
	})
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
