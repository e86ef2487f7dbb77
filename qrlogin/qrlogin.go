// Package qrlogin lets a Go web application log in a laptop with a phone: the
// laptop shows a QR code, a phone that is logged in scans and approves it, and the
// laptop is logged in. It uses the OAuth 2.0 Device Authorization Grant (RFC 8628)
// of FusionAuth or any other OpenID provider, with the defenses against phishing
// of RFC 10027.
//
// The application keeps its own pages and its own sessions. A [Handler] serves the
// routes of the login and calls the application's functions ([Config]) to draw a
// page, to make a session, and to ask who is logged in.
//
// docs/own-application.md explains a complete program, and which rules the
// application must keep so that the login is safe.
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

// Config is what a [Handler] needs. Session, LogIn, LoggedIn, ShowCode and
// ShowQuestion are required.
type Config struct {
	// Issuer is the provider's address, exactly as in its discovery document.
	Issuer                 string
	ClientID, ClientSecret string
	Scopes                 []string // default: openid, email, profile

	// AppURL is the application's address in browsers: scheme, host, and port
	// unless it is the scheme's default. It is https, except on your own machine.
	AppURL string

	// Path is where the laptop's page is; default: /qr-login.
	Path string
	// VerificationPath is where the QR code leads; default: /activate. The provider
	// must have AppURL+VerificationPath as the application's verification URI.
	VerificationPath string
	// CallbackPath is where a login at the provider comes back to; default:
	// /callback. The provider must have AppURL+CallbackPath as a redirect URI.
	CallbackPath string
	// HomePath is the page after a login; default: /.
	HomePath string

	// The store is a file in the folder DataDir, for one process, or the Redis at
	// RedisURL, for any number of them. Set one of the two.
	DataDir, RedisURL string
	// Key is a secret of at least 32 random characters. It protects the cookies
	// and everything in the store. It may be empty with DataDir, which then holds
	// a key of its own.
	Key string
	// OldKeys open what was sealed with them. Before Key is changed, every process
	// must have the new key here.
	OldKeys []string

	// TrustedProxies are the networks of the reverse proxies in front. Only their
	// X-Forwarded headers count; without them, all browsers would seem to be one.
	TrustedProxies []netip.Prefix
	// AlwaysNumber has the laptop always type the number that the phone shows.
	// Otherwise it must unless both are known to be on the same network.
	AlwaysNumber bool

	// Session returns the application's session of the browser that sent r, and
	// what LogIn was given for it. An empty ID means that nobody is logged in, or
	// not through LogIn.
	Session func(r *http.Request) (id string, login Login, err error)
	// LogIn logs in the browser that sent r, and returns the ID of its session. It
	// must make a session with a new ID, end the one that the browser had, and keep
	// login with the new one. It sets cookies and writes no answer.
	LogIn func(w http.ResponseWriter, r *http.Request, login Login) (session string, err error)
	// LoggedIn reports whether the session with that ID is still logged in as the
	// person with that subject. It is asked before a login that the session has
	// approved is completed, so it must be false as soon as the session has ended,
	// in whichever way. A session that logs out all of the person's other sessions
	// needs a new ID: the logins that it has approved then end, too. It is also
	// called in the background, where a panic ends the program, and ctx ends after
	// ten seconds.
	LoggedIn func(ctx context.Context, subject, session string) (bool, error)

	// ShowCode draws the laptop's page.
	ShowCode func(w http.ResponseWriter, r *http.Request, code Code)
	// ShowQuestion draws the phone's page.
	ShowQuestion func(w http.ResponseWriter, r *http.Request, question Question)
	// ShowError draws the page of an error; default: a line of text.
	ShowError func(w http.ResponseWriter, r *http.Request, err *Error)

	Log *slog.Logger // default: slog.Default()
}

// Login is what the provider said at one login. The application keeps it with the
// session that it makes.
type Login struct {
	Person
	// ByPhone says that a phone approved this login. Such a session cannot approve
	// others: one laptop that someone was tricked into logging in would log in the
	// next.
	ByPhone bool

	AccessToken, RefreshToken, IDToken string    // secrets
	Expires                            time.Time // of AccessToken
}

// Person is an account at the provider. Issuer and Subject identify it; the rest
// is for showing.
type Person struct {
	Issuer, Subject string
	Email, Name     string
	EmailVerified   bool // the provider says that the address is the person's own
}

// String returns what to call the person on a page. Only a verified address stands
// alone; anything else is marked, since people may choose it freely.
func (p Person) String() string { return idp.Person(p).String() }

