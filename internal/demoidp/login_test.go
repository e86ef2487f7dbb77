package demoidp

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"
)

func TestCodeFlow(t *testing.T) {
	w := start(t)
	began := time.Now().Truncate(time.Second)
	answer, id := w.authorize(param("nonce", "a nonce"))
	if id == "" {
		t.Fatalf("authorize: %v, want the login form", answer)
	}
	answer, _ = w.answer(w.submit(id, "Richard@example.com", password))
	if answer.Get("state") != "a state" {
		t.Errorf("state %q, want it back unchanged", answer.Get("state"))
	}
	idToken := w.verify(w.exchange(answer.Get("code")))
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
	if idToken.Subject != richardID || idToken.Nonce != "a nonce" || claims.Azp != clientID ||
		claims.Email != richard || !claims.EmailVerified || claims.Name != "Richard Hendricks" ||
		claims.GivenName != "Richard" || claims.FamilyName != "Hendricks" {
		t.Errorf("ID token for %s with nonce %q: %+v", idToken.Subject, idToken.Nonce, claims)
	}
	if at := time.Unix(claims.AuthTime, 0); at.Before(began) || at.After(time.Now()) {
		t.Errorf("auth_time %v, want between %v and now", at, began)
	}
}

// Two browsers that submit the same form each get their own person.
func TestFormSubmittedTwice(t *testing.T) {
	w := start(t)
	_, id := w.authorize()
	first, _ := w.answer(w.submit(id, richard, password))
	w.newBrowser()
	second, _ := w.answer(w.submit(id, erlich, password))
	for subject, code := range map[string]string{richardID: first.Get("code"), erlichID: second.Get("code")} {
		if got := w.verify(w.exchange(code)).Subject; got != subject {
			t.Errorf("ID token for %s, want %s", got, subject)
		}
	}
}

func TestWrongPassword(t *testing.T) {
	w := start(t)
	_, id := w.authorize()
	sentence := func(email, password string) string {
		t.Helper()
		body := read(t, w.submit(id, email, password))
		_, rest, _ := strings.Cut(body, `<p id="error" role="alert">`)
		text, _, _ := strings.Cut(rest, "</p>")
		if !strings.Contains(body, `value="`+email+`"`) {
			t.Errorf("the form for %s has lost the address", email)
		}
		return text
	}
	known, unknown := sentence(richard, "wrong"), sentence("nobody@example.com", password)
	if known == "" || known != unknown {
		t.Errorf("wrong password: %q, unknown user: %q, want the same sentence", known, unknown)
	}
	if empty := sentence("nobody@example.com", ""); empty != known {
		t.Errorf("no password for an unknown user: %q", empty)
	}
	if answer, id := w.authorize(); id == "" {
		t.Errorf("authorize: %v, want the form: nobody is logged in", answer)
	}
	if answer, _ := w.answer(w.submit(id, richard, password)); answer.Get("code") == "" {
		t.Errorf("right password at last: %v, want a code", answer)
	}
}

// Only users registered for the application can log in to it.
func TestAdministratorCannotLogIn(t *testing.T) {
	w := start(t)
	_, id := w.authorize()
	if _, again := w.answer(w.submit(id, "admin@example.com", "another")); again == "" {
		t.Error("the administrator logged in, want the form again")
	}
}

// authTime says when the password was entered, by the ID token.
func (w *world) authTime(token *oauth2.Token) time.Time {
	w.t.Helper()
	var claims struct {
		AuthTime int64 `json:"auth_time"`
	}
	if err := w.verify(token).Claims(&claims); err != nil {
		w.t.Fatal(err)
	}
	return time.Unix(claims.AuthTime, 0)
}

func (w *world) asks(opts ...oauth2.AuthCodeOption) bool {
	w.t.Helper()
	_, id := w.authorize(opts...)
	return id != ""
}

func TestSingleSignOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t)
		first := w.authTime(w.logIn(richard))
		time.Sleep(10 * time.Minute)
		if w.asks() || w.asks(param("max_age", "3600")) {
			t.Error("a logged-in user was asked again")
		}
		if got := w.authTime(w.logIn(richard)); !got.Equal(first) {
			t.Errorf("auth_time %v after single sign-on, want %v, when the password was entered", got, first)
		}
		for _, opts := range [][]oauth2.AuthCodeOption{
			{param("prompt", "login")},
			{param("prompt", "login"), param("max_age", "3600")},
			{param("max_age", "599")},
			{param("max_age", "1")},
			{param("max_age", "0")},
		} {
			if !w.asks(opts...) {
				t.Errorf("the user was not asked again with %v", opts)
			}
		}
		time.Sleep(ssoLife)
		if !w.asks() {
			t.Error("the login at the provider did not expire")
		}
	})
}

