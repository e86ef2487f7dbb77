package handlers

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"changebank/internal/browser"
	"changebank/internal/cookies"
	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/session"
	"changebank/internal/store"
)

// attemptsAway is a store that cannot change attempts.
type attemptsAway struct{ store.Backend }

func (b attemptsAway) Get(ctx context.Context, key string) ([]byte, error) {
	if strings.HasPrefix(key, "attempts:") {
		return nil, store.ErrUnavailable
	}
	return b.Backend.Get(ctx, key)
}

// A logout that fails half way can be repeated, and then ends the login at the
// provider, too.
func TestLogoutWhileTheStoreFails(t *testing.T) {
	kept, jar := newStore(t, "https://bank.example", func(b store.Backend) store.Backend { return attemptsAway{b} })
	log := slog.New(slog.DiscardHandler)
	provider := httptest.NewServer(http.NotFoundHandler())
	defer provider.Close()
	client := idp.New(idp.Config{Issuer: provider.URL, ClientID: "bank", Log: log})
	defer client.Close()
	sessions := session.New(session.Config{Store: kept, Cookies: jar, Browser: browser.Proxies(nil).Of, Revoke: func(idp.Tokens) {}, Log: log})
	grants := devicegrant.New(devicegrant.Config{Provider: client, Sessions: sessions, Store: kept, Log: log})
	defer grants.Close()
	s, err := New(Config{AppURL: "https://bank.example", Provider: client, Sessions: sessions, Grants: grants, Cookies: jar, Store: kept, Log: log})
	if err != nil {
		t.Fatal(err)
	}

	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "https://bank.example/logout", nil)
	w := httptest.NewRecorder()
	person := idp.Person{Issuer: provider.URL, Subject: "richard"}
	if err := sessions.LogIn(w, request, person, idp.Tokens{Access: "x", Expires: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if err := s.qr.Write(w, request, cookies.Values{"attempt": "x"}); err != nil {
		t.Fatal(err)
	}
	for _, cookie := range w.Result().Cookies() {
		request.AddCookie(cookie)
	}
	w = httptest.NewRecorder()
	if s.ServeHTTP(w, request); w.Code != http.StatusServiceUnavailable || len(w.Result().Cookies()) > 0 {
		t.Errorf("the logout: %d and the cookies %v, want 503 and none", w.Code, w.Result().Cookies())
	}
	if sess, err := sessions.Load(request); err != nil || !sess.LoggedIn() {
		t.Errorf("the session is gone (%v), so nobody can repeat the logout at the provider", err)
	}
}
