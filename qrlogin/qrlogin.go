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
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"time"

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

// Config configures a [Handler]. Issuer, ClientID, AppURL, Session, LogIn, LoggedIn,
// ShowCode, ShowQuestion, and either DataDir or RedisURL are required.
type Config struct {
	// Issuer is the provider's issuer URL, exactly as in its discovery document.
	Issuer string
	// ClientID and ClientSecret identify the application at the provider. The
	// secret is empty for a public client.
	ClientID, ClientSecret string
	// Scopes are the scopes to request. The default is openid, email and profile.
	Scopes []string

	// AppURL is the application's address in browsers, without a path. It must use
	// https, except on the developer's own machine.
	AppURL string

	// Path is the path of the laptop's page, and the prefix of its other routes.
	// The default is /qr-login. Paths consist of letters, digits and - _ . ~.
	Path string
	// VerificationPath is the path of the phone's page, where the QR code leads.
	// The default is /activate. At the provider, AppURL+VerificationPath must be
	// the application's verification URI.
	VerificationPath string
	// CallbackPath is the path where a login at the provider returns. The default
	// is /callback. At the provider, AppURL+CallbackPath must be a redirect URI.
	CallbackPath string
	// HomePath is the path of the page after a login. The default is /.
	HomePath string

	// DataDir is the folder of the data file, for a single process. RedisURL is the
	// address of a Redis server, for any number of processes. Set one of the two.
	DataDir, RedisURL string
	// Key is a secret of at least 32 random characters. It encrypts the cookies
	// and all stored data. With DataDir it may be empty; a key is then generated
	// and kept in DataDir.
	Key string
	// OldKeys are other keys that can decrypt cookies and data. To change Key, add
	// the new key here in every process first.
	OldKeys []string

	// TrustedProxies are the networks of the reverse proxies in front of the
	// application. X-Forwarded headers from other addresses are ignored. If a proxy
	// is missing, all browsers seem to have its address.
	TrustedProxies []netip.Prefix
	// AlwaysNumber requires the number that the phone shows to be typed on the
	// laptop at every login. By default, it is required unless both are known to be
	// on the same network.
	AlwaysNumber bool

	// Session returns the ID of the application's session in the browser that sent
	// r, and the Login that LogIn received for that session. The ID is empty if
	// nobody is logged in, or not through LogIn.
	Session func(r *http.Request) (id string, login Login, err error)
	// LogIn logs in the browser that sent r, and returns the ID of its session. It
	// must create a session with a new ID, end the browser's previous session, and
	// keep login with the new one. It may set headers, but must not write a response.
	LogIn func(w http.ResponseWriter, r *http.Request, login Login) (session string, err error)
	// LoggedIn reports whether the session with that ID is still logged in as the
	// person with that subject. It is called before a login that the session has
	// approved is completed, so it must return false as soon as the session has
	// ended for any reason. When a session logs out the person's other sessions, it
	// must get a new ID, which also ends the logins that it has approved.
	//
	// LoggedIn is also called in the background, where a panic ends the program. Its
	// ctx ends after ten seconds.
	LoggedIn func(ctx context.Context, subject, session string) (bool, error)

	// ShowCode writes the laptop's page.
	ShowCode func(w http.ResponseWriter, r *http.Request, code Code)
	// ShowQuestion writes the phone's page.
	ShowQuestion func(w http.ResponseWriter, r *http.Request, question Question)
	// ShowError writes an error page with err.Status. The default is a line of text.
	ShowError func(w http.ResponseWriter, r *http.Request, err *Error)

	// Log is the logger. The default is slog.Default().
	Log *slog.Logger
}

// Login is the result of one login. The application keeps it with the session that
// it creates.
type Login struct {
	Person
	// ByPhone reports whether a phone approved this login. Such a session cannot
	// approve others. Otherwise a laptop that someone was tricked into logging in
	// could log in the next one (chaining).
	ByPhone bool

	// The provider's tokens. They are secret.
	AccessToken, RefreshToken, IDToken string
	// Expires is when AccessToken expires.
	Expires time.Time
}

// Person is an account at the provider. Issuer and Subject together identify it.
// The other fields can change and are only for display.
type Person struct {
	Issuer, Subject string
	Email, Name     string
	EmailVerified   bool // the provider has verified that Email belongs to the person
}

// String returns a name for the person that is safe to show. A verified e-mail
// address stands alone. Anything else is marked as unverified, since people can
// choose it freely.
func (p Person) String() string { return idp.Person(p).String() }

// Code is the content of the laptop's page. The page has up to three forms, all
// with method POST: to Path for a new code, to Path/cancel, and to Path/number with
// a field named number.
type Code struct {
	// State is waiting, opened, number, yes, claimed, denied, expired, cancelled or
	// failed.
	State       string
	Ended       bool   // the login has ended; offer a new code
	Title, Text string // the state of the login, and what to do next
	Note        string // further information; may be empty

	QR       template.HTML // the QR code as an SVG; empty once it has been approved or has ended
	UserCode string        // the user code, for people who cannot scan
	URI      string        // the verification URI, where the user code can be typed
	Link     string        // the verification URI with the user code, as in the QR code
	Expires  time.Time     // when the code expires

	NeedsNumber bool   // show the form for the number on the phone
	Problem     string // why the number was rejected; may be empty

	// Follow keeps the page up to date. Put it first in the page's head. It is a
	// script of this package, and a refresh for browsers without scripts.
	Follow template.HTML
}

