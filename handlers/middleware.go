package handlers

import (
	"cmp"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
)

const maxBody = 64 << 10 // bytes of a form

// ServeHTTP implements [http.Handler]: every request passes through here to its
// page. These are calls one after the other, not handlers around handlers, which
// would all be on the stack of an event stream while it waits.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	began := time.Now()
	reference := s.reference(r)
	sw := &statusWriter{ResponseWriter: w}
	sw.Header().Set(requestID, reference)
	s.setHeaders(sw.Header())
	r.Body = http.MaxBytesReader(sw, r.Body, maxBody)
	if s.canonicalHost(sw, r) && s.sameOrigin(sw, r) {
		s.handler.ServeHTTP(sw, r)
	}
	s.logRequest(r, sw, time.Since(began), reference)
}

// requestID is the header with the reference of a request: in the answer, in the
// log and on error pages. So what a person quotes is found in the log, and in
// that of a proxy that sent it.
const requestID = "X-Request-Id"

// maxRequestID is enough for a UUID, and for a trace ID with a span's.
const maxRequestID = 64

// reference returns what a trusted proxy calls the request, or a random name. A
// browser may have chosen the proxy's, so it must not be able to write anything
// into the log but a word.
func (s *Server) reference(r *http.Request) string {
	id := r.Header.Get(requestID)
	if s.cfg.Networks.Trusts(r) && id != "" && len(id) <= maxRequestID && strings.Trim(id, referenceChars) == "" {
		return id
	}
	return rand.Text()[:8]
}

const referenceChars = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

// logRequest logs a request by its route's pattern, since paths and queries carry
// codes.
func (s *Server) logRequest(r *http.Request, sw *statusWriter, took time.Duration, reference string) {
	status := cmp.Or(sw.status, http.StatusOK) // which the server sends for a handler that sends nothing
	s.cfg.Request(r.Pattern, status, took)
	s.log.LogAttrs(r.Context(), slog.LevelDebug, "request",
		slog.String("method", r.Method), slog.String("route", r.Pattern), slog.Int("status", status),
		slog.Duration("took", took), slog.Int64("bytes", sw.bytes), slog.String("reference", reference))
}

type statusWriter struct {
	http.ResponseWriter
	status int
	bytes  int64 // of the body
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(p)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// browserOf returns the browser that sent r. It warns once about a proxy that
// nobody configured: all browsers then seem to have its address. It never counts
// as near, and they share one rate limit.
func (s *Server) browserOf(r *http.Request) browser.Browser {
	b := s.cfg.Networks.Of(r)
	addr, err := netip.ParseAddr(b.Addr)
	inside := err == nil && (addr.IsPrivate() || addr.IsLoopback())
	if s.cfg.Public && (inside || b.Relayed) {
		s.warnOnce.Do(func() {
			s.log.Warn("a browser's address may be that of a proxy; if one stands in front, TRUSTED_PROXIES must name it, and it must send X-Forwarded-For or Forwarded", "addr", b.Addr)
		})
	}
	return b
}

// watchForCrowd warns of an address that very many browsers share: most likely
// strangers, or everyone behind a proxy that sends no header. Two strangers there
// would count as near. The warning comes once for each address and day.
func (s *Server) watchForCrowd(r *http.Request, person idp.Person) {
	if b := s.cfg.Networks.Of(r); s.crowds.Add(b, person.Issuer+" "+person.Subject) {
		s.log.Warn("very many browsers come from one address; if it is a proxy's, TRUSTED_PROXIES must name it, and if strangers share it, SHARED_NETWORKS must",
			"addr", b.Addr, "browsers", browser.CrowdSize)
	}
}

// Values of Permissions-Policy. Only codeForm needs the camera.
const (
	withoutCamera = "camera=(), geolocation=(), microphone=()"
	withCamera    = "camera=(self), geolocation=(), microphone=()"
)

// setHeaders tells the browser what our pages may do: nothing from elsewhere,
// nothing inline, and never in a frame, which would let another site show our
// QR code as its own (QRLJacking).
func (s *Server) setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; manifest-src 'self'; "+
		"form-action 'self'; frame-ancestors 'none'; base-uri 'none'") // see leave for form-action
	// Not no-referrer: over plain http browsers then send "Origin: null"
	// with our own forms.
	h.Set("Referrer-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Permissions-Policy", withoutCamera)
	h.Set("Cache-Control", "no-store")
	if s.scheme == "https" { // over plain http, browsers ignore these and may complain
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	if s.draining.Load() {
		h.Set("Connection", "close")
	}
}

// redirectMark ends the query of a redirect to AppURL. If a request has it and
// still seems to be for another host, redirects loop. With a cookie instead, a
// person who types the other name twice would see the error.
const redirectMark = "to_app_url=1"

