package idp

import (
	"cmp"
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// Verify returns the person that the tokens belong to, according to their ID
// token (OpenID Connect Core, section 3.1.3.7). nonce is the Flow's. The device
// grant has none, and may come without an ID token: then the userinfo endpoint
// says who it is. [ErrInvalidToken] is final; after any other error the same
// call may succeed later.
func (c *Client) Verify(ctx context.Context, tokens Tokens, nonce string) (Person, error) {
	p, err := c.ready()
	if err != nil {
		return Person{}, err
	}
	if tokens.ID == "" && nonce == "" {
		return c.userInfo(ctx, p, tokens.Access)
	}
	token, err := c.verifyIDToken(ctx, p, tokens.ID)
	if err != nil {
		return Person{}, err
	}
	person, err := c.personIn(token, tokens.Access, nonce)
	if err != nil {
		return Person{}, fmt.Errorf("%w: %w", ErrInvalidToken, brief{err})
	}
	if person.Email == "" {
		// Many providers give it, and the name, at the userinfo endpoint only. They
		// are for showing, so a login does not fail without them, and they must be
		// this person's (OpenID Connect Core, section 5.3.2).
		if more, err := c.userInfo(ctx, p, tokens.Access); err == nil && more.Is(person) {
			more.Name = cmp.Or(more.Name, person.Name)
			return more, nil
		}
	}
	return person, nil
}

// verifyIDToken checks the signature, issuer, audience and expiry.
func (c *Client) verifyIDToken(ctx context.Context, p *provider, idToken string) (*oidc.IDToken, error) {
	if used := algorithm(idToken); strings.HasPrefix(used, "HS") {
		return nil, fmt.Errorf("%w: signed with %.10q, which anyone who knows the client secret could do: "+
			"configure the provider to sign with RS256 (at FusionAuth, the application's ID token key)", ErrInvalidToken, used)
	}
	if strings.Count(idToken, ".") == 4 { // a JWE (RFC 7516, section 7.1)
		return nil, fmt.Errorf("%w: the ID token is encrypted: turn that off for this application at the provider "+
			"(id_token_encrypted_response_alg)", ErrInvalidToken)
	}
	signature := &signatureCheck{keys: p.keys.keys()}
	token, err := oidc.NewVerifier(c.cfg.Issuer, signature, &p.claims).Verify(ctx, idToken)
	switch {
	case signature.fetchError != nil:
		return nil, fmt.Errorf("idp: verify: fetch keys: %w", brief{signature.fetchError})
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrInvalidToken, brief{err})
	}
	return token, nil
}

// personIn returns the person in an ID token, after the checks that go-oidc
// leaves to its caller. go-oidc has checked that we are in its audience. Others
// may be, too: the token comes from the token endpoint itself, so none of them
// can have passed it on to us.
func (c *Client) personIn(token *oidc.IDToken, access, nonce string) (Person, error) {
	var claims struct {
		profile
		AuthorizedParty string `json:"azp"`
	}
	err := token.Claims(&claims)
	switch {
	case err != nil:
	case nonce != "" && subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(nonce)) == 0:
		err = errors.New("nonce of another login") // a replayed or injected token
	case token.Subject == "":
		err = errors.New("no subject")
	case claims.AuthorizedParty != "" && claims.AuthorizedParty != c.cfg.ClientID:
		err = errors.New("issued to another client")
	case token.IssuedAt.IsZero():
		err = errors.New("no time of issue")
	case token.IssuedAt.After(time.Now().Add(clockSkew)):
		err = errors.New("issued in the future (check the clocks)")
	case token.AccessTokenHash != "":
		err = token.VerifyAccessToken(access)
	}
	if err != nil {
		return Person{}, err
	}
	return claims.person(token.Issuer), nil
}

// userInfo asks the userinfo endpoint whose access token this is.
func (c *Client) userInfo(ctx context.Context, p *provider, access string) (Person, error) {
	if p.oidc.UserInfoEndpoint() == "" {
		return Person{}, fmt.Errorf("%w: no ID token, and the provider has no userinfo_endpoint", ErrInvalidToken)
	}
	var info profile
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.oidc.UserInfoEndpoint(), nil)
	if err == nil {
		req.Header.Set("Authorization", "Bearer "+access)
		err = c.send(req, &info) // go-oidc's own call refuses an e-mail address of another type
	}
	if e, ok := errors.AsType[*Error](err); ok && e.Status == http.StatusUnauthorized {
		err = errors.New("access token refused") // here 401 is not about the client
	}
	if err != nil {
		return Person{}, fmt.Errorf("idp: verify: userinfo: %w", brief{err})
	}
	if info.Subject == "" {
		return Person{}, fmt.Errorf("%w: userinfo has no subject", ErrInvalidToken)
	}
	return info.person(c.cfg.Issuer), nil
}
