package demoidp

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
)

func param(name, value string) oauth2.AuthCodeOption { return oauth2.SetAuthURLParam(name, value) }

func TestCodeFlow(t *testing.T) {
	w := start(t)
	verifier := oauth2.GenerateVerifier()
	began := time.Now().Truncate(time.Second)
	answer, id := w.authorize(oauth2.S256ChallengeOption(verifier), param("nonce", "a nonce"))
	if id == "" {
		t.Fatalf("authorize: %v, want the login form", answer)
	}
	answer, _ = w.typePassword(id, "Richard@example.com", password)
	if answer.Get("state") != "a state" {
		t.Errorf("state %q, want it back as it was sent", answer.Get("state"))
	}
	idToken := w.verify(w.exchange(answer.Get("code"), oauth2.VerifierOption(verifier)))
	var claims struct {
		Email, Name, Azp string
		EmailVerified    bool   `json:"email_verified"`
		GivenName        string `json:"given_name"`
		FamilyName       string `json:"family_name"`
		AuthTime         int64  `json:"auth_time"`
	}
	if err := idToken.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if idToken.Subject != richard || idToken.Nonce != "a nonce" || claims.Azp != clientID ||
		claims.Email != "richard@example.com" || !claims.EmailVerified || claims.Name != "Richard Hendricks" ||
		claims.GivenName != "Richard" || claims.FamilyName != "Hendricks" {
		t.Errorf("ID token for %s with nonce %q: %+v", idToken.Subject, idToken.Nonce, claims)
	}
	if at := time.Unix(claims.AuthTime, 0); at.Before(began) || at.After(time.Now()) {
		t.Errorf("auth_time %v, want between %v and now", at, began)
	}
}

