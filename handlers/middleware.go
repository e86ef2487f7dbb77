package handlers

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"changebank/internal/browser"
)

const maxBody = 64 << 10 // bytes of a form

// wrap puts around the routes what every request passes through, the outermost
// last.
func (s *Server) wrap(h http.Handler) http.Handler {
	h = s.sameOrigin(h)
	h = s.canonicalHost(h)
	h = s.headers(h)
	return s.logRequests(h)
}

// logRequests logs each request by its route's pattern, since paths and queries
// carry codes.
func (s *Server) logRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		sw := &statusWriter{ResponseWriter: w}
		next.ServeHTTP(sw, r)
		s.log.LogAttrs(r.Context(), slog.LevelDebug, "request",
			slog.String("method", r.Method), slog.String("route", r.Pattern),
			slog.Int("status", sw.status), slog.Duration("took", time.Since(began)))
	})
}

type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// browserOf returns the browser that sent r. It warns once about a proxy that
// nobody configured: all browsers then seem to have its address, which is near
// to nothing but shares one rate limit.
func (s *Server) browserOf(r *http.Request) browser.Browser {
	b := s.cfg.TrustedProxies.Of(r)
	addr, err := netip.ParseAddr(b.Addr)
	inside := err == nil && (addr.IsPrivate() || addr.IsLoopback())
	if s.cfg.Public && (inside || b.Relayed) {
		s.proxies.Do(func() {
			s.log.Warn("a browser's address may be that of a proxy; if one stands in front, TRUSTED_PROXIES must name it, and it must send X-Forwarded-For", "addr", b.Addr)
		})
	}
	return b
}

// headers tells the browser what our pages may do: nothing from elsewhere,
// nothing inline, and never in a frame, which would let another site show our
// QR code as its own (QRLJacking).
func (s *Server) headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		// form-action also covers the redirects that follow a POST: logging out
		// and approving may lead to the provider.
		formAction := strings.Join(append([]string{"'self'"}, s.cfg.Provider.Origins()...), " ")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
			"form-action "+formAction+"; frame-ancestors 'none'; base-uri 'none'")
		// Not no-referrer: over plain http browsers then send "Origin: null"
		// with our own forms.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Cache-Control", "no-store")
		if s.scheme == "https" { // over plain http, browsers ignore these and may complain
			h.Set("Cross-Origin-Opener-Policy", "same-origin")
			h.Set("Strict-Transport-Security", "max-age=31536000")
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		next.ServeHTTP(w, r)
	})
}

// canonicalHost sends a browser that came by another name to AppURL before it
// gets a cookie: a cookie of 127.0.0.1 is not seen at localhost, and the
// provider sends everybody to AppURL. AppURL is configured, never taken from a
// request.
func (s *Server) canonicalHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		health := r.URL.Path == "/healthz" || r.URL.Path == "/readyz"
		if health || s.isCanonicalHost(r) {
			next.ServeHTTP(w, r)
			return
		}
		if r.Method == http.MethodGet || r.Method == http.MethodHead {
			r.URL.Opaque = "" // of a request line like "GET http:@evil.example", which would name the host
			http.Redirect(w, r, s.cfg.AppURL+r.URL.RequestURI(), http.StatusFound)
			return
		}
		s.showError(w, r, at{errWrongHost, link{s.cfg.AppURL + "/", "Go there"}})
	})
}

// isCanonicalHost reports whether the browser asked for AppURL's host and
// scheme.
func (s *Server) isCanonicalHost(r *http.Request) bool {
	host, scheme := r.Host, ""
	if s.cfg.TrustedProxies.Trusts(r) {
		if forwarded := r.Header.Get("X-Forwarded-Host"); forwarded != "" {
			host = forwarded
		}
		scheme = r.Header.Get("X-Forwarded-Proto")
	}
	defaultPort := ":80"
	if s.scheme == "https" {
		defaultPort = ":443"
	}
	host = strings.TrimSuffix(strings.ToLower(host), defaultPort)
	return host == s.host && (scheme == "" || scheme == s.scheme)
}

// sameOrigin refuses what another site made the browser post (CSRF).
func (s *Server) sameOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	// Behind a proxy that rewrites Host, an old browser's Origin does not match it.
	if err := protection.AddTrustedOrigin(s.cfg.AppURL); err != nil {
		panic(err) // AppURL is an origin; config checked it
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := protection.Check(r); err != nil {
			s.showError(w, r, fmt.Errorf("%w: %w", errCrossOrigin, err))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// noPrefetch keeps a GET that changes something from requests that no person
// made: a HEAD, or a page that a browser or mail program fetches in advance.
func noPrefetch(p pageFunc) pageFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		if r.Method == http.MethodHead {
			return nil
		}
		for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
			if v := strings.ToLower(r.Header.Get(name)); strings.Contains(v, "prefetch") || strings.Contains(v, "preview") || strings.Contains(v, "prerender") {
				w.WriteHeader(http.StatusServiceUnavailable)
				return nil
			}
		}
		return p(w, r)
	}
}
