package idp

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// defaultLifetime is assumed for an access token without an expires_in. It is
// short, so that the token is not used after its end.
const defaultLifetime = 5 * time.Minute

// token sends a token request of any grant (RFC 6749, section 4.1.3 and others),
// exactly once.
func (c *Client) token(ctx context.Context, p *provider, form url.Values) (Tokens, error) {
	var response struct {
		Access    string  `json:"access_token"`
		Refresh   string  `json:"refresh_token"`
		RefreshID string  `json:"refresh_token_id"`
		ID        string  `json:"id_token"`
		ExpiresIn seconds `json:"expires_in"`
	}
	asked := time.Now()
	if err := c.post(ctx, p, p.oauth.Endpoint.TokenURL, form, &response); err != nil {
		return Tokens{}, err
	}
	if response.Access == "" {
		return Tokens{}, errors.New("no access token in the response")
	}
	p.settled.Store(true)
	sid := ""
	if p.logsOut {
		sid, _ = claim[string](response.ID, "sid")
	}
	return Tokens{
		Access:    response.Access,
		Refresh:   response.Refresh,
		RefreshID: response.RefreshID,
		ID:        response.ID,
		SID:       sid,
		Expires:   asked.Add(response.ExpiresIn.within(time.Second, 24*time.Hour, defaultLifetime)),
	}, nil
}

// Refresh trades the refresh token for new tokens of the same person (RFC 6749,
// section 6). What the response leaves out stays as it was. A refresh token may
// be good for one use only, so save the new tokens before anything else. The
// refusal to refresh is an [*Error] with the code invalid_grant;
// [ErrInvalidToken] says that the new tokens are another person's.
func (c *Client) Refresh(ctx context.Context, old Tokens, person Person) (Tokens, error) {
	p, err := c.ready()
	if err != nil {
		return Tokens{}, err
	}
	renewed, err := c.renew(ctx, p, old)
	if err != nil {
		return Tokens{}, fmt.Errorf("idp: refresh: %w", err)
	}
	if renewed.ID == "" {
		renewed.ID = old.ID
		return renewed, nil
	}
	// A session must not pass to another person (OpenID Connect Core, section 12.2).
	switch now, err := c.Verify(ctx, renewed, ""); {
	case errors.Is(err, ErrInvalidToken):
		return Tokens{}, fmt.Errorf("idp: refresh: %w", err)
	case err != nil:
		renewed.ID = old.ID // the new one cannot be verified now, and nothing needs it
	case !now.Is(person):
		return Tokens{}, fmt.Errorf("idp: refresh: %w: it belongs to another person", ErrInvalidToken)
	}
	return renewed, nil
}

// renew uses the refresh token, and keeps it if the response has no new one.
func (c *Client) renew(ctx context.Context, p *provider, old Tokens) (Tokens, error) {
	renewed, err := c.token(ctx, p, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {old.Refresh}})
	if err == nil && renewed.Refresh == "" {
		renewed.Refresh, renewed.RefreshID = old.Refresh, old.RefreshID
	}
	return renewed, err
}
