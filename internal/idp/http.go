package idp

import (
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const maxBody = 1 << 20 // bytes of a response that are read

func (c *Client) newHTTPClient() *http.Client {
	connections := http.DefaultTransport.(*http.Transport).Clone()
	// There is one host, and each login makes three requests at almost the same time.
	connections.MaxIdleConns, connections.MaxIdleConnsPerHost = 250, 250
	return &http.Client{
		Timeout:   requestTimeout,
		Transport: transport{connections, c.observe},
		// A redirect could carry the client secret to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// transport bounds the bodies of responses: go-oidc reads them to their end. It
// reports how long each response took to begin.
type transport struct {
	*http.Transport
	observe func(*http.Request, *http.Response, time.Duration)
}

// RoundTrip implements [http.RoundTripper].
func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Hostname(), "ngrok") {
		// A free tunnel may answer with a warning page instead of the provider.
		r = r.Clone(r.Context())
		r.Header.Set("ngrok-skip-browser-warning", "true")
	}
	began := time.Now()
	resp, err := t.Transport.RoundTrip(r)
	t.observe(r, resp, time.Since(began))
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxBody), resp.Body}
	}
	return resp, err
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
	body = asJSON(resp.Header.Get("Content-Type"), body)
	if e := errorResponse(resp, body); resp.StatusCode/100 != 2 || e.Code != "" {
		return e
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(body, result)
}

// asJSON returns a form as JSON: some providers answer so (golang.org/x/oauth2
// accepts it, too). Any other body stays as it is.
func asJSON(contentType string, body []byte) []byte {
	kind, _, _ := mime.ParseMediaType(contentType)
	if kind != "application/x-www-form-urlencoded" && kind != "text/plain" || json.Valid(body) {
		return body
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return body
	}
	fields := make(map[string]string)
	for name := range form {
		fields[name] = form.Get(name)
	}
	converted, err := json.Marshal(fields)
	if err != nil {
		return body
	}
	return converted
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
	fields.Interval = max(fields.Interval, retryAfter(resp.Header.Get("Retry-After")))
	return &Error{resp.StatusCode, fields.Code, fields.Reason, fields.Interval.within(minInterval, maxInterval, 0)}
}

// retryAfter reads a Retry-After header: seconds or a date (RFC 9110, section
// 10.2.3). It returns 0 for a time that has passed, and for anything else.
func retryAfter(header string) seconds {
	if after, err := strconv.Atoi(header); err == nil {
		return max(0, seconds(min(after, 1e6))*seconds(time.Second))
	}
	at, err := http.ParseTime(header)
	if err != nil {
		return 0
	}
	return max(0, seconds(time.Until(at)))
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
