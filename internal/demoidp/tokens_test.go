package demoidp

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// redeem presents an authorization code.
func (w *world) redeem(code string) answer {
	w.t.Helper()
	return w.call("/oauth2/token", url.Values{
		"grant_type": {"authorization_code"}, "redirect_uri": {callback}, "code": {code}, "code_verifier": {verifier},
	})
}

func (w *world) refresh(token string) answer {
	w.t.Helper()
	return w.call("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

func (w *world) revoke(token string) answer {
	w.t.Helper()
	return w.call("/oauth2/revoke", url.Values{"token": {token}})
}

// statuses counts the statuses of eight calls at once.
func statuses(call func() answer) map[int]int {
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := make(map[int]int)
	for range 8 {
		wg.Go(func() {
			a := call()
			mu.Lock()
			defer mu.Unlock()
			got[a.status]++
		})
	}
	wg.Wait()
	return got
}

func TestCodeIsUsedOnce(t *testing.T) {
	w := start(t)
	code := w.newCode(richard)
	if got := statuses(func() answer { return w.redeem(code) }); got[http.StatusOK] != 1 || got[http.StatusBadRequest] != 7 {
		t.Errorf("statuses of 8 exchanges at once: %v, want one 200", got)
	}
	w.wantError(w.redeem(code), http.StatusBadRequest, "invalid_grant", "")
}

// A stolen code is useless without the verifier of the login it belongs to, and
// spent by the attempt.
func TestVerifierIsRequired(t *testing.T) {
	w := start(t)
	for verifier, want := range map[string]string{"": "invalid_request", "wrong": "invalid_grant"} {
		code := w.newCode(richard)
		form := url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {callback}, "code": {code}}
		if verifier != "" {
			form.Set("code_verifier", verifier)
		}
		w.wantError(w.call("/oauth2/token", form), http.StatusBadRequest, want, "")
		w.wantError(w.redeem(code), http.StatusBadRequest, "invalid_grant", "")
	}
}

func TestUserInfo(t *testing.T) {
	w := start(t)
	ask := func(token string) answer {
		r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, w.issuer+"/oauth2/userinfo", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		return w.do(r)
	}
	token := w.logIn(erlich)
	if a := ask(token.AccessToken); a.text("sub") != erlichID || a.text("email") != erlich || a.text("name") != "Erlich Bachman" {
		t.Errorf("userinfo: %d %v", a.status, a.body)
	}
	less := w.logIn(erlich, param("scope", "openid"))
	if a := ask(less.AccessToken); a.text("sub") != erlichID || a.text("email") != "" || a.text("name") != "" {
		t.Errorf("userinfo with only openid: %d %v", a.status, a.body)
	}
	for _, bad := range []string{"", "x", idToken(token), "e30.bnVsbA.e30", w.logIn(erlich, param("scope", "email")).AccessToken} {
		w.wantError(ask(bad), http.StatusUnauthorized, "invalid_token", "")
	}
}

// Refresh tokens are reusable, as by FusionAuth's default: an answer that is
// lost costs nobody the session.
func TestRefresh(t *testing.T) {
	w := start(t)
	token := w.logIn(richard)
	for range 2 {
		a := w.refresh(token.RefreshToken)
		if a.status != http.StatusOK || a.text("access_token") == "" || a.text("refresh_token") != "" {
			t.Fatalf("refresh: %d %v, want tokens but no new refresh token", a.status, a.body)
		}
		if id := w.verify(a.token()); id.Subject != richardID {
			t.Errorf("ID token for %s, want %s", id.Subject, richardID)
		}
	}
	w.wantError(w.refresh("unknown"), http.StatusBadRequest, "invalid_grant", "")
	if token := w.logIn(richard, param("scope", "openid")); token.RefreshToken != "" {
		t.Error("a refresh token without offline_access")
	}
}

// TestRefreshWithFewerScopes: a refresh may ask for fewer scopes, and the next one
// has them all again (RFC 6749, section 6).
func TestRefreshWithFewerScopes(t *testing.T) {
	w := start(t)
	token := w.logIn(richard).RefreshToken
	all := w.refresh(token).text("scope")
	fewer := w.call("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}, "scope": {"openid"}})
	again := w.refresh(token).text("scope")
	if fewer.text("scope") != "openid" || again != all {
		t.Errorf("scopes %q, then %q, then %q; want the first ones again", all, fewer.text("scope"), again)
	}
}

func TestRefreshTokenExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startInBubble(t)
		token := w.logIn(richard).RefreshToken
		time.Sleep(30*24*time.Hour - time.Minute)
		if a := w.refresh(token); a.status != http.StatusOK {
			t.Errorf("refresh in time: %d %v", a.status, a.body)
		}
		time.Sleep(2 * time.Minute)
		w.wantError(w.refresh(token), http.StatusBadRequest, "invalid_grant", "")
	})
}

func TestRevoke(t *testing.T) {
	w := start(t)
	token, other := w.logIn(richard), w.logIn(richard)
	for range 2 { // the second is RFC 7009's 200 for an unknown token
		if a := w.revoke(token.RefreshToken); a.status != http.StatusOK {
			t.Errorf("revoke: %d %v", a.status, a.body)
		}
	}
	w.wantError(w.refresh(token.RefreshToken), http.StatusBadRequest, "invalid_grant", "")
	if a := w.refresh(other.RefreshToken); a.status != http.StatusOK {
		t.Errorf("refresh of another login: %d %v", a.status, a.body)
	}
	w.wantError(w.revoke(token.AccessToken), http.StatusBadRequest, "unsupported_token_type", "")
}

func TestRestart(t *testing.T) {
	w := start(t)
	person := w.logIn(richard)
	device := w.startDevice()
	if err := w.file.Close(); err != nil {
		t.Fatal(err)
	}
	w.open()
	if id := w.verify(person); id.Subject != richardID {
		t.Errorf("ID token from before the restart is for %s", id.Subject)
	}
	if w.asks() {
		t.Error("the browser was asked to log in again")
	}
	if a := w.approve(device, person); a.status != http.StatusOK {
		t.Errorf("approve: %d %v", a.status, a.body)
	}
	if a := w.poll(device); a.text("refresh_token") == "" {
		t.Errorf("poll: %d %v, want tokens", a.status, a.body)
	}
	if a := w.refresh(person.RefreshToken); a.status != http.StatusOK {
		t.Errorf("refresh: %d %v", a.status, a.body)
	}
}

// A token or a session may be older than the kickstart.
func TestUserIsGone(t *testing.T) {
	w := start(t)
	token := w.logIn(richard)
	idp := w.idp.Load()
	idp.people = idp.people[1:]
	if !w.asks() {
		t.Error("a user who is gone was not asked to log in again")
	}
	w.wantError(w.refresh(token.RefreshToken), http.StatusBadRequest, "invalid_grant", "")
	w.wantError(w.approve(w.startDevice(), token), http.StatusBadRequest, "invalid_token", "access_token_invalid")
}

// Two processes that start at once on one store sign with one key.
func TestKeyIsMadeOnce(t *testing.T) {
	w := start(t)
	fresh := w.store.Namespace("another")
	keys := make(chan string)
	for range 2 {
		go func() {
			key, err := loadKey(context.Background(), fresh)
			if err != nil {
				t.Error(err)
			}
			keys <- key.ID()
		}()
	}
	if a, b := <-keys, <-keys; a != b || a == "" {
		t.Errorf("keys %q and %q, want one", a, b)
	}
}
