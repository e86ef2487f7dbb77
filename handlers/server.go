// Package handlers is the web application: the pages of the laptop and of the
// phone, and what every request passes through. Start reading at
// [Server.routes].
package handlers

import (
	"html/template"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"changebank/internal/browser"
	"changebank/internal/cookies"
	"changebank/internal/devicegrant"
	"changebank/internal/flows"
	"changebank/internal/follow"
	"changebank/internal/geoip"
	"changebank/internal/idp"
	"changebank/internal/qrcode"
	"changebank/internal/session"
	"changebank/internal/shown"
	"changebank/internal/store"
)

// Config is what the [Server] needs.
type Config struct {
	AppURL      string // as browsers see us: scheme, host, and port unless it is the scheme's default
	Provider    *idp.Client
	Sessions    *session.Manager
	Grants      *devicegrant.Manager
	Cookies     *cookies.Jar
	Store       *store.Store // for marks and counters of logins
	People      []string     // who can log in at the demo provider; none with a real one
	Networks    browser.Networks
	QRAllowFrom []netip.Prefix // who may use the QR login; none: everyone
	GeoIP       *geoip.DB      // approximate locations of addresses; nil: none
	Public      bool           // browsers come from elsewhere, so none has a private address
	Log         *slog.Logger

	// Both are for counters, and may be nil.
	Request func(route string, status int, took time.Duration) // is told of each request that was answered
	Refused func(rule string)                                  // is told of each request that a rule of ours refused
}

// Server answers the requests. Make one with [New].
type Server struct {
	cfg     Config
	host    string // of AppURL, with its port
	scheme  string
	log     *slog.Logger
	pages   map[string]*template.Template
	qr      *cookies.Kind // the ID of the attempt that this browser started, and whether it is on a public computer
	opened  *cookies.Kind // the Ref of the attempt that this browser opened last
	probe   *cookies.Kind // holds nothing; it shows that the browser keeps cookies
	shown   shown.Stamps  // when a question was shown
	flows   flows.Flows   // logins in progress at the provider
	origin  *http.CrossOriginProtection
	handler http.Handler // the routes
	follow  *follow.Follower
	qrCodes qrcode.Codes

	usedLogouts *store.Table[mark] // by the IDs of logout tokens
	logoutWarn  rate.Sometimes     // about logout tokens that were refused
	loopWarn    rate.Sometimes     // about redirects to AppURL that loop

	draining  atomic.Bool // load balancers must send requests elsewhere
	storeDown atomic.Bool // as the latest health check found

	warnOnce sync.Once // about a proxy that is not trusted
	crowds   browser.Crowds
}

// New returns a Server. A page that does not parse is an error.
func New(cfg Config) (*Server, error) {
	app, err := url.Parse(cfg.AppURL)
	if err != nil {
		return nil, err
	}
	pages, err := parsePages(cfg.AppURL)
	if err != nil {
		return nil, err
	}
	origin, err := ownOrigin(cfg.AppURL)
	if err != nil {
		return nil, err
	}
	if cfg.Request == nil {
		cfg.Request = func(string, int, time.Duration) {}
	}
	if cfg.Refused == nil {
		cfg.Refused = func(string) {}
	}
	s := &Server{
		cfg:    cfg,
		host:   app.Host,
		scheme: app.Scheme,
		log:    cfg.Log,
		pages:  pages,
		origin: origin,
		qr:     cfg.Cookies.Kind("qr", qrLifetime),
		opened: cfg.Cookies.Kind("opened", qrLifetime),
		probe:  cfg.Cookies.Kind("probe", probeLifetime),
		shown:  shown.New(cfg.Cookies, qrLifetime),
		flows:  flows.New(cfg.Cookies, cfg.Store, defaultPath),
		follow: follow.New(cfg.Grants, cfg.Log),

		usedLogouts: store.NewTable[mark](cfg.Store, "used logout tokens"),
		logoutWarn:  rate.Sometimes{First: 10, Interval: time.Minute},
		loopWarn:    rate.Sometimes{Interval: time.Hour},
	}
	s.handler = s.routes()
	return s, nil
}

// Drain makes the process unready and returns after the delay, by which load
// balancers should have noticed. Until the server stops, requests are answered
// as before, but no connection is kept for another: new requests reach other
// replicas.
func (s *Server) Drain(delay time.Duration) {
	s.draining.Store(true)
	time.Sleep(delay)
}

// EndStreams ends the event streams, which would otherwise keep a server from
// shutting down. Their browsers reconnect to its successor. Call it once.
func (s *Server) EndStreams() { s.follow.End() }

// Streams returns how many event streams are open.
func (s *Server) Streams() int64 { return s.follow.Streams() }

// LongPolls returns how many requests wait for an attempt to change.
func (s *Server) LongPolls() int64 { return s.follow.LongPolls() }

// routes lists every page. A changing page is a GET that changes something.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	page := func(pattern string, p sessionPage) { mux.Handle(pattern, s.page(s.withSession(p))) }
	changing := func(pattern string, p sessionPage) { mux.Handle(pattern, s.page(noPrefetch(s.withSession(p)))) }
	plain := func(pattern string, p pageFunc) { mux.Handle(pattern, s.page(p)) }

	page("GET /{$}", s.home)
	changing("GET /login", s.login)
	changing("GET /callback", s.callback)
	page("GET /logout", members(s.logoutQuestion))
	page("POST /logout", s.logout)
	page("GET /account", members(s.account))
	page("GET /make-change", members(s.makeChange))
	page("POST /make-change", members(s.makeChange))

	// The laptop's side of the QR login.
	changing("GET /logged-out-qr-login", s.qrLogin)
	page("POST /logged-out-qr-login", s.qrLoginNew)
	page("POST /logged-out-qr-login/cancel", s.qrLoginCancel)
	page("POST /logged-out-qr-login/confirm", s.qrLoginConfirm)
	page("POST /logged-out-qr-login/public", s.qrLoginPublic)
	plain("GET /logged-out-qr-login/events", noPrefetch(s.events))
	changing("GET /reload", s.claim)
	changing("GET /device_grant_finished", s.deviceGrantFinished) // for clients of the Flask example

	// The phone's side.
	changing("GET /activate", s.activate)
	page("POST /activate", s.answer)

	page("GET /devices", members(s.devices))
	page("POST /devices/{ref}/end", members(s.endDevice))
	page("POST /devices/{ref}/confirm", members(s.confirmDevice))
	page("POST /devices/{ref}/name", members(s.nameDevice))
	page("GET /devices/others/end", members(s.othersQuestion)) // no ref is in lower case
	page("POST /devices/others/end", members(s.endOtherDevices))

	plain("POST "+backchannelPath, s.backchannelLogout) // by the provider itself

	plain("GET /static/{name}", s.static)
	plain("GET /favicon.ico", s.favicon)
	plain("GET /healthz", s.healthz)
	plain("GET /readyz", s.readyz)
	plain("GET /", s.notFound)
	return s.wrongMethod(mux)
}

// wrongMethod gives the mux's refusal of a method a page like every other. The
// mux itself says which methods are allowed (Allow).
func (s *Server) wrongMethod(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse, pattern := mux.Handler(r)
		if pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		refuse.ServeHTTP(headerOnly{w}, r)
		s.showError(w, r, errWrongMethod)
	})
}

// headerOnly keeps the header that a handler sets, and drops the rest of its
// answer.
type headerOnly struct{ http.ResponseWriter }

func (headerOnly) WriteHeader(int) {}

func (headerOnly) Write(p []byte) (int, error) { return len(p), nil }
