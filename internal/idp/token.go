package idp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Refresh trades the refresh token for new tokens of the same person (RFC 6749,
// section 6). What the answer leaves out stays as it was. A refresh token may be
// good for one use only: save the new tokens before anything else. The refusal
// to refresh is an [*Error] with the code invalid_grant; [ErrInvalidToken] says
// that the new tokens are another person's.
func (c *Client) Refresh(ctx context.Context, old Tokens, person Person) (Tokens, error) {
	p, err := c.ready()
	if err != nil {
		return Tokens{}, err
	}
	fresh, err := c.renew(ctx, p, old)
	if err != nil {
		return Tokens{}, fmt.Errorf("idp: refresh: %w", err)
	}
	if fresh.ID == "" {
		fresh.ID = old.ID
		return fresh, nil
	}
	// OpenID Connect Core, section 12.2.
	switch now, err := c.Verify(ctx, fresh, ""); {
	case errors.Is(err, ErrInvalidToken):
		return Tokens{}, fmt.Errorf("idp: refresh: %w", err)
	case err != nil:
		fresh.ID = old.ID // it cannot be verified now, and nothing needs it
	case !now.Is(person):
		return Tokens{}, fmt.Errorf("idp: refresh: %w: it is another person's", ErrInvalidToken)
	}
	return fresh, nil
}

// renew uses the refresh token. It stays as it was if the answer has no other.
func (c *Client) renew(ctx context.Context, p *provider, old Tokens) (Tokens, error) {
	fresh, err := c.token(ctx, p, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {old.Refresh}})
	if err == nil && fresh.Refresh == "" {
		fresh.Refresh, fresh.RefreshID = old.Refresh, old.RefreshID
	}
	return fresh, err
}

// Revoke ends tokens that nobody may use any more: by RFC 7009 where the
// provider has an endpoint for that, by FusionAuth's own call at FusionAuth.
// Elsewhere they end by themselves.
func (c *Client) Revoke(ctx context.Context, tokens Tokens) error {
	p, err := c.ready()
	if err != nil {
		return err
	}
	switch {
	case p.revoke != "" && tokens.Refresh != "":
		err = c.post(ctx, p, p.revoke, url.Values{"token": {tokens.Refresh}, "token_type_hint": {"refresh_token"}}, nil)
	case p.revoke != "" && tokens.Access != "":
		err = c.post(ctx, p, p.revoke, url.Values{"token": {tokens.Access}, "token_type_hint": {"access_token"}}, nil)
		if refused, ok := errors.AsType[*Error](err); ok && refused.Code == "unsupported_token_type" {
			err = nil // an access token that no one can revoke (section 2.2.1)
		}
	case p.refreshTokens != "" && tokens.Refresh != "":
		err = c.deleteRefreshToken(ctx, p, tokens)
		if refused, ok := errors.AsType[*Error](err); ok && refused.Status == http.StatusUnauthorized {
			// The access token has run out; the refresh token is good for one more.
			if renewed, renewErr := c.renew(ctx, p, tokens); renewErr == nil {
				err = c.deleteRefreshToken(ctx, p, renewed)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("idp: revoke: %w", err)
	}
	return nil
}

// deleteRefreshToken is FusionAuth's revocation. A person's access token is
// good for that person's refresh tokens. The refresh token itself goes into
// the body, since URLs are logged.
func (c *Client) deleteRefreshToken(ctx context.Context, p *provider, tokens Tokens) error {
	target, form := p.refreshTokens, url.Values{}
	if tokens.RefreshID != "" {
		target += "/" + url.PathEscape(tokens.RefreshID)
	} else {
		form.Set("token", tokens.Refresh)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, target, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+tokens.Access)
	return c.send(req, nil)
}

// token asks the token endpoint for tokens.
func (c *Client) token(ctx context.Context, p *provider, form url.Values) (Tokens, error) {
	var answer struct {
		Access    string  `json:"access_token"`
		Refresh   string  `json:"refresh_token"`
		RefreshID string  `json:"refresh_token_id"`
		ID        string  `json:"id_token"`
		ExpiresIn seconds `json:"expires_in"`
	}
	asked := time.Now()
	if err := c.post(ctx, p, p.oauth.Endpoint.TokenURL, form, &answer); err != nil {
		return Tokens{}, err
	}
	if answer.Access == "" {
		return Tokens{}, errors.New("the answer has no access token")
	}
	return Tokens{
		Access:    answer.Access,
		Refresh:   answer.Refresh,
		RefreshID: answer.RefreshID,
		ID:        answer.ID,
		Expires:   asked.Add(answer.ExpiresIn.within(time.Second, 24*time.Hour, defaultLifetime)),
	}, nil
}

// post sends a form with the client's authentication and decodes the answer
// into answer unless that is nil. Whatever its content type, the body is read
// as JSON: some providers and proxies send errors as text/plain.
func (c *Client) post(ctx context.Context, p *provider, endpoint string, form url.Values, answer any) error {
	form.Set("client_id", c.cfg.ClientID)
	if p.auth == AuthPost {
		form.Set("client_secret", c.cfg.ClientSecret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	if p.auth == AuthBasic { // escaped as RFC 6749, section 2.3.1 wants it
		req.SetBasicAuth(url.QueryEscape(c.cfg.ClientID), url.QueryEscape(c.cfg.ClientSecret))
	}
	return c.send(req, answer)
}

// send sends a request whose body is a form.
func (c *Client) send(req *http.Request, answer any) error {
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if refused := refusal(resp, body); resp.StatusCode/100 != 2 || refused.Code != "" {
		return refused
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(body, answer)
}

// refusal reads an answer as an error's (RFC 6749, section 5.2). What is no
// JSON has no code either.
func refusal(resp *http.Response, body []byte) *Error {
	var answer struct {
		Code     string  `json:"error"`
		Reason   string  `json:"error_reason"`
		Interval seconds `json:"interval"`
	}
	_ = json.Unmarshal(body, &answer)
	if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && after > 0 {
		answer.Interval = max(answer.Interval, seconds(min(after, 1e6))*seconds(time.Second))
	}
	return &Error{resp.StatusCode, answer.Code, answer.Reason, answer.Interval.within(minInterval, maxInterval, 0)}
}

// seconds is a duration as providers write it: 5, 5.0 or "5".
type seconds time.Duration

// UnmarshalJSON takes what is no number for missing.
func (s *seconds) UnmarshalJSON(text []byte) error {
	n, err := strconv.ParseFloat(strings.Trim(string(text), `"`), 64)
	if err != nil || !(n > 0) {
		n = 0
	}
	*s = seconds(min(n, 1e9) * float64(time.Second))
	return nil
}

// within returns s between least and most, or missing if there was none.
func (s seconds) within(least, most, missing time.Duration) time.Duration {
	if s == 0 {
		return missing
	}
	return min(max(time.Duration(s), least), most)
}
