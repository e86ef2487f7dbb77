package idp

import (
	"cmp"
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

// What a provider may ask of us: outside of these we do as RFC 8628 would.
const (
	defaultInterval = 5 * time.Second // section 3.2, where interval is missing
	minInterval     = time.Second
	maxInterval     = time.Minute
	defaultExpiry   = 5 * time.Minute
	maxExpiry       = 30 * time.Minute

	grantDeviceCode = "urn:ietf:params:oauth:grant-type:device_code"
)

// Error codes of RFC 8628, section 3.5.
const (
	CodePending  = "authorization_pending"
	CodeSlowDown = "slow_down"
	CodeDenied   = "access_denied"
	CodeExpired  = "expired_token"
)

// StartDevice asks the provider for a device code and a user code (RFC 8628,
// section 3.1).
func (c *Client) StartDevice(ctx context.Context) (DeviceCode, error) {
	p, err := c.ready()
	if err != nil {
		return DeviceCode{}, err
	}
	var answer struct {
		Device      string  `json:"device_code"`
		User        string  `json:"user_code"`
		URI         string  `json:"verification_uri"`
		URIComplete string  `json:"verification_uri_complete"`
		ExpiresIn   seconds `json:"expires_in"`
		Interval    seconds `json:"interval"`
	}
	started := time.Now()
	if err := c.post(ctx, p, p.device, url.Values{"scope": {strings.Join(scopes, " ")}}, &answer); err != nil {
		return DeviceCode{}, fmt.Errorf("idp: start a device code: %w", err)
	}
	uri, err := url.Parse(answer.URI)
	if err != nil || uri.Host == "" || answer.Device == "" || answer.User == "" {
		return DeviceCode{}, errors.New("idp: start a device code: the answer lacks a code or the verification URI")
	}
	if !strings.HasPrefix(answer.URIComplete, answer.URI) {
		query := uri.Query()
		query.Set("user_code", answer.User)
		uri.RawQuery = query.Encode()
		answer.URIComplete = uri.String()
	}
	return DeviceCode{
		Device:      answer.Device,
		User:        answer.User,
		URI:         answer.URI,
		URIComplete: answer.URIComplete,
		Expires:     started.Add(answer.ExpiresIn.within(time.Second, maxExpiry, defaultExpiry)),
		Interval:    answer.Interval.within(minInterval, maxInterval, defaultInterval),
	}, nil
}

// PollDevice asks once whether the device code has been approved, and if so
// redeems it (RFC 8628, section 3.4). "Not yet" is an [*Error] with
// [CodePending] or [CodeSlowDown].
func (c *Client) PollDevice(ctx context.Context, deviceCode string) (Tokens, error) {
	p, err := c.ready()
	if err != nil {
		return Tokens{}, err
	}
	var answer struct {
		Access    string  `json:"access_token"`
		Refresh   string  `json:"refresh_token"`
		ID        string  `json:"id_token"`
		ExpiresIn seconds `json:"expires_in"`
	}
	form := url.Values{"grant_type": {grantDeviceCode}, "device_code": {deviceCode}}
	if err := c.post(ctx, p, p.oauth.Endpoint.TokenURL, form, &answer); err != nil {
		return Tokens{}, fmt.Errorf("idp: poll: %w", err)
	}
	if answer.Access == "" {
		return Tokens{}, errors.New("idp: poll: the answer has no access token")
	}
	return Tokens{
		Access:  answer.Access,
		Refresh: answer.Refresh,
		ID:      answer.ID,
		Expires: time.Now().Add(answer.ExpiresIn.within(time.Second, 24*time.Hour, defaultLifetime)),
	}, nil
}

// ApproveDevice tells the provider that the person whom the access token
// belongs to lets the device with this user code in. It is FusionAuth's call;
// a provider without it answers with an [*Error].
func (c *Client) ApproveDevice(ctx context.Context, userCode, access string) error {
	p, err := c.ready()
	if err != nil {
		return err
	}
	if p.approve == "" {
		return &Error{Status: http.StatusNotFound}
	}
	var answer struct {
		Status string `json:"deviceGrantStatus"`
	}
	form := url.Values{"user_code": {userCode}, "token": {access}}
	if err := c.post(ctx, p, p.approve, form, &answer); err != nil {
		return fmt.Errorf("idp: approve: %w", err)
	}
	if answer.Status != "Approved" {
		return fmt.Errorf("idp: approve: the answer says %.60q", answer.Status)
	}
	return nil
}

// Revoke ends tokens that nobody may use (RFC 7009), where the provider has an
// endpoint for that.
func (c *Client) Revoke(ctx context.Context, tokens Tokens) error {
	p, err := c.ready()
	if err != nil || p.revoke == "" {
		return err
	}
	form := url.Values{"token": {cmp.Or(tokens.Refresh, tokens.Access)}}
	err = c.post(ctx, p, p.revoke, form, nil)
	if refused, ok := errors.AsType[*Error](err); ok && refused.Code == "unsupported_token_type" {
		return nil // an access token that no one can revoke ends by itself (section 2.2.1)
	}
	if err != nil {
		return fmt.Errorf("idp: revoke: %w", err)
	}
	return nil
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
	var refusal struct {
		Code   string `json:"error"`
		Reason string `json:"error_reason"`
	}
	// What is no JSON has no code either.
	_ = json.Unmarshal(body, &refusal)
	if resp.StatusCode/100 != 2 || refusal.Code != "" {
		return &Error{Status: resp.StatusCode, Code: refusal.Code, Reason: refusal.Reason}
	}
	if answer == nil {
		return nil
	}
	return json.Unmarshal(body, answer)
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
