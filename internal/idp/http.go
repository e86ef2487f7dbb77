package idp

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const maxBody = 1 << 20 // bytes of a response that are read

func newHTTPClient() *http.Client {
	return &http.Client{
		Timeout:   requestTimeout,
		Transport: transport{http.DefaultTransport.(*http.Transport).Clone()},
		// A redirect could carry the client secret to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// transport bounds the bodies of responses: go-oidc reads them to their end.
type transport struct{ *http.Transport }

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Hostname(), "ngrok") {
		// A free tunnel may answer with a warning page instead of the provider.
		r = r.Clone(r.Context())
		r.Header.Set("ngrok-skip-browser-warning", "true")
	}
	resp, err := t.Transport.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxBody), resp.Body}
	}
	return resp, err
}

// post sends a form with the client's authentication, and decodes the response
// into result unless that is nil.
func (c *Client) post(ctx context.Context, p *provider, endpoint string, form url.Values, result any) error {
	form.Set("client_id", c.cfg.ClientID) // with Basic, too: Hydra wants both
	if p.auth == AuthPost {
		form.Set("client_secret", c.cfg.ClientSecret)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return err
	}
	if p.auth == AuthBasic { // escaped as RFC 6749, section 2.3.1 requires
		req.SetBasicAuth(url.QueryEscape(c.cfg.ClientID), url.QueryEscape(c.cfg.ClientSecret))
	}
	return c.send(req, result)
}

// send sends a request whose body is a form. The response is read as JSON
// with any content type: some providers and proxies say text/plain. An
// error response is an [*Error].
func (c *Client) send(req *http.Request, result any) error {
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
	if e := errorResponse(resp, body); resp.StatusCode/100 != 2 || e.Code != "" {
		return e
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(body, result)
}

// errorResponse reads a response as an error (RFC 6749, section 5.2). A body
// that is not JSON has no error code.
func errorResponse(resp *http.Response, body []byte) *Error {
	var fields struct {
		Code     string  `json:"error"`
		Reason   string  `json:"error_reason"`
		Interval seconds `json:"interval"`
	}
	_ = json.Unmarshal(body, &fields)
	if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && after > 0 {
		fields.Interval = max(fields.Interval, seconds(min(after, 1e6))*seconds(time.Second))
	}
	return &Error{resp.StatusCode, fields.Code, fields.Reason, fields.Interval.within(minInterval, maxInterval, 0)}
}

// seconds is a duration as providers write it: 5, 5.0 or "5".
type seconds time.Duration

// UnmarshalJSON treats anything but a positive number as missing.
func (s *seconds) UnmarshalJSON(text []byte) error {
	n, err := strconv.ParseFloat(strings.Trim(string(text), `"`), 64)
	if err != nil || !(n > 0) {
		n = 0
	}
	*s = seconds(min(n, 1e9) * float64(time.Second))
	return nil
}

// within returns s clamped to least and most, or missing if there was none.
func (s seconds) within(least, most, missing time.Duration) time.Duration {
	if s == 0 {
		return missing
	}
	return min(max(time.Duration(s), least), most)
}
