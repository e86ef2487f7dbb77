package idp_test

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"changebank/internal/idp"
)

const (
	clientID    = "the-bank"
	redirectURL = "https://bank.example/callback"
	logoutURL   = "https://bank.example/"
	verifyURI   = "https://bank.example/activate"
)

// signingKey is the provider's; strangersKey is not. RSA keys take long to make.
var (
	signingKey   = sync.OnceValue(newKey)
	strangersKey = sync.OnceValue(newKey)
)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// scripted is a provider that answers what a test told it to, and remembers
// what it was asked.
type scripted struct {
	url  string
	over chan struct{} // closed when the test is over

	mu       sync.Mutex
	document map[string]any
	answers  map[string]http.HandlerFunc // by path; 404 without one
	asked    []request
}

type request struct {
	at            time.Time
	path          string
	form          url.Values
	authorization string
	user, pass    string // of a Basic header, as they stand there
	basic         bool
}

// newScripted starts a provider with a complete discovery document and keys.
func newScripted(t *testing.T) *scripted {
	t.Helper()
	p := &scripted{}
	srv := httptest.NewServer(p)
	p.script(srv.URL)
	t.Cleanup(func() {
		close(p.over)
		srv.Close()
	})
	return p
}

func (p *scripted) script(issuer string) {
	p.url = issuer
	p.over = make(chan struct{})
	p.document = map[string]any{
		"issuer":                                issuer,
		"authorization_endpoint":                issuer + "/oauth2/authorize",
		"token_endpoint":                        issuer + "/oauth2/token",
		"device_authorization_endpoint":         issuer + "/oauth2/device_authorize",
		"userinfo_endpoint":                     issuer + "/oauth2/userinfo",
		"end_session_endpoint":                  issuer + "/oauth2/logout",
		"revocation_endpoint":                   issuer + "/oauth2/revoke",
		"jwks_uri":                              issuer + "/jwks",
		"id_token_signing_alg_values_supported": []string{"RS256", "HS256", "none"},
	}
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: signingKey().Public(), KeyID: "k1", Algorithm: "RS256", Use: "sig"},
	}})
	if err != nil {
		panic(err)
	}
	p.answers = map[string]http.HandlerFunc{
		"/.well-known/openid-configuration": func(w http.ResponseWriter, _ *http.Request) {
			p.mu.Lock()
			document := maps.Clone(p.document)
			p.mu.Unlock()
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(document)
		},
		"/jwks": says(http.StatusOK, string(keys)),
	}
}

func (p *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked := request{at: time.Now(), path: r.URL.Path, authorization: r.Header.Get("Authorization")}
	asked.user, asked.pass, asked.basic = r.BasicAuth()
	_ = r.ParseForm()
	asked.form = r.PostForm
	p.mu.Lock()
	p.asked = append(p.asked, asked)
	answer, ok := p.answers[r.URL.Path]
	p.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	answer(w, r)
}

// on sets the answer at a path.
func (p *scripted) on(path string, answer http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answers[path] = answer
}

// tell sets a member of the discovery document; nil removes it.
func (p *scripted) tell(name string, value any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.document[name] = value
	if value == nil {
		delete(p.document, name)
	}
}

// requests returns what was asked at a path.
func (p *scripted) requests(path string) []request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.asked), func(r request) bool { return r.path != path })
}

// says is an answer in JSON.
func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// hangs is no answer; it tells when the request has arrived.
func (p *scripted) hangs(arrived chan<- struct{}) http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-r.Context().Done():
		case <-p.over:
		}
	}
}

