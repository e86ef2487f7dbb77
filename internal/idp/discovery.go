package idp

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// skew is how far our clock and the provider's may be apart.
const skew = 30 * time.Second

// scopes are what we ask for, at either kind of login: who the person is.
var scopes = []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail}

// provider is what the discovery document told.
type provider struct {
	oidc     *oidc.Provider
	verifier *oidc.IDTokenVerifier
	oauth    oauth2.Config
	auth     AuthMethod
	// saysIssuer: answers to authorization requests name their issuer (RFC 9207).
	saysIssuer bool

	device, approve    string // RFC 8628; FusionAuth's approve call, empty if there is none
	endSession, revoke string // empty where the provider has none
}

func (c *Client) discover(ctx context.Context) (*provider, error) {
	ctx = oidc.ClientContext(ctx, c.http)
	discovered, err := oidc.NewProvider(ctx, c.cfg.Issuer)
	if err != nil {
		return nil, fmt.Errorf("idp: discover: %w", err)
	}
	var document struct {
		JWKS        string   `json:"jwks_uri"`
		EndSession  string   `json:"end_session_endpoint"`
		Revocation  string   `json:"revocation_endpoint"`
		AuthMethods []string `json:"token_endpoint_auth_methods_supported"`
		SaysIssuer  bool     `json:"authorization_response_iss_parameter_supported"`
	}
	if err := discovered.Claims(&document); err != nil {
		return nil, fmt.Errorf("idp: discover: %w", err)
	}
	endpoint := discovered.Endpoint()
	for name, url := range map[string]string{
		"authorization_endpoint":        endpoint.AuthURL,
		"token_endpoint":                endpoint.TokenURL,
		"device_authorization_endpoint": endpoint.DeviceAuthURL,
		"jwks_uri":                      document.JWKS,
	} {
		if url == "" {
			return nil, fmt.Errorf("idp: discover: the document of %s has no %s", c.cfg.Issuer, name)
		}
	}

	p := &provider{
		oidc: discovered,
		verifier: discovered.VerifierContext(ctx, &oidc.Config{
			ClientID: c.cfg.ClientID,
			Now:      func() time.Time { return time.Now().Add(-skew) },
		}),
		auth:       c.authMethod(document.AuthMethods),
		saysIssuer: document.SaysIssuer,
		device:     endpoint.DeviceAuthURL,
		endSession: document.EndSession,
		revoke:     document.Revocation,
	}
	// FusionAuth does not announce its approve call; it stands beside the
	// device authorization endpoint.
	if base, ok := strings.CutSuffix(p.device, "/device_authorize"); ok {
		p.approve = base + "/device/approve"
	}
	// Left to itself x/oauth2 tries both ways until one succeeds.
	endpoint.AuthStyle = oauth2.AuthStyleInParams
	if p.auth == AuthBasic {
		endpoint.AuthStyle = oauth2.AuthStyleInHeader
	}
	p.oauth = oauth2.Config{
		ClientID:     c.cfg.ClientID,
		ClientSecret: c.cfg.ClientSecret,
		Endpoint:     endpoint,
		RedirectURL:  c.cfg.RedirectURL,
		Scopes:       scopes,
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
