// Package handlers is the web application: the pages of the laptop and of the
// phone, and what every request goes through.
package handlers

import (
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"

	"changebank/internal/browser"
	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/session"
)

// Config is what the [Server] needs.
type Config struct {
	AppURL         string // as browsers see us: scheme, host, port if not the scheme's own
	Provider       *idp.Client
	Sessions       *session.Manager
	Grants         *devicegrant.Manager
	People         []string // who can log in at the demo provider; none with a real one
	TrustedProxies browser.Proxies
	QRAllowFrom    []netip.Prefix // who may start a QR login; none: everybody
	Public         bool           // browsers come from elsewhere, so none has a private address
	Log            *slog.Logger
}

// Server answers the requests. Make one with [New].
type Server struct {
	cfg     Config
	host    string // of AppURL, with its port
	scheme  string
	log     *slog.Logger
	pages   map[string]*template.Template
	handler http.Handler
	proxies sync.Once     // for the warning about proxies that are not trusted
	stop    chan struct{} // closed when the event streams must end
}

// New returns a Server. A page that does not parse is an error.
func New(cfg Config) (*Server, error) {
	app, err := url.Parse(cfg.AppURL)
	if err != nil {
		return nil, err
	}
	pages, err := parsePages()
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg:    cfg,
		host:   app.Host,
		scheme: app.Scheme,
		log:    cfg.Log,
		pages:  pages,
		stop:   make(chan struct{}),
	}
	s.handler = s.wrap(s.routes())
	return s, nil
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// EndStreams ends the event streams, which would otherwise keep a server from
// shutting down: their browsers come back to its successor. Call it once.
func (s *Server) EndStreams() { close(s.stop) }

// routes lists every page. An act is a GET that changes something.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	page := func(pattern string, p pageFunc) { mux.Handle(pattern, s.page(p)) }
	act := func(pattern string, p pageFunc) { mux.Handle(pattern, s.page(deliberate(p))) }

	page("GET /{$}", s.home)
	act("GET /login", s.login)
	act("GET /callback", s.callback)
	page("GET /logout", s.member(s.logoutQuestion))
	page("POST /logout", s.logout)
	act("GET /account", s.member(s.account))
	page("GET /make-change", s.member(s.makeChange))
	page("POST /make-change", s.member(s.makeChange))

	act("GET /logged-out-qr-login", s.qrLogin)
	page("POST /logged-out-qr-login", s.qrLoginNew)
	page("POST /logged-out-qr-login/cancel", s.qrLoginCancel)
	page("POST /logged-out-qr-login/confirm", s.qrLoginConfirm)
	act("GET /logged-out-qr-login/events", s.events)
	act("GET /device_grant_finished", s.deviceGrantFinished)
	act("GET /reload", s.reload)

	act("GET /activate", s.activate)
	page("POST /activate", s.answer)

	page("GET /devices", s.member(s.devices))
	page("POST /devices/{ref}/end", s.member(s.endDevice))
	page("POST /devices/{ref}/confirm", s.member(s.confirmDevice))
	page("POST /devices/others/end", s.member(s.endOtherDevices)) // no ref is in small letters

	page("GET /static/{name}", s.static)
	page("GET /healthz", s.healthz)
	page("GET /readyz", s.readyz)
	page("GET /", s.notFound)
	return s.wrongMethod(mux)
}

// wrongMethod gives the mux's refusal of a method a page like every other. The
// mux itself says which methods there are (Allow).
func (s *Server) wrongMethod(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		refuse.ServeHTTP(headerOnly{w}, r)
		s.showError(w, r, &httpError{
			status: http.StatusMethodNotAllowed,
			text:   "This address does not take what was sent to it, so nothing was done. Open the page from the start.",
			next:   link{"/", "Home"},
		})
	})
}

// headerOnly keeps the header that a handler sets, and no more of its answer.
type headerOnly struct{ http.ResponseWriter }

func (headerOnly) WriteHeader(int) {}

func (headerOnly) Write(p []byte) (int, error) { return len(p), nil }
