package demoidp

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"changebank/internal/config"
	"changebank/internal/store"
)

const (
	clientID = "e9fdb985-9173-4e01-9d73-ac2d60d1dc8e"
	// secret has characters that a wrong encoding loses.
	secret   = "s+e/c=r:e%t 1"
	password = "pass word+%12"
	verifier = "a-verifier-of-forty-three-characters-or-more"
	appURL   = "http://localhost:5000"
	callback = appURL + "/callback"

	richard, richardID = "richard@example.com", "6c9d1a52-61a5-4d0a-9a55-1f6f1f0b5a02"
	erlich, erlichID   = "erlich@example.com", "6c9d1a52-61a5-4d0a-9a55-1f6f1f0b5a03"
)

// A world is a running demo provider and a browser.
type world struct {
	t         *testing.T
	issuer    string
	path      string // of the store
	file      *backend
	store     *store.Store
	idp       atomic.Pointer[Provider]
	transport http.RoundTripper
	browser   *http.Client // does not follow redirects to the application
}

// start starts a provider behind a real server.
func start(t *testing.T) *world {
	t.Helper()
	srv := httptest.NewUnstartedServer(nil)
	w := &world{t: t, issuer: "http://" + srv.Listener.Addr().String(), transport: http.DefaultTransport}
	srv.Config.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.idp.Load().ServeHTTP(rw, r) })
	w.path = filepath.Join(t.TempDir(), "store")
	w.open()
	srv.Start()
	t.Cleanup(srv.Close)
	w.newBrowser()
	return w
}

// startInBubble starts a provider without sockets, for a synctest bubble. Its
// issuer is https.
func startInBubble(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, issuer: "https://idp.example", path: filepath.Join(t.TempDir(), "store")}
	w.transport = roundTripper(func(r *http.Request) *http.Response {
		rw := httptest.NewRecorder()
		if r.Body == nil {
			r.Body = http.NoBody
		}
		w.idp.Load().ServeHTTP(rw, r)
		return rw.Result()
	})
	w.open()
	w.newBrowser()
	return w
}

type roundTripper func(*http.Request) *http.Response

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	response := f(r)
	response.Request = r
	return response, nil
}

// sharedKey saves each test the time to make an RSA key.
var sharedKey = sync.OnceValues(newKey)

// open makes a Provider from the store file, as a start of the program does.
func (w *world) open() {
	w.t.Helper()
	file, err := store.OpenFile(w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { file.Close() })
	w.file = &backend{Backend: file}
	w.store = openStore(w.t, w.file, "0123456789abcdef0123456789abcdef")
	if key, err := sharedKey(); err == nil {
		err = newKeyTable(w.store).CreateAs(w.t.Context(), keyID, key)
		if err != nil && !errors.Is(err, store.ErrExists) {
			w.t.Fatal(err)
		}
	}
	idp, _, err := New(w.t.Context(), &config.Config{
		Demo:    true,
		DemoURL: w.issuer, AppURL: appURL, ClientID: clientID, ClientSecret: secret, UserPassword: password, AdminPassword: "another",
	}, w.store, slog.New(slog.NewTextHandler(w.t.Output(), nil)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.idp.Store(idp)
}

// backend counts writes.
type backend struct {
	store.Backend
	writes atomic.Int64
}

func (b *backend) Swap(ctx context.Context, writes ...store.Write) (bool, error) {
	b.writes.Add(1)
	return b.Backend.Swap(ctx, writes...)
}

// openStore returns the store in a backend.
func openStore(t *testing.T, backend store.Backend, key string) *store.Store {
	t.Helper()
	s, err := store.New(t.Context(), backend, [][]byte{[]byte(key)})
	if err != nil {
		t.Fatal(err)
	}
	return s.Namespace("test")
}

func (w *world) newBrowser() {
	jar, _ := cookiejar.New(nil) // never fails
	w.browser = &http.Client{Transport: w.transport, Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), w.issuer) {
			return nil
		}
		return http.ErrUseLastResponse
	}}
}

