package idp_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"changebank/internal/idp"
)

func TestAuthURL(t *testing.T) {
	p := newScripted(t)
	c := p.client(t)
	at, flow, err := c.AuthURL("/activate?user_code=x", false)
	if err != nil {
		t.Fatalf("AuthURL: %v", err)
	}
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	if base, _, _ := strings.Cut(at, "?"); base != p.url+"/oauth2/authorize" {
		t.Errorf("AuthURL leads to %s, want %s/oauth2/authorize", base, p.url)
	}
	challenge := sha256.Sum256([]byte(flow.Verifier))
	want := url.Values{
		"response_type":         {"code"},
		"client_id":             {clientID},
		"redirect_uri":          {redirectURL},
		"scope":                 {"openid profile email offline_access"},
		"state":                 {flow.State},
		"nonce":                 {flow.Nonce},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}
	if got := u.Query().Encode(); got != want.Encode() {
		t.Errorf("AuthURL has\n%s, want\n%s", got, want.Encode())
	}
	if flow.ReturnTo != "/activate?user_code=x" || time.Since(flow.Started) > time.Minute {
		t.Errorf("Flow %+v, want the path to return to and the present time", flow)
	}

	// Values that can be guessed, or are used twice, protect nobody.
	_, again, err := c.AuthURL("/", false)
	if err != nil {
		t.Fatalf("AuthURL: %v", err)
	}
	for name, pair := range map[string][2]string{
		"state":    {flow.State, again.State},
		"nonce":    {flow.Nonce, again.Nonce},
		"verifier": {flow.Verifier, again.Verifier},
	} {
		if len(pair[0]) < 22 || pair[0] == pair[1] {
			t.Errorf("%s %q, then %q: want 128 random bits each time", name, pair[0], pair[1])
		}
	}
	if flow.State == flow.Nonce || flow.State == flow.Verifier {
		t.Errorf("state, nonce and verifier are not independent: %+v", flow)
	}
}

func TestExchange(t *testing.T) {
	p := newScripted(t)
	c := p.client(t)
	p.on("/oauth2/token", says(http.StatusOK, `{"access_token":"a","refresh_token":"r","id_token":"i","token_type":"Bearer","expires_in":3600}`))
	got, err := c.Exchange(t.Context(), idp.Flow{Verifier: "verifier"}, url.Values{"code": {"the-code"}})
	if err != nil {
		t.Fatalf("Exchange: %v", err)
	}
	if got.Access != "a" || got.Refresh != "r" || got.ID != "i" {
		t.Errorf("Exchange: %+v, want tokens a, r and i", got)
	}
	wantIn(t, "Expires", time.Until(got.Expires), time.Hour)
	asked := p.requests("/oauth2/token")
	if len(asked) != 1 {
		t.Fatalf("%d requests, want 1", len(asked))
	}
	for name, want := range map[string]string{
		"grant_type":    "authorization_code",
		"code":          "the-code",
		"code_verifier": "verifier",
		"redirect_uri":  redirectURL,
	} {
		if got := asked[0].form.Get(name); got != want {
			t.Errorf("%s %q, want %q", name, got, want)
		}
	}
}

// A token that does not say how long it lives must not be taken for eternal.
func TestExchangeWithoutLifetime(t *testing.T) {
	p := newScripted(t)
	c := p.client(t)
	p.on("/oauth2/token", says(http.StatusOK, `{"access_token":"a","id_token":"i","token_type":"Bearer"}`))
	got, err := c.Exchange(t.Context(), idp.Flow{}, url.Values{"code": {"c"}})
	if err != nil {
		t.Fatalf("Exchange: %v", err)
	}
	wantIn(t, "Expires", time.Until(got.Expires), 5*time.Minute)
}

func TestExchangeRefuses(t *testing.T) {
	tests := []struct {
		name       string
		advertised bool // the provider says that its answers name their issuer
		query      string
		code       string // of an [idp.Error]; "" if it is none
	}{
		{"access_denied", false, "error=access_denied&error_description=the+person+said+no", "access_denied"},
		{"access_denied of this issuer", true, "error=access_denied&iss=ISSUER", "access_denied"},
		{"access_denied without its issuer", true, "error=access_denied", "access_denied"},
		// RFC 9207: another provider's answer passed off as this one's.
		{"a code of another issuer", false, "code=c&iss=https://evil.example", ""},
		{"a code of another issuer, advertised", true, "code=c&iss=https://evil.example", ""},
		{"an error of another issuer", true, "error=access_denied&iss=https://evil.example", ""},
		{"issuer with a slash", true, "code=c&iss=ISSUER/", ""},
		{"issuer missing although advertised", true, "code=c", ""},
		{"issuer empty although advertised", true, "code=c&iss=", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newScripted(t)
			p.tell("authorization_response_iss_parameter_supported", tt.advertised)
			p.calls(t)
			c := p.client(t)
			query, err := url.ParseQuery(strings.ReplaceAll(tt.query, "ISSUER", p.url))
			if err != nil {
				t.Fatal(err)
			}
			_, err = c.Exchange(t.Context(), idp.Flow{}, query)
			if tt.code == "" {
				fault(t, err)
			} else {
				refusal(t, err, 0, tt.code)
			}
			if n := len(p.requests("/oauth2/token")); n != 0 {
				t.Errorf("the token endpoint was asked %d times, want 0", n)
			}
		})
	}
}

