package testfusion

import (
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

func TestDiscovery(t *testing.T) {
	w := start(t, Options{})
	var document map[string]any
	if err := w.provider.Claims(&document); err != nil {
		t.Fatal(err)
	}
	if len(document) != 18 {
		t.Errorf("discovery has %d members, want 18", len(document))
	}
	for _, name := range []string{"revocation_endpoint", "introspection_endpoint"} {
		if document[name] != nil {
			t.Errorf("discovery has a %s", name)
		}
	}
	// The endpoints depend on the host in the request, the issuer does not.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.URL+"/.well-known/openid-configuration", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host = "login.example.com"
	got := w.do(req).fields
	if got["issuer"] != w.URL || got["token_endpoint"] != "http://login.example.com/oauth2/token" {
		t.Errorf("by another host: issuer %v, token endpoint %v", got["issuer"], got["token_endpoint"])
	}
}

// A later version names its issuer in every authorization response.
func TestNamesIssuer(t *testing.T) {
	w := start(t, Options{Behavior: Behavior{NamesIssuer: true}})
	for name, page := range map[string]string{
		"a login":  w.submit(w.open(w.authURL()), as(richard)).location.Query().Get("iss"),
		"an error": w.open(w.authURL(oauth2.SetAuthURLParam("prompt", "none"))).location.Query().Get("iss"),
	} {
		if page != w.URL {
			t.Errorf("%s: the issuer is %q, want %s", name, page, w.URL)
		}
	}
}

// Until the kickstart finishes, FusionAuth has its default issuer and no
// application.
func TestUnfinishedKickstart(t *testing.T) {
	w := start(t, Options{Unfinished: true})
	if _, err := oidc.NewProvider(t.Context(), w.URL); err == nil || !strings.Contains(err.Error(), "acme.com") {
		t.Errorf("discovery: %v, want an error about acme.com", err)
	}
	w.post("/oauth2/device_authorize", url.Values{"scope": {"openid"}}).is(t, 400, "invalid_request", "invalid_client_id")
	w.FinishKickstart()
	if _, err := oidc.NewProvider(t.Context(), w.URL); err != nil {
		t.Error(err)
	}
}

func TestCodeFlow(t *testing.T) {
	w := start(t, Options{})
	began := time.Now().Truncate(time.Second)
	form := w.open(w.authURL())
	if p := w.submit(form, url.Values{"email": {richard}, "password": {"wrong"}}); !strings.Contains(p.body, "Invalid login credentials") {
		t.Errorf("wrong password: %s", p.body)
	}
	back := w.submit(form, as(richard)).location
	q := back.Query()
	if !strings.HasPrefix(back.String(), redirectURL+"?") || q.Get("state") != "a state" || q.Has("iss") ||
		q.Get("locale") == "" || q.Get("userState") != "Authenticated" {
		t.Errorf("redirected to %s", back)
	}
	token, err := w.app.Exchange(t.Context(), q.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if token.Extra("userId") != richardID || token.RefreshToken == "" || token.Extra("refresh_token_id") == "" || token.Extra("scope") == "" {
		t.Errorf("tokens for %v, refresh token %v", token.Extra("userId"), token.Extra("refresh_token_id"))
	}
	id := w.verify(token)
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		t.Error(err)
	}
	var claims map[string]any
	if err := id.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if id.Subject != richardID || id.Nonce != "a nonce" || claims["email"] != richard || claims["name"] != "Richard Hendricks" ||
		claims["tid"] != w.TenantID() || claims["sid"] == nil || claims["jti"] == nil || claims["c_hash"] == nil || claims["roles"] != nil || claims["applicationId"] != nil {
		t.Errorf("ID token claims: %v", claims)
	}
	if at := time.Unix(int64(claims["auth_time"].(float64)), 0); at.Before(began) || at.After(time.Now()) {
		t.Errorf("auth_time %v, want between %v and now", at, began)
	}
	access, err := w.provider.VerifierContext(t.Context(), &oidc.Config{ClientID: clientID}).Verify(t.Context(), token.AccessToken)
	if err != nil {
		t.Fatal(err)
	}
	claims = nil
	if err := access.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if claims["applicationId"] != clientID || claims["tid"] != w.TenantID() || claims["roles"] == nil || claims["email"] != nil {
		t.Errorf("access token claims: %v", claims)
	}
	info, err := w.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token))
	if err != nil || info.Subject != richardID || info.Email != richard {
		t.Errorf("userinfo: %+v, %v", info, err)
	}
	if r := w.Requests("/oauth2/token"); len(r) != 1 || r[0].Person != richard || r[0].Auth != "client_secret_post" ||
		r[0].Status != 200 || r[0].Form.Get("client_secret") != "…" || r[0].Form.Get("grant_type") != "authorization_code" {
		t.Errorf("recorded %+v", r)
	}
}

