package idp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
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
	if err := c.post(ctx, p, p.device, url.Values{"scope": {strings.Join(p.oauth.Scopes, " ")}}, &answer); err != nil {
		return DeviceCode{}, fmt.Errorf("idp: start a device code: %w", err)
	}
	uri, err := url.Parse(answer.URI)
	if err != nil || uri.Scheme != "https" && uri.Scheme != "http" || uri.Host == "" || answer.Device == "" || answer.User == "" {
		return DeviceCode{}, errors.New("idp: start a device code: the answer lacks a code or the verification URI")
	}
	// The QR code leads where the provider says its page is, and nowhere else.
	complete, err := url.Parse(answer.URIComplete)
	if err != nil || complete.Scheme != uri.Scheme || complete.Host != uri.Host || complete.Path != uri.Path || complete.User != nil {
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
	form := url.Values{"grant_type": {grantDeviceCode}, "device_code": {deviceCode}}
	tokens, err := c.token(ctx, p, form)
	if err != nil {
		return Tokens{}, fmt.Errorf("idp: poll: %w", err)
	}
	return tokens, nil
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

// DevicePage returns FusionAuth's own page for a user code, where a person can
// go on whose yes did not get through, or "" at another provider. access is
// that person's access token, which names their tenant. The page wants the
// client, too: without it a code that is too old gets an error that says
// nothing of the code.
func (c *Client) DevicePage(userCode, access string) string {
	p, err := c.ready()
	if err != nil || p.devicePage == "" {
		return ""
	}
	query := url.Values{"client_id": {c.cfg.ClientID}, "user_code": {userCode}}
	if tenant, ok := claim[string](access, "tid"); ok {
		query.Set("tenantId", tenant)
	}
	return p.devicePage + "?" + query.Encode()
}
