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

// clockSkew is how far our clock and the provider's may differ.
const clockSkew = 30 * time.Second

// scopes are requested by both kinds of login: who the person is, and a session
// that may outlive its first access token.
var scopes = []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopeOfflineAccess}

// provider is the provider as its discovery document describes it.
type provider struct {
	oidc  *oidc.Provider
	oauth oauth2.Config // without the secret: see post
	auth  AuthMethod

	keys   *keySet
	claims oidc.Config // what go-oidc checks of an ID token

	// namesIssuer: authorization responses name their issuer (RFC 9207).
	namesIssuer bool

	endSession, revocation string // empty where the provider has none

	// FusionAuth's own endpoints, empty at another provider.
	approve, devicePage, refreshTokens string
}

// document is the part of a discovery document that go-oidc does not offer.
type document struct {
	JWKS        string   `json:"jwks_uri"`
	Algorithms  []string `json:"id_token_signing_alg_values_supported"`
	Scopes      []string `json:"scopes_supported"`
	EndSession  string   `json:"end_session_endpoint"`
	Revocation  string   `json:"revocation_endpoint"`
	AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
	NamesIssuer bool     `json:"authorization_response_iss_parameter_supported"`
}

// discover fetches and checks the discovery document.
func (c *Client) discover(ctx context.Context) (*provider, error) {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, c.http), c.cfg.Issuer)
	if mismatch, ok := errors.AsType[*oidc.IssuerMismatchError](err); ok {
		// FusionAuth's is acme.com until its kickstart has set it.
		return nil, fmt.Errorf("idp: discover: the provider's issuer is %.100q, but ISSUER is %.100q, and they must match exactly: "+
			"change ISSUER, or the issuer at the provider (at FusionAuth, the tenant's)", mismatch.Discovered, mismatch.Provided)
	}
	if err != nil {
		return nil, fmt.Errorf("idp: discover: %w", brief{err})
	}
	var doc document
	if err := found.Claims(&doc); err != nil {
		return nil, fmt.Errorf("idp: discover: %w", err)
	}
	endpoint := found.Endpoint()
	if err := doc.check(endpoint); err != nil {
		return nil, fmt.Errorf("idp: discover: %s %w", c.cfg.Issuer, err)
	}
	p := &provider{
		oidc: found,
		oauth: oauth2.Config{
			ClientID:    c.cfg.ClientID,
			Endpoint:    endpoint,
			RedirectURL: c.cfg.RedirectURL,
			Scopes:      supported(scopes, doc.Scopes),
		},
		auth: c.authMethod(doc.AuthMethods),
		keys: c.newKeySet(doc.JWKS),
		claims: oidc.Config{
			ClientID:             c.cfg.ClientID,
			SupportedSigningAlgs: asymmetric(doc.Algorithms),
			Now:                  func() time.Time { return time.Now().Add(-clockSkew) },
		},
		namesIssuer: doc.NamesIssuer,
		endSession:  doc.EndSession,
		revocation:  doc.Revocation,
	}
	// FusionAuth does not list these. They are beside its device authorization
	// endpoint.
	if base, ok := strings.CutSuffix(endpoint.DeviceAuthURL, "/oauth2/device_authorize"); ok {
		p.approve = base + "/oauth2/device/approve"
		p.devicePage = base + "/oauth2/device"
		p.refreshTokens = base + "/api/jwt/refresh"
		p.oauth.Scopes = scopes // FusionAuth has all of them, and lists two
	}
	return p, nil
}

// check returns what makes logins impossible with this provider.
func (d document) check(endpoint oauth2.Endpoint) error {
	var missing []string
	for _, field := range []struct{ name, url string }{
		{"authorization_endpoint", endpoint.AuthURL},
		{"token_endpoint", endpoint.TokenURL},
		{"device_authorization_endpoint", endpoint.DeviceAuthURL},
		{"jwks_uri", d.JWKS},
	} {
		if field.url == "" {
			missing = append(missing, field.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("has no %s in its discovery document", strings.Join(missing, " and no "))
	}
	if len(d.Algorithms) > 0 && len(asymmetric(d.Algorithms)) == 0 {
		return fmt.Errorf("signs with %.100q only, which anyone who knows the client secret could do: configure it to sign with RS256", d.Algorithms)
	}
	return nil
}

// authMethod returns the configured method, or for [AuthAuto] one that
// discovery offers. It prefers post: FusionAuth builds the Basic header from
// the raw secret, others from the escaped one, and post has no such ambiguity.
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

// supported returns the wanted scopes that the provider offers, since it may
// reject an unknown one, and all of them if it lists none. It always keeps
// openid, without which there is no ID token.
func supported(wanted, offered []string) []string {
	return slices.DeleteFunc(slices.Clone(wanted), func(scope string) bool {
		return scope != oidc.ScopeOpenID && len(offered) > 0 && !slices.Contains(offered, scope)
	})
}

// asymmetric returns the algorithms whose signatures only the provider can
// make. An HS256 signature can be forged with the client secret.
func asymmetric(offered []string) []string {
	return slices.DeleteFunc(slices.Clone(offered), func(algorithm string) bool {
		return algorithm == "none" || strings.HasPrefix(algorithm, "HS")
	})
}

// Origins returns the origins of the provider's login and logout pages. It is nil
// until the provider has been discovered.
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

// Owns reports whether a page is the provider's: at its issuer's origin, or at
// the origin of its login or logout page.
func (c *Client) Owns(uri string) bool {
	o := origin(uri)
	return o == origin(c.cfg.Issuer) || slices.Contains(c.Origins(), o)
}

// origin returns the scheme, host and port of a URL.
func origin(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return ""
	}
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}