func TestCodeIsSpent(t *testing.T) {
	w := start(t)
	_, id := w.authorize()
	answer, _ := w.typePassword(id, "richard@example.com", password)
	code := url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {callback}, "code": {answer.Get("code")}}
	if a := w.call("/oauth2/token", code); a.status != http.StatusOK {
		t.Fatalf("first use: %d %v", a.status, a.body)
	}
	w.wantError(w.call("/oauth2/token", code), http.StatusBadRequest, "invalid_grant", "")

	// The form makes no second code either.
	r, err := w.browser.PostForm(w.issuer+"/login", url.Values{"id": {id}, "email": {"richard@example.com"}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	if body := read(t, r); r.StatusCode != http.StatusBadRequest || !strings.Contains(body, "This login is over") {
		t.Errorf("form sent again: %d %s", r.StatusCode, body)
	}
}

// Erlich finishes a request that is about to get Richard's code.
func TestRequestHasOnePerson(t *testing.T) {
	w := start(t)
	_, id := w.authorize()
	_, err := w.idp.Load().storage.requests.Update(t.Context(), id, func(a **authRequest) error {
		(*a).Subject = richard
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := w.browser.PostForm(w.issuer+"/login", url.Values{"id": {id}, "email": {"erlich@example.com"}, "password": {password}})
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusBadRequest {
		t.Errorf("POST /login: %d, want 400", r.StatusCode)
	}
	if a, err := w.idp.Load().storage.requests.Get(t.Context(), id); err != nil || a.Subject != richard {
		t.Errorf("the request is now for %s, %v", a.Subject, err)
	}
}

// A confidential client that began with PKCE must end with it: op lets it send
// no verifier.
func TestVerifierIsRequired(t *testing.T) {
	w := start(t)
	for _, verifier := range []string{"", "wrong"} {
		answer, id := w.authorize(oauth2.S256ChallengeOption(oauth2.GenerateVerifier()))
		if id != "" {
			answer, _ = w.typePassword(id, "richard@example.com", password)
		}
		form := url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {callback}, "code": {answer.Get("code")}}
		if verifier != "" {
			form.Set("code_verifier", verifier)
		}
		w.wantError(w.call("/oauth2/token", form), http.StatusBadRequest, "invalid_grant", "")
	}
}

func TestWrongPassword(t *testing.T) {
	w := start(t)
	_, id := w.authorize()
	sentence := func(email, password string) string {
		t.Helper()
		r, err := w.browser.PostForm(w.issuer+"/login", url.Values{"id": {id}, "email": {email}, "password": {password}})
		if err != nil {
			t.Fatal(err)
		}
		body := read(t, r)
		_, rest, _ := strings.Cut(body, `<p id="error" role="alert">`)
		text, _, _ := strings.Cut(rest, "</p>")
		if !strings.Contains(body, `value="`+email+`"`) {
			t.Errorf("the form for %s has lost the address", email)
		}
		return text
	}
	known, unknown := sentence("richard@example.com", "wrong"), sentence("nobody@example.com", password)
	if known == "" || known != unknown {
		t.Errorf("wrong password: %q, unknown person: %q, want the same sentence", known, unknown)
	}
	if empty := sentence("nobody@example.com", ""); empty != known {
		t.Errorf("no password for an unknown person: %q", empty)
	}
	if answer, id := w.authorize(); id == "" {
		t.Errorf("authorize: %v, want the form: nobody has logged in", answer)
	}
	if answer, _ := w.typePassword(id, "richard@example.com", password); answer.Get("code") == "" {
		t.Errorf("right password at last: %v, want a code", answer)
	}
}

// Only people registered for the application can log in to it.
func TestAdministratorIsNoCustomer(t *testing.T) {
	w := start(t)
	_, id := w.authorize()
	if _, again := w.typePassword(id, "admin@example.com", "another"); again == "" {
		t.Error("the administrator logged in, want the form again")
	}
}

func TestSingleSignOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t)
		authTime := func(opts ...oauth2.AuthCodeOption) time.Time {
			t.Helper()
			var claims struct {
				AuthTime int64 `json:"auth_time"`
			}
			if err := w.verify(w.logIn("richard@example.com", opts...)).Claims(&claims); err != nil {
				t.Fatal(err)
			}
			return time.Unix(claims.AuthTime, 0)
		}
		asks := func(opts ...oauth2.AuthCodeOption) bool {
			t.Helper()
			_, id := w.authorize(opts...)
			return id != ""
		}
		if answer, _ := w.authorize(param("prompt", "none")); answer.Get("error") != "login_required" || answer.Get("state") != "a state" {
			t.Errorf("prompt=none before login: %v, want login_required", answer)
		}
		first := authTime()
		time.Sleep(10 * time.Minute)
		if asks() || asks(param("prompt", "none")) || asks(param("max_age", "3600")) {
			t.Error("a logged-in person was asked again")
		}
		if got := authTime(); !got.Equal(first) {
			t.Errorf("auth_time %v after single sign-on, want %v, when the password was typed", got, first)
		}
		if !asks(param("prompt", "login")) || !asks(param("max_age", "599")) || !asks(param("max_age", "0")) || !asks(param("prompt", "select_account")) {
			t.Error("the person was not asked again although the application wanted it")
		}
		if answer, _ := w.authorize(param("prompt", "none"), param("max_age", "599")); answer.Get("error") != "login_required" {
			t.Errorf("prompt=none with an old login: %v, want login_required", answer)
		}
		if got := authTime(param("prompt", "login")); !got.After(first) {
			t.Errorf("auth_time %v after prompt=login, want it later than %v", got, first)
		}
		w.newBrowser()
		hint, _ := w.logIn("erlich@example.com").Extra("id_token").(string)
		if asks(param("id_token_hint", hint)) {
			t.Error("the hinted person was asked again")
		}
		w.newBrowser()
		w.logIn("richard@example.com")
		if !asks(param("id_token_hint", hint)) {
			t.Error("somebody else was taken for the hinted person")
		}
		time.Sleep(ssoLife)
		if !asks() {
			t.Error("the login at the provider did not end in time")
		}
	})
}

func TestLoginRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t)
		_, id := w.authorize()
		answer, _ := w.typePassword(id, "richard@example.com", password)
		time.Sleep(authCodeLife + time.Second)
		w.wantError(w.call("/oauth2/token", url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {callback}, "code": {answer.Get("code")}}),
			http.StatusBadRequest, "invalid_grant", "")

		_, id = w.authorize(param("prompt", "login"))
		time.Sleep(authRequestLife + time.Second)
		r, err := w.browser.Get(w.issuer + "/login?id=" + id)
		if err != nil || r.StatusCode != http.StatusBadRequest {
			t.Errorf("GET /login after its time: %v, %v, want 400", r.StatusCode, err)
		}
	})
}

func TestLogout(t *testing.T) {
	w := start(t)
	token := w.logIn("richard@example.com")
	stolen := w.browser.Jar.Cookies(mustParse(w.issuer))
	logout := func(query url.Values) *http.Response {
		t.Helper()
		r, err := w.browser.Get(w.issuer + "/oauth2/logout?" + query.Encode())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	hint, _ := token.Extra("id_token").(string)

	r := logout(url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"http://evil.example/"}})
	if r.StatusCode != http.StatusBadRequest {
		t.Errorf("logout to a foreign place: %d, want 400", r.StatusCode)
	}
	r = logout(url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {appURL + "/"}, "state": {"s"}})
	if at := r.Header.Get("Location"); at != appURL+"/?state=s" {
		t.Errorf("logout led to %q, want the application", at)
	}
	if cookies := w.browser.Jar.Cookies(mustParse(w.issuer)); len(cookies) != 0 {
		t.Errorf("cookies after logout: %v", cookies)
	}
	w.browser.Jar.SetCookies(mustParse(w.issuer), stolen)
	if answer, id := w.authorize(); id == "" {
		t.Errorf("authorize with the cookie of before: %v, want the form", answer)
	}
	if r := logout(nil); r.StatusCode != http.StatusOK || !strings.Contains(read(t, r), "You are logged out") {
		t.Errorf("logout without a redirect: %d", r.StatusCode)
	}
}

func TestUserInfo(t *testing.T) {
	w := start(t)
	token := w.logIn("erlich@example.com")
	ask := func(token string) answer {
		return w.post("/oauth2/userinfo", nil, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) })
	}
	if a := ask(token.AccessToken); a.text("email") != "erlich@example.com" || a.text("name") != "Erlich Bachman" {
		t.Errorf("userinfo: %d %v", a.status, a.body)
	}
	idToken, _ := token.Extra("id_token").(string)
	for _, bad := range []string{"", "x", idToken, "e30.bnVsbA.e30"} {
		if a := ask(bad); a.status != http.StatusUnauthorized {
			t.Errorf("userinfo with %q: %d %v, want 401", bad, a.status, a.body)
		}
	}
	if a := w.call("/oauth2/introspect", url.Values{"token": {token.AccessToken}}); a.body["active"] != true || a.text("sub") == "" {
		t.Errorf("introspect: %d %v, want active", a.status, a.body)
	}
	if a := w.call("/oauth2/introspect", url.Values{"token": {idToken}}); a.body["active"] != false {
		t.Errorf("introspect of an ID token: %d %v, want inactive", a.status, a.body)
	}
}