func TestCodeIsUsedOnce(t *testing.T) {
	w := start(t, Options{})
	code := w.submit(w.open(w.authURL()), as(richard)).location.Query().Get("code")
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {redirectURL}, "code_verifier": {verifier}}
	w.post("/oauth2/token", form).is(t, 200, "", "")
	w.post("/oauth2/token", form).is(t, 400, "invalid_grant", "auth_code_not_found")

	for _, tt := range []struct{ name, value, reason string }{
		{"code_verifier", "another", "invalid_pkce_code_verifier"},
		{"code_verifier", "", "missing_code_verifier"},
		{"redirect_uri", appURL + "/", "invalid_redirect_uri"},
	} {
		form.Set("code", w.submit(w.open(w.authURL()), as(richard)).location.Query().Get("code"))
		w.post("/oauth2/token", form, func(_ *http.Request, form url.Values) {
			form.Set(tt.name, tt.value)
		}).is(t, 400, "invalid_grant", tt.reason)
		form.Set("code_verifier", verifier)
		form.Set("redirect_uri", redirectURL)
	}
}

// A login is kept only with "Keep me signed in".
func TestKeptLogin(t *testing.T) {
	w := start(t, Options{})
	again := func(options ...oauth2.AuthCodeOption) bool {
		return w.open(w.authURL(options...)).location.Query().Get("code") != ""
	}
	w.logIn(richard)
	if again() {
		t.Error("the login was kept")
	}
	w.submit(w.open(w.authURL()), keep(richard))
	if !again() {
		t.Error("the login was not kept")
	}
	if again(oauth2.SetAuthURLParam("prompt", "login"), oauth2.SetAuthURLParam("max_age", "1")) || again(oauth2.SetAuthURLParam("max_age", "0")) {
		t.Error("the user is not asked again")
	}
	if !again(oauth2.SetAuthURLParam("max_age", "1000")) {
		t.Error("the user is asked again too soon")
	}
	logout := "/oauth2/logout?" + url.Values{"client_id": {clientID}, "post_logout_redirect_uri": {appURL + "/"}, "state": {"s"}}.Encode()
	at, err := url.Parse(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	kept := w.browser.Jar.Cookies(at)
	if p := w.open(logout); p.location.String() != appURL+"/?state=s" {
		t.Errorf("logout led to %s", p.location)
	}
	w.browser.Jar.SetCookies(at, kept)
	if again() {
		t.Error("the cookie is still accepted after the logout")
	}
	if w.RefreshTokens() != 1 {
		t.Errorf("%d refresh tokens after the logout, want 1: a logout revokes none", w.RefreshTokens())
	}
}

func TestLogoutHint(t *testing.T) {
	w := start(t, Options{})
	token := w.logIn(richard)
	hint := func(hint, back string) view {
		return w.open("/oauth2/logout?" + url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {back}}.Encode())
	}
	if p := hint(token.Extra("id_token").(string), appURL+"/"); p.location.String() != appURL+"/" {
		t.Errorf("logout: %d %s %s", p.status, p.location, p.body)
	}
	if p := hint(token.AccessToken, appURL+"/"); p.status != 400 || !strings.Contains(p.body, "invalid_id_token_hint") {
		t.Errorf("an access token as hint: %d %s", p.status, p.body)
	}
	if p := hint(token.Extra("id_token").(string), "http://localhost:1/"); p.status != 400 || !strings.Contains(p.body, "invalid_post_logout_redirect_uri") {
		t.Errorf("an unknown redirect: %d %s", p.status, p.body)
	}
}