func (w *world) oauth2() *oauth2.Config {
	return &oauth2.Config{
		ClientID: clientID, ClientSecret: secret, RedirectURL: callback,
		Scopes: []string{"openid", "profile", "email", "offline_access"},
		Endpoint: oauth2.Endpoint{
			AuthURL: w.issuer + "/oauth2/authorize", TokenURL: w.issuer + "/oauth2/token",
			DeviceAuthURL: w.issuer + "/oauth2/device_authorize", AuthStyle: oauth2.AuthStyleInHeader,
		},
	}
}

func param(name, value string) oauth2.AuthCodeOption { return oauth2.SetAuthURLParam(name, value) }

func read(t testing.TB, r *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func (w *world) get(path string) *http.Response {
	w.t.Helper()
	r, err := w.browser.Get(w.issuer + path)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

var hiddenID = regexp.MustCompile(`name="id" value="([^"]+)"`)

// authorize opens the authorization endpoint. It returns the answer's query if
// the browser was sent back to the application, and otherwise the identifier in
// the login form.
func (w *world) authorize(opts ...oauth2.AuthCodeOption) (answer url.Values, id string) {
	w.t.Helper()
	opts = append([]oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}, opts...)
	r, err := w.browser.Get(w.oauth2().AuthCodeURL("a state", opts...))
	if err != nil {
		w.t.Fatal(err)
	}
	return w.answer(r)
}

func (w *world) answer(r *http.Response) (answer url.Values, id string) {
	w.t.Helper()
	body := read(w.t, r)
	if at, err := r.Location(); err == nil {
		if !strings.HasPrefix(at.String(), callback+"?") {
			w.t.Fatalf("redirected to %s, want %s", at, callback)
		}
		return at.Query(), ""
	}
	if match := hiddenID.FindStringSubmatch(body); match != nil {
		return nil, match[1]
	}
	w.t.Fatalf("%s %s: %d, neither a form nor a redirect:\n%s", r.Request.Method, r.Request.URL, r.StatusCode, body)
	return nil, ""
}

// submit sends the login form.
func (w *world) submit(id, email, password string) *http.Response {
	w.t.Helper()
	r, err := w.browser.PostForm(w.issuer+"/login", url.Values{"id": {id}, "email": {email}, "password": {password}})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// newCode logs in and returns the authorization code.
func (w *world) newCode(email string, opts ...oauth2.AuthCodeOption) string {
	w.t.Helper()
	answer, id := w.authorize(opts...)
	if id != "" {
		answer, id = w.answer(w.submit(id, email, password))
	}
	if id != "" || answer.Get("code") == "" {
		w.t.Fatalf("login: %v, want a code", answer)
	}
	return answer.Get("code")
}

// exchange trades an authorization code for tokens.
func (w *world) exchange(code string) *oauth2.Token {
	w.t.Helper()
	token, err := w.oauth2().Exchange(w.context(), code, oauth2.VerifierOption(verifier))
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// logIn logs in and returns the tokens.
func (w *world) logIn(email string, opts ...oauth2.AuthCodeOption) *oauth2.Token {
	w.t.Helper()
	return w.exchange(w.newCode(email, opts...))
}

// context makes x/oauth2 and go-oidc use w.transport.
func (w *world) context() context.Context {
	return context.WithValue(w.t.Context(), oauth2.HTTPClient, &http.Client{Transport: w.transport})
}

// verify checks an ID token with go-oidc.
func (w *world) verify(token *oauth2.Token) *oidc.IDToken {
	w.t.Helper()
	provider, err := oidc.NewProvider(w.context(), w.issuer)
	if err != nil {
		w.t.Fatal(err)
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: clientID}).Verify(w.context(), idToken(token))
	if err != nil {
		w.t.Fatal(err)
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		w.t.Error(err)
	}
	return id
}

func idToken(token *oauth2.Token) string {
	raw, _ := token.Extra("id_token").(string)
	return raw
}
