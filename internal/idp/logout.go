package idp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

const (
	maxLogoutAge = 5 * time.Minute // of a logout token
	// keysWait is how long a logout token may wait for the provider's keys. Anyone
	// can send one that names an unknown key.
	keysWait = 3 * time.Second
)

// A Logout says what has ended at the provider.
type Logout struct {
	Person  Person    // Issuer and Subject; without a Subject: whoever had the session SID
	SID     string    // the session at the provider; empty: all of the person's
	TokenID string    // of the logout token, which must be accepted only once
	Until   time.Time // from when the token is refused as too old
}

// VerifyLogout returns what a logout token says (OpenID Connect Back-Channel
// Logout 1.0, section 2.6). That it was not used before is for the caller to
// check. [ErrInvalidToken] is final; after any other error the same token may be
// accepted later.
func (c *Client) VerifyLogout(ctx context.Context, logoutToken string) (Logout, error) {
	p, err := c.ready()
	if err != nil {
		return Logout{}, err
	}
	// A token that says itself that it is stale or something else costs no
	// signature check, and no request for the keys.
	if err := checkLogout(logoutToken); err != nil {
		return Logout{}, fmt.Errorf("%w: %w", ErrInvalidToken, err)
	}
	ctx, cancel := context.WithTimeout(ctx, keysWait)
	defer cancel()
	signature := &signatureCheck{keys: p.keys.keys()}
	token, err := oidc.NewVerifier(c.cfg.Issuer, signature, &p.claims).VerifyLogout(ctx, logoutToken)
	switch {
	case signature.fetchError != nil:
		return Logout{}, fmt.Errorf("idp: verify logout: fetch keys: %w", brief{signature.fetchError})
	case err != nil:
		return Logout{}, fmt.Errorf("%w: %w", ErrInvalidToken, brief{err})
	}
	return Logout{
		Person:  Person{Issuer: token.Issuer, Subject: token.Subject},
		SID:     token.SessionID,
		TokenID: token.TokenID,
		Until:   token.IssuedAt.Add(maxLogoutAge + clockSkew),
	}, nil
}

// checkLogout checks what go-oidc leaves to its caller.
func checkLogout(logoutToken string) error {
	var claims struct {
		IssuedAt float64                    `json:"iat"`
		Events   map[string]json.RawMessage `json:"events"`
	}
	typ, _ := part(logoutToken, 0)["typ"].(string)
	payload, err := json.Marshal(part(logoutToken, 1))
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	if err != nil {
		return brief{err}
	}
	issued := time.Unix(int64(claims.IssuedAt), 0)
	event := claims.Events["http://schemas.openid.net/event/backchannel-logout"]
	switch {
	case strings.HasPrefix(algorithm(logoutToken), "HS"):
		return errors.New("signed in a way that anyone who knows the client secret could")
	case !isLogoutType(typ):
		return fmt.Errorf("a token of another type, %.40q", typ)
	case claims.IssuedAt == 0:
		return errors.New("no time of issue")
	case issued.After(time.Now().Add(clockSkew)):
		return errors.New("issued in the future (check the clocks)")
	case issued.Before(time.Now().Add(-maxLogoutAge - clockSkew)):
		return errors.New("issued too long ago")
	case !bytes.HasPrefix(event, []byte("{")):
		return errors.New("no logout event")
	}
	return nil
}

// isLogoutType reports whether a token with this typ header may be a logout
// token. Those of today say logout+jwt, older ones JWT or nothing. A token that
// says that it is something else, such as an access token, must not log anyone
// out.
func isLogoutType(typ string) bool {
	switch strings.TrimPrefix(strings.ToLower(typ), "application/") {
	case "", "jwt", "logout+jwt":
		return true
	}
	return false
}