func TestSelfService(t *testing.T) {
	w := start(t, Options{})
	login := w.open(w.authURL()).body
	link := regexp.MustCompile(`id="create-account" href="([^"]*)"`).FindStringSubmatch(login)
	if link == nil {
		t.Fatalf("no link to create an account in %s", login)
	}
	form := w.open(html.UnescapeString(link[1]))
	for _, spoil := range []url.Values{
		{"email": {richard}, "password": {password}},
		{"email": {"jared@example.com"}, "password": {"short"}},
		{"email": {"jared"}, "password": {password}},
	} {
		if p := w.submit(form, spoil); p.status != 200 || !strings.Contains(p.body, `id="problem"`) {
			t.Errorf("registration of %v: %d %s", spoil, p.status, p.body)
		}
	}
	jared := as("jared@example.com")
	jared.Set("fullName", "Jared Dunn")
	code := w.submit(form, jared).location.Query().Get("code")
	token, err := w.app.Exchange(t.Context(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	var claims struct{ Email, Name string }
	if err := w.verify(token).Claims(&claims); err != nil || claims.Email != "jared@example.com" || claims.Name != "Jared Dunn" {
		t.Errorf("registered %+v, %v", claims, err)
	}
	w.logIn("jared@example.com")
}

// FusionAuth's administrator is not registered for the application.
func TestRegistrationRequired(t *testing.T) {
	w := start(t, Options{})
	if p := w.submit(w.open(w.authURL()), as("admin@example.com")); p.status != 400 || !strings.Contains(p.body, "registration_required") {
		t.Errorf("the administrator: %s, %s", p.location, p.body)
	}
}

func TestAuthorizeRefuses(t *testing.T) {
	w := start(t, Options{})
	for _, tt := range []struct{ name, value, reason string }{
		{"client_id", "6c9d1a52-61a5-4d0a-9a55-1f6f1f0b5a01", "invalid_client_id"},
		{"redirect_uri", redirectURL + "/x", "invalid_redirect_uri"},
		{"redirect_uri", "https://evil.example/callback", "invalid_redirect_uri"},
		{"tenantId", "another", "invalid_tenant_id"},
	} { // on a page, not by a redirect that could lead anywhere
		if p := w.open(w.authURL(oauth2.SetAuthURLParam(tt.name, tt.value))); p.status != 400 || !strings.Contains(p.body, tt.reason) {
			t.Errorf("%s=%s: %d %s, want %s", tt.name, tt.value, p.status, p.body, tt.reason)
		}
	}
	for _, tt := range []struct{ name, value, code, reason string }{
		{"scope", "openid everything", "invalid_scope", "unknown_scope"},
		{"response_type", "token", "unsupported_response_type", "invalid_response_type"},
		{"code_challenge_method", "plain", "invalid_request", "invalid_pkce_code_challenge_method"},
		{"prompt", "none", "invalid_request", "invalid_prompt"},
	} {
		q := w.open(w.authURL(oauth2.SetAuthURLParam(tt.name, tt.value))).location.Query()
		if q.Get("error") != tt.code || q.Get("error_reason") != tt.reason || q.Get("state") != "a state" || q.Has("iss") {
			t.Errorf("%s=%s: %v, want %s %s", tt.name, tt.value, q, tt.code, tt.reason)
		}
	}
}

func TestKeys(t *testing.T) {
	w := start(t, Options{})
	v := w.provider.VerifierContext(t.Context(), &oidc.Config{ClientID: clientID})
	check := func() error {
		_, err := v.Verify(t.Context(), w.logIn(richard).Extra("id_token").(string))
		return err
	}
	if err := check(); err != nil {
		t.Error(err)
	}
	w.RotateKeys()
	if err := check(); err != nil {
		t.Errorf("after the rotation: %v", err)
	}
	if n := len(w.Requests("/.well-known/jwks.json")); n != 2 {
		t.Errorf("the keys were fetched %d times, want 2", n)
	}
	w.Behave(func(b *Behavior) { b.NoKeys = true })
	if err := check(); err == nil || !strings.Contains(err.Error(), "HS256") {
		t.Errorf("without keys: %v, want an error about HS256", err)
	}
}

// So does an application without keys in the kickstart.
func TestApplicationWithoutKeys(t *testing.T) {
	w := start(t, Options{}, `"accessTokenKeyId": "#{signingKeyId}",`, "", `"idTokenKeyId": "#{signingKeyId}",`, "")
	id, _ := w.logIn(richard).Extra("id_token").(string)
	_, err := w.provider.VerifierContext(t.Context(), &oidc.Config{ClientID: clientID}).Verify(t.Context(), id)
	if err == nil || !strings.Contains(err.Error(), "HS256") {
		t.Errorf("verify: %v, want an error about HS256", err)
	}
}

func TestTokenBehavior(t *testing.T) {
	w := start(t, Options{Behavior: Behavior{Omit: []string{"scope", "id_token", "refresh_token"}, TokenLifetime: time.Second}})
	token := w.logIn(richard)
	if token.Extra("scope") != nil || token.Extra("id_token") != nil || token.RefreshToken != "" {
		t.Error("the answer has members that it must omit")
	}
	if until := time.Until(token.Expiry); until > time.Second {
		t.Errorf("the access token expires in %v, want 1s", until)
	}
}

func TestUserInfoRequiresOpenID(t *testing.T) {
	w := start(t, Options{})
	w.app.Scopes = []string{"email"}
	_, err := w.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(w.logIn(richard)))
	if err == nil || !strings.Contains(err.Error(), "missing_required_scope") {
		t.Errorf("userinfo: %v, want missing_required_scope", err)
	}
	_, err = w.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "another"}))
	if err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("userinfo: %v, want 401", err)
	}
}
