// Package qrlogin adds login by phone to a web application. The laptop shows a QR
// code, a phone that is already logged in scans and approves it, and the laptop is
// logged in. The package uses the OAuth 2.0 Device Authorization Grant (RFC 8628)
// of FusionAuth or another OpenID provider, with the defenses against phishing of
// RFC 10027.
//
// The application keeps its own pages and sessions. A [Handler] serves the routes
// of the login. It calls functions of the application, set in [Config], to draw
// pages, to create sessions, and to look them up.
//
// For a complete program, and for the rules that the application must follow to be
// safe, see docs/own-application.md.
package qrlogin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"changebank/internal/browser"
	"changebank/internal/cookies"
	"changebank/internal/devicegrant"
	"changebank/internal/flows"
	"changebank/internal/follow"
	"changebank/internal/idp"
	"changebank/internal/qrcode"
	"changebank/internal/shown"
	"changebank/internal/store"
)

// Handler serves the routes of the login. Create one with [New].
type Handler struct {
	cfg      Config
	log      *slog.Logger
	networks browser.Networks
	store    *store.Store
	provider *idp.Client
	grants   *devicegrant.Manager
	results  *results
	follow   *follow.Follower
	endWaits func() // ends the waiting of follow, once
	flows    flows.Flows
	shown    shown.Stamps
	qr       *cookies.Kind // the ID of the attempt that this browser started
	opened   *cookies.Kind // the Ref of the attempt that this browser opened last
	probe    *cookies.Kind // holds nothing; it shows that the browser keeps cookies
	qrCodes  qrcode.Codes
	origins  *http.CrossOriginProtection
	mux      *http.ServeMux
}

// New returns a Handler. The caller must call [Handler.Close] when done. New does
// not wait for the provider: a Handler looks for it in the background and shows an
// error until it is found. ctx is used only while New opens the store.
//
// Errors of the store name the settings of Changebank: DATA_DIR is Config.DataDir,
// APP_SECRET_KEY is Config.Key, and REDIS_URL is Config.RedisURL.
func New(ctx context.Context, cfg Config) (*Handler, error) {
	app, err := prepare(&cfg)
	if err != nil {
		return nil, fmt.Errorf("qrlogin: %w", err)
	}
	var keys [][]byte
	if cfg.Key != "" {
		keys = append(keys, []byte(cfg.Key))
	}
	for _, key := range cfg.OldKeys {
		keys = append(keys, []byte(key))
	}
	records, err := store.Open(ctx, cfg.RedisURL, cfg.DataDir, keys, nil, cfg.Log)
	if err != nil {
		return nil, fmt.Errorf("qrlogin: %w", err)
	}
	own := records.Namespace(strings.Join([]string{"qrlogin", cfg.Issuer, cfg.ClientID, cfg.AppURL}, " "))
	jar, err := cookies.Named("qrlogin", cfg.AppURL, own.DeriveKeys)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("qrlogin: %w", err), records.Close())
	}
	h := &Handler{
		cfg:      cfg,
		log:      cfg.Log,
		networks: browser.Networks{Proxies: cfg.TrustedProxies},
		store:    records,
		flows:    flows.New(jar, own, cfg.HomePath),
		shown:    shown.New(jar, cookieLifetime),
		qr:       jar.Kind("code", cookieLifetime),
		opened:   jar.Kind("opened", cookieLifetime),
		probe:    jar.Kind("probe", probeLifetime),
		origins:  http.NewCrossOriginProtection(),
	}
	if err := h.origins.AddTrustedOrigin(cfg.AppURL); err != nil {
		return nil, errors.Join(fmt.Errorf("qrlogin: %w", err), records.Close())
	}
	h.provider = idp.New(idp.Config{
		Issuer:       cfg.Issuer,
		ClientID:     cfg.ClientID,
		ClientSecret: cfg.ClientSecret,
		Auth:         authMethod(cfg),
		AppURL:       cfg.AppURL,
		Callback:     cfg.CallbackPath,
		Verification: cfg.VerificationPath,
		Scopes:       cfg.Scopes,
		Log:          cfg.Log,
	})
	h.results = &results{
		table:    store.NewTable[result](own, "results"),
		loggedIn: cfg.LoggedIn,
		revoke:   h.provider.Revoke,
	}
	confirm := devicegrant.NumberAuto
	if cfg.AlwaysNumber {
		confirm = devicegrant.NumberAlways
	}
	h.grants = devicegrant.New(devicegrant.Config{
		Provider:        h.provider,
		Sessions:        h.results,
		Store:           own,
		VerificationURI: cfg.AppURL + cfg.VerificationPath,
		Local:           isLocal(app),
		ConfirmNumber:   confirm,
		CodeLifetime:    codeLifetime,
		Limits:          limits,
		Log:             cfg.Log,
	})
	h.follow = follow.New(h.grants, cfg.Log)
	h.endWaits = sync.OnceFunc(h.follow.End)
	h.mux = h.routes()
	return h, nil
}

// Close ends the background work and closes the store. Another process, or the next
// start, can continue the logins in progress.
func (h *Handler) Close() error {
	h.EndWaits()
	h.grants.Close()
	h.provider.Close()
	return h.store.Close()
}

// EndWaits ends the requests that wait for a change, which would otherwise delay a
// shutdown. Pass it to [http.Server.RegisterOnShutdown].
func (h *Handler) EndWaits() { h.endWaits() }