// Code is what the laptop's page shows. Its forms are POST requests to Path (show
// a new code), to Path/cancel, and to Path/number with a field named number.
type Code struct {
	// State is waiting, opened, number, yes, claimed, denied, expired, cancelled or
	// failed.
	State       string
	Ended       bool   // a new code can be shown
	Title, Text string // how the login stands, and what to do next
	Note        string // what else the person should know; may be empty

	QR        template.HTML // an SVG; empty when the code is no longer useful
	UserCode  string        // for people who cannot scan it
	URI, Link string        // where the phone goes: without the code, to be typed, and with it
	Expires   time.Time

	NeedsNumber bool   // the person must type the number that the phone shows
	Problem     string // with the number that was typed; may be empty

	// Follow keeps the page up to date and belongs in its head. It is a script of
	// this package, with a refresh for browsers without scripts.
	Follow template.HTML
}

// Question is what the phone's page shows. Title, Text, Problem and Warnings are
// for every page. At most one of Ask, TypeCode, Number and Continue is set.
type Question struct {
	Person      Person // who is logged in on the phone
	Title, Text string
	Problem     string   // may be empty
	Warnings    []string // must be shown beside the question

	// Ask says that the person must decide: a form, sent with POST to this page,
	// with Fields and buttons named answer with the values yes and no.
	Ask                     bool
	Fields                  template.HTML // hidden inputs
	Device, Addr, Requested string        // who asks, from which IP address, and how long ago
	UserCode                string        // which the laptop must show, too
	SwitchAccount           string        // path for a person who is someone else

	TypeCode bool   // a form, sent with GET to this page, with a field named user_code
	Number   string // to be typed on the laptop
	Continue string // URL of the provider's own page, which asks the person
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

// plainPath is a path that needs no escaping anywhere. An empty or dotted part
// would match no request.
var plainPath = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$`)

var limits = devicegrant.Limits{CodesPerAddress: 60, Live: 10000, WrongCodes: 10, WrongNumbers: 3}

// Handler serves the routes of the login. Make one with [New].
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

// New returns a Handler. Its owner must Close it. The provider is looked for in
// the background, and until it is found, pages say that it is unavailable. Errors
// of the store name the settings of Changebank: DATA_DIR is Config.DataDir,
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

// authMethod is how the application authenticates at the provider.
func authMethod(cfg Config) idp.AuthMethod {
	if cfg.ClientSecret == "" {
		return idp.AuthNone
	}
	return idp.AuthAuto
}

// prepare checks cfg, and puts in what was left out. It returns the parsed AppURL.
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
		cfg.Scopes = []string{"openid", "email", "profile"} // without offline_access: nobody here refreshes tokens
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if app.Scheme == "http" && !isLocal(app) {
		cfg.Log.Warn("AppURL is not https, so others on the way can read cookies and codes", "app_url", cfg.AppURL)
	}
	return app, nil
}

// isLocal reports whether browsers reach the application on this machine or in a
// private network.
func isLocal(app *url.URL) bool {
	addr, err := netip.ParseAddr(app.Hostname())
	return app.Hostname() == "localhost" || err == nil && (addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast())
}

// Close ends the work in the background. Another process, or the next one,
// continues with the logins in progress.
func (h *Handler) Close() error {
	h.EndWaits()
	h.grants.Close()
	h.provider.Close()
	return h.store.Close()
}

// EndWaits answers the pages that wait for a change, which would otherwise keep a
// server from shutting down. It is for [http.Server.RegisterOnShutdown].
func (h *Handler) EndWaits() { h.endWaits() }

// LogOut revokes a login's tokens, for an application that has ended the session.
// It returns the URL at which the browser ends its session at the provider, or ""
// if it has none there.
func (h *Handler) LogOut(login Login) string {
	if login.Subject == "" {
		return "" // nobody was logged in
	}
	h.provider.Revoke(idp.Tokens{Access: login.AccessToken, Refresh: login.RefreshToken, ID: login.IDToken, Expires: login.Expires})
	if login.ByPhone { // at some providers, this would log out the phone
		return ""
	}
	return h.provider.LogoutURL(login.IDToken)
}

// loginOf returns what the application gets.
func loginOf(person idp.Person, tokens idp.Tokens, byPhone bool) Login {
	return Login{
		Person: Person(person), ByPhone: byPhone,
		AccessToken: tokens.Access, RefreshToken: tokens.Refresh, IDToken: tokens.ID, Expires: tokens.Expires,
	}
}
