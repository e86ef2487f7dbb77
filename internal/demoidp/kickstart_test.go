package demoidp

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"changebank/internal/store"
)

func TestPeople(t *testing.T) {
	w := start(t)
	if got, want := w.idp.Load().People(), []string{"richard@example.com", "erlich@example.com"}; !slices.Equal(got, want) {
		t.Errorf("People: %v, want %v", got, want)
	}
}

func TestSubstitution(t *testing.T) {
	s := substitution{values: map[string]string{"a": `"#{b}\`, "b": "B"}}
	got := s.value("here", map[string]any{"x": []any{"#{a}/#{b}", 1.0, nil}})
	if text := got.(map[string]any)["x"].([]any)[0]; text != `"#{b}\/B` || len(s.faults) != 0 {
		t.Errorf("got %q %v, want the values as they are, and none looked at again", text, s.faults)
	}
	if a, b := s.text("here", "#{UUID()}"), s.text("here", "#{UUID()}"); len(a) != 36 || a == b {
		t.Errorf("#{UUID()}: %q and %q, want two UUIDs", a, b)
	}
}

// Each case breaks the real kickstart at one place.
func TestKickstartFaults(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string
		want           []string
	}{
		{"not JSON", `"requests": [`, `"requests": [,`, []string{"line 22", "invalid character"}},
		{"unknown variable", `"clientSecret": "#{clientSecret}"`, `"clientSecret": "#{secret}"`, []string{"requests[2].body.application.oauthConfiguration.clientSecret", "#{secret}"}},
		{"unknown variable in a URL", `"/api/tenant/#{defaultTenantId}"`, `"/api/tenant/#{tenant}"`, []string{"requests[1].url", "#{tenant}"}},
		{"unknown environment variable", `#{ENV.CLIENT_SECRET}`, `#{ENV.SECRET}`, []string{"variables.clientSecret", "#{ENV.SECRET}"}},
		{"environment outside variables", `"issuer": "#{issuer}"`, `"issuer": "#{ENV.ISSUER}"`, []string{"requests[1].body.tenant.issuer", "#{ENV.ISSUER}"}},
		{"variable within variables", `"signingKeyId": "`, `"signingKeyId": "#{issuer}`, []string{"variables.signingKeyId", "#{issuer}"}},
		{"unknown request", `"/api/key/generate/#{signingKeyId}"`, `"/api/theme/1"`, []string{"requests[0]", "POST /api/theme/1", "does not understand"}},
		{"unknown method", `"method": "PATCH"`, `"method": "PUT"`, []string{"requests[1]", "PUT /api/tenant/", "does not understand"}},
		{"wrong type", `"timeToLiveInSeconds": 3600`, `"timeToLiveInSeconds": "3600"`, []string{"requests[2]", "TimeToLiveInSeconds"}},
		{"no application", `"/api/application/#{applicationId}"`, `"/api/key/generate/#{signingKeyId}"`, []string{"requests[2]", "requests[4]", "no application"}},
		{"foreign application", `"applicationId": "#{fusionAuthApplicationId}"`, `"applicationId": "another"`, []string{"requests[3]", `"another"`}},
		{"weak key", `"length": 2048`, `"length": 1024`, []string{"requests[0]", "RS256"}},
		{"key not used", `"idTokenKeyId": "#{signingKeyId}",`, ``, []string{"idTokenKeyId"}},
		{"other issuer", `"issuer": "#{issuer}"`, `"issuer": "acme.com"`, []string{`"acme.com"`, `"https://idp.example"`}},
		{"no lifetime", `"deviceCodeTimeToLiveInSeconds": 600`, `"other": 600`, []string{"deviceCodeTimeToLiveInSeconds"}},
		{"no secret needed", `"clientAuthenticationPolicy": "Required",`, ``, []string{"clientAuthenticationPolicy"}},
		{"bad URL", `"#{appURL}/activate"`, `"/activate"`, []string{`"/activate"`}},
		{"no password", `"password": "#{userPassword}"`, `"password": ""`, []string{"requests[4]", "requests[5]", "password"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			whole := string(readKickstart(t))
			broken := strings.ReplaceAll(whole, tt.old, tt.new)
			if broken == whole {
				t.Fatalf("the kickstart has no %s", tt.old)
			}
			_, err := New(t.Context(), Config{
				Issuer: "https://idp.example", AppURL: appURL, Kickstart: []byte(broken), Env: env("https://idp.example"),
				Store: new(store.Store), // not reached
			})
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range append(tt.want, "demoidp: kickstart: ") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), password) || strings.Contains(err.Error(), secret) {
				t.Errorf("error %q has a secret", err)
			}
		})
	}
}

func TestConfigFaults(t *testing.T) {
	for _, cfg := range []Config{
		{Issuer: "https://idp.example/", AppURL: appURL},
		{Issuer: "idp.example", AppURL: appURL},
		{Issuer: "", AppURL: appURL},
		{Issuer: "https://idp.example", AppURL: "app.example"},
	} {
		cfg.Kickstart, cfg.Env = readKickstart(t), env(cfg.Issuer)
		if _, err := New(t.Context(), cfg); err == nil {
			t.Errorf("New with issuer %q and application %q: no error", cfg.Issuer, cfg.AppURL)
		}
	}
}

// Discovery promises what is there, and nothing else.
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
		`"introspection_endpoint":"` + w.issuer + `/oauth2/introspect"`,
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
	if r.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("scripts of other origins may read this")
	}
}

func TestCookie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t) // its issuer is https
		var cookies []*http.Cookie
		transport := w.browser.Transport
		w.browser.Transport = roundTripper(func(r *http.Request) *http.Response {
			response, _ := transport.RoundTrip(r) // never fails
			cookies = append(cookies, response.Cookies()...)
			return response
		})
		w.logIn("richard@example.com")
		w.logIn("richard@example.com", param("prompt", "login"))
		if len(cookies) != 2 || cookies[0].Value == cookies[1].Value {
			t.Fatalf("cookies %v, want a new one at each login", cookies)
		}
		if c := cookies[0]; !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Name != ssoCookie {
			t.Errorf("cookie %v", c)
		}
		if _, err := w.idp.Load().storage.sso.Get(t.Context(), cookies[0].Value); err == nil {
			t.Error("the session of before is still there")
		}
	})
}
