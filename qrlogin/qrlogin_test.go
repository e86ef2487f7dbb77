package qrlogin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"changebank/internal/store"
	"changebank/internal/testredis"
)

// complete returns a Config with everything that is required.
func complete(t *testing.T) Config {
	return Config{
		Issuer: "https://login.example", ClientID: "client", AppURL: "https://app.example", DataDir: filepath.Join(t.TempDir(), "data"),
		Session:      func(*http.Request) (string, Login, error) { return "", Login{}, nil },
		LogIn:        func(http.ResponseWriter, *http.Request, Login) (string, error) { return "id", nil },
		LoggedIn:     func(context.Context, string, string) (bool, error) { return false, nil },
		ShowCode:     func(http.ResponseWriter, *http.Request, Code) {},
		ShowQuestion: func(http.ResponseWriter, *http.Request, Question) {},
		Log:          slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

func TestConfig(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"no issuer":           {func(c *Config) { c.Issuer = "" }, "Config.Issuer"},
		"no LoggedIn":         {func(c *Config) { c.LoggedIn = nil }, "Config.LoggedIn"},
		"AppURL with a path":  {func(c *Config) { c.AppURL += "/app" }, "the AppURL"},
		"AppURL with a slash": {func(c *Config) { c.AppURL += "/" }, "the AppURL"},
		"AppURL without http": {func(c *Config) { c.AppURL = "app.example" }, "the AppURL"},
		"no store":            {func(c *Config) { c.DataDir = "" }, "Config.DataDir"},
		"two stores":          {func(c *Config) { c.RedisURL = "redis://localhost" }, "Config.DataDir"},
		"a short key":         {func(c *Config) { c.Key = "secret" }, "Config.Key"},
		"no key for Redis":    {func(c *Config) { c.DataDir, c.RedisURL = "", "redis://localhost" }, "Config.Key"},
		"a path with a query": {func(c *Config) { c.HomePath = "/?x=1" }, "not a path"},
		"a path without /":    {func(c *Config) { c.Path = "qr" }, "not a path"},
		"a path with a slash": {func(c *Config) { c.Path = "/qr/" }, "not a path"},
		"a path with dots":    {func(c *Config) { c.Path = "/a/../b" }, "not a path"},
		"a path elsewhere":    {func(c *Config) { c.HomePath = `/\evil.example` }, "not a path"},
		"a path with a quote": {func(c *Config) { c.Path = `/a"b` }, "not a path"},
		"everything":          {func(c *Config) { c.VerificationPath = "/" }, "not a path"},
		"the same path":       {func(c *Config) { c.Path = "/activate" }, "overlap"},
		"a path of ours":      {func(c *Config) { c.CallbackPath = "/qr-login/login" }, "overlap"},
		"the usual port":      {func(c *Config) { c.AppURL += ":443" }, "the AppURL"},
		"an empty old key":    {func(c *Config) { c.Key, c.OldKeys = strings.Repeat("k", minKey), []string{""} }, "Config.OldKeys"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := complete(t)
			tt.change(&cfg)
			if h, err := New(t.Context(), cfg); err == nil {
				_ = h.Close()
				t.Errorf("New accepts it, want an error about %s", tt.want)
			} else if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New: %v, want an error about %s", err, tt.want)
			}
		})
	}
}

// newHandler returns a Handler whose provider is never found.
func newHandler(t *testing.T, change func(*Config)) *Handler {
	t.Helper()
	cfg := complete(t)
	cfg.Issuer = "http://127.0.0.1:1"
	if change != nil {
		change(&cfg)
	}
	h, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// The routes fit beside an application's own at any paths, and no others are served.
func TestRoutes(t *testing.T) {
	h := newHandler(t, func(c *Config) { c.Path, c.VerificationPath, c.CallbackPath = "/phone", "/approve", "/oidc/back" })
	mux := http.NewServeMux()
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	mux.HandleFunc("POST /login", func(http.ResponseWriter, *http.Request) {})
	h.Mount(mux)
	for target, want := range map[string]int{
		"/phone": http.StatusSeeOther, "/phone/follow.js": http.StatusOK, "/phone/events": http.StatusNoContent, "/approve": http.StatusSeeOther,
		"/phone/login": http.StatusServiceUnavailable, "/oidc/back": http.StatusServiceUnavailable,
		"/": http.StatusTeapot, "/activate": http.StatusTeapot,
	} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil))
		if w.Code != want {
			t.Errorf("GET %s: %d, want %d", target, w.Code, want)
		}
		if ours := want != http.StatusTeapot; ours && (w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("X-Frame-Options") != "DENY") {
			t.Errorf("GET %s: headers %v, want no cache and no frame", target, w.Header())
		}
	}
}

// A session without the Login that LogIn received is reported as an error of the
// application, rather than redirected to the provider forever.
func TestSessionWithoutLogin(t *testing.T) {
	h := newHandler(t, func(c *Config) {
		c.Session = func(*http.Request) (string, Login, error) { return "id", Login{}, nil }
	})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/activate?user_code=ABC234", nil))
	if w.Code != http.StatusInternalServerError {
		t.Errorf("%d, want 500", w.Code)
	}
}

// Visitors are told what happened, and never the cause.
func TestErrors(t *testing.T) {
	cause := errors.New("password of the store")
	var shown *Error
	h := newHandler(t, func(c *Config) {
		c.Session = func(*http.Request) (string, Login, error) {
			return "", Login{}, errors.Join(store.ErrUnavailable, cause)
		}
		c.ShowError = func(w http.ResponseWriter, _ *http.Request, err *Error) { shown = err }
	})
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/qr-login", nil)
	h.ServeHTTP(w, r)
	if shown == nil || shown.Status != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "5" || !errors.Is(shown, cause) {
		t.Errorf("shown: %+v, headers %v; want 503, when to try again, and the cause", shown, w.Header())
	}
	h.cfg.ShowError = nil
	w = httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != http.StatusServiceUnavailable || strings.Contains(w.Body.String(), "password") {
		t.Errorf("without a page: %d %s", w.Code, w.Body)
	}
}

// Another site can post nothing, even if the application has no protection of its
// own (CSRF).
func TestCrossOrigin(t *testing.T) {
	h := newHandler(t, nil)
	for _, path := range []string{"/qr-login", "/qr-login/cancel", "/qr-login/number", "/activate"} {
		for header, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, path, nil)
			r.Header.Set(header, value)
			w := httptest.NewRecorder()
			if h.ServeHTTP(w, r); w.Code != http.StatusForbidden {
				t.Errorf("POST %s with %s %s: %d, want 403", path, header, value, w.Code)
			}
		}
	}
}

// Processes that share a Redis and a key continue each other's logins, and the key can
// be changed while they run.
func TestReplicas(t *testing.T) {
	redis := testredis.Start(t)
	const key, newKey = "a secret of at least 32 characters", "another secret of 32 characters, too"
	replica := func(key, old string) *Handler {
		return newHandler(t, func(c *Config) { c.DataDir, c.RedisURL, c.Key, c.OldKeys = "", redis.URL(), key, []string{old} })
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/qr-login", nil)
	replica(key, newKey).ServeHTTP(w, r)
	if w.Code != http.StatusSeeOther {
		t.Fatalf("a browser without a cookie: %d, want 303", w.Code)
	}
	r.AddCookie(w.Result().Cookies()[0])
	w = httptest.NewRecorder()
	if replica(newKey, key).ServeHTTP(w, r); w.Code != http.StatusServiceUnavailable { // no provider, so no code
		t.Errorf("the same browser at another process with the new key: %d, want 503", w.Code)
	}
}
