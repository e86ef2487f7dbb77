package idp

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// defaultLifetime is assumed of an access token that does not say: short, so
// that it is not used after its end.
const defaultLifetime = 5 * time.Minute

// AuthURL starts an authorization-code login with PKCE (RFC 7636). The browser
// goes to the URL; the Flow waits in its session for the way back. With ask,
// the provider asks for the password although somebody may be logged in there.
func (c *Client) AuthURL(returnTo string, ask bool) (string, Flow, error) {
	p, err := c.ready()
	if err != nil {
		return "", Flow{}, err
	}
	flow := Flow{
		State:    rand.Text(),
		Nonce:    rand.Text(),
		Verifier: oauth2.GenerateVerifier(),
		ReturnTo: returnTo,
		Started:  time.Now(),
	}
	options := []oauth2.AuthCodeOption{oidc.Nonce(flow.Nonce), oauth2.S256ChallengeOption(flow.Verifier)}
	if ask { // max_age also makes the ID token say when that was
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "0"))
	}
	return p.oauth.AuthCodeURL(flow.State, options...), flow, nil
}

// Fresh reports whether the person typed the password for this flow, and not
// before it, by the auth_time of an ID token that [Client.Verify] has verified.
// The clocks need not agree to the second. A token that does not say is not.
func (f Flow) Fresh(idToken string) bool {
	seconds, ok := claim[float64](idToken, "auth_time")
	return ok && !time.Unix(int64(seconds), 0).Before(f.Started.Add(-skew))
}

// Exchange trades what the provider sent along with the browser for tokens.
// The caller found flow by the state in query and has taken it out of the
// session. An [*Error] is the provider's refusal.
func (c *Client) Exchange(ctx context.Context, flow Flow, query url.Values) (Tokens, error) {
	p, err := c.ready()
	if err != nil {
		return Tokens{}, err
	}
	code := query.Get("error")
	// RFC 9207 stops a mix-up attack, in which another provider's answer is
	// passed off as this one's. Refusals need not name their issuer.
	if iss := query.Get("iss"); iss != c.cfg.Issuer && (iss != "" || p.saysIssuer && code == "") {
		return Tokens{}, fmt.Errorf("idp: the answer is of another issuer, %.200q", iss)
	}
	if code != "" {
		return Tokens{}, &Error{Code: code, Reason: query.Get("error_reason")}
	}
	ctx = oidc.ClientContext(ctx, c.http)
	token, err := p.oauth.Exchange(ctx, query.Get("code"), oauth2.VerifierOption(flow.Verifier))
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		// Its text is the whole answer: it must not reach a log.
		return Tokens{}, refusal(refused.Response, refused.Body)
	}
	if err != nil {
		return Tokens{}, fmt.Errorf("idp: exchange: %w", brief{err})
	}
	id, _ := token.Extra("id_token").(string)
	if id == "" {
		return Tokens{}, errors.New("idp: exchange: the answer has no ID token")
	}
	refreshID, _ := token.Extra("refresh_token_id").(string)
	tokens := Tokens{Access: token.AccessToken, Refresh: token.RefreshToken, RefreshID: refreshID, ID: id, Expires: token.Expiry}
	if tokens.Expires.IsZero() {
		tokens.Expires = time.Now().Add(defaultLifetime)
	}
	return tokens, nil
}

// Verify returns the person whom the tokens stand for, by their ID token
// (OpenID Connect Core, section 3.1.3.7). nonce is the Flow's; a device grant
// has none, and may come without an ID token: then the userinfo endpoint tells.
// [ErrInvalidToken] is final; after another error the same call may succeed.
func (c *Client) Verify(ctx context.Context, tokens Tokens, nonce string) (Person, error) {
	p, err := c.ready()
	if err != nil {
		return Person{}, err
	}
	if tokens.ID == "" && nonce == "" {
		return c.userInfo(ctx, p, tokens)
	}
	if used := algorithm(tokens.ID); strings.HasPrefix(used, "HS") {
		return Person{}, fmt.Errorf("%w: it is signed with %.10q, as whoever knows the client secret could; "+
			"have the provider sign with RS256 (at FusionAuth: the application's key for ID tokens)", ErrInvalidToken, used)
	}
	var missing error
	token, err := p.verifier.Verify(context.WithValue(ctx, noKeys{}, &missing), tokens.ID)
	switch {
	case missing != nil:
		return Person{}, fmt.Errorf("idp: verify: fetch the keys: %w", brief{missing})
	case err != nil:
		return Person{}, fmt.Errorf("%w: %w", ErrInvalidToken, brief{err})
	}
	var claims struct {
		AuthorizedParty string `json:"azp"`
		Email           string `json:"email"`
		Name            string `json:"name"`
	}
	if err := token.Claims(&claims); err != nil {
		return Person{}, fmt.Errorf("%w: %w", ErrInvalidToken, brief{err})
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) == 0 && nonce != "":
		err = errors.New("the nonce is not ours")
	case token.Subject == "":
		err = errors.New("no subject")
	case len(token.Audience) > 1 && claims.AuthorizedParty == "",
		cmp.Or(claims.AuthorizedParty, c.cfg.ClientID) != c.cfg.ClientID:
		err = errors.New("issued to another party")
	case token.IssuedAt.IsZero() || token.IssuedAt.After(time.Now().Add(skew)):
		err = errors.New("issued in the future, or at no time; do the clocks agree?")
	case token.AccessTokenHash != "":
		err = token.VerifyAccessToken(tokens.Access)
	}
	if err != nil {
		return Person{}, fmt.Errorf("%w: %w", ErrInvalidToken, err)
	}
	person := Person{Issuer: token.Issuer, Subject: token.Subject, Email: claims.Email, Name: claims.Name}
	if person.Email == "" && person.Name == "" {
		// Many providers keep these for the userinfo endpoint. They are for
		// showing, so a login does not fail without them; but they count only
		// if they are this person's (OpenID Connect Core, section 5.3.2).
		if more, err := c.userInfo(ctx, p, tokens); err == nil && more.Is(person) {
			return more, nil
		}
	}
	return person, nil
}

func (c *Client) userInfo(ctx context.Context, p *provider, tokens Tokens) (Person, error) {
	ctx = oidc.ClientContext(ctx, c.http)
	info, err := p.oidc.UserInfo(ctx, oauth2.StaticTokenSource(&oauth2.Token{AccessToken: tokens.Access}))
	if err != nil {
		return Person{}, fmt.Errorf("idp: verify: userinfo: %w", brief{err})
	}
	if info.Subject == "" {
		return Person{}, fmt.Errorf("%w: userinfo has no subject", ErrInvalidToken)
	}
	var claims struct {
		Name string `json:"name"`
	}
	if err := info.Claims(&claims); err != nil {
		return Person{}, fmt.Errorf("%w: userinfo: %w", ErrInvalidToken, brief{err})
	}
	return Person{Issuer: c.cfg.Issuer, Subject: info.Subject, Email: info.Email, Name: claims.Name}, nil
}

// LogoutURL returns where a browser ends its session at the provider (OpenID
// Connect RP-Initiated Logout) and comes back from, or "" if there is no such
// place. idToken may be empty.
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
	query.Set("post_logout_redirect_uri", c.cfg.LogoutURL)
	if idToken != "" {
		query.Set("id_token_hint", idToken)
	}
	u.RawQuery = query.Encode()
	return u.String()
}
