package idp_test

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/url"
	"strings"
	"testing"
	"time"

	"changebank/internal/idp"
)

// authQuery returns the query of the URL that starts a login.
func authQuery(t *testing.T, p *provider, c *idp.Client, state string, flow idp.Flow) url.Values {
	t.Helper()
	target, err := c.AuthURL(t.Context(), state, flow)
	if err != nil {
		t.Fatalf("AuthURL: %v", err)
	}
	base, query, _ := strings.Cut(target, "?")
	if base != p.url+"/oauth2/authorize" {
		t.Errorf("AuthURL leads to %s, want %s/oauth2/authorize", base, p.url)
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func TestAuthURL(t *testing.T) {
	p, c := start(t)
	flow := idp.NewFlow()
	challenge := sha256.Sum256([]byte(flow.Verifier))
	want := url.Values{
		"response_type":         {"code"},
		"client_id":             {clientID},
		"redirect_uri":          {redirectURL},
		"scope":                 {"openid profile email offline_access"},
		"state":                 {"a+b/c=&d %20 é"}, // the caller seals things in it
		"nonce":                 {flow.Nonce},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}
	if got := authQuery(t, p, c, want.Get("state"), flow); got.Encode() != want.Encode() {
		t.Errorf("AuthURL has\n%s, want\n%s", got.Encode(), want.Encode())
	}

	again := maps.Clone(want)
	again["prompt"], again["max_age"] = []string{"login"}, []string{"1"} // 0 can never be satisfied at Authelia
	flow.Prompt = true
	if got := authQuery(t, p, c, want.Get("state"), flow); got.Encode() != again.Encode() {
		t.Errorf("AuthURL with Prompt has\n%s, want\n%s", got.Encode(), again.Encode())
	}
	flow.Prompt, flow.Reauthenticate = false, true
	if got := authQuery(t, p, c, want.Get("state"), flow); got.Encode() != again.Encode() {
		t.Errorf("AuthURL with Reauthenticate has\n%s, want\n%s", got.Encode(), again.Encode())
	}
}

// Values that can be guessed, or are used twice, protect nobody.
func TestNewFlow(t *testing.T) {
	a, b := idp.NewFlow(), idp.NewFlow()
	for name, pair := range map[string][2]string{
		"nonce":    {a.Nonce, b.Nonce},
		"verifier": {a.Verifier, b.Verifier},
	} {
		if len(pair[0]) < 26 || pair[0] == pair[1] {
			t.Errorf("%s %q, then %q: want 128 random bits each time", name, pair[0], pair[1])
		}
	}
	if a.Nonce == a.Verifier {
		t.Errorf("nonce and verifier are the same: %+v", a)
	}
	if since := time.Since(a.Started); since < 0 || since > time.Minute {
		t.Errorf("started %v ago, want now", since)
	}
	if a.Reauthenticate || a.Subject != "" {
		t.Errorf("%+v, want a flow for anybody", a)
	}
}

// A login from before the flow, or at an unknown time, is not a new login.
func TestReauthenticated(t *testing.T) {
	p := newProvider(t)
	flow := idp.NewFlow()
	for name, tt := range map[string]struct {
		authTime any
		want     bool
	}{
		"now":             {flow.Started.Unix(), true},
		"a clock behind":  {flow.Started.Add(-20 * time.Second).Unix(), true},
		"before the flow": {flow.Started.Add(-time.Minute).Unix(), false},
		"text":            {"2000000000", false},
		"missing":         {nil, false},
	} {
		if got := flow.Reauthenticated(p.idToken(t, map[string]any{"auth_time": tt.authTime})); got != tt.want {
			t.Errorf("%s: Reauthenticated is %v, want %v", name, got, tt.want)
		}
	}
	for _, token := range []string{"", "opaque", "a.b.c"} {
		if flow.Reauthenticated(token) {
			t.Errorf("Reauthenticated(%q) is true", token)
		}
	}
}

func TestLogoutURL(t *testing.T) {
	p := newProvider(t)
	p.set("end_session_endpoint", p.url+"/oauth2/logout?tenantId=t")
	c := p.client(t)
	for _, hint := range []string{"", "the.id.token"} {
		want := url.Values{"client_id": {clientID}, "post_logout_redirect_uri": {logoutURL}, "tenantId": {"t"}}
		if hint != "" {
			want.Set("id_token_hint", hint)
		}
		if got, want := c.LogoutURL(hint), p.url+"/oauth2/logout?"+want.Encode(); got != want {
			t.Errorf("LogoutURL(%q):\n%s, want\n%s", hint, got, want)
		}
	}

	p.set("end_session_endpoint", nil)
	if got := p.client(t).LogoutURL("hint"); got != "" {
		t.Errorf("LogoutURL without an end_session_endpoint: %q, want none", got)
	}
}

// Where the provider requires it, the browser carries only a reference to the
// request, and the provider gets the request itself (RFC 9126).
func TestPushedAuthorizationRequest(t *testing.T) {
	p := newProvider(t)
	p.set("authorization_endpoint", p.url+"/oauth2/authorize?policy=x")
	p.set("pushed_authorization_request_endpoint", p.url+"/par")
	p.set("require_pushed_authorization_requests", true)
	c := p.client(t)
	flow := idp.NewFlow()
	flow.Reauthenticate = true
	p.on("/par", respond(201, `{"request_uri":"urn:x:1","expires_in":60}`))
	target, err := c.AuthURL(t.Context(), "the-state", flow)
	want := url.Values{"client_id": {clientID}, "request_uri": {"urn:x:1"}, "policy": {"x"}}
	if want := p.url + "/oauth2/authorize?" + want.Encode(); err != nil || target != want {
		t.Errorf("AuthURL: %s, %v, want %s", target, err, want)
	}
	got := p.one(t, "/par")
	for name, want := range map[string]string{
		"response_type": "code", "redirect_uri": redirectURL, "state": "the-state", "nonce": flow.Nonce, "prompt": "login",
		"scope": "openid profile email offline_access", "code_challenge_method": "S256", "client_id": clientID, "client_secret": "secret",
	} {
		if got := got.form[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q once", name, got, want)
		}
	}

	p.on("/par", respond(200, `{}`))
	_, err = c.AuthURL(t.Context(), "the-state", flow)
	wantFault(t, err)
	p.on("/par", respond(400, `{"error":"invalid_request"}`))
	_, err = c.AuthURL(t.Context(), "the-state", flow)
	wantRefusal(t, err, 400, "invalid_request")
}

// A provider that does not require it is asked by the browser.
func TestPushedAuthorizationRequestOptional(t *testing.T) {
	p := newProvider(t)
	p.set("pushed_authorization_request_endpoint", p.url+"/par")
	authQuery(t, p, p.client(t), "state", idp.NewFlow())
	p.wantRequests(t, 0)
}