// newClient returns a Client that need not be ready.
func (p *scripted) newClient(t *testing.T, change ...func(*idp.Config)) *idp.Client {
	t.Helper()
	cfg := idp.Config{
		Issuer:       p.url,
		ClientID:     clientID,
		ClientSecret: "secret",
		Auth:         idp.AuthAuto,
		RedirectURL:  redirectURL,
		LogoutURL:    logoutURL,
		Log:          slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	for _, c := range change {
		c(&cfg)
	}
	c := idp.New(cfg)
	t.Cleanup(c.Close)
	return c
}

// client returns a Client that has discovered the provider.
func (p *scripted) client(t *testing.T, change ...func(*idp.Config)) *idp.Client {
	t.Helper()
	c := p.newClient(t, change...)
	await(t, "Ready() == nil", func() bool { return c.Ready() == nil })
	return c
}

// await waits for what another goroutine is about to bring about.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// refusal checks that err is the provider's word, and returns it.
func refusal(t *testing.T, err error, status int, code string) *idp.Error {
	t.Helper()
	refused, ok := errors.AsType[*idp.Error](err)
	if !ok {
		t.Fatalf("error %v, want an *idp.Error with %d %q", err, status, code)
	}
	if refused.Status != status || refused.Code != code {
		t.Errorf("error with %d %q, want %d %q", refused.Status, refused.Code, status, code)
	}
	return refused
}

// fault checks that err is not the provider's word: something to ride out.
func fault(t *testing.T, err error) {
	t.Helper()
	if refused, ok := errors.AsType[*idp.Error](err); err == nil || ok {
		t.Errorf("error %v (the provider's word: %v), want a fault", err, refused != nil)
	}
	if errors.Is(err, idp.ErrInvalidToken) {
		t.Errorf("error %v, want one that may pass", err)
	}
}

// final checks that err says that the tokens may never count.
func final(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, idp.ErrInvalidToken) {
		t.Errorf("error %v, want %v", err, idp.ErrInvalidToken)
	}
}

// shortLine checks that an error, which may be made of a whole answer of the
// provider, neither fills a log nor writes lines of its own.
func shortLine(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Error("no error")
		return
	}
	if text := err.Error(); len(text) > 400 || strings.ContainsAny(text, "\r\n\t\u2028") || !utf8.ValidString(text) {
		t.Errorf("an error of %d bytes, want one short line: %.500q", len(text), text)
	}
}

// claims are those of a good ID token, with some changed; nil removes one.
func (p *scripted) claims(changed map[string]any) map[string]any {
	now := time.Now()
	all := map[string]any{
		"iss": p.url, "sub": "richard", "aud": clientID, "email": "richard@example.com", "name": "Richard",
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(all, changed)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// signer says how an ID token is signed: RS256 with the provider's key if
// nothing is set.
type signer struct {
	alg jose.SignatureAlgorithm
	key any
	kid string
}

func (s signer) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	key := jose.SigningKey{Algorithm: cmp.Or(s.alg, jose.RS256), Key: s.key}
	if s.key == nil {
		key.Key = signingKey()
	}
	opts := new(jose.SignerOptions).WithType("JWT").WithHeader("kid", cmp.Or(s.kid, "k1"))
	signer, err := jose.NewSigner(key, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// call is a method of the Client that sends one request to an endpoint.
type call struct {
	name, path string
	do         func(context.Context, *idp.Client) error
}

// calls are all of them; each of the answers that newScripted lacks is set.
func (p *scripted) calls(t *testing.T) []call {
	t.Helper()
	tokens := says(http.StatusOK, `{"access_token":"a","token_type":"Bearer","id_token":"i","expires_in":60}`)
	p.on("/oauth2/token", tokens)
	p.on("/oauth2/device_authorize", says(http.StatusOK, `{"device_code":"d","user_code":"u","verification_uri":"`+verifyURI+`","expires_in":300}`))
	p.on("/oauth2/device/approve", says(http.StatusOK, `{"deviceGrantStatus":"Approved"}`))
	p.on("/oauth2/revoke", says(http.StatusOK, ``))
	return []call{
		{"Exchange", "/oauth2/token", func(ctx context.Context, c *idp.Client) error {
			_, err := c.Exchange(ctx, idp.Flow{Verifier: "v"}, url.Values{"code": {"c"}})
			return err
		}},
		{"PollDevice", "/oauth2/token", func(ctx context.Context, c *idp.Client) error {
			_, err := c.PollDevice(ctx, "d")
			return err
		}},
		{"StartDevice", "/oauth2/device_authorize", func(ctx context.Context, c *idp.Client) error {
			_, err := c.StartDevice(ctx)
			return err
		}},
		{"ApproveDevice", "/oauth2/device/approve", func(ctx context.Context, c *idp.Client) error {
			return c.ApproveDevice(ctx, "u", "a")
		}},
		{"Revoke", "/oauth2/revoke", func(ctx context.Context, c *idp.Client) error {
			return c.Revoke(ctx, idp.Tokens{Access: "a", Refresh: "r"})
		}},
	}
}
