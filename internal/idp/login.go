package idp

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Flow is what one authorization-code login must remember until its callback.
// The caller keeps it sealed in the browser and uses it once.
type Flow struct {
	Nonce, Verifier string
	Prompt          bool   // the provider asks for an account even if the person is logged in there
	Reauthenticate  bool   // the person must log in again for this flow; see [Flow.Reauthenticated]
	Subject         string // who has to log in; empty: anybody
	Refusals        int    // how often the provider has refused the scopes; see [Client.Narrower]
	Started         time.Time
}

// NewFlow returns a Flow that starts now, with a nonce and a PKCE verifier of
// its own.
func NewFlow() Flow {
	return Flow{Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Started: time.Now()}
}

// Reauthenticated reports whether the person logged in for this flow and not
// before it, according to the auth_time of an ID token that [Client.Verify] has
// verified. The clocks may differ a little. Without an auth_time nothing is proven.
func (f Flow) Reauthenticated(idToken string) bool {
	seconds, ok := claim[float64](idToken, "auth_time")
	return ok && !time.Unix(int64(seconds), 0).Before(f.Started.Add(-clockSkew))
}

// AuthURL returns the URL at which the browser starts an authorization-code
// login with PKCE (RFC 7636). Where the provider requires that, the request is sent
// to it first, and the browser only carries a reference (RFC 9126). An [*Error] is
// the provider's refusal of it.
func (c *Client) AuthURL(ctx context.Context, state string, flow Flow) (string, error) {
	p, err := c.ready()
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{
		oidc.Nonce(flow.Nonce), oauth2.S256ChallengeOption(flow.Verifier), oauth2.SetAuthURLParam("scope", p.scope(flow.Refusals)),
	}
	if flow.Prompt || flow.Reauthenticate {
		// max_age obliges the provider to put auth_time into the ID token (OpenID
		// Connect Core, section 3.1.2.1). Authelia can never satisfy 0.
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "1"))
	}
	target := p.oauth.AuthCodeURL(state, options...)
	if p.pushed == "" {
		return target, nil
	}
	return c.push(ctx, p, target, flow)
}

// push sends an authorization request to the provider, and returns the URL that
// refers to it.
func (c *Client) push(ctx context.Context, p *provider, target string, flow Flow) (string, error) {
	request, err := url.Parse(target)
	if err != nil {
		return "", err
	}
	page, err := url.Parse(p.oauth.Endpoint.AuthURL)
	if err != nil {
		return "", err
	}
	var response struct {
		Reference string `json:"request_uri"`
	}
	err = c.postScoped(ctx, p, p.pushed, request.Query(), flow.Refusals, &response)
	if err == nil && response.Reference == "" {
		err = errors.New("no request_uri in the response")
	}
	if err != nil {
		return "", fmt.Errorf("idp: pushed authorization request: %w", err)
	}
	query := page.Query()
	query.Set("client_id", c.cfg.ClientID)
	query.Set("request_uri", response.Reference)
	page.RawQuery = query.Encode()
	return page.String(), nil
}

// Exchange trades the authorization code in the callback's query for tokens.
// flow is the one that the query's state belongs to. An [*Error] is the
// provider's refusal.
func (c *Client) Exchange(ctx context.Context, flow Flow, query url.Values) (Tokens, error) {
	p, err := c.ready()
	if err != nil {
		return Tokens{}, err
	}
	refused := query.Get("error")
	// RFC 9207 stops mix-up attacks, which pass off another provider's response
	// as this one's. Error responses need not name their issuer.
	if iss := query.Get("iss"); iss != c.cfg.Issuer && (iss != "" || p.namesIssuer && refused == "") {
		return Tokens{}, fmt.Errorf("idp: exchange: response from a different issuer, %.200q", iss)
	}
	if refused != "" {
		return Tokens{}, &Error{Code: refused, Reason: query.Get("error_reason")}
	}
	tokens, err := c.token(ctx, p, url.Values{
		"grant_type":    {"authorization_code"},
		"code":          {query.Get("code")},
		"redirect_uri":  {c.cfg.redirectURL()},
		"code_verifier": {flow.Verifier},
	})
	if err == nil && tokens.ID == "" {
		err = errors.New("no ID token in the response")
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("idp: exchange: %w", err)
	}
	return tokens, nil
}

// LogoutURL returns where a browser ends its session at the provider before it
// comes back (OpenID Connect RP-Initiated Logout), or "" if the provider does
// not have that. idToken may be empty.
func (c *Client) LogoutURL(idToken string) string {
	p, err := c.ready()
	if err != nil || p.endSession == "" {
		return ""
	}
	u, err := url.Parse(p.endSession)
	if err != nil {
		return ""
	}
	query := u.Query()
	query.Set("client_id", c.cfg.ClientID)
	query.Set("post_logout_redirect_uri", c.cfg.logoutURL())
	if idToken != "" {
		query.Set("id_token_hint", idToken)
	}
	u.RawQuery = query.Encode()
	return u.String()
}
