// Package idp speaks with the identity provider: OpenID Connect for the phone's
// login, the Device Authorization Grant (RFC 8628) for the laptop's, and
// FusionAuth's call that approves a device. It keeps nothing: what must be
// remembered between two calls is handed to the caller.
package idp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Person is whom the provider says somebody is. Issuer and Subject identify
// them (OpenID Connect Core, section 2); the rest is for showing.
type Person struct {
	Issuer, Subject string
	Email, Name     string
}

// Is reports whether p and q are the same person. Nobody is the same as nobody.
func (p Person) Is(q Person) bool {
	return p.Subject != "" && p.Issuer == q.Issuer && p.Subject == q.Subject
}

// String returns what a person would call themselves: the e-mail address,
// else the name, else the provider's identifier.
func (p Person) String() string {
	switch {
	case p.Email != "":
		return p.Email
	case p.Name != "":
		return p.Name
	}
	return p.Subject
}

// LogValue logs a person by what identifies them.
func (p Person) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", p.Issuer), slog.String("subject", p.Subject))
}

// Tokens are what the token endpoint gives. They are secrets. JSON keeps all
// of them, which it does not for oauth2.Token.
type Tokens struct {
	Access, Refresh, ID string
	RefreshID           string    // FusionAuth's name for Refresh, no secret
	Expires             time.Time // of Access
}

// DeviceCode is an answer of the device authorization endpoint (RFC 8628,
// section 3.2), with times that can be stored. Device is a secret.
type DeviceCode struct {
	Device      string
	User        string // the user code, exactly as the provider writes it
	URI         string
	URIComplete string // URI with the user code in it
	Expires     time.Time
	Interval    time.Duration // the least time between two polls
}

// Flow is one authorization-code login on its way: kept in the browser's
// session, taken out once.
type Flow struct {
	State, Nonce, Verifier string
	ReturnTo               string // a path of ours
	Afresh                 bool   // a login of before will not do; see [Flow.Fresh]
	Subject                string // who has to log in; empty: anybody
	Started                time.Time
}

// ErrNotReady says that the provider's discovery document has not been read yet.
var ErrNotReady = errors.New("idp: the provider has not been discovered yet")

// ErrInvalidToken says that tokens may not count, now or later. Other errors of
// [Client.Verify] are faults to ride out: the keys could not be fetched, say.
var ErrInvalidToken = errors.New("idp: invalid token")

// An Error is an answer of the provider that is not the one asked for.
type Error struct {
	Status   int           // HTTP status, 0 if it came by way of the browser
	Code     string        // the OAuth error code (RFC 6749, section 5.2), if there was one
	Reason   string        // FusionAuth's error_reason, if there was one
	Interval time.Duration // how long the provider wants us to wait before we ask again, 0 if it did not say
}

func (e *Error) Error() string {
	text := fmt.Sprintf("provider answered %d", e.Status)
	if e.Status == 0 {
		text = "provider answered"
	}
	for _, word := range []string{e.Code, e.Reason} {
		if word != "" {
			text += fmt.Sprintf(" %.60q", word) // the provider's words, kept short and on one line
		}
	}
	return text
}

// OfClient reports whether the provider refused this application, and not a
// person or a code: what it is set up with does not fit.
func (e *Error) OfClient() bool {
	return e.Code == "invalid_client" || e.Code == "unauthorized_client" || e.Code == "invalid_scope" || e.Code == "unsupported_grant_type"
}

// OfCode reports whether the provider no longer knows the code. RFC 6749 calls
// that invalid_grant; FusionAuth an invalid request, and forgets codes that
// have expired.
func (e *Error) OfCode() bool {
	return e.Code == "invalid_grant" || e.Code == "invalid_request" && e.Reason == "invalid_device_code"
}

// Final reports whether the provider has decided. If not, it is in trouble,
// or something between us and it is, and the same request may succeed later.
func (e *Error) Final() bool { return e.Code != "" && e.Status < 500 }

// AuthMethod is how the client shows who it is at the token endpoint, and at
// every other one (RFC 6749, section 2.3).
type AuthMethod string

