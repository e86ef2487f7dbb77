// Package idp is the client of the identity provider: OpenID Connect for the
// phone's login, the Device Authorization Grant (RFC 8628) for the laptop's,
// and FusionAuth's call that approves a device. It stores nothing: what must be
// remembered between two calls is the caller's to keep.
package idp

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Tokens are a response of the token endpoint. They are secrets. Unlike
// oauth2.Token, they survive a round trip through JSON completely.
type Tokens struct {
	Access, Refresh, ID string
	RefreshID           string    `json:",omitzero"` // FusionAuth's identifier of Refresh; not a secret
	SID                 string    `json:",omitzero"` // of ID: the session at the provider, if a logout token may name it
	Expires             time.Time // of Access
}

// AuthMethod is how the client authenticates, at the token endpoint and at
// every other one (RFC 6749, section 2.3).
type AuthMethod string

const (
	AuthAuto  AuthMethod = "auto"  // post or basic, whichever the provider accepts
	AuthPost  AuthMethod = "post"  // client_secret in the body
	AuthBasic AuthMethod = "basic" // client_secret in the Authorization header
	AuthNone  AuthMethod = "none"  // a public client: client_id only
)

// Config configures a [Client].
type Config struct {
	Issuer       string // exactly as in the discovery document
	ClientID     string
	ClientSecret string
	Auth         AuthMethod
	AppURL       string   // ours, without a slash at its end
	Callback     string   // path where a login comes back to; default: /callback
	Verification string   // path of our page for phones; default: /activate
	Scopes       []string // to ask for, openid among them; none: the default, and fewer if the provider refuses it
	Log          *slog.Logger
	// Observe is called after each request to the provider, unless it is nil: with
	// what the request was for, in words from a fixed list, the HTTP status of the
	// response, 0 if there was none, and the time until it began.
	Observe func(call string, status int, took time.Duration)
}

// Where the provider sends browsers: after a login, after a logout, and with a
// user code if its verification URI is our page.
func (c Config) redirectURL() string     { return c.AppURL + cmp.Or(c.Callback, "/callback") }
func (c Config) logoutURL() string       { return c.AppURL + "/" }
func (c Config) verificationURI() string { return c.AppURL + cmp.Or(c.Verification, "/activate") }

const (
	requestTimeout = 10 * time.Second // for one request to the provider
	maxBackoff     = 10 * time.Second // between two attempts to discover the provider
)

// Client is this application as a client of one provider.
type Client struct {
	cfg     Config
	http    *http.Client
	revoker *revoker

	discovered chan struct{}         // closed once provider is set
	provider   *provider             // see ready
	trouble    atomic.Pointer[error] // why the last discovery failed

	stop      context.CancelFunc // of discovery
	discovery sync.WaitGroup
}

// New returns a Client that discovers its provider in the background, since the
// provider may start later than this program. Until then every call returns
// [ErrNotReady].
func New(cfg Config) *Client {
	ctx, stop := context.WithCancel(context.Background())
	c := &Client{
		cfg:        cfg,
		discovered: make(chan struct{}),
		stop:       stop,
	}
	c.http = c.newHTTPClient()
	c.revoker = newRevoker(c.revokeOrLog)
	c.discovery.Go(func() { c.discoverWithRetries(ctx) })
	return c
}

// Close waits a few seconds at most for the queued revocations, then stops
// discovery and closes idle connections.
func (c *Client) Close() {
	c.revoker.close()
	c.stop()
	c.discovery.Wait()
	c.http.CloseIdleConnections()
}

// Ready returns nil once the provider has been discovered, and until then why
// it has not been.
func (c *Client) Ready() error {
	if _, err := c.ready(); err == nil {
		return nil
	}
	if trouble := c.trouble.Load(); trouble != nil {
		return *trouble
	}
	return ErrNotReady
}

// ready returns the provider, or [ErrNotReady].
func (c *Client) ready() (*provider, error) {
	select {
	case <-c.discovered:
		return c.provider, nil
	default:
		return nil, ErrNotReady
	}
}

func (c *Client) discoverWithRetries(ctx context.Context) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, maxBackoff) {
		p, err := c.discover(ctx)
		if err == nil {
			c.provider = p
			close(c.discovered)
			c.cfg.Log.Info("identity provider found", "issuer", c.cfg.Issuer, "client_auth", string(*p.auth.Load()))
			if p.oauth.Endpoint.DeviceAuthURL == "" {
				c.cfg.Log.Warn("phone login is off", "err", ErrNoDeviceGrant)
			}
			return
		}
		if ctx.Err() != nil {
			return
		}
		// The same reason again would only fill the log.
		if last := c.trouble.Swap(&err); last == nil || (*last).Error() != err.Error() {
			c.cfg.Log.Warn("identity provider not found yet, retrying", "issuer", c.cfg.Issuer, "err", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
}