// The application sends these parameters when a session must prove a new login.
func TestReauthentication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t)
		w.logIn(richard)
		time.Sleep(500 * time.Millisecond) // within max_age: prompt=login still asks
		for range 2 {
			began := time.Now().Truncate(time.Second)
			_, id := w.authorize(param("prompt", "login"), param("max_age", "1"))
			if id == "" {
				t.Fatal("the user was not asked again")
			}
			time.Sleep(time.Minute) // typing takes longer than max_age
			answer, _ := w.answer(w.submit(id, richard, password))
			if at := w.authTime(w.exchange(answer.Get("code"))); at.Before(began.Add(time.Minute)) {
				t.Errorf("auth_time %v, want the new login's, %v", at, began.Add(time.Minute))
			}
		}
	})
}

func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t)
		code := w.newCode(richard)
		time.Sleep(codeLife + time.Second)
		w.wantError(w.redeem(code), http.StatusBadRequest, "invalid_grant", "")

		_, id := w.authorize(param("prompt", "login"))
		time.Sleep(loginLife + time.Second)
		if r := w.get("/login?id=" + url.QueryEscape(id)); r.StatusCode != http.StatusBadRequest || !strings.Contains(read(t, r), "expired") {
			t.Errorf("GET /login after its time: %d, want 400", r.StatusCode)
		}
		if r := w.submit(id, richard, password); r.StatusCode != http.StatusBadRequest {
			t.Errorf("POST /login after its time: %d, want 400", r.StatusCode)
		}
	})
}

func TestLogout(t *testing.T) {
	w := start(t)
	token := w.logIn(richard)
	issuer, err := url.Parse(w.issuer)
	if err != nil {
		t.Fatal(err)
	}
	stolen := w.browser.Jar.Cookies(issuer)
	logout := func(query url.Values) *http.Response { return w.get("/oauth2/logout?" + query.Encode()) }
	hint := idToken(token)

	r := logout(url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"http://evil.example/"}})
	if r.StatusCode != http.StatusBadRequest || w.asks() {
		t.Errorf("logout to another site: %d, want 400 and no logout", r.StatusCode)
	}
	r = logout(url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {appURL + "/"}, "state": {"s"}})
	if at := r.Header.Get("Location"); at != appURL+"/?state=s" {
		t.Errorf("logout led to %q, want the application", at)
	}
	if cookies := w.browser.Jar.Cookies(issuer); len(cookies) != 0 {
		t.Errorf("cookies after logout: %v", cookies)
	}
	w.browser.Jar.SetCookies(issuer, stolen)
	if !w.asks() {
		t.Error("the cookie from before the logout is still accepted")
	}
	if r := logout(nil); r.StatusCode != http.StatusOK || !strings.Contains(read(t, r), "You are logged out") {
		t.Errorf("logout without a redirect: %d", r.StatusCode)
	}
}

func TestCookie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t)
		var cookies []*http.Cookie
		transport := w.browser.Transport
		w.browser.Transport = roundTripper(func(r *http.Request) *http.Response {
			response, _ := transport.RoundTrip(r) // never fails
			cookies = append(cookies, response.Cookies()...)
			return response
		})
		w.logIn(richard)
		w.logIn(richard, param("prompt", "login"))
		if len(cookies) != 2 || cookies[0].Value == cookies[1].Value {
			t.Fatalf("cookies %v, want a new one at each login", cookies)
		}
		if c := cookies[0]; !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode || c.Name != ssoCookie {
			t.Errorf("cookie %v", c)
		}
		if _, err := w.idp.Load().storage.sso.Get(t.Context(), cookies[0].Value); err == nil {
			t.Error("the session before is still there")
		}
	})
}

// On this machine only, anonymous visitors cost no disk.
func TestAnonymousVisitors(t *testing.T) {
	w := start(t)
	before := w.file.writes.Load()
	for range 10 {
		_, id := w.authorize()
		w.submit(id, richard, "wrong").Body.Close()
	}
	if got := w.file.writes.Load() - before; got != 0 {
		t.Errorf("%d writes by a visitor who never logged in, want none", got)
	}
	w.logIn(richard)
	if w.file.writes.Load() == before {
		t.Error("a login wrote nothing, so this test shows nothing")
	}
}
