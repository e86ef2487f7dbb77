// Package demoidp is a demo identity provider: zitadel/oidc's op at
// FusionAuth's paths, set up from the kickstart that sets up FusionAuth, with
// FusionAuth's call to approve a device and login pages of its own.
//
// It exists so that the program runs and is tested with nothing installed. Its
// passwords are in a file; it is no place for real people.
package demoidp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/op"

	"changebank/internal/store"
)

// Config is what a [Provider] needs from its surroundings.
type Config struct {
	Issuer       string            // as browsers reach it: an origin, no path, no trailing slash
	AppURL       string            // the application's origin: pages link to it, and a login may lead there
	Kickstart    []byte            // kickstart.json
	Env          map[string]string // what #{ENV.NAME} stands for in it
	Store        *store.Store
	PollInterval time.Duration // how far apart a device's polls must be; 0: 5 s
	Log          *slog.Logger
}

// Provider is the demo identity provider, an [http.Handler] for its whole
// origin.
type Provider struct {
	setup   *setup
	storage *storage
	op      *op.Provider
	appURL  string
	secure  bool // browsers come by https
	pages   map[string]*template.Template
	csp     string
	log     *slog.Logger
	mux     *http.ServeMux
}

// New returns the Provider that cfg.Kickstart asks for. The error about a
// kickstart that cannot be used names the place and the variable.
func New(ctx context.Context, cfg Config) (*Provider, error) {
	if cfg.PollInterval == 0 {
		cfg.PollInterval = 5 * time.Second
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	issuer, err := url.Parse(cfg.Issuer)
	if err != nil || issuer.Scheme+"://"+issuer.Host != cfg.Issuer {
		return nil, fmt.Errorf("demoidp: the issuer %q is not an origin", cfg.Issuer)
	}
	app, err := url.Parse(cfg.AppURL)
	if err != nil || app.Host == "" {
		return nil, fmt.Errorf("demoidp: the application's URL %q has no host", cfg.AppURL)
	}
	set, err := parseKickstart(cfg.Kickstart, cfg.Env)
	if err == nil && set.tenantIssuer != cfg.Issuer {
		err = fmt.Errorf("the tenant's issuer is %q, not %q", set.tenantIssuer, cfg.Issuer)
	}
	if err != nil {
		return nil, fmt.Errorf("demoidp: kickstart: %w", err)
	}
	storage, err := newStorage(ctx, cfg, set)
	if err != nil {
		return nil, fmt.Errorf("demoidp: %w", err)
	}
	pages, err := parsePages()
	if err != nil {
		return nil, fmt.Errorf("demoidp: %w", err)
	}
	provider, err := op.NewProvider(&op.Config{
		CryptoKey:                [32]byte(cfg.Store.DeriveKeys("demo provider crypto")[0]),
		AuthMethodPost:           true,
		CodeMethodS256:           true,
		GrantTypeRefreshToken:    true,
		DefaultLogoutRedirectURI: cfg.Issuer + "/logged-out",
		DeviceAuthorization: op.DeviceAuthorizationConfig{
			Lifetime:     set.deviceCodes,
			PollInterval: (cfg.PollInterval + time.Second - 1).Truncate(time.Second), // whole seconds are announced
			// Deprecated, but UserFormPath cannot lead to another host.
			UserFormURL: set.app.OauthConfiguration.DeviceVerificationURL,
			UserCode:    userCodeFormat,
		},
	}, storage, op.StaticIssuer(cfg.Issuer), op.WithAllowInsecure()) // the demo is plain http on localhost
	if err != nil {
		return nil, fmt.Errorf("demoidp: set up op: %w", err)
	}
	p := &Provider{
		setup:   set,
		storage: storage,
		op:      provider,
		appURL:  cfg.AppURL,
		secure:  issuer.Scheme == "https",
		pages:   pages,
		// form-action also covers the redirect that follows a form.
		csp: "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' " + app.Scheme + "://" + app.Host + "; frame-ancestors 'none'; base-uri 'none'",
		log: cfg.Log,
		mux: http.NewServeMux(),
	}
	return p, p.routes(cfg.Issuer)
}

func (p *Provider) routes(issuer string) error {
	endpoints := op.Endpoints{
		Authorization:       op.NewEndpoint("oauth2/authorize"),
		Token:               op.NewEndpoint("oauth2/token"),
		Introspection:       op.NewEndpoint("oauth2/introspect"),
		Userinfo:            op.NewEndpoint("oauth2/userinfo"),
		Revocation:          op.NewEndpoint("oauth2/revoke"),
		EndSession:          op.NewEndpoint("oauth2/logout"),
		JwksURI:             op.NewEndpoint(".well-known/jwks.json"),
		DeviceAuthorization: op.NewEndpoint("oauth2/device_authorize"),
	}
	interceptor := op.NewIssuerInterceptor(p.op.IssuerFromRequest)
	protocol := checked(op.RegisterServer(server{op.NewLegacyServer(p.op, endpoints), p.storage}, endpoints,
		op.WithServerCORSOptions(nil), op.WithHTTPMiddleware(interceptor.Handler)))
	sameOrigin := http.NewCrossOriginProtection()
	if err := sameOrigin.AddTrustedOrigin(issuer); err != nil { // a proxy may have changed the Host
		return fmt.Errorf("demoidp: %w", err)
	}

	p.mux.Handle("GET /.well-known/openid-configuration", protocol)
	p.mux.Handle("GET /.well-known/jwks.json", protocol)
	p.mux.Handle("GET /oauth2/authorize", protocol)
	p.mux.Handle("POST /oauth2/authorize", protocol)
	p.mux.Handle("GET /oauth2/userinfo", protocol)
	p.mux.Handle("POST /oauth2/userinfo", protocol)
	p.mux.Handle("GET /oauth2/logout", p.knowingBrowser(protocol))
	p.mux.Handle("POST /oauth2/logout", p.knowingBrowser(protocol))
	for _, path := range []string{"token", "device_authorize", "revoke", "introspect"} {
		p.mux.Handle("POST /oauth2/"+path, checked(p.authenticated(protocol)))
	}
	p.mux.Handle("POST /oauth2/device/approve", checked(p.authenticated(http.HandlerFunc(p.approve))))

	// Both finish a login by themselves, so op's callback, which would take
	// any request that is Done from any browser, is not mounted.
	p.mux.Handle("GET /login", interceptor.HandlerFunc(p.showLogin))
	p.mux.Handle("POST /login", sameOrigin.Handler(interceptor.HandlerFunc(p.login)))
	p.mux.HandleFunc("GET /logged-out", p.loggedOut)
	p.mux.HandleFunc("GET /oauth2/device", p.devicePage)
	p.mux.HandleFunc("GET /{$}", p.home)
	p.mux.HandleFunc("GET /demo.css", asset)
	p.mux.HandleFunc("GET /favicon.svg", asset)
	p.mux.Handle("GET /favicon.ico", http.RedirectHandler("/favicon.svg", http.StatusMovedPermanently)) // of pages that name none
	return nil
}

// ServeHTTP implements [http.Handler].
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", p.csp)
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	p.mux.ServeHTTP(w, r)
}

// People returns the e-mail addresses of those who can log in to the
// application, in the kickstart's order.
func (p *Provider) People() []string {
	var addresses []string
	for _, who := range p.setup.people {
		addresses = append(addresses, who.Email)
	}
	return addresses
}

// checked parses the form, and refuses what op would panic at.
func checked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			writeError(w, http.StatusBadRequest, "invalid_request", "", "the form cannot be read")
			return
		}
		for _, name := range []string{"token", "id_token_hint", "assertion", "client_assertion"} {
			if slices.ContainsFunc(r.Form[name], isHollow) { // of several, op takes the last
				writeError(w, http.StatusBadRequest, "invalid_request", "", name+" has no claims")
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// isHollow reports whether a JWT's payload is something else than an object.
// op reads claims before it checks the signature, and panics at a payload of
// "null".
func isHollow(token string) bool {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	return err == nil && !strings.HasPrefix(strings.TrimSpace(string(payload)), "{")
}

// writeError answers an OAuth error with FusionAuth's error_reason.
func writeError(w http.ResponseWriter, status int, code, reason, description string) {
	body := map[string]string{"error": code, "error_description": description}
	if reason != "" {
		body["error_reason"] = reason
	}
	writeJSON(w, status, body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a reader who left needs no answer
}
