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

	f := &flowTest{t, s.flows, make(map[string]string)}
	state := f.start(defaultPath)
	f.exchange(func(w http.ResponseWriter, r *http.Request) {
		r.Host, r.URL.Path, r.URL.RawQuery = "bank.example", "/callback", "code=x&state="+state
		s.ServeHTTP(w, r)
		if got := w.(*httptest.ResponseRecorder); got.Code != http.StatusServiceUnavailable || got.Header().Get("Retry-After") == "" {
			t.Errorf("the callback: %d, want 503 and a time to try again", got.Code)
		}
	})
	if _, err := f.finish(state); err != nil {
		t.Errorf("the next try: %v", err)
	}
}
