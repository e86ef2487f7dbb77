package handlers

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/session"
	"changebank/internal/store"
)

// countedStore counts what is asked of a store, and can be down.
type countedStore struct {
	store.Backend
	calls *atomic.Int64
	down  *atomic.Bool
}

func (b countedStore) Get(ctx context.Context, key string) ([]byte, error) {
	b.calls.Add(1)
	return b.Backend.Get(ctx, key)
}

func (b countedStore) Swap(ctx context.Context, writes ...store.Write) (bool, error) {
	if b.calls.Add(1); b.down.Load() {
		return false, store.ErrUnavailable
	}
	return b.Backend.Swap(ctx, writes...)
}

// signedBank is a Server whose provider's key the test has.
type signedBank struct {
	*Server
	t      *testing.T
	issuer string
	key    *rsa.PrivateKey
	calls  atomic.Int64 // of the store
	down   atomic.Bool  // its writes fail
}

func newSignedBank(t *testing.T) *signedBank {
	t.Helper()
	b := &signedBank{t: t}
	var err error
	if b.key, err = rsa.GenerateKey(rand.Reader, 2048); err != nil {
		t.Fatal(err)
	}
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.URL.Path == "/keys" {
			_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: b.key.Public(), KeyID: "1", Algorithm: "RS256"}}})
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{
			"issuer": b.issuer, "authorization_endpoint": b.issuer + "/auth", "token_endpoint": b.issuer + "/token", "jwks_uri": b.issuer + "/keys",
		})
	}))
	b.issuer = provider.URL
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	client := idp.New(idp.Config{Issuer: provider.URL, ClientID: "bank", Log: log})
	t.Cleanup(func() { client.Close(); provider.Close() })
	for deadline := time.Now().Add(20 * time.Second); client.Ready() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(client.Ready())
		}
	}
	kept, jar := newStore(t, "https://bank.example", func(inner store.Backend) store.Backend { return countedStore{inner, &b.calls, &b.down} })
	sessions := session.New(session.Config{Store: kept, Cookies: jar, Browser: browser.Proxies(nil).Of, Revoke: func(idp.Tokens) {}, Log: log})
	if b.Server, err = New(Config{AppURL: "https://bank.example", Provider: client, Sessions: sessions, Cookies: jar, Store: kept, Log: log}); err != nil {
		t.Fatal(err)
	}
	return b
}

// logoutToken signs a token for Richard, with the provider's key unless another
// is given.
func (b *signedBank) logoutToken(tokenID string, key ...*rsa.PrivateKey) string {
	b.t.Helper()
	signing := jose.SigningKey{Algorithm: jose.RS256, Key: append(key, b.key)[0]}
	signer, err := jose.NewSigner(signing, new(jose.SignerOptions).WithType("logout+jwt").WithHeader("kid", "1"))
	if err != nil {
		b.t.Fatal(err)
	}
	text, err := jwt.Signed(signer).Claims(map[string]any{
		"iss": b.issuer, "aud": "bank", "sub": "richard", "jti": tokenID, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}).Serialize()
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// send sends a logout token by the name of another host.
func (b *signedBank) send(token string) *httptest.ResponseRecorder {
	return b.sendBody(url.Values{"logout_token": {token}}.Encode(), "")
}

func (b *signedBank) sendBody(body, query string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(b.t.Context(), http.MethodPost, backchannelPath+query, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Host = "10.0.0.7:5000"
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r)
	return w
}

func (b *signedBank) wantStatus(token string, want int, when string) {
	b.t.Helper()
	w := b.send(token)
	if w.Code != want || w.Header().Get("Cache-Control") != "no-store" || want == http.StatusOK && w.Body.Len() > 0 {
		b.t.Errorf("%s: %d, Cache-Control %q, %.200q; want %d, not cached, and no body if it is 200", when, w.Code, w.Header().Get("Cache-Control"), w.Body, want)
	}
}

// A logout token is used once, but one whose logout failed can be sent again.
func TestLogoutTokenOnce(t *testing.T) {
	b := newSignedBank(t)
	var cookie *http.Cookie
	request := func() *http.Request {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		if cookie != nil {
			r.AddCookie(cookie)
		}
		return r
	}
	logIn := func() {
		w := httptest.NewRecorder()
		if err := b.cfg.Sessions.LogIn(w, request(), idp.Person{Issuer: b.issuer, Subject: "richard"}, idp.Tokens{Access: "x"}); err != nil {
			t.Fatal(err)
		}
		cookie = w.Result().Cookies()[0]
	}
	want := func(loggedIn bool, when string) {
		t.Helper()
		if sess, err := b.cfg.Sessions.Load(request()); err != nil || sess.LoggedIn() != loggedIn {
			t.Errorf("%s: logged in %t, %v; want %t", when, sess.LoggedIn(), err, loggedIn)
		}
	}
	logIn()
	token := b.logoutToken("first")
	b.down.Store(true)
	b.wantStatus(token, http.StatusBadRequest, "while the store is down")
	b.down.Store(false)
	want(true, "after a logout that failed")
	if w := b.sendBody("", "?logout_token="+token); w.Code != http.StatusBadRequest {
		t.Errorf("a good token in the address, which is logged: %d, want 400", w.Code)
	}
	want(true, "after a token in the address")
	b.wantStatus(token, http.StatusOK, "the same token again")
	want(false, "after the logout")

	logIn()
	b.wantStatus(token, http.StatusBadRequest, "a replayed token")
	want(true, "after the replay")
	b.wantStatus(b.logoutToken("second"), http.StatusOK, "another token")
	want(false, "after another token")
	b.wantStatus(b.logoutToken("third"), http.StatusOK, "for somebody who is not logged in")
}

// A token that nobody signed, or a stranger, costs the store nothing.
func TestForgedLogoutTokens(t *testing.T) {
	b := newSignedBank(t)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	before := b.calls.Load()
	for range 3 {
		b.wantStatus(b.logoutToken("forged", stranger), http.StatusBadRequest, "a forged token")
	}
	b.wantStatus("garbage", http.StatusBadRequest, "garbage")
	if n := b.calls.Load() - before; n != 0 {
		t.Errorf("refused tokens cost %d calls of the store, want none", n)
	}
}
