package qrlogin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"time"

	"changebank/internal/devicegrant"
	"changebank/internal/idp"
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