func TestRefresh(t *testing.T) {
	w := start(t)
	refresh := func(token string) answer {
		return w.call("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
	}
	first := w.logIn("richard@example.com").RefreshToken
	second := refresh(first)
	if second.status != http.StatusOK || second.text("access_token") == "" || second.text("refresh_token") == first {
		t.Fatalf("refresh: %d %v", second.status, second.body)
	}
	third := refresh(second.text("refresh_token"))
	if third.status != http.StatusOK {
		t.Fatalf("second refresh: %d %v", third.status, third.body)
	}
	w.wantError(refresh(first), http.StatusBadRequest, "invalid_grant", "")
	w.wantError(refresh(third.text("refresh_token")), http.StatusBadRequest, "invalid_grant", "") // the family is gone

	revoked := w.logIn("richard@example.com").RefreshToken
	if a := w.call("/oauth2/revoke", url.Values{"token": {revoked}}); a.status != http.StatusOK {
		t.Errorf("revoke: %d %v", a.status, a.body)
	}
	w.wantError(refresh(revoked), http.StatusBadRequest, "invalid_grant", "")
	if a := w.call("/oauth2/revoke", url.Values{"token": {"unknown"}}); a.status != http.StatusOK {
		t.Errorf("revoke an unknown token: %d %v, want 200", a.status, a.body)
	}
	access := w.logIn("richard@example.com").AccessToken
	w.wantError(w.call("/oauth2/revoke", url.Values{"token": {access}}), http.StatusBadRequest, "unsupported_token_type", "")
}

// Of two who hold the same refresh token one is a thief: one gets tokens, and
// they are good for no more.
func TestRefreshAtOnce(t *testing.T) {
	w := start(t)
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {w.logIn("richard@example.com").RefreshToken}}
	answers := make(chan answer, 8)
	for range cap(answers) {
		go func() { answers <- w.call("/oauth2/token", form) }()
	}
	var good []answer
	for range cap(answers) {
		if a := <-answers; a.status == http.StatusOK {
			good = append(good, a)
		}
	}
	if len(good) != 1 {
		t.Fatalf("%d of 8 got tokens, want one", len(good))
	}
	form.Set("refresh_token", good[0].text("refresh_token"))
	w.wantError(w.call("/oauth2/token", form), http.StatusBadRequest, "invalid_grant", "")
}

func TestRefreshTokenNeedsOfflineAccess(t *testing.T) {
	w := start(t)
	if token := w.logIn("richard@example.com", param("scope", "openid")); token.RefreshToken != "" {
		t.Error("a refresh token without offline_access")
	}
}

func TestRefreshTokenRunsOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t)
		w.idp.Load().setup.app.JwtConfiguration.RefreshTokenTimeToLiveInMinutes = 60
		refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {w.logIn("richard@example.com").RefreshToken}}
		time.Sleep(time.Hour + time.Second)
		w.wantError(w.call("/oauth2/token", refresh), http.StatusBadRequest, "invalid_grant", "")
	})
}

func TestPageHeaders(t *testing.T) {
	w := start(t)
	_, id := w.authorize()
	r, err := w.browser.Get(w.issuer + "/login?id=" + id)
	if err != nil {
		t.Fatal(err)
	}
	body := read(t, r)
	for name, want := range map[string]string{
		"Cache-Control":           "no-store",
		"Content-Security-Policy": "form-action 'self' " + appURL + ";",
		"Referrer-Policy":         "same-origin",
		"X-Content-Type-Options":  "nosniff",
	} {
		if got := r.Header.Get(name); !strings.Contains(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, want := range []string{"richard@example.com", "erlich@example.com", `autocomplete="username"`, `autocomplete="current-password"`, "emo identity provider"} {
		if !strings.Contains(body, want) {
			t.Errorf("the login page lacks %s", want)
		}
	}
	if strings.Contains(body, password) || strings.Contains(body, "admin@example.com") {
		t.Error("the login page tells too much")
	}
	for _, path := range []string{"/", "/demo.css", "/favicon.ico", "/logged-out"} {
		r, err := w.browser.Get(w.issuer + path)
		if err != nil || r.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %v, %v", path, r.StatusCode, err)
		}
		r.Body.Close()
	}
}

func TestLoginFromForeignPage(t *testing.T) {
	w := start(t)
	_, id := w.authorize()
	form := url.Values{"id": {id}, "email": {"richard@example.com"}, "password": {password}}
	for origin, want := range map[string]int{w.issuer: http.StatusFound, "http://evil.example": http.StatusForbidden} {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, w.issuer+"/login", strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", origin)
		response, err := w.transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("from %s: %d, want %d", origin, response.StatusCode, want)
		}
	}
}

