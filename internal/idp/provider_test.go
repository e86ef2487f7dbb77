package idp_test

import (
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"testing"
	"time"

	"changebank/internal/idp"
)

const (
	clientID    = "the-bank"
	appURL      = "https://bank.example"
	redirectURL = appURL + "/callback"
	logoutURL   = appURL + "/"
	verifyURI   = appURL + "/activate"

	discoveryPath = "/.well-known/openid-configuration"
)

// provider is a fake provider that gives the responses a test sets, and records
// the requests.
type provider struct {
	url  string
	done chan struct{} // closed when the test is over

	mu        sync.Mutex
	document  map[string]any
	responses map[string]http.HandlerFunc // by path; 404 without one
	received  []request
}

type request struct {
	at            time.Time
	method        string
	path          string
	uri           string // as sent, with the query
	form          url.Values
	authorization string
	user, pass    string // of a Basic header, still escaped
	basic         bool
}

// newProvider starts a provider with a complete discovery document and keys.
func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{}
	srv := httptest.NewServer(p)
	p.setUp(srv.URL)
	t.Cleanup(func() {
		close(p.done)
		srv.Close()
	})
	return p
}

// start starts a provider and a client that has discovered it.
func start(t *testing.T) (*provider, *idp.Client) {
	t.Helper()
	p := newProvider(t)
	return p, p.client(t)
}

func (p *provider) setUp(issuer string) {
	p.url = issuer
	p.done = make(chan struct{})
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
	p.responses = map[string]http.HandlerFunc{
		discoveryPath: func(w http.ResponseWriter, _ *http.Request) {
			p.mu.Lock()
			document := maps.Clone(p.document)
			p.mu.Unlock()
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(document)
		},
		"/jwks": respond(http.StatusOK, jwks("k1", signingKey())),
	}
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	got := request{at: time.Now(), method: r.Method, path: r.URL.Path, uri: r.RequestURI, authorization: r.Header.Get("Authorization")}
	got.user, got.pass, got.basic = r.BasicAuth()
	if r.Method == http.MethodDelete {
		r.Method = http.MethodPost // net/http does not parse a DELETE's form
	}
	_ = r.ParseForm()
	got.form = r.PostForm
	p.mu.Lock()
	p.received = append(p.received, got)
	response, ok := p.responses[r.URL.Path]
	p.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	response(w, r)
}

// on sets the response at a path.
func (p *provider) on(path string, response http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.responses[path] = response
}

// set sets a field of the discovery document; nil removes it.
func (p *provider) set(name string, value any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.document[name] = value
	if value == nil {
		delete(p.document, name)
	}
}

// requests returns the requests to a path.
func (p *provider) requests(path string) []request {
	return p.matching(func(r request) bool { return r.path == path })
}

// afterDiscovery returns all requests but those of discovery.
func (p *provider) afterDiscovery() []request {
	return p.matching(func(r request) bool { return r.path != discoveryPath })
}

func (p *provider) matching(ok func(request) bool) []request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(p.received), func(r request) bool { return !ok(r) })
}

// one returns the only request to a path.
func (p *provider) one(t *testing.T, path string) request {
	t.Helper()
	got := p.requests(path)
	if len(got) != 1 {
		t.Fatalf("%d requests to %s, want 1", len(got), path)
	}
	return got[0]
}

// byPost is for tests that count requests: the method is not the client's to choose.
func byPost(cfg *idp.Config) { cfg.Auth = idp.AuthPost }

// newClient returns a Client that may not be ready yet.
func (p *provider) newClient(t *testing.T, change ...func(*idp.Config)) *idp.Client {
	t.Helper()
	cfg := idp.Config{
		Issuer:       p.url,
		ClientID:     clientID,
		ClientSecret: "secret",
		Auth:         idp.AuthAuto,
		AppURL:       appURL,
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
func (p *provider) client(t *testing.T, change ...func(*idp.Config)) *idp.Client {
	t.Helper()
	c := p.newClient(t, change...)
	await(t, "Ready() == nil", func() bool { return c.Ready() == nil })
	return c
}

// unready returns a Client whose provider cannot be discovered.
func (p *provider) unready(t *testing.T) *idp.Client {
	t.Helper()
	p.on(discoveryPath, respond(http.StatusServiceUnavailable, `{}`))
	return p.newClient(t)
}

// await waits until another goroutine has made ok true.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting for %s", what)
		}
	}
}
