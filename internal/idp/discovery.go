package idp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// clockSkew is how far our clock and the provider's may differ.
const clockSkew = 30 * time.Second

// provider is the provider as its discovery document describes it.
type provider struct {
	oidc  *oidc.Provider
	oauth oauth2.Config // without the secret: see post; without the scopes: see scope

	auth    atomic.Pointer[AuthMethod]
	settled atomic.Bool // the token endpoint has accepted auth, so no other is tried

	scopes   [][]string   // see scopeLists
	refusals atomic.Int32 // how many of them the provider has refused, but for those refused through a browser
	warnOnce sync.Once    // about scopes that were refused through a browser

	keys   *keySet
	claims oidc.Config // what go-oidc checks of an ID token

	// logsOut: the provider sends logout tokens (OpenID Connect Back-Channel
	// Logout 1.0, section 2.1).
	logsOut bool

	// namesIssuer: authorization responses name their issuer (RFC 9207).
	namesIssuer bool

	endSession, revocation string // empty where the provider has none
	pushed                 string // where authorization requests must go first (RFC 9126), or empty

	// FusionAuth's own endpoints, empty at another provider.
	approve, devicePage, refreshTokens string
}

// document is the part of a discovery document that go-oidc does not offer.
type document struct {
	JWKS        string   `json:"jwks_uri"`
	Algorithms  []string `json:"id_token_signing_alg_values_supported"`
	Scopes      []string `json:"scopes_supported"`
	UserInfo    string   `json:"userinfo_endpoint"`
	EndSession  string   `json:"end_session_endpoint"`
	Revocation  string   `json:"revocation_endpoint"`
	AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
	NamesIssuer bool     `json:"authorization_response_iss_parameter_supported"`
	Pushed      string   `json:"pushed_authorization_request_endpoint"`
	MustPush    bool     `json:"require_pushed_authorization_requests"`
	LogsOut     bool     `json:"backchannel_logout_supported"`
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
	if err := c.check(doc, endpoint); err != nil {
		return nil, fmt.Errorf("idp: discover: %s %w", c.cfg.Issuer, err)
	}
	p := &provider{
		oidc: found,
		oauth: oauth2.Config{
			ClientID:    c.cfg.ClientID,
			Endpoint:    endpoint,
			RedirectURL: c.cfg.redirectURL(),
		},
		keys: c.newKeySet(doc.JWKS),
		claims: oidc.Config{
			ClientID:             c.cfg.ClientID,
			SupportedSigningAlgs: asymmetric(doc.Algorithms),
			Now:                  func() time.Time { return time.Now().Add(-clockSkew) },
		},
		namesIssuer: doc.NamesIssuer,
		logsOut:     doc.LogsOut,
		endSession:  doc.EndSession,
		revocation:  doc.Revocation,
	}
	if doc.MustPush {
		p.pushed = doc.Pushed
	}
	// FusionAuth does not list these. They are beside its device authorization
	// endpoint.
	if base, ok := strings.CutSuffix(endpoint.DeviceAuthURL, "/oauth2/device_authorize"); ok {
		p.approve = base + "/oauth2/device/approve"
		p.devicePage = base + "/oauth2/device"
		p.refreshTokens = base + "/api/jwt/refresh"
	}
	method := c.authMethod(doc.AuthMethods, p.approve != "")
	p.auth.Store(&method)
	p.scopes = c.scopeLists(doc.Scopes, p.approve != "") // FusionAuth has all of them, and lists two
	return p, nil
}

// check returns what makes logins impossible with this provider, or unsafe.
func (c *Client) check(d document, endpoint oauth2.Endpoint) error {
	var missing []string
	var unsafe error
	for _, field := range []struct {
		name, url string
		required  bool
	}{
		{"authorization_endpoint", endpoint.AuthURL, true},
		{"token_endpoint", endpoint.TokenURL, true},
		{"device_authorization_endpoint", endpoint.DeviceAuthURL, false},
		{"jwks_uri", d.JWKS, true},
		{"userinfo_endpoint", d.UserInfo, false},
		{"revocation_endpoint", d.Revocation, false},
		{"end_session_endpoint", d.EndSession, false},
		{"pushed_authorization_request_endpoint", d.Pushed, d.MustPush},
	} {
		switch {
		case field.url != "":
			unsafe = cmp.Or(unsafe, c.checkEndpoint(field.name, field.url))
		case field.required:
			missing = append(missing, field.name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("has no %s in its discovery document", strings.Join(missing, " and no "))
	}
	if unsafe != nil {
		return fmt.Errorf("has a discovery document that can't be used: %w", unsafe)
	}
	if len(d.Algorithms) > 0 && len(asymmetric(d.Algorithms)) == 0 {
		return fmt.Errorf("signs with %.100q only, which anyone who knows the client secret could do: configure it to sign with RS256", d.Algorithms)
	}
	if c.mayChoose() && len(d.AuthMethods) > 0 && !slices.Contains(d.AuthMethods, "client_secret_post") && !slices.Contains(d.AuthMethods, "client_secret_basic") {
		return fmt.Errorf("accepts no client secret, only %.100q: configure it to accept client_secret_basic or client_secret_post for this application "+
			"(or set CLIENT_AUTH, if its discovery document is wrong or the application is public)", d.AuthMethods)
	}
	return nil
}

// authMethod returns the configured method, or for [AuthAuto] the one to try
// first: post where it is offered, otherwise Basic, which a missing list means
// (OpenID Connect Discovery, section 3). FusionAuth builds the Basic header from
// the raw secret, others from the escaped one, and post has no such ambiguity.
func (c *Client) authMethod(offered []string, fusionAuth bool) AuthMethod {
	switch {
	case c.cfg.Auth != AuthAuto && c.cfg.Auth != "":
		return c.cfg.Auth
	case c.cfg.ClientSecret == "":
		return AuthNone
	case slices.Contains(offered, "client_secret_post"), fusionAuth && len(offered) == 0:
		return AuthPost
	}
	return AuthBasic
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