// canonicalHost reports whether a request is for AppURL, or may have any name. If
// not, it answers: a browser that came by another name is sent to AppURL before
// it gets a cookie, since a cookie of 127.0.0.1 is not seen at localhost, and the
// provider sends everyone to AppURL. AppURL is configured, never taken from a
// request. The mark of a redirect that went well is removed by another one.
func (s *Server) canonicalHost(w http.ResponseWriter, r *http.Request) bool {
	here := s.isCanonicalHost(r)
	byServer := r.URL.Path == "/healthz" || r.URL.Path == "/readyz" || r.URL.Path == backchannelPath
	get := r.Method == http.MethodGet || r.Method == http.MethodHead
	query, marked := strings.CutSuffix(r.URL.RawQuery, redirectMark)
	switch {
	case !isOwnTarget(r, here), !here && !byServer && !get:
		s.showError(w, r, withNext{errWrongHost, link{s.cfg.AppURL + "/", "Go there"}})
	case byServer, here && !(get && marked):
		return true
	case here:
		s.redirectToAppURL(w, r, strings.TrimSuffix(query, "&"))
	case marked:
		s.loopWarn.Do(func() { s.warnOfLoop(r) })
		s.showError(w, r, errLoop)
	default:
		if s.mayBeProxied(r) {
			query = strings.TrimPrefix(query+"&"+redirectMark, "&")
		}
		s.redirectToAppURL(w, r, query)
	}
	return false
}

// isOwnTarget reports whether the request line has a path of ours, and not the
// URL of another host (RFC 9112, section 3.2). Only a path may follow AppURL in
// a redirect: AppURL and "@evil.example" together are a URL at evil.example.
func isOwnTarget(r *http.Request, here bool) bool {
	if r.URL.Host != "" {
		return here
	}
	return strings.HasPrefix(r.URL.EscapedPath(), "/")
}

// mayBeProxied reports whether a proxy may stand in front, so that a redirect
// may loop: browsers come from elsewhere, or to another port than ours.
func (s *Server) mayBeProxied(r *http.Request) bool {
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return s.cfg.Public || ok && !strings.HasSuffix(s.host, ":"+strconv.Itoa(addr.Port))
}

func (s *Server) redirectToAppURL(w http.ResponseWriter, r *http.Request, query string) {
	to := s.cfg.AppURL + r.URL.EscapedPath()
	if query != "" {
		to += "?" + query
	}
	http.Redirect(w, r, to, http.StatusFound)
}

// isCanonicalHost reports whether the browser asked for AppURL's host and
// scheme. A name with a dot at its end is another one for cookies.
func (s *Server) isCanonicalHost(r *http.Request) bool {
	host, scheme := s.cfg.Networks.Target(r)
	return s.isAppHost(host) && (scheme == "" || scheme == s.scheme)
}

func (s *Server) isAppHost(host string) bool {
	defaultPort := ":80"
	if s.scheme == "https" {
		defaultPort = ":443"
	}
	return strings.TrimSuffix(host, defaultPort) == s.host
}

// warnOfLoop logs why a browser that was sent to AppURL does not seem to have
// arrived there.
func (s *Server) warnOfLoop(r *http.Request) {
	host, scheme := s.cfg.Networks.Target(r)
	missing := "X-Forwarded-Proto"
	switch {
	case !s.cfg.Networks.Trusts(r):
		missing = "the proxy's address in TRUSTED_PROXIES"
	case !s.isAppHost(host):
		missing = "X-Forwarded-Host"
	}
	short := func(text string) string { return strings.Trim(strconv.QuoteToASCII(text[:min(len(text), 100)]), `"`) }
	s.log.Warn("redirects to APP_URL loop: the proxy in front does not say what the browser asked for, or says something else",
		"host", short(host), "scheme", short(scheme), "app_url", s.cfg.AppURL, "missing_or_wrong", missing, "peer", r.RemoteAddr)
}

// ownOrigin returns the check of [Server.sameOrigin].
func ownOrigin(appURL string) (*http.CrossOriginProtection, error) {
	protection := http.NewCrossOriginProtection()
	protection.AddInsecureBypassPattern("POST " + backchannelPath) // needs no cookie, and proves who sent it
	// Behind a proxy that rewrites Host, an old browser's Origin does not match it.
	return protection, protection.AddTrustedOrigin(appURL)
}

// sameOrigin reports whether a request may come from where it comes from. If not,
// it answers: another site made the browser post (CSRF).
func (s *Server) sameOrigin(w http.ResponseWriter, r *http.Request) bool {
	err := s.origin.Check(r)
	if err != nil {
		s.showError(w, r, fmt.Errorf("%w: %w", errCrossOrigin, err))
	}
	return err == nil
}

// noPrefetch keeps a GET that changes something from requests that no person
// made: a HEAD, or a page that a browser or mail program fetches in advance.
func noPrefetch(p pageFunc) pageFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		switch {
		case r.Method == http.MethodHead:
			return nil
		case browser.IsPrefetch(r):
			w.WriteHeader(http.StatusServiceUnavailable)
			return nil
		}
		return p(w, r)
	}
}
