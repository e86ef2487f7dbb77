package idp_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"changebank/internal/idp"
)

// had are the tokens of a session that is some time old.
var had = idp.Tokens{Access: "old-access", Refresh: "old-refresh", RefreshID: "old-refresh-id", ID: "old-id-token"}

func (p *scripted) richard() idp.Person { return idp.Person{Issuer: p.url, Subject: "richard"} }

// fresh is an answer to a refresh with more members at its end.
func fresh(more string) string {
	return `{"access_token":"new-access","token_type":"Bearer","expires_in":60` + more + `}`
}

func TestRefresh(t *testing.T) {
	p := newScripted(t)
	c := p.client(t)
	id := signer{}.sign(t, p.claims(nil))
	tests := []struct {
		name, more string
		want       idp.Tokens
	}{
		{
			"everything is new", `,"refresh_token":"new-refresh","refresh_token_id":"new-refresh-id","id_token":"` + id + `"`,
			idp.Tokens{Refresh: "new-refresh", RefreshID: "new-refresh-id", ID: id},
		},
		// Without a refresh token the session would end, and without its name
		// it could not be revoked.
		{"no refresh token", `,"id_token":"` + id + `"`, idp.Tokens{Refresh: had.Refresh, RefreshID: had.RefreshID, ID: id}},
		{"no refresh token, but a name", `,"refresh_token_id":"another"`, had},
		// The old one's name would have another token revoked.
		{"a new refresh token without a name", `,"refresh_token":"new-refresh"`, idp.Tokens{Refresh: "new-refresh", ID: had.ID}},
		{"no ID token", `,"refresh_token":"new-refresh","refresh_token_id":"new-refresh-id"`, idp.Tokens{Refresh: "new-refresh", RefreshID: "new-refresh-id", ID: had.ID}},
		{"an access token only", ``, had},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(p.requests("/oauth2/token"))
			p.on("/oauth2/token", says(200, fresh(tt.more)))
			got, err := c.Refresh(t.Context(), had, p.richard())
			if err != nil {
				t.Fatalf("Refresh: %v", err)
			}
			wantIn(t, "Expires", time.Until(got.Expires), time.Minute)
			got.Expires = time.Time{}
			tt.want.Access = "new-access"
			if got != tt.want {
				t.Errorf("Refresh: %+v, want %+v", got, tt.want)
			}
			// A refresh token may be good for one use: asked twice, the
			// provider takes it for stolen and ends the grant.
			asked := p.requests("/oauth2/token")[before:]
			if len(asked) != 1 {
				t.Fatalf("%d requests, want 1", len(asked))
			}
			if form := asked[0].form; form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != had.Refresh {
				t.Errorf("asked with the form %v, want the old refresh token", form)
			}
		})
	}
	if n := len(p.requests("/oauth2/userinfo")); n != 0 {
		t.Errorf("userinfo was asked %d times, want 0: nothing needs it", n)
	}
}

// A session must never go over to another person, whatever the provider, or
// something in its place, answers (OpenID Connect Core, section 12.2).
func TestRefreshRefusesAnothersTokens(t *testing.T) {
	p := newScripted(t)
	c := p.client(t)
	tests := []struct {
		name    string
		changed map[string]any
		by      signer
		person  idp.Person
	}{
		{"another person's", map[string]any{"sub": "mallory"}, signer{}, p.richard()},
		{"another person's, of the same address", map[string]any{"sub": "mallory", "email": "richard@example.com"}, signer{}, idp.Person{Issuer: p.url, Subject: "richard", Email: "richard@example.com"}},
		{"of a person at another provider", nil, signer{}, idp.Person{Issuer: "https://idp.example", Subject: "richard"}},
		{"for nobody", nil, signer{}, idp.Person{}},
		{"of another issuer", map[string]any{"iss": "https://evil.example"}, signer{}, p.richard()},
		{"for another client", map[string]any{"aud": "another"}, signer{}, p.richard()},
		{"expired", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, signer{}, p.richard()},
		{"of another access token", map[string]any{"at_hash": atHash("another")}, signer{}, p.richard()},
		{"signed by a stranger", nil, signer{key: strangersKey()}, p.richard()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p.on("/oauth2/token", says(200, fresh(`,"refresh_token":"r","id_token":"`+tt.by.sign(t, p.claims(tt.changed))+`"`)))
			got, err := c.Refresh(t.Context(), had, tt.person)
			final(t, err)
			shortLine(t, err)
			if got != (idp.Tokens{}) {
				t.Errorf("Refresh: %+v beside the error, want nothing", got)
			}
		})
	}
	t.Run("no token at all", func(t *testing.T) {
		p.on("/oauth2/token", says(200, fresh(`,"id_token":"x"`)))
		got, err := c.Refresh(t.Context(), had, p.richard())
		final(t, err)
		if got != (idp.Tokens{}) {
			t.Errorf("Refresh: %+v beside the error, want nothing", got)
		}
	})
}