const (
	AuthAuto  AuthMethod = "auto"  // what discovery offers, post first
	AuthPost  AuthMethod = "post"  // client_secret in the body
	AuthBasic AuthMethod = "basic" // client_secret in the Authorization header
	AuthNone  AuthMethod = "none"  // a public client: client_id only
)

// Config is what a [Client] needs to know.
type Config struct {
	Issuer       string // exactly as the discovery document says
	ClientID     string
	ClientSecret string
	Auth         AuthMethod
	RedirectURL  string // where the provider sends the browser after a login
	LogoutURL    string // and after a logout
	Log          *slog.Logger
}

const (
	timeout    = 10 * time.Second // for one request to the provider
	maxAnswer  = 1 << 20          // bytes of an answer that are read
	maxBackoff = 10 * time.Second // between two tries to discover the provider
)

// Client is this application as a client of one provider.
type Client struct {
	cfg      Config
	http     *http.Client
	provider atomic.Pointer[provider] // nil until discovered
	trouble  atomic.Pointer[error]    // why it is not discovered yet

	stop context.CancelFunc
	wg   sync.WaitGroup
}

// New returns a Client and starts to discover its provider, which may start
// later than we do. Until then every call returns [ErrNotReady].
func New(cfg Config) *Client {
	ctx, stop := context.WithCancel(context.Background())
	c := &Client{
		cfg:  cfg,
		stop: stop,
		http: &http.Client{
			Timeout:   timeout,
			Transport: bounded{http.DefaultTransport.(*http.Transport).Clone()},
			// A redirect could carry the client secret to another host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
	c.wg.Go(func() { c.discoverUntilFound(ctx) })
	return c
}

// Close ends discovery and drops idle connections.
func (c *Client) Close() {
	c.stop()
	c.wg.Wait()
	c.http.CloseIdleConnections()
}

// Ready returns nil once the provider has been discovered, else the reason why
// it has not been yet.
func (c *Client) Ready() error {
	if c.provider.Load() != nil {
		return nil
	}
	if trouble := c.trouble.Load(); trouble != nil {
		return *trouble
	}
	return ErrNotReady
}

func (c *Client) ready() (*provider, error) {
	if p := c.provider.Load(); p != nil {
		return p, nil
	}
	return nil, ErrNotReady
}

func (c *Client) discoverUntilFound(ctx context.Context) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, maxBackoff) {
		p, err := c.discover(ctx)
		if err == nil {
			c.provider.Store(p)
			c.cfg.Log.Info("identity provider found", "issuer", c.cfg.Issuer, "client_auth", string(p.auth))
			return
		}
		if ctx.Err() != nil {
			return
		}
		if last := c.trouble.Swap(&err); last == nil || (*last).Error() != err.Error() {
			c.cfg.Log.Warn("identity provider not found yet, trying again; is it running, and is ISSUER right?", "issuer", c.cfg.Issuer, "err", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}

// bounded reads no more of an answer than we are ready to hold in memory:
// go-oidc and x/oauth2 read all there is. And it calls JSON what some providers
// and proxies call text/plain, which x/oauth2 would read as a form.
type bounded struct{ *http.Transport }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.Hostname(), "ngrok") {
		// Else a free tunnel may answer with a page that warns of what it leads
		// to, in place of the provider behind it.
		r = r.Clone(r.Context())
		r.Header.Set("ngrok-skip-browser-warning", "true")
	}
	resp, err := b.Transport.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
		if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain") {
			resp.Header.Set("Content-Type", "application/json")
		}
	}
	return resp, err
}

// brief keeps an error's text on one line and short: go-oidc puts whole answers
// of the provider into its errors.
type brief struct{ error }

func (b brief) Error() string {
	const most = 300
	text := strings.Join(strings.Fields(b.error.Error()), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

func (b brief) Unwrap() error { return b.error }

// origin returns the scheme, host and port of a URL, for a Content-Security-Policy.
func origin(url string) string {
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		return ""
	}
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}
