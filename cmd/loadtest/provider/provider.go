// Package provider is an OpenID provider for load: FusionAuth's paths, calls and
// answers, as far as Changebank uses them, and nothing that takes time. Anyone
// may log in as anyone: it must not be reachable by others.
package provider

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// PersonCookie names the cookie in which a browser says who is logged in at the
// provider: any name without a space.
const PersonCookie = "load_person"

// Config is what a [Provider] needs.
type Config struct {
	Issuer       string // without a trailing slash
	ClientID     string
	ClientSecret string
	// VerificationURI is the application's page for phones. [Provider.UseOwnPage]
	// replaces it.
	VerificationURI string
	Interval        time.Duration // between polls, in whole seconds
}

// Counts are the requests for tokens since the start.
type Counts struct {
	Polls        int64 // for codes that people approve on the application's page
	OwnPagePolls int64 // for codes that they approve on the provider's own page
}

// Provider answers the requests of one application and its browsers. Make one
// with [New].
type Provider struct {
	cfg     Config
	mux     *http.ServeMux
	signer  jose.Signer
	keys    jose.JSONWebKeySet
	ownPage atomic.Bool

	polls, ownPagePolls atomic.Int64

	mu      sync.Mutex
	codes   map[string]login   // of the authorization endpoint
	devices map[string]*device // by device code
	users   map[string]*device // by user code, until they are approved
	access  map[string]string  // persons by access token
	refresh map[string]string  // persons by refresh token's ID
}

// New returns a Provider with a new signing key. It signs with ES256, which takes
// far less time than RS256, FusionAuth's default. To verify takes a little more.
func New(cfg Config) (*Provider, error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	key := jose.JSONWebKey{Key: private, KeyID: rand.Text(), Algorithm: string(jose.ES256), Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
	if err != nil {
		return nil, err
	}
	p := &Provider{
		cfg:     cfg,
		mux:     http.NewServeMux(),
		signer:  signer,
		keys:    jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key.Public()}},
		codes:   make(map[string]login),
		devices: make(map[string]*device),
		users:   make(map[string]*device),
		access:  make(map[string]string),
		refresh: make(map[string]string),
	}
	p.mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	p.mux.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, _ *http.Request) { answer(w, p.keys) })
	p.mux.HandleFunc("GET /oauth2/authorize", p.authorize)
	p.mux.HandleFunc("GET /oauth2/userinfo", p.userinfo)
	p.mux.HandleFunc("POST /oauth2/token", p.client(p.token))
	p.mux.HandleFunc("POST /oauth2/device_authorize", p.client(p.deviceAuthorize))
	p.mux.HandleFunc("POST /oauth2/device/approve", p.client(p.deviceApprove))
	p.mux.HandleFunc("DELETE /api/jwt/refresh/{id}", p.revoke)
	return p, nil
}

// ServeHTTP implements [http.Handler].
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) { p.mux.ServeHTTP(w, r) }

// UseOwnPage says whether codes started from now on name a verification page of
// the provider's own, which makes the application poll.
func (p *Provider) UseOwnPage(own bool) { p.ownPage.Store(own) }

// Counts returns what was asked for so far.
func (p *Provider) Counts() Counts { return Counts{p.polls.Load(), p.ownPagePolls.Load()} }

// Email returns the address of a person.
func Email(person string) string { return person + "@load.example" }

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	at := func(path string) string { return p.cfg.Issuer + path }
	answer(w, map[string]any{
		"issuer":                                p.cfg.Issuer,
		"authorization_endpoint":                at("/oauth2/authorize"),
		"token_endpoint":                        at("/oauth2/token"),
		"device_authorization_endpoint":         at("/oauth2/device_authorize"),
		"userinfo_endpoint":                     at("/oauth2/userinfo"),
		"jwks_uri":                              at("/.well-known/jwks.json"),
		"response_types_supported":              []string{"code"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{string(jose.ES256)},
		"token_endpoint_auth_methods_supported": []string{"client_secret_post"},
	})
}

// client lets only the application pass.
func (p *Provider) client(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.PostFormValue("client_id") != p.cfg.ClientID || r.PostFormValue("client_secret") != p.cfg.ClientSecret {
			refuse(w, http.StatusUnauthorized, "invalid_client")
			return
		}
		next(w, r)
	}
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(value) // fails only if the client is gone
}

// refuse answers with an OAuth error (RFC 6749, section 5.2).
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error": %q}`, code)
}