// The old refresh token may be spent by now: a session that drops the new one
// because the keys are away for a moment is lost.
func TestRefreshWithoutKeys(t *testing.T) {
	p := newScripted(t)
	p.on("/jwks", says(503, `{}`))
	c := p.client(t)
	id := signer{}.sign(t, p.claims(nil))
	p.on("/oauth2/token", says(200, fresh(`,"refresh_token":"new-refresh","refresh_token_id":"new-refresh-id","id_token":"`+id+`"`)))
	got, err := c.Refresh(t.Context(), had, p.richard())
	if err != nil {
		t.Fatalf("Refresh: %v, want the tokens", err)
	}
	got.Expires = time.Time{}
	want := idp.Tokens{Access: "new-access", Refresh: "new-refresh", RefreshID: "new-refresh-id", ID: had.ID} // verified once
	if got != want {
		t.Errorf("Refresh: %+v, want %+v", got, want)
	}
	if len(p.requests("/jwks")) == 0 {
		t.Error("the keys were not asked for")
	}
}

// Only the provider's word ends a session; trouble at the provider must not
// log everybody out.
func TestRefreshRefused(t *testing.T) {
	const revoked = `{"error":"invalid_grant","error_description":"gone"}`
	tests := []struct {
		name   string
		answer http.HandlerFunc
		status int
		code   string
		final  bool
	}{
		{"invalid_grant", says(400, revoked), 400, "invalid_grant", true},
		{"invalid_grant as text/plain", saysStatus(400, "text/plain", revoked), 400, "invalid_grant", true},
		{"invalid_grant as 200", says(200, revoked), 200, "invalid_grant", true},
		{"invalid_client", says(401, `{"error":"invalid_client"}`), 401, "invalid_client", true},
		{"503", saysStatus(503, "text/html", `<html>`), 503, "", false},
		{"503 with a code", says(503, revoked), 503, "invalid_grant", false},
		{"a proxy's 404", saysStatus(404, "text/html", `<html>`), 404, "", false},
		{"429", says(429, ``), 429, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newScripted(t)
			c := p.client(t)
			p.on("/oauth2/token", tt.answer)
			got, err := c.Refresh(t.Context(), had, p.richard())
			if refused := refusal(t, err, tt.status, tt.code); refused.Final() != tt.final {
				t.Errorf("Final: %v, want %v", refused.Final(), tt.final)
			}
			if errors.Is(err, idp.ErrInvalidToken) {
				t.Errorf("Refresh: %v, want no word of the tokens", err)
			}
			if got != (idp.Tokens{}) {
				t.Errorf("Refresh: %+v beside the error, want nothing", got)
			}
			if n := len(p.requests("/oauth2/token")); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
		})
	}
}

func TestRefreshFaults(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"no access token": says(200, `{"refresh_token":"new-refresh"}`),
		"empty":           says(200, ``),
		"a page":          saysStatus(200, "text/html", `<html>`),
		"connection cut":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newScripted(t)
			c := p.client(t)
			p.on("/oauth2/token", answer)
			got, err := c.Refresh(t.Context(), had, p.richard())
			fault(t, err)
			shortLine(t, err)
			if got != (idp.Tokens{}) {
				t.Errorf("Refresh: %+v beside the error, want nothing", got)
			}
			if text := fmt.Sprint(err); strings.Contains(text, had.Refresh) || strings.Contains(text, "new-refresh") {
				t.Errorf("Refresh: %s, want no token in it", text)
			}
		})
	}
}