// Question is the content of the phone's page. Title, Text, Problem and Warnings
// must always be shown. At most one of Ask, TypeCode, Number and Continue is set.
type Question struct {
	Person      Person   // the person who is logged in on the phone
	Title, Text string   // the state of the login, and what to do next
	Problem     string   // why the last answer was rejected; may be empty
	Warnings    []string // reasons to be careful; may be empty

	// Ask reports whether the person must decide. Show the fields below, and a form
	// with method POST to this page, with Fields and two buttons named answer, with
	// the values yes and no.
	Ask           bool
	Fields        template.HTML // hidden inputs
	Device        string        // the browser and system of the laptop
	Addr          string        // its IP address
	Requested     string        // how long ago the login was requested
	UserCode      string        // the code, which the laptop must show too
	SwitchAccount string        // path of a login with another account

	TypeCode bool   // show a form with method GET to this page, with a field named user_code
	Number   string // the number to type on the laptop
	Continue string // URL of the provider's own page for approval
}

// Defaults of the paths, and limits (RFC 10027, section 6.1.11).
const (
	defaultPath         = "/qr-login"
	defaultVerification = "/activate"
	defaultCallback     = "/callback"
	defaultHome         = "/"

	minKey       = 32 // characters
	codeLifetime = 5 * time.Minute
	maxBody      = 64 << 10 // bytes of a form

	cookieLifetime = 2 * time.Hour // at least an hour more than an attempt can last
	probeLifetime  = 10 * time.Minute
)

// plainPath matches paths that need no escaping anywhere. A request never has a path
// with an empty part or one that begins with a dot.
var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$`)

var limits = devicegrant.Limits{CodesPerAddress: 60, Live: 10000, WrongCodes: 10, WrongNumbers: 3}

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

// authMethod returns how the application authenticates at the provider.
func authMethod(cfg Config) idp.AuthMethod {
	if cfg.ClientSecret == "" {
		return idp.AuthNone
	}
	return idp.AuthAuto
}

// prepare checks cfg and sets the defaults. It returns the parsed AppURL.
func prepare(cfg *Config) (*url.URL, error) {
	for name, missing := range map[string]bool{
		"Issuer": cfg.Issuer == "", "ClientID": cfg.ClientID == "", "AppURL": cfg.AppURL == "",
		"Session": cfg.Session == nil, "LogIn": cfg.LogIn == nil, "LoggedIn": cfg.LoggedIn == nil,
		"ShowCode": cfg.ShowCode == nil, "ShowQuestion": cfg.ShowQuestion == nil,
	} {
		if missing {
			return nil, fmt.Errorf("set Config.%s", name)
		}
	}
	app, err := url.Parse(cfg.AppURL)
	if err != nil || app.Scheme != "http" && app.Scheme != "https" || app.Host == "" || cfg.AppURL != app.Scheme+"://"+strings.ToLower(app.Host) ||
		app.Port() == map[string]string{"http": "80", "https": "443"}[app.Scheme] { // which browsers leave out
		return nil, fmt.Errorf("the AppURL %q is not a scheme and a host in lower case, like https://example.com", cfg.AppURL)
	}
	if (cfg.DataDir == "") == (cfg.RedisURL == "") {
		return nil, errors.New("set either Config.DataDir or Config.RedisURL")
	}
	if cfg.Key == "" && (cfg.RedisURL != "" || len(cfg.OldKeys) > 0) || cfg.Key != "" && len(cfg.Key) < minKey {
		return nil, fmt.Errorf("set Config.Key to at least %d random characters", minKey)
	}
	for _, key := range cfg.OldKeys {
		if len(key) < minKey { // anyone knows the empty one, and could forge cookies
			return nil, fmt.Errorf("each of Config.OldKeys needs at least %d characters", minKey)
		}
	}
	for path, missing := range map[*string]string{
		&cfg.Path: defaultPath, &cfg.VerificationPath: defaultVerification, &cfg.CallbackPath: defaultCallback, &cfg.HomePath: defaultHome,
	} {
		if *path == "" {
			*path = missing
		}
		plain := *path
		if path == &cfg.HomePath { // which is the application's, and may be a folder
			plain = strings.TrimSuffix(plain, "/")
		}
		if plain != "" && !plainPath.MatchString(plain) {
			return nil, fmt.Errorf("%q is not a path of letters, digits and - _ . ~", *path)
		}
	}
	if len((&Handler{cfg: *cfg}).patterns()) < routeCount {
		return nil, errors.New("Config.Path, VerificationPath and CallbackPath overlap")
	}
	if cfg.Scopes == nil {
		cfg.Scopes = []string{"openid", "email", "profile"} // without offline_access, since nothing here refreshes tokens
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if app.Scheme == "http" && !isLocal(app) {
		cfg.Log.Warn("AppURL is not https; cookies and codes are sent unencrypted", "app_url", cfg.AppURL)
	}
	return app, nil
}

// isLocal reports whether browsers reach the application on this machine or in a
// private network.
func isLocal(app *url.URL) bool {
	addr, err := netip.ParseAddr(app.Hostname())
	return app.Hostname() == "localhost" || err == nil && (addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast())
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

// LogOut revokes the tokens of a login. Call it after the application has ended the
// session. It returns the URL to redirect the browser to, which ends its session at
// the provider, or "" if there is none to end.
func (h *Handler) LogOut(login Login) string {
	if login.Subject == "" {
		return "" // nobody was logged in
	}
	h.provider.Revoke(idp.Tokens{Access: login.AccessToken, Refresh: login.RefreshToken, ID: login.IDToken, Expires: login.Expires})
	if login.ByPhone { // at some providers, the URL would log out the phone
		return ""
	}
	return h.provider.LogoutURL(login.IDToken)
}

// loginOf returns the application's view of a login.
func loginOf(person idp.Person, tokens idp.Tokens, byPhone bool) Login {
	return Login{
		Person: Person(person), ByPhone: byPhone,
		AccessToken: tokens.Access, RefreshToken: tokens.Refresh, IDToken: tokens.ID, Expires: tokens.Expires,
	}
}