func TestExchangeTakesTheRightIssuer(t *testing.T) {
	for _, advertised := range []bool{true, false} {
		p := newScripted(t)
		p.tell("authorization_response_iss_parameter_supported", advertised)
		p.calls(t)
		c := p.client(t)
		if _, err := c.Exchange(t.Context(), idp.Flow{}, url.Values{"code": {"c"}, "iss": {p.url}}); err != nil {
			t.Errorf("advertised %v: Exchange: %v", advertised, err)
		}
	}
}

// The texts of x/oauth2's errors are whole answers, up to a megabyte of them,
// and end up in our log.
func TestExchangeFaultsKeepTheAnswerToThemselves(t *testing.T) {
	const body = "PRIVATE"
	tests := []struct {
		name        string
		status      int
		contentType string
		answer      string
		code        string
		refused     bool
	}{
		{"invalid_grant", 400, "application/json", `{"error":"invalid_grant","error_description":"PRIVATE"}`, "invalid_grant", true},
		{"invalid_client", 401, "application/json", `{"error":"invalid_client","error_description":"PRIVATE"}`, "invalid_client", true},
		{"no code", 400, "application/json", `{"message":"PRIVATE"}`, "", true},
		{"as text/plain", 400, "text/plain; charset=utf-8", `{"error":"invalid_grant","error_description":"PRIVATE; 100%"}`, "invalid_grant", true},
		{"a page", 502, "text/html", `<html>PRIVATE</html>`, "", true},
		{"an error that says 200", 200, "application/json", `{"error":"invalid_grant","x":"PRIVATE"}`, "invalid_grant", true},
		{"garbage", 200, "application/json", `PRIVATE`, "", false},
		{"no access token", 200, "application/json", `{"id_token":"PRIVATE"}`, "", false},
		{"no ID token", 200, "application/json", `{"access_token":"PRIVATE","token_type":"Bearer"}`, "", false},
		{"an ID token that is none", 200, "application/json", `{"access_token":"PRIVATE","token_type":"Bearer","id_token":["PRIVATE"]}`, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newScripted(t)
			c := p.client(t)
			p.on("/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tt.contentType)
				w.WriteHeader(tt.status)
				_, _ = w.Write([]byte(tt.answer))
			})
			_, err := c.Exchange(t.Context(), idp.Flow{}, url.Values{"code": {"c"}})
			if tt.refused {
				refusal(t, err, tt.status, tt.code)
			} else {
				fault(t, err)
			}
			if err != nil && strings.Contains(err.Error(), body) {
				t.Errorf("error %q has the answer in it", err)
			}
		})
	}
}

func TestExchangeFaultsAreShortLines(t *testing.T) {
	for name, answer := range map[string]string{
		"a long number": `{"access_token":"a","id_token":"i","expires_in":` + strings.Repeat("1", 1<<16) + `}`,
		"a long word":   `{"access_token":"a","id_token":"i","expires_in":"` + strings.Repeat(`\n`, 1<<16) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			p := newScripted(t)
			c := p.client(t)
			p.on("/oauth2/token", says(200, answer))
			_, err := c.Exchange(t.Context(), idp.Flow{}, url.Values{"code": {"c"}})
			fault(t, err)
			shortLine(t, err)
		})
	}
}

func TestLogoutURL(t *testing.T) {
	p := newScripted(t)
	p.tell("end_session_endpoint", p.url+"/oauth2/logout?tenantId=t")
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

	p.tell("end_session_endpoint", nil)
	if got := p.client(t).LogoutURL("hint"); got != "" {
		t.Errorf("LogoutURL without an end_session_endpoint: %q, want none", got)
	}
}

// wantIn checks a duration that was measured with a real clock.
func wantIn(t *testing.T, name string, got, want time.Duration) {
	t.Helper()
	if got > want+time.Second || got < want-30*time.Second {
		t.Errorf("%s in %v, want %v", name, got, want)
	}
}

// Whoever is asked for a password again has not typed one if the token is of
// before, or does not say.
func TestFresh(t *testing.T) {
	p := newScripted(t)
	_, flow, err := p.client(t).AuthURL("/", true)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		authTime any
		want     bool
	}{
		"now":                {flow.Started.Unix(), true},
		"a clock behind":     {flow.Started.Add(-20 * time.Second).Unix(), true},
		"before the request": {flow.Started.Add(-time.Minute).Unix(), false},
		"as text":            {"2000000000", false},
		"does not say":       {nil, false},
	} {
		if got := flow.Fresh(signer{}.sign(t, p.claims(map[string]any{"auth_time": tt.authTime}))); got != tt.want {
			t.Errorf("%s: Fresh is %v, want %v", name, got, tt.want)
		}
	}
}
