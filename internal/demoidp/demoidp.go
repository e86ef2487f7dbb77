// Package demoidp is the demo identity provider: zitadel/oidc's op at
// FusionAuth's paths, set up from the kickstart that sets up FusionAuth, with
// FusionAuth's device approve call and login pages of its own.
//
// It exists so that the program runs, and is tested, with nothing installed. It
// is not for real people: their passwords come from the settings.
package demoidp

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"changebank/internal/browser"
	"changebank/internal/config"
	"changebank/internal/limit"
	"changebank/internal/store"
	"changebank/kickstart"
)

// Provider is the demo identity provider, an [http.Handler] for its whole
// origin.
type Provider struct {
	*setup
	storage *storage
	op      *op.Provider
	appURL  string
	secure  bool // browsers use https
	exposed bool // others can reach it, and guess
	limiter *limit.Limiter
	proxies browser.Proxies
	log     *slog.Logger
	mux     *http.ServeMux
}

// New returns the demo provider at cfg.DemoURL for the application at
// cfg.AppURL. It derives the client secret and the people's password from the
// store's key and sets them in cfg, unless the operator chose them. It returns
// the password for display, or "" if the operator chose it.
func New(ctx context.Context, cfg *config.Config, s *store.Store, log *slog.Logger) (p *Provider, password string, err error) {
	password = deriveSecrets(cfg, s)
	set, err := parseKickstart(kickstart.JSON, map[string]string{
		"APP_URL":        cfg.AppURL,
		"ISSUER":         cfg.DemoURL,
		"CLIENT_ID":      cfg.ClientID,
		"CLIENT_SECRET":  string(cfg.ClientSecret),
		"USER_PASSWORD":  string(cfg.UserPassword),
		"ADMIN_PASSWORD": string(cfg.AdminPassword),
	})
	if err != nil {
		return nil, "", fmt.Errorf("demoidp: kickstart: %w", err)
	}
	if cfg.Exposed() {
		if err := checkLength(set.people); err != nil {
			return nil, "", fmt.Errorf("demoidp: kickstart: %w", err)
		}
	}
	storage := newStorage(s, set)
	if err := storage.keys.prepare(ctx, log); err != nil {
		return nil, "", fmt.Errorf("demoidp: signing key: %w", err)
	}
	provider, err := op.NewProvider(new(op.Config), storage, op.StaticIssuer(set.issuer), op.WithAllowInsecure()) // http on localhost
	if err != nil {
		return nil, "", fmt.Errorf("demoidp: set up op: %w", err)
	}
	p = &Provider{
		setup:   set,
		storage: storage,
		op:      provider,
		appURL:  cfg.AppURL,
		secure:  strings.HasPrefix(set.issuer, "https:"),
		exposed: cfg.Exposed(),
		limiter: limit.New(s),
		proxies: cfg.TrustedProxies,
		log:     log,
		mux:     http.NewServeMux(),
	}
	return p, password, p.routes()
}

// routes mounts op's handlers one by one. op's own router has endpoints that the
// application does not use, and a callback that completes a login in any browser.
func (p *Provider) routes() error {
	sameOrigin := http.NewCrossOriginProtection()
	if err := sameOrigin.AddTrustedOrigin(p.issuer); err != nil { // a proxy may have changed the Host
		return fmt.Errorf("demoidp: %w", err)
	}
	p.mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	p.mux.HandleFunc("GET /.well-known/jwks.json", p.keys)
	p.mux.HandleFunc("GET /oauth2/authorize", p.authorize)
	p.mux.HandleFunc("GET /oauth2/userinfo", p.userInfo)
	p.mux.HandleFunc("GET /oauth2/logout", p.logout)
	p.mux.HandleFunc("POST /oauth2/token", p.authenticated(p.token))
	p.mux.HandleFunc("POST /oauth2/revoke", p.authenticated(p.revoke))
	p.mux.HandleFunc("POST /oauth2/device_authorize", p.authenticated(p.startDevice))
	p.mux.HandleFunc("POST /oauth2/device/approve", p.authenticated(p.approveDevice))

	p.mux.HandleFunc("GET /login", p.showLogin)
	p.mux.Handle("POST /login", sameOrigin.Handler(http.HandlerFunc(p.login)))
	p.mux.HandleFunc("GET /oauth2/device", p.devicePage)
	p.mux.HandleFunc("GET /logged-out", p.loggedOut)
	p.mux.HandleFunc("GET /{$}", p.home)
	p.mux.HandleFunc("GET /demo.css", asset)
	p.mux.HandleFunc("GET /favicon.svg", asset)
	return nil
}

// ServeHTTP implements [http.Handler].
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	// form-action also covers the redirect that follows a form.
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self' "+p.appURL+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	r = r.WithContext(op.ContextWithIssuer(r.Context(), p.issuer))
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	if err := r.ParseForm(); err != nil {
		writeError(w, http.StatusBadRequest, "invalid_request", "", "invalid form")
		return
	}
	p.mux.ServeHTTP(w, r)
}

// People returns the email addresses of those who can log in to the application,
// in the kickstart's order.
func (p *Provider) People() []string {
	var addresses []string
	for _, who := range p.people {
		addresses = append(addresses, who.Email)
	}
	return addresses
}

// discovery lists only what the application may use (OpenID Connect Discovery,
// section 3).
func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"issuer":                                p.issuer,
		"authorization_endpoint":                p.issuer + "/oauth2/authorize",
		"token_endpoint":                        p.issuer + "/oauth2/token",
		"device_authorization_endpoint":         p.issuer + "/oauth2/device_authorize",
		"userinfo_endpoint":                     p.issuer + "/oauth2/userinfo",
		"end_session_endpoint":                  p.issuer + "/oauth2/logout",
		"revocation_endpoint":                   p.issuer + "/oauth2/revoke",
		"jwks_uri":                              p.issuer + "/.well-known/jwks.json",
		"grant_types_supported":                 grantTypes,
		"response_types_supported":              []string{"code"},
		"scopes_supported":                      scopes,
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{"RS256"},
		"token_endpoint_auth_methods_supported": []oidc.AuthMethod{oidc.AuthMethodBasic, oidc.AuthMethodPost},
		"code_challenge_methods_supported":      []string{"S256"},
	})
}

// writeError answers with an OAuth error (RFC 6749, section 5.2) and
// FusionAuth's error_reason.
func writeError(w http.ResponseWriter, status int, code, reason, description string) {
	body := map[string]string{"error": code, "error_description": description}
	if reason != "" {
		body["error_reason"] = reason
	}
	writeJSON(w, status, body)
}

// serverError logs and answers a failure that is not the client's fault.
func (p *Provider) serverError(w http.ResponseWriter, what string, err error) {
	p.log.Error("demo provider: "+what+" failed", "err", err)
	writeError(w, http.StatusInternalServerError, "server_error", "", what+" failed")
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only if the client is gone
}
