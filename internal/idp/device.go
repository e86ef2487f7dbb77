package idp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Bounds for what a provider asks of us, and defaults for what it leaves out.
const (
	defaultInterval = 5 * time.Second // RFC 8628, section 3.2
	minInterval     = time.Second
	maxInterval     = time.Minute
	defaultExpiry   = 5 * time.Minute
	maxExpiry       = 30 * time.Minute
)

// Error codes of RFC 8628, section 3.5.
const (
	CodePending  = "authorization_pending"
	CodeSlowDown = "slow_down"
	CodeDenied   = "access_denied"
	CodeExpired  = "expired_token"
)

// CodeDeclined is what Entra and ForgeRock say for [CodeDenied].
const CodeDeclined = "authorization_declined"

// DeviceCode is a response of the device authorization endpoint (RFC 8628,
// section 3.2), with times that can be stored. Device is a secret.
type DeviceCode struct {
	Device      string
	User        string // the user code, exactly as issued
	URI         string
	URIComplete string // URI with the user code in it, or just URI if the person has to type the code there
	Expires     time.Time
	Interval    time.Duration // the least time between two polls
}

// StartDevice asks the provider for a device code and a user code (RFC 8628,
// section 3.1). [ErrNoDeviceGrant] says that the provider does not have that, and
// a [*URLError] that it gave a URL that must not be used.
func (c *Client) StartDevice(ctx context.Context) (DeviceCode, error) {
	p, err := c.ready()
	if err != nil {
		return DeviceCode{}, err
	}
	if p.oauth.Endpoint.DeviceAuthURL == "" {
		return DeviceCode{}, ErrNoDeviceGrant
	}
	var response struct {
		Device      string  `json:"device_code"`
		User        string  `json:"user_code"`
		URI         string  `json:"verification_uri"`
		URL         string  `json:"verification_url"` // Google's name for it
		URIComplete string  `json:"verification_uri_complete"`
		ExpiresIn   seconds `json:"expires_in"`
		Interval    seconds `json:"interval"`
	}
	started := time.Now()
	if err := c.postScoped(ctx, p, p.oauth.Endpoint.DeviceAuthURL, url.Values{}, 0, &response); err != nil {
		return DeviceCode{}, fmt.Errorf("idp: device authorization: %w", err)
	}
	uri := cmp.Or(response.URI, response.URL)
	if uri == "" || response.Device == "" || response.User == "" {
		return DeviceCode{}, errors.New("idp: device authorization: a code or the verification URI is missing")
	}
	complete, err := c.completeURI(uri, response.URIComplete, response.User)
	if err != nil {
		return DeviceCode{}, fmt.Errorf("idp: device authorization: %w", err)
	}
	return DeviceCode{
		Device:      response.Device,
		User:        response.User,
		URI:         uri,
		URIComplete: complete,
		Expires:     started.Add(response.ExpiresIn.within(time.Second, maxExpiry, defaultExpiry)),
		Interval:    response.Interval.within(minInterval, maxInterval, defaultInterval),
	}, nil
}

// completeURI returns where the QR code leads, and checks both URIs that the
// provider gave. Our own page is not the provider's to secure, and may be http on
// a developer's machine while the provider is https.
func (c *Client) completeURI(uri, complete, userCode string) (string, error) {
	ours := uri == c.cfg.verificationURI()
	if !ours {
		if err := c.checkURL("verification_uri", uri); err != nil {
			return "", err
		}
		if complete != "" {
			if err := c.checkURL("verification_uri_complete", complete); err != nil {
				return "", err
			}
		}
	}
	page, err := url.Parse(uri)
	if err != nil {
		return "", err
	}
	// The QR code must not lead anywhere but to the verification URI.
	with, err := url.Parse(complete)
	if err == nil && with.Scheme == page.Scheme && with.Host == page.Host && with.Path == page.Path && with.User == nil {
		return complete, nil
	}
	if !ours {
		return uri, nil // another page need not know our name for the code
	}
	return uri + "?" + url.Values{"user_code": {userCode}}.Encode(), nil
}

// PollDevice redeems the device code if it has been approved (RFC 8628, section
// 3.4), and otherwise returns an [*Error] with [CodePending] or [CodeSlowDown].
// It sends one request: some providers end the grant at a second redemption.
func (c *Client) PollDevice(ctx context.Context, deviceCode string) (Tokens, error) {
	p, err := c.ready()
	if err != nil {
		return Tokens{}, err
	}
	tokens, err := c.token(ctx, p, url.Values{
		"grant_type":  {"urn:ietf:params:oauth:grant-type:device_code"},
		"device_code": {deviceCode},
	})
	if err != nil {
		return Tokens{}, fmt.Errorf("idp: poll: %w", err)
	}
	return tokens, nil
}

// CanApprove reports whether the provider has the call of
// [Client.ApproveDevice]. Without it, people approve on the provider's own page.
func (c *Client) CanApprove() bool {
	p, err := c.ready()
	return err == nil && p.approve != ""
}

// ApproveDevice approves the device with this user code on behalf of the person
// whose access token this is. It is FusionAuth's call; at a provider without it
// the result is an [*Error].
func (c *Client) ApproveDevice(ctx context.Context, userCode, access string) error {
	p, err := c.ready()
	if err != nil {
		return err
	}
	if p.approve == "" {
		return &Error{Status: http.StatusNotFound}
	}
	var response struct {
		Status string `json:"deviceGrantStatus"`
	}
	form := url.Values{"user_code": {userCode}, "token": {access}}
	if err := c.post(ctx, p, p.approve, form, &response); err != nil {
		return fmt.Errorf("idp: approve: %w", err)
	}
	if response.Status != "Approved" {
		return fmt.Errorf("idp: approve: unexpected status %.60q", response.Status)
	}
	return nil
}

// DevicePage returns FusionAuth's own page for a user code, for a person whose
// approval failed, or "" at another provider. access is that person's access
// token, which names their tenant. Without the client ID, an expired code would
// get an error page that does not mention the code.
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
