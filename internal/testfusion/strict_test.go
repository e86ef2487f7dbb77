package testfusion

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"changebank/kickstart"
)

func TestClientAuthentication(t *testing.T) {
	w := start(t, Options{})
	form := func() url.Values { return url.Values{"grant_type": {deviceGrant}, "device_code": {"x"}} }
	const known = "invalid_device_code" // the client was accepted
	for _, tt := range []struct {
		name   string
		change func(*http.Request, url.Values)
		status int
		reason string
	}{
		{"post", func(*http.Request, url.Values) {}, 400, known},
		{"basic", func(r *http.Request, f url.Values) {
			f.Del("client_secret")
			r.SetBasicAuth(clientID, secret)
		}, 400, known},
		{"basic, other id in body", func(r *http.Request, f url.Values) {
			f.Del("client_secret")
			f.Set("client_id", "x")
			r.SetBasicAuth(clientID, secret)
		}, 401, "client_id_mismatch"},
		// FusionAuth expects the raw secret.
		{"basic by RFC 6749", func(r *http.Request, f url.Values) {
			f.Del("client_secret")
			r.SetBasicAuth(clientID, url.QueryEscape(secret))
		}, 401, "invalid_client_authentication"},
		{"none", func(_ *http.Request, f url.Values) { f.Del("client_secret") }, 401, "client_authentication_missing"},
		{"empty", func(_ *http.Request, f url.Values) { f.Set("client_secret", "") }, 401, "missing_client_secret"},
		{"wrong", func(_ *http.Request, f url.Values) { f.Set("client_secret", "wrong") }, 401, "invalid_client_authentication"},
		{"unknown", func(_ *http.Request, f url.Values) { f.Set("client_id", richardID) }, 400, "invalid_client_id"},
		{"no client", func(_ *http.Request, f url.Values) { f.Del("client_id") }, 400, "missing_client_id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code := "invalid_request"
			if tt.status == 401 {
				code = "invalid_client"
			}
			w.post("/oauth2/token", form(), tt.change).is(t, tt.status, code, tt.reason)
		})
	}
	// The device endpoint requires no secret, but rejects a wrong one.
	scope := url.Values{"scope": {"openid"}}
	w.post("/oauth2/device_authorize", scope, func(_ *http.Request, f url.Values) { f.Del("client_secret") }).is(t, 200, "", "")
	w.post("/oauth2/device_authorize", scope, func(_ *http.Request, f url.Values) { f.Set("client_secret", "wrong") }).is(t, 401, "invalid_client", "invalid_client_authentication")

	w.Behave(func(b *Behavior) { b.RefuseClient = "client_authentication_missing" })
	w.post("/oauth2/token", form()).is(t, 401, "invalid_client", "client_authentication_missing")
	w.post("/oauth2/device/approve", form()).is(t, 401, "invalid_client", "client_authentication_missing")
}

// Requests that no correct client makes are reported, each time.
func TestViolations(t *testing.T) {
	w := start(t, Options{})
	form := func() url.Values { return url.Values{"grant_type": {deviceGrant}, "device_code": {"x"}} }
	for _, tt := range []struct {
		want   string
		change func(*http.Request, url.Values)
	}{
		{"client_secret is in the URL", func(r *http.Request, _ url.Values) { r.URL.RawQuery = "client_secret=x" }},
		{"grant_type is in the URL", func(r *http.Request, _ url.Values) { r.URL.RawQuery = "grant_type=x" }},
		{"two client authentications", func(r *http.Request, _ url.Values) { r.SetBasicAuth(clientID, secret) }},
		{"client authentication by Bearer", func(r *http.Request, _ url.Values) { r.Header.Set("Authorization", "Bearer x") }},
		{"not a form but application/json", func(r *http.Request, _ url.Values) { r.Header.Set("Content-Type", "application/json") }},
		{"device_code is repeated", func(_ *http.Request, f url.Values) { f.Add("device_code", "y") }},
	} {
		w.post("/oauth2/token", form(), tt.change)
		w.violated(tt.want)
	}

	for _, name := range []string{"state", "nonce", "code_challenge"} {
		w.open(w.authURL(oauth2.SetAuthURLParam(name, "")))
		w.violated(name + " is missing")
	}
	w.open(w.authURL(oauth2.SetAuthURLParam("access_token", "x")))
	w.violated("access_token is in the URL")
	w.open("/oauth2/revoke")
	w.violated("no such endpoint")
	w.post("/oauth2/device_authorize", url.Values{})
	w.violated("no scope")
	w.open("/favicon.ico") // browsers ask for it unprompted
}

func TestPollTooSoon(t *testing.T) {
	w := start(t, Options{Behavior: Behavior{Interval: 200 * time.Millisecond}})
	d, other := w.startDevice(), w.startDevice()
	w.poll(d).is(t, 400, "authorization_pending", "")
	w.poll(other).is(t, 400, "authorization_pending", "") // each code has its own pace
	if got := w.Violations(); got != nil {
		t.Fatalf("violations after the first polls: %q", got)
	}
	w.poll(d).is(t, 400, "authorization_pending", "")
	w.violated("the interval is 200ms")
	time.Sleep(190 * time.Millisecond)
	w.poll(d).is(t, 400, "authorization_pending", "") // in time
	w.approve(d, w.logIn(richard).AccessToken)
	w.poll(d).is(t, 200, "", "") // too soon, but not while pending
}

// spy is a test that records its own failure.
type spy struct {
	testing.TB
	errors []string
	ends   []func()
}

func (s *spy) Errorf(format string, args ...any) { s.errors = append(s.errors, format) }
func (s *spy) Cleanup(end func())                { s.ends = append(s.ends, end) }

// A violation that a test does not take fails it.
func TestViolationFails(t *testing.T) {
	for _, taken := range []bool{true, false} {
		test := &spy{TB: t}
		w := &world{t: t, Server: Start(test, kickstart.JSON, env, Options{})}
		if resp, err := http.Get(w.URL + "/oauth2/revoke"); err == nil {
			resp.Body.Close()
		}
		if taken {
			w.violated("no such endpoint")
		}
		for _, end := range test.ends {
			end()
		}
		if failed := len(test.errors) == 1 && strings.HasPrefix(test.errors[0], "violation"); failed == taken {
			t.Errorf("taken: %v, errors: %q", taken, test.errors)
		}
	}
}