// As at every other endpoint, the secret is shown once and in one way.
func TestRefreshShowsTheClientOnce(t *testing.T) {
	const awkward = `a+b/c=d:e%f g%20&h`
	for _, method := range []idp.AuthMethod{idp.AuthPost, idp.AuthBasic, idp.AuthNone} {
		t.Run(string(method), func(t *testing.T) {
			p := newScripted(t)
			c := p.client(t, func(cfg *idp.Config) { cfg.Auth, cfg.ClientSecret = method, awkward })
			p.on("/oauth2/token", says(200, fresh(``)))
			if _, err := c.Refresh(t.Context(), had, p.richard()); err != nil {
				t.Errorf("Refresh: %v", err)
			}
			asked := p.requests("/oauth2/token")
			if len(asked) != 1 {
				t.Fatalf("%d requests, want 1", len(asked))
			}
			wantAuth(t, "Refresh", asked[0], method, awkward)
		})
	}
}

func TestRefreshBeforeDiscovery(t *testing.T) {
	p := newScripted(t)
	p.on("/.well-known/openid-configuration", says(503, `{}`))
	if got, err := p.newClient(t).Refresh(t.Context(), had, p.richard()); !errors.Is(err, idp.ErrNotReady) || got != (idp.Tokens{}) {
		t.Errorf("Refresh: %+v, %v, want %v", got, err, idp.ErrNotReady)
	}
}

// sent is a request with all of it that a proxy may log or a provider reads.
type sent struct {
	method, url, authorization string
	form                       url.Values
}

// records answers at a path with 200 and nothing, and returns what came.
func (p *scripted) records(path string) *[]sent {
	var all []sent
	p.on(path, func(_ http.ResponseWriter, r *http.Request) {
		form := r.PostForm
		if r.Method == http.MethodDelete { // whose body net/http does not parse
			body, _ := io.ReadAll(r.Body)
			form, _ = url.ParseQuery(string(body))
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		all = append(all, sent{r.Method, r.RequestURI, r.Header.Get("Authorization"), form})
	})
	return &all
}

// wantRequests checks how many requests there were but for discovery's.
func (p *scripted) wantRequests(t *testing.T, want int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	var paths []string
	for _, r := range p.asked {
		if !strings.HasPrefix(r.path, "/.well-known/") {
			paths = append(paths, r.path)
		}
	}
	if len(paths) != want {
		t.Errorf("requests to %q, want %d", paths, want)
	}
}

// RFC 7009: the refresh token's end is the grant's. The hint spares a provider
// the search, and some take a token without it for an access token.
func TestRevokeSaysWhatItIs(t *testing.T) {
	tests := []struct {
		name        string
		tokens      idp.Tokens
		token, hint string
	}{
		{"all of them", had, had.Refresh, "refresh_token"},
		{"an access token only", idp.Tokens{Access: "a", ID: "i"}, "a", "access_token"},
		{"a refresh token only", idp.Tokens{Refresh: "r"}, "r", "refresh_token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newScripted(t)
			c := p.client(t)
			all := p.records("/oauth2/revoke")
			if err := c.Revoke(t.Context(), tt.tokens); err != nil {
				t.Errorf("Revoke: %v", err)
			}
			p.wantRequests(t, 1)
			if len(*all) != 1 {
				t.Fatalf("%d requests to revoke, want 1", len(*all))
			}
			got := (*all)[0]
			if got.method != http.MethodPost || got.url != "/oauth2/revoke" {
				t.Errorf("%s %s, want POST /oauth2/revoke", got.method, got.url)
			}
			if token, hint := got.form.Get("token"), got.form.Get("token_type_hint"); token != tt.token || hint != tt.hint {
				t.Errorf("token %q with the hint %q, want %q and %q", token, hint, tt.token, tt.hint)
			}
		})
	}
	t.Run("none", func(t *testing.T) {
		p := newScripted(t)
		if err := p.client(t).Revoke(t.Context(), idp.Tokens{}); err != nil {
			t.Errorf("Revoke: %v", err)
		}
		p.wantRequests(t, 0)
	})
}

