package demoidp

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"changebank/internal/store"
)

const (
	clientID = "e9fdb985-9173-4e01-9d73-ac2d60d1dc8e"
	// secret has the characters that a careless encoding loses.
	secret   = "s+e/c=r:e%t 1"
	password = "pass word+%"
	appURL   = "http://app.example:5000"
	callback = appURL + "/callback"
	richard  = "6c9d1a52-61a5-4d0a-9a55-1f6f1f0b5a02"
)

// A world is a running demo provider and a browser.
type world struct {
	t         *testing.T
	issuer    string
	path      string // of the store
	file      *store.File
	kept      *store.Store
	idp       atomic.Pointer[Provider]
	transport http.RoundTripper
	interval  time.Duration
	browser   *http.Client // does not follow redirects to the application
}

func readKickstart(t testing.TB) []byte {
	t.Helper()
	file, err := os.ReadFile("../../kickstart/kickstart.json")
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func env(issuer string) map[string]string {
	return map[string]string{
		"APP_URL": appURL, "ISSUER": issuer, "CLIENT_ID": clientID, "CLIENT_SECRET": secret,
		"USER_PASSWORD": password, "ADMIN_PASSWORD": "another",
	}
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

// startInBubble starts a provider without sockets, for a synctest bubble.
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

// sharedKey spares each test the making of an RSA key.
var sharedKey = sync.OnceValues(func() (keyRecord, error) { return newKey(2048) })

// open makes a Provider of what is in the store file, as a start does.
func (w *world) open() {
	w.t.Helper()
	file, err := store.OpenFile(w.path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { file.Close() })
	w.file = file
	kept, err := store.New(w.t.Context(), file, [][]byte{[]byte("0123456789abcdef0123456789abcdef")})
	if err != nil {
		w.t.Fatal(err)
	}
	w.kept = kept.Namespace("test")
	if key, err := sharedKey(); err == nil {
		err = store.NewTable[keyRecord](w.kept, "demo key").CreateAs(w.t.Context(), "0b1c2a6e-5f2d-4c6b-9d0c-6f6f1d3a7e55", key)
		if err != nil && !errors.Is(err, store.ErrExists) {
			w.t.Fatal(err)
		}
	}
	idp, err := New(w.t.Context(), Config{
		Issuer:       w.issuer,
		AppURL:       appURL,
		Kickstart:    readKickstart(w.t),
		Env:          env(w.issuer),
		Store:        w.kept,
		PollInterval: w.interval,
		Log:          slog.New(slog.NewTextHandler(w.t.Output(), nil)),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.idp.Store(idp)
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

func read(t testing.TB, r *http.Response) string {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	r.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

var hiddenID = regexp.MustCompile(`name="id" value="([^"]+)"`)

// authorize opens the authorization endpoint. It returns the answer's query if
// the browser was sent back to the application, else the identifier of the
// login form.
func (w *world) authorize(opts ...oauth2.AuthCodeOption) (answer url.Values, id string) {
	w.t.Helper()
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

func (w *world) typePassword(id, email, password string) (answer url.Values, formAgain string) {
	w.t.Helper()
	r, err := w.browser.PostForm(w.issuer+"/login", url.Values{"id": {id}, "email": {email}, "password": {password}})
	if err != nil {
		w.t.Fatal(err)
	}
	return w.answer(r)
}

// logIn logs the browser's person in and returns the tokens.
func (w *world) logIn(email string, opts ...oauth2.AuthCodeOption) *oauth2.Token {
	w.t.Helper()
	answer, id := w.authorize(opts...)
	if id != "" {
		answer, id = w.typePassword(id, email, password)
	}
	if id != "" || answer.Get("code") == "" {
		w.t.Fatalf("logging in: %v, want a code", answer)
	}
	return w.exchange(answer.Get("code"))
}

func (w *world) exchange(code string, opts ...oauth2.AuthCodeOption) *oauth2.Token {
	w.t.Helper()
	token, err := w.oauth2().Exchange(w.context(), code, opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// context makes x/oauth2 and go-oidc use w.transport.
func (w *world) context() context.Context {
	return context.WithValue(w.t.Context(), oauth2.HTTPClient, &http.Client{Transport: w.transport})
}

func (w *world) verify(token *oauth2.Token) *oidc.IDToken {
	w.t.Helper()
	provider, err := oidc.NewProvider(w.context(), w.issuer)
	if err != nil {
		w.t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: clientID}).Verify(w.context(), raw)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		w.t.Error(err)
	}
	return id
}

// An answer is what an endpoint for the client says.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

func (a answer) text(name string) string {
	s, _ := a.body[name].(string)
	return s
}

// call posts a form to an endpoint as the client, with its secret in the body.
func (w *world) call(path string, form url.Values) answer {
	w.t.Helper()
	form = merge(form, url.Values{"client_id": {clientID}, "client_secret": {secret}})
	return w.post(path, form, nil)
}

func (w *world) post(path string, form url.Values, change func(*http.Request)) answer {
	w.t.Helper()
	r, _ := http.NewRequestWithContext(w.t.Context(), http.MethodPost, w.issuer+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if change != nil {
		change(r)
	}
	response, err := w.transport.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	a := answer{status: response.StatusCode, header: response.Header}
	if body := read(w.t, response); body != "" {
		if err := json.Unmarshal([]byte(body), &a.body); err != nil {
			w.t.Fatalf("POST %s: %d, not JSON: %s", path, a.status, body)
		}
	}
	return a
}

func merge(forms ...url.Values) url.Values {
	all := url.Values{}
	for _, form := range forms {
		maps.Copy(all, form)
	}
	return all
}

func (w *world) wantError(a answer, status int, code, reason string) {
	w.t.Helper()
	if a.status != status || a.text("error") != code || a.text("error_reason") != reason {
		w.t.Errorf("got %d %v, want %d %s %s", a.status, a.body, status, code, reason)
	}
	if got := a.header.Get("Cache-Control"); got != "no-store" {
		w.t.Errorf("Cache-Control %q, want no-store", got)
	}
}
