package qrlogin

import (
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"

	"changebank/internal/browser"
)

// A page responds to one request, or returns an error without having responded.
type page func(w http.ResponseWriter, r *http.Request) error

// routeCount is the number of routes if their paths do not overlap.
const routeCount = 10

// patterns returns the pages by the patterns of their routes.
func (h *Handler) patterns() map[string]page {
	path := h.cfg.Path
	return map[string]page{
		"GET " + path:              h.laptop,
		"POST " + path:             h.newCode,
		"POST " + path + "/cancel": h.cancel,
		"POST " + path + "/number": h.number,
		"GET " + path + "/events":  h.events,
		"GET " + path + "/follow.js": func(w http.ResponseWriter, _ *http.Request) error {
			return script(w)
		},
		"GET " + h.cfg.VerificationPath:  h.question,
		"POST " + h.cfg.VerificationPath: h.answer,
		"GET " + path + "/login":         h.login,
		"GET " + h.cfg.CallbackPath:      h.callback,
	}
}

func (h *Handler) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, p := range h.patterns() {
		mux.Handle(pattern, h.serve(p))
	}
	return mux
}

// Mount adds the routes to mux. With another router, send requests for Path and all
// paths below it, VerificationPath, and CallbackPath to the Handler.
func (h *Handler) Mount(mux *http.ServeMux) {
	for pattern := range h.patterns() {
		mux.Handle(pattern, h)
	}
}

// ServeHTTP implements [http.Handler].
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// serve rejects prefetches and forms of other sites, and shows the error of a page.
// The headers keep other sites from showing our QR code as their own (QRLJacking),
// and keep codes out of caches and other sites' logs.
func (h *Handler) serve(p page) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Cache-Control", "no-store")
		header.Set("Referrer-Policy", "same-origin") // with no-referrer, browsers send "Origin: null" over plain http
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Add("Content-Security-Policy", "frame-ancestors 'none'")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		switch {
		case r.Method == http.MethodHead: // every GET may change something
			return
		case browser.IsPrefetch(r):
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		err := h.origins.Check(r) // CSRF
		if err != nil {
			err = fmt.Errorf("%w: %w", errCrossOrigin, err)
		} else {
			err = p(w, r)
		}
		if err != nil {
			h.showError(w, r, err)
		}
	})
}

// seeOther redirects the browser to GET another address.
func seeOther(w http.ResponseWriter, r *http.Request, path string) error {
	http.Redirect(w, r, path, http.StatusSeeOther)
	return nil
}

// onward sends the browser to path after a form, and from there perhaps to the
// provider. A Content-Security-Policy with form-action would silently block a
// redirect.
func onward(w http.ResponseWriter, path string) error {
	w.Header().Set("Refresh", "0; url="+path)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, err := fmt.Fprintf(w, `<!doctype html><title>Log in first</title><a href="%s">Continue</a>`, template.HTMLEscapeString(path))
	return err
}

//go:embed follow.js
var followJS []byte

func script(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", "text/javascript; charset=utf-8")
	_, err := w.Write(followJS)
	return err
}

// browserOf returns the browser that sent r.
func (h *Handler) browserOf(r *http.Request) browser.Browser { return h.networks.Of(r) }

// questionPath returns the path of the phone's page for a code.
func (h *Handler) questionPath(code string) string {
	if code == "" {
		return h.cfg.VerificationPath
	}
	return h.cfg.VerificationPath + "?" + url.Values{"user_code": {code}}.Encode()
}

// loginPath returns the path of a login that continues at returnTo.
func (h *Handler) loginPath(returnTo string) string {
	return h.cfg.Path + "/login?" + url.Values{"return_to": {returnTo}}.Encode()
}