// Whatever is sent, the answer is a refusal: no panic (the connection would
// break) and no 5xx.
func TestBadInput(t *testing.T) {
	w := start(t)
	null := "e30." + base64.RawURLEncoding.EncodeToString([]byte(" null")) + ".e30"
	huge := url.Values{"id": {strings.Repeat("x", 100<<10)}, "token": {"x"}}
	base := "client_id=" + clientID + "&response_type=code&scope=openid&redirect_uri=" + url.QueryEscape(callback)
	for _, query := range []string{
		"", "%zz", "client_id=unknown", "client_id=" + clientID, base + "&max_age=x", base + "&prompt=none+login",
		base + "&id_token_hint=x", base + "&id_token_hint=" + null, base + "&id_token_hint=x&id_token_hint=" + null, base + "&request=x", base + "&response_type=token",
		base + "&response_mode=form_post", base + "&code_challenge=x&code_challenge_method=plain", base + "&ui_locales=%00",
		strings.Replace(base, "callback", "elsewhere", 1),
	} {
		for _, path := range []string{"/oauth2/authorize", "/oauth2/logout", "/login"} {
			r, err := w.browser.Get(w.issuer + path + "?" + query)
			if err != nil {
				t.Errorf("GET %s?%s: %v", path, query, err)
				continue
			}
			r.Body.Close()
			if r.StatusCode >= 500 {
				t.Errorf("GET %s?%s: %d", path, query, r.StatusCode)
			}
			if at := r.Header.Get("Location"); at != "" && !strings.HasPrefix(at, appURL) {
				t.Errorf("GET %s?%s: redirected to %s", path, query, at)
			}
		}
	}
	for _, path := range []string{"/oauth2/authorize", "/oauth2/logout", "/oauth2/token", "/oauth2/device_authorize", "/oauth2/revoke", "/oauth2/introspect", "/oauth2/userinfo", "/oauth2/device/approve", "/login"} {
		for _, form := range []url.Values{nil, huge, {"token": {null}, "id_token_hint": {null}, "grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {null}}} {
			form = merge(form, url.Values{"client_id": {clientID}, "client_secret": {secret}})
			r, err := w.browser.PostForm(w.issuer+path, form)
			if err != nil {
				t.Errorf("POST %s: %v", path, err)
				continue
			}
			r.Body.Close()
			if r.StatusCode >= 500 || form.Get("id") != "" && r.StatusCode != http.StatusBadRequest {
				t.Errorf("POST %s of %d bytes: %d", path, len(form.Encode()), r.StatusCode)
			}
		}
	}
}

func TestRestart(t *testing.T) {
	w := start(t)
	person := w.logIn("richard@example.com")
	device := w.call("/oauth2/device_authorize", url.Values{"scope": {"openid offline_access"}})
	key := w.idp.Load().storage.key.id
	if err := w.file.Close(); err != nil {
		t.Fatal(err)
	}
	w.open()
	if got := w.idp.Load().storage.key.id; got != key {
		t.Errorf("signing key %s, want still %s", got, key)
	}
	if answer, _ := w.authorize(param("prompt", "none")); answer.Get("code") == "" {
		t.Errorf("authorize: %v, want a code: the browser is logged in", answer)
	}
	if a := w.approve(device, person); a.status != http.StatusOK {
		t.Errorf("approve: %d %v", a.status, a.body)
	}
	if a := w.poll(device); a.text("refresh_token") == "" {
		t.Errorf("poll: %d %v, want tokens", a.status, a.body)
	}
}

// Two that start at once on one store sign with one key.
func TestKeyIsMadeOnce(t *testing.T) {
	w := start(t)
	set := *w.idp.Load().setup
	set.keyID = "another"
	keys := make(chan string)
	for range 2 {
		go func() {
			key, err := loadKey(context.Background(), w.kept, &set)
			if err != nil {
				t.Error(err)
			}
			keys <- key.id
		}()
	}
	if a, b := <-keys, <-keys; a != b {
		t.Errorf("keys %s and %s, want one", a, b)
	}
}

func mustParse(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	return u
}
