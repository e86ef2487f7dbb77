package testfusion

import (
	"net/http"
	"net/url"
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
	if len(document) != 19 {
		t.Errorf("discovery has %d members, want 19", len(document))
	}
	for _, name := range []string{"revocation_endpoint", "introspection_endpoint"} {
		if document[name] != nil {
			t.Errorf("discovery has a %s", name)
		}
	}
	// The endpoints follow the address that was used, the issuer does not.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.URL+"/"+w.TenantID()+"/.well-known/openid-configuration", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-Proto", "https")
	req.Header.Set("X-Forwarded-Host", "login.example.com")
	got := w.do(req).fields
	if got["issuer"] != w.URL || got["token_endpoint"] != "https://login.example.com/oauth2/token" {
		t.Errorf("behind a proxy the issuer is %v and the token endpoint %v", got["issuer"], got["token_endpoint"])
	}
}

// Until the kickstart is done, FusionAuth has its default issuer and no
// application.
func TestUnfinishedKickstart(t *testing.T) {
	w := start(t, Options{Unfinished: true})
	if _, err := oidc.NewProvider(t.Context(), w.URL); err == nil || !strings.Contains(err.Error(), "acme.com") {
		t.Errorf("discovery: %v, want the issuer acme.com to be refused", err)
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
		t.Errorf("after a wrong password the page is %s", p.body)
	}
	back := w.submit(form, as(richard)).location
	q := back.Query()
	if !strings.HasPrefix(back.String(), redirectURL+"?") || q.Get("state") != "a state" || q.Get("iss") != w.URL ||
		q.Get("locale") == "" || q.Get("userState") != "Authenticated" {
		t.Errorf("the browser is sent to %s", back)
	}
	token, err := w.app.Exchange(t.Context(), q.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if token.Extra("userId") != richardID || token.RefreshToken == "" || token.Extra("refresh_token_id") == "" || token.Extra("scope") == "" {
		t.Errorf("the tokens are of %v, refresh token %v", token.Extra("userId"), token.Extra("refresh_token_id"))
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
		t.Errorf("the ID token says %v", claims)
	}
	if at := time.Unix(int64(claims["auth_time"].(float64)), 0); at.Before(began) || at.After(time.Now()) {
		t.Errorf("auth_time is %v, want between %v and now", at, began)
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
		t.Errorf("the access token says %v", claims)
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

func TestCodeIsGoodOnce(t *testing.T) {
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

	w.Behave(func(b *Behaviour) { b.CodeLifetime = time.Nanosecond })
	form.Set("code", w.submit(w.open(w.authURL()), as(richard)).location.Query().Get("code"))
	w.post("/oauth2/token", form).is(t, 400, "invalid_grant", "auth_code_not_found")
}

// Only who ticked "keep me signed in" is known the next time.
func TestKeptLogin(t *testing.T) {
	w := start(t, Options{})
	again := func(options ...oauth2.AuthCodeOption) bool {
		return w.open(w.authURL(options...)).location.Query().Get("code") != ""
	}
	w.logIn(richard)
	if again() {
		t.Error("a login is kept that was not to be")
	}
	if q := w.open(w.authURL(oauth2.SetAuthURLParam("prompt", "none"))).location.Query(); q.Get("error") != "login_required" || q.Get("state") != "a state" {
		t.Errorf("prompt=none is answered %v", q)
	}
	keep := as(richard)
	keep.Set("rememberDevice", "true")
	w.submit(w.open(w.authURL()), keep)
	if !again() {
		t.Error("a login is not kept that was to be")
	}
	if again(oauth2.SetAuthURLParam("prompt", "login")) || again(oauth2.SetAuthURLParam("max_age", "0")) {
		t.Error("the person is not asked again")
	}
	if !again(oauth2.SetAuthURLParam("max_age", "1000")) {
		t.Error("the person is asked again too soon")
	}
	logout := "/oauth2/logout?" + url.Values{"client_id": {clientID}, "post_logout_redirect_uri": {appURL + "/"}, "state": {"s"}}.Encode()
	at, err := url.Parse(w.URL)
	if err != nil {
		t.Fatal(err)
	}
	kept := w.browser.Jar.Cookies(at)
	if p := w.open(logout); p.location.String() != appURL+"/?state=s" {
		t.Errorf("the logout leads to %s", p.location)
	}
	w.browser.Jar.SetCookies(at, kept) // an old cookie is worth nothing either
	if again() {
		t.Error("the login outlives the logout")
	}
	if w.RefreshTokens() != 1 {
		t.Errorf("%d refresh tokens after the logout, want 1: it ends none", w.RefreshTokens())
	}
}

func TestLogoutHint(t *testing.T) {
	w := start(t, Options{})
	token := w.logIn(richard)
	hint := func(hint, back string) view {
		return w.open("/oauth2/logout?" + url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {back}}.Encode())
	}
	if p := hint(token.Extra("id_token").(string), appURL+"/"); p.location.String() != appURL+"/" {
		t.Errorf("the logout leads to %d %s %s", p.status, p.location, p.body)
	}
	if p := hint(token.AccessToken, appURL+"/"); p.status != 400 || !strings.Contains(p.body, "invalid_id_token_hint") {
		t.Errorf("an access token as hint is answered %d %s", p.status, p.body)
	}
	if p := hint(token.Extra("id_token").(string), "http://localhost:1/"); p.status != 400 || !strings.Contains(p.body, "invalid_post_logout_redirect_uri") {
		t.Errorf("a strange address is answered %d %s", p.status, p.body)
	}
}

func TestSelfService(t *testing.T) {
	w := start(t, Options{})
	link := regexpFind(t, `id="create-account" href="([^"]*)"`, w.open(w.authURL()).body)
	form := w.open(link)
	for _, spoil := range []url.Values{
		{"email": {richard}, "password": {password}},
		{"email": {"jared@example.com"}, "password": {"short"}},
		{"email": {"jared"}, "password": {password}},
	} {
		if p := w.submit(form, spoil); p.status != 200 || !strings.Contains(p.body, `id="problem"`) {
			t.Errorf("registration of %v is answered %d %s", spoil, p.status, p.body)
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

// The administrator of FusionAuth is not registered for the application.
func TestRegistrationRequired(t *testing.T) {
	w := start(t, Options{})
	if p := w.submit(w.open(w.authURL()), as("admin@example.com")); p.status != 400 || !strings.Contains(p.body, "registration_required") {
		t.Errorf("the administrator is sent to %s, %s", p.location, p.body)
	}
}

func TestAuthorizeRefuses(t *testing.T) {
	w := start(t, Options{})
	for _, tt := range []struct{ name, value, reason string }{
		{"client_id", "6c9d1a52-61a5-4d0a-9a55-1f6f1f0b5a01", "invalid_client_id"},
		{"redirect_uri", redirectURL + "/x", "invalid_redirect_uri"},
		{"redirect_uri", "https://evil.example/callback", "invalid_redirect_uri"},
		{"tenantId", "another", "invalid_tenant_id"},
	} { // on a page: nothing is known of where to go back to
		if p := w.open(w.authURL(oauth2.SetAuthURLParam(tt.name, tt.value))); p.status != 400 || !strings.Contains(p.body, tt.reason) {
			t.Errorf("%s=%s is answered %d %s, want %s", tt.name, tt.value, p.status, p.body, tt.reason)
		}
	}
	for _, tt := range []struct{ name, value, code, reason string }{
		{"scope", "openid everything", "invalid_scope", "unknown_scope"},
		{"response_type", "token", "unsupported_response_type", "invalid_response_type"},
		{"code_challenge_method", "plain", "invalid_request", "invalid_pkce_code_challenge_method"},
		{"prompt", "maybe", "invalid_request", "invalid_prompt"},
	} {
		q := w.open(w.authURL(oauth2.SetAuthURLParam(tt.name, tt.value))).location.Query()
		if q.Get("error") != tt.code || q.Get("error_reason") != tt.reason || q.Get("state") != "a state" || q.Get("iss") != w.URL {
			t.Errorf("%s=%s leads back with %v, want %s %s", tt.name, tt.value, q, tt.code, tt.reason)
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
	w.Behave(func(b *Behaviour) { b.NoKeys = true })
	if err := check(); err == nil || !strings.Contains(err.Error(), "HS256") {
		t.Errorf("without keys: %v, want HS256 to be refused", err)
	}
}

// So does an application of a kickstart that gives it none.
func TestApplicationWithoutKeys(t *testing.T) {
	w := start(t, Options{}, `"accessTokenKeyId": "#{signingKeyId}",`, "", `"idTokenKeyId": "#{signingKeyId}",`, "")
	id, _ := w.logIn(richard).Extra("id_token").(string)
	_, err := w.provider.VerifierContext(t.Context(), &oidc.Config{ClientID: clientID}).Verify(t.Context(), id)
	if err == nil || !strings.Contains(err.Error(), "HS256") {
		t.Errorf("verify: %v, want HS256 to be refused", err)
	}
}

func TestTokensAsTestsWant(t *testing.T) {
	w := start(t, Options{Behaviour: Behaviour{Omit: []string{"scope", "id_token", "refresh_token"}, NoTenant: true, TokenLifetime: time.Second}})
	token := w.logIn(richard)
	if token.Extra("scope") != nil || token.Extra("id_token") != nil || token.RefreshToken != "" {
		t.Error("the answer has what it was to leave out")
	}
	if until := time.Until(token.Expiry); until > time.Second {
		t.Errorf("the access token expires in %v, want 1s", until)
	}
	w.Behave(func(b *Behaviour) { b.Omit = nil })
	var claims map[string]any
	if err := w.verify(w.logIn(richard)).Claims(&claims); err != nil || claims["tid"] != nil {
		t.Errorf("the ID token has tid %v, %v", claims["tid"], err)
	}
}

// With AllApplications the browser is shown a page that calls each of them.
func TestLogoutOfAllApplications(t *testing.T) {
	w := start(t, Options{}, `"RedirectOnly"`, `"AllApplications"`)
	p := w.open("/oauth2/logout?client_id=" + clientID)
	if p.status != 200 || !strings.Contains(p.body, `<iframe src="`+appURL+`/">`) {
		t.Errorf("the logout is answered %d %s", p.status, p.body)
	}
}

func TestUserInfoWantsOpenID(t *testing.T) {
	w := start(t, Options{})
	w.app.Scopes = []string{"email"}
	_, err := w.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(w.logIn(richard)))
	if err == nil || !strings.Contains(err.Error(), "missing_required_scope") {
		t.Errorf("userinfo: %v, want the scope to be missing", err)
	}
	_, err = w.provider.UserInfo(t.Context(), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "another"}))
	if err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("userinfo: %v, want 401", err)
	}
}