// A refresh token must be revocable everywhere (RFC 7009, section 2): who says
// it is not still honours it.
func TestRevokeOfARefreshTokenRefused(t *testing.T) {
	p := newScripted(t)
	c := p.client(t)
	p.on("/oauth2/revoke", says(400, `{"error":"unsupported_token_type"}`))
	refusal(t, c.Revoke(t.Context(), had), 400, "unsupported_token_type")
}

// FusionAuth has no revocation endpoint. Its own call takes the refresh
// token's name; the token itself must not stand in a URL, which is logged.
func TestRevokeAtFusionAuth(t *testing.T) {
	tests := []struct {
		name   string
		tokens idp.Tokens
		path   string
		url    string
		token  string
	}{
		{"by name", had, "/api/jwt/refresh/old-refresh-id", "/api/jwt/refresh/old-refresh-id", ""},
		{"by a name that is no path", idp.Tokens{Access: "old-access", Refresh: "old-refresh", RefreshID: "../x?y#z"}, "/api/jwt/refresh/../x?y#z", "/api/jwt/refresh/..%2Fx%3Fy%23z", ""},
		{"without a name", idp.Tokens{Access: "old-access", Refresh: "old-refresh"}, "/api/jwt/refresh", "/api/jwt/refresh", "old-refresh"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newScripted(t)
			p.tell("revocation_endpoint", nil)
			c := p.client(t, func(cfg *idp.Config) { cfg.Auth = idp.AuthBasic })
			all := p.records(tt.path)
			if err := c.Revoke(t.Context(), tt.tokens); err != nil {
				t.Errorf("Revoke: %v", err)
			}
			p.wantRequests(t, 1)
			if len(*all) != 1 {
				t.Fatalf("%d requests to %s, want 1", len(*all), tt.path)
			}
			got := (*all)[0]
			if got.method != http.MethodDelete || got.url != tt.url {
				t.Errorf("%s %s, want DELETE %s", got.method, got.url, tt.url)
			}
			if got.authorization != "Bearer old-access" {
				t.Errorf("Authorization %q, want the person's access token", got.authorization)
			}
			if token := got.form.Get("token"); token != tt.token {
				t.Errorf("token %q in the body, want %q", token, tt.token)
			}
			if got.form.Has("client_secret") {
				t.Error("the client's secret is in the body, beside the person's token")
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		p := newScripted(t)
		p.tell("revocation_endpoint", nil)
		c := p.client(t)
		p.on("/api/jwt/refresh/old-refresh-id", says(401, ``))
		refusal(t, c.Revoke(t.Context(), had), 401, "")
	})
	// An access token is good for what its person may do: no other host may see it.
	t.Run("redirected", func(t *testing.T) {
		other := newScripted(t)
		p := newScripted(t)
		p.tell("revocation_endpoint", nil)
		c := p.client(t)
		p.on("/api/jwt/refresh/old-refresh-id", redirectsTo(other.url+"/caught"))
		refusal(t, c.Revoke(t.Context(), had), 307, "")
		other.wantRequests(t, 0)
	})
	t.Run("which announces an endpoint", func(t *testing.T) {
		p := newScripted(t)
		all := p.records("/oauth2/revoke")
		if err := p.client(t).Revoke(t.Context(), had); err != nil || len(*all) != 1 {
			t.Errorf("Revoke: %v, with %d requests to it, want 1", err, len(*all))
		}
		p.wantRequests(t, 1)
	})
}

// A guess at another provider's paths would send a person's tokens there.
func TestRevokeOnlyWhereItIsKnown(t *testing.T) {
	for _, path := range []string{"/device/code", "/oauth2/device_authorization", "/oauth2/device_authorize/x"} {
		t.Run(path, func(t *testing.T) {
			p := newScripted(t)
			p.tell("revocation_endpoint", nil)
			p.tell("device_authorization_endpoint", p.url+path)
			if err := p.client(t).Revoke(t.Context(), had); err != nil {
				t.Errorf("Revoke: %v, want nil where there is no endpoint", err)
			}
			p.wantRequests(t, 0)
		})
	}
}

// A provider may refuse a login for a scope that it does not know, and one
// that says nothing gives no refresh token unless it is asked for one.
func TestScopes(t *testing.T) {
	all := []string{"openid", "profile", "email", "offline_access"}
	tests := []struct {
		name    string
		offered any
		want    []string
	}{
		{"it does not say", nil, all},
		{"an empty list", []string{}, all},
		{"all and more", []string{"address", "offline_access", "email", "profile", "openid"}, all},
		{"no offline_access", []string{"openid", "email", "profile"}, []string{"openid", "profile", "email"}},
		{"openid only", []string{"openid"}, []string{"openid"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newScripted(t)
			p.tell("scopes_supported", tt.offered)
			p.tell("device_authorization_endpoint", p.url+"/device") // not FusionAuth, which has them all
			c := p.client(t)
			page, _, err := c.AuthURL("/", false)
			if err != nil {
				t.Fatalf("AuthURL: %v", err)
			}
			u, err := url.Parse(page)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Fields(u.Query().Get("scope")); !slices.Equal(got, tt.want) {
				t.Errorf("a login asks for %q, want %q", got, tt.want)
			}
			p.on("/device", says(200, device(``)))
			if _, err := c.StartDevice(t.Context()); err != nil {
				t.Fatalf("StartDevice: %v", err)
			}
			if got := strings.Fields(p.requests("/device")[0].form.Get("scope")); !slices.Equal(got, tt.want) {
				t.Errorf("a device asks for %q, want %q", got, tt.want)
			}
		})
	}
}

// People type their passwords into the provider's pages: no other host may
// pass for it.
func TestOwns(t *testing.T) {
	p := newScripted(t)
	p.tell("authorization_endpoint", "https://login.example:8443/authorize")
	host := strings.TrimPrefix(p.url, "http://")
	c := p.client(t)
	for uri, want := range map[string]bool{
		p.url + "/device":                   true,
		p.url:                               true,
		"https://login.example:8443/device": true,

		"https://login.example/device":               false,
		"http://login.example:8443/device":           false,
		"https://" + host + "/device":                false,
		p.url + "0/device":                           false,
		p.url + ".evil.example/device":               false,
		p.url + "@evil.example/device":               false,
		"https://evil.example/" + p.url + "/device":  false,
		"https://evil.example/?x=" + p.url + "/":     false,
		"https://evil.example#" + p.url + "/":        false,
		"https://login.example:8443@evil.example/x":  false,
		"https://login.example:8443.evil.example/x":  false,
		"//" + host + "/device":                      false,
		"/device":                                    false,
		"":                                           false,
		"javascript://login.example:8443/%0aalert()": false,
	} {
		if got := c.Owns(uri); got != want {
			t.Errorf("Owns(%q): %v, want %v", uri, got, want)
		}
	}
}

func TestOwnsBeforeDiscovery(t *testing.T) {
	p := newScripted(t)
	p.on("/.well-known/openid-configuration", says(503, `{}`))
	c := p.newClient(t)
	for uri, want := range map[string]bool{p.url + "/device": true, "https://login.example/": false, "": false} {
		if got := c.Owns(uri); got != want {
			t.Errorf("Owns(%q): %v, want %v", uri, got, want)
		}
	}
}

// A provider need not list every scope that it knows; without openid there
// would be no ID token, and so no login.
func TestOpenIDIsAlwaysAsked(t *testing.T) {
	p := newScripted(t)
	p.tell("scopes_supported", []string{"email", "profile"})
	p.tell("device_authorization_endpoint", p.url+"/device")
	target, _, err := p.client(t).AuthURL("/account", false)
	if err != nil || !strings.Contains(target, "scope=openid+profile+email&") {
		t.Errorf("AuthURL: %s, %v; want openid among the scopes", target, err)
	}
}
