package handlers

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/session"
)

// After a restart the provider may not be found yet. The page that comes back
// from it tries again until it is, so the login must not be used up before.
func TestCallbackBeforeProviderIsFound(t *testing.T) {
	kept, jar := newStore(t, "https://bank.example", nil)
	provider := httptest.NewServer(http.NotFoundHandler())
	defer provider.Close()
	client := idp.New(idp.Config{Issuer: provider.URL, ClientID: "bank", Log: slog.New(slog.DiscardHandler)})
	defer client.Close()
	s, err := New(Config{
		AppURL:   "https://bank.example",
		Provider: client,
		Sessions: session.New(session.Config{Store: kept, Cookies: jar, Browser: browser.Proxies(nil).Of, Log: slog.New(slog.DiscardHandler)}),
		Cookies:  jar,
		Store:    kept,
		Log:      slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}

	state, err := s.flows.NewState(defaultPath)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	callback := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "https://bank.example/callback?code=x&state="+state, nil)
	if err := s.flows.Begin(w, callback, state, idp.NewFlow()); err != nil {
		t.Fatal(err)
	}
	callback.AddCookie(w.Result().Cookies()[0])
	w = httptest.NewRecorder()
	s.ServeHTTP(w, callback)
	if cookies := w.Result().Cookies(); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || len(cookies) > 0 {
		t.Errorf("the callback: %d and the cookies %v, want 503, a time to try again, and none", w.Code, cookies)
	}
	if _, err := s.flows.Take(w, callback, state, "203.0.113.7"); err != nil {
		t.Errorf("the next try: %v", err)
	}
}
