package demoidp

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Discovery announces what is there, and nothing else.
func TestDiscovery(t *testing.T) {
	w := start(t)
	request, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, w.issuer+"/.well-known/openid-configuration", nil)
	request.Header.Set("Origin", "http://elsewhere.example")
	r, err := w.transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	body := read(t, r)
	for _, want := range []string{
		`"issuer":"` + w.issuer + `"`,
		`"authorization_endpoint":"` + w.issuer + `/oauth2/authorize"`,
		`"token_endpoint":"` + w.issuer + `/oauth2/token"`,
		`"device_authorization_endpoint":"` + w.issuer + `/oauth2/device_authorize"`,
		`"userinfo_endpoint":"` + w.issuer + `/oauth2/userinfo"`,
		`"end_session_endpoint":"` + w.issuer + `/oauth2/logout"`,
		`"revocation_endpoint":"` + w.issuer + `/oauth2/revoke"`,
		`"jwks_uri":"` + w.issuer + `/.well-known/jwks.json"`,
		`"grant_types_supported":["authorization_code","refresh_token","urn:ietf:params:oauth:grant-type:device_code"]`,
		`"token_endpoint_auth_methods_supported":["client_secret_basic","client_secret_post"]`,
		`"response_types_supported":["code"]`,
		`"code_challenge_methods_supported":["S256"]`,
		`"id_token_signing_alg_values_supported":["RS256"]`,
	} {
		if !strings.Contains(body, want) {
			t.Errorf("discovery lacks %s", want)
		}
	}
	if strings.Contains(body, "introspection") {
		t.Error("discovery announces introspection")
	}
	if r.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("scripts of other origins may read this")
	}
	if keys := read(t, w.get("/.well-known/jwks.json")); strings.Contains(keys, `"d"`) || !strings.Contains(keys, `"kty":"RSA"`) {
		t.Errorf("the published keys are %s, want public ones", keys)
	}
}

// Requests that the application never makes are refused, at its callback where
// that is possible.
func TestAuthorizeRefuses(t *testing.T) {
	w := start(t)
	for name, value := range map[string]string{
		"code_challenge":        "",
		"code_challenge_method": "plain",
		"prompt":                "none",
		"request":               "x",
	} {
		if answer, _ := w.authorize(param(name, value)); answer.Get("error") == "" || answer.Get("state") != "a state" || answer.Get("code") != "" {
			t.Errorf("%s=%s: %v, want an error", name, value, answer)
		}
	}
	for name, value := range map[string]string{
		"client_id":     "unknown",
		"response_type": "id_token",
		"redirect_uri":  "http://evil.example/callback",
		"id_token_hint": idToken(w.logIn(richard)),
	} {
		r, err := w.browser.Get(w.oauth2().AuthCodeURL("a state", param(name, value)))
		if err != nil {
			t.Fatal(err)
		}
		r.Body.Close()
		if r.StatusCode != http.StatusBadRequest || r.Header.Get("Location") != "" {
			t.Errorf("%s=%s: %d %s, want 400", name, value, r.StatusCode, r.Header.Get("Location"))
		}
	}
}

// Any input is answered with a refusal: no panic (the connection would break)
// and no 5xx.
func TestBadInput(t *testing.T) {
	w := start(t)
	null := "e30." + base64.RawURLEncoding.EncodeToString([]byte(" null")) + ".e30"
	base := "client_id=" + clientID + "&response_type=code&scope=openid&redirect_uri=" + url.QueryEscape(callback)
	for _, query := range []string{
		"", "%zz", "client_id=unknown", "client_id=" + clientID, base + "&max_age=x", base + "&prompt=none+login",
		base + "&id_token_hint=x", base + "&id_token_hint=" + null, base + "&id_token_hint=x&id_token_hint=" + null, base + "&request=x", base + "&response_type=token",
		base + "&response_mode=form_post", base + "&code_challenge=x&code_challenge_method=plain", base + "&ui_locales=%00", "id=" + null,
		strings.Replace(base, "callback", "elsewhere", 1),
	} {
		for _, path := range []string{"/oauth2/authorize", "/oauth2/logout", "/login"} {
			r := w.get(path + "?" + query)
			r.Body.Close()
			if r.StatusCode >= 500 {
				t.Errorf("GET %s?%s: %d", path, query, r.StatusCode)
			}
			if at := r.Header.Get("Location"); at != "" && !strings.HasPrefix(at, appURL) {
				t.Errorf("GET %s?%s: redirected to %s", path, query, at)
			}
		}
	}
	huge := url.Values{"id": {strings.Repeat("x", 100<<10)}, "token": {"x"}}
	for _, path := range []string{"/oauth2/token", "/oauth2/device_authorize", "/oauth2/revoke", "/oauth2/device/approve", "/login", "/oauth2/authorize", "/oauth2/introspect"} {
		for _, form := range []url.Values{nil, huge, {"token": {null}, "id": {null}, "grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {null}}} {
			form = merge(form, credentials(clientID, secret))
			r, err := w.browser.PostForm(w.issuer+path, form)
			if err != nil {
				t.Errorf("POST %s: %v", path, err)
				continue
			}
			r.Body.Close()
			if r.StatusCode >= 500 || len(form.Get("id")) > 64<<10 && r.StatusCode != http.StatusBadRequest {
				t.Errorf("POST %s of %d bytes: %d", path, len(form.Encode()), r.StatusCode)
			}
		}
	}
}
