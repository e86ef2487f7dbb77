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
	const known = "invalid_device_code" // the client got through
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
		{"basic of another", func(r *http.Request, f url.Values) {
			f.Del("client_secret")
			f.Set("client_id", "x")
			r.SetBasicAuth(clientID, secret)
		}, 401, "client_id_mismatch"},
		// FusionAuth takes the raw secret.
		{"basic as RFC 6749 has it", func(r *http.Request, f url.Values) {
			f.Del("client_secret")
			r.SetBasicAuth(clientID, url.QueryEscape(secret))
		}, 401, "invalid_client_authentication"},
		{"none", func(_ *http.Request, f url.Values) { f.Del("client_secret") }, 401, "client_authentication_missing"},
		{"empty", func(_ *http.Request, f url.Values) { f.Set("client_secret", "") }, 401, "missing_client_secret"},
		{"wrong", func(_ *http.Request, f url.Values) { f.Set("client_secret", "wrong") }, 401, "invalid_client_authentication"},
		{"unknown", func(_ *http.Request, f url.Values) { f.Set("client_id", richardID) }, 400, "invalid_client_id"},
		{"nobody", func(_ *http.Request, f url.Values) { f.Del("client_id") }, 400, "missing_client_id"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code := "invalid_request"
			if tt.status == 401 {
				code = "invalid_client"
			}
			w.post("/oauth2/token", form(), tt.change).is(t, tt.status, code, tt.reason)
		})
	}
	// The device endpoint asks for no secret, but a wrong one is wrong.
	scope := url.Values{"scope": {"openid"}}
	w.post("/oauth2/device_authorize", scope, func(_ *http.Request, f url.Values) { f.Del("client_secret") }).is(t, 200, "", "")
	w.post("/oauth2/device_authorize", scope, func(_ *http.Request, f url.Values) { f.Set("client_secret", "wrong") }).is(t, 401, "invalid_client", "invalid_client_authentication")

	w.Behave(func(b *Behaviour) { b.RefuseClient = "client_authentication_missing" })
	w.post("/oauth2/token", form()).is(t, 401, "invalid_client", "client_authentication_missing")
	w.post("/oauth2/device/approve", form()).is(t, 401, "invalid_client", "client_authentication_missing")
}

func TestPolicies(t *testing.T) {
	code := func(w *world) url.Values {
		q := w.submit(w.open(w.authURL()), as(richard)).location.Query()
		return url.Values{"grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {redirectURL}, "code_verifier": {verifier}}
	}
	poll := url.Values{"grant_type": {deviceGrant}, "device_code": {"x"}}
	noSecret := func(_ *http.Request, f url.Values) { f.Del("client_secret") }
	wrong := func(_ *http.Request, f url.Values) { f.Set("client_secret", "wrong") }

	w := start(t, Options{}, `"clientAuthenticationPolicy": "Required"`, `"clientAuthenticationPolicy": "NotRequired"`)
	w.post("/oauth2/token", poll, noSecret).is(t, 400, "invalid_request", "invalid_device_code")
	w.post("/oauth2/token", poll, wrong).is(t, 401, "invalid_client", "invalid_client_authentication")

	w = start(t, Options{}, `"clientAuthenticationPolicy": "Required"`, `"clientAuthenticationPolicy": "NotRequiredWhenUsingPKCE"`)
	w.post("/oauth2/token", code(w), noSecret).is(t, 200, "", "")
	w.post("/oauth2/token", poll, noSecret).is(t, 401, "invalid_client", "client_authentication_missing")

	w = start(t, Options{}, `"NotRequiredWhenUsingClientAuthentication"`, `"Required"`)
	q := w.open(w.authURL(oauth2.SetAuthURLParam("code_challenge", ""))).location.Query()
	if q.Get("error_reason") != "missing_code_challenge" {
		t.Errorf("without PKCE the browser is sent back with %v", q)
	}
	w.violated("code_challenge is missing")
}

// What no correct client does is noticed, each time.
func TestViolations(t *testing.T) {
	w := start(t, Options{})
	form := func() url.Values { return url.Values{"grant_type": {deviceGrant}, "device_code": {"x"}} }
	for _, tt := range []struct {
		want   string
		change func(*http.Request, url.Values)
	}{
		{"client_secret is in the address", func(r *http.Request, _ url.Values) { r.URL.RawQuery = "client_secret=x" }},
		{"grant_type is in the address", func(r *http.Request, _ url.Values) { r.URL.RawQuery = "grant_type=x" }},
		{"two client authentications", func(r *http.Request, _ url.Values) { r.SetBasicAuth(clientID, secret) }},
		{"cannot authenticate by Bearer", func(r *http.Request, _ url.Values) { r.Header.Set("Authorization", "Bearer x") }},
		{"no form but application/json", func(r *http.Request, _ url.Values) { r.Header.Set("Content-Type", "application/json") }},
		{"device_code is there more than once", func(_ *http.Request, f url.Values) { f.Add("device_code", "y") }},
	} {
		w.post("/oauth2/token", form(), tt.change)
		w.violated(tt.want)
	}

	for _, name := range []string{"state", "nonce", "code_challenge"} {
		w.open(w.authURL(oauth2.SetAuthURLParam(name, "")))
		w.violated(name + " is missing")
	}
	w.open(w.authURL(oauth2.SetAuthURLParam("access_token", "x")))
	w.violated("access_token is in the address")
	w.open("/oauth2/revoke")
	w.violated("no such endpoint")
	w.post("/oauth2/device_authorize", url.Values{})
	w.violated("no scope")
	w.open("/")
	w.open("/favicon.ico")
	w.open("/api/status")
	w.open("/api/health")
	w.open("/oauth2/userinfo")
}

func TestPollTooSoon(t *testing.T) {
	w := start(t, Options{Behaviour: Behaviour{Interval: time.Second}})
	d, other := w.startDevice(), w.startDevice()
	w.poll(d).is(t, 400, "authorization_pending", "")
	w.poll(other).is(t, 400, "authorization_pending", "") // has a pace of its own
	if got := w.Violations(); got != nil {
		t.Fatalf("the first polls are violations: %q", got)
	}
	w.poll(d).is(t, 400, "authorization_pending", "")
	w.violated("the interval is 1s")
	time.Sleep(950 * time.Millisecond)
	w.poll(d).is(t, 400, "authorization_pending", "") // in time
	w.approve(d, w.logIn(richard).AccessToken)
	w.poll(d).is(t, 200, "", "") // too soon, but not while pending
}

// spy is a test that notices its own failure.
type spy struct {
	testing.TB
	errors []string
	ends   []func()
}

func (s *spy) Errorf(format string, args ...any) { s.errors = append(s.errors, format) }
func (s *spy) Cleanup(end func())                { s.ends = append(s.ends, end) }

// A violation that a test does not take makes it fail.
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
		if failed := len(test.errors) == 1 && strings.Contains(test.errors[0], "no correct client"); failed == taken {
			t.Errorf("the violation was taken: %v, and the test said %q", taken, test.errors)
		}
	}
}
