package testfusion

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A call is a request as handlers see it.
type call struct {
	*http.Request
	query, form url.Values // of the address, of the body
	base        string     // the server as the client reaches it
	record      Request
}

// A handler runs alone: the server's state is its own meanwhile. Its error is
// an [*oauthError].
type handler func(*call) (answer, error)

// routes are the endpoints. What a browser opens is a page; the rest the
// application itself asks.
func (s *Server) routes() {
	s.mux = http.NewServeMux()
	asks := func(pattern string, h handler) { s.mux.Handle(pattern, s.serve(h, false)) }
	opens := func(pattern string, h handler) { s.mux.Handle(pattern, s.serve(h, true)) }

	asks("GET /.well-known/openid-configuration", s.discovery)
	asks("GET /{tenant}/.well-known/openid-configuration", s.discovery)
	asks("GET /.well-known/jwks.json", s.jwks)
	asks("POST /oauth2/device_authorize", s.deviceAuthorize)
	asks("POST /oauth2/token", s.token)
	asks("GET /oauth2/device/validate", s.deviceValidate)
	asks("POST /oauth2/device/user-code", s.deviceUserCode)
	asks("POST /oauth2/device/approve", s.deviceApprove)
	asks("GET /oauth2/userinfo", s.userinfo)
	asks("POST /oauth2/userinfo", s.userinfo)
	asks("DELETE /api/jwt/refresh", s.revoke)
	asks("DELETE /api/jwt/refresh/{id}", s.revoke)
	asks("GET /api/status", func(*call) (answer, error) { return answer{body: map[string]string{"status": "ok"}}, nil })
	asks("GET /api/health", func(*call) (answer, error) { return answer{}, nil })

	opens("GET /oauth2/authorize", s.authorize)
	opens("POST /oauth2/authorize", s.authorize)
	opens("GET /oauth2/register", s.register)
	opens("POST /oauth2/register", s.register)
	opens("GET /oauth2/device", s.devicePage)
	opens("POST /oauth2/device", s.devicePage)
	opens("GET /oauth2/device-complete", s.deviceComplete)
	opens("GET /oauth2/logout", s.logout)
	opens("POST /oauth2/logout", s.logout)
	opens("GET /{$}", func(*call) (answer, error) {
		return message("FusionAuth", "Where a logout ends that names no other place."), nil
	})
	s.mux.Handle("GET /favicon.ico", http.NotFoundHandler()) // browsers ask by themselves
	opens("/", func(c *call) (answer, error) {
		s.violate(c, "FusionAuth has no such endpoint")
		return answer{status: http.StatusNotFound}, nil
	})
}

func (s *Server) serve(h handler, page bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<10))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))

		s.mu.Lock()
		c, refused := s.read(r, body, page)
		n := -1
		if !page {
			n = len(s.requests)
			s.requests = append(s.requests, c.record)
		}
		fault := s.faults[r.URL.Path]
		s.mu.Unlock()

		if fault != nil && fault(&noted{w, s, n, false}, r) {
			return
		}
		s.handle(c, h, refused, n).write(w)
	})
}

// handle has the handler answer, and records that before the client knows.
func (s *Server) handle(c *call, h handler, err error, n int) answer {
	s.mu.Lock()
	defer s.mu.Unlock()
	var a answer
	if err == nil {
		a, err = h(c)
	}
	if err != nil {
		refused := err.(*oauthError)
		a = refused.answer()
		if n < 0 {
			a = refused.page()
		}
		c.record.Error, c.record.Reason = refused.code, refused.reason
	}
	if n >= 0 {
		c.record.Status = a.code()
		s.requests[n] = c.record
	}
	return a
}

// secrets must never be in an address, which is logged and sent as a referrer.
var secrets = []string{
	"client_secret", "code_verifier", "device_code", "access_token", "refresh_token", "id_token", "token", "password",
}

// read takes a request apart, and checks what holds for all of them.
func (s *Server) read(r *http.Request, body []byte, page bool) (*call, error) {
	c := &call{Request: r, query: r.URL.Query(), base: base(r)}
	c.record = Request{At: time.Now(), Method: r.Method, Path: r.URL.Path, Form: make(url.Values)}
	var err error
	if r.Method != http.MethodGet && r.Method != http.MethodHead && len(body) > 0 {
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if c.form, err = url.ParseQuery(string(body)); err != nil || kind != "application/x-www-form-urlencoded" {
			s.violate(c, "the body is no form but "+kind)
			c.record.Auth = authOf(r, nil)
			return c, &oauthError{400, "invalid_request", "", "The body is not application/x-www-form-urlencoded."}
		}
	}
	c.record.Auth = authOf(r, c.form)
	for name, values := range c.form {
		c.record.Form[name] = values
		if slices.Contains(secrets, name) || name == "code" {
			c.record.Form[name] = []string{"…"}
		}
		if len(values) > 1 {
			s.violate(c, name+" is there more than once") // RFC 6749, section 3.2
		}
	}
	for name, values := range c.query {
		switch {
		case slices.Contains(secrets, name):
			s.violate(c, name+" is in the address")
		case !page && r.Method == http.MethodPost:
			s.violate(c, name+" is in the address, and belongs into the body")
		case len(values) > 1:
			s.violate(c, name+" is there more than once")
		}
	}
	return c, nil
}

// authOf names how a request shows who sends it.
func authOf(r *http.Request, form url.Values) string {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch {
	case strings.EqualFold(scheme, "Basic"):
		return "client_secret_basic"
	case strings.EqualFold(scheme, "Bearer"):
		return "bearer"
	case form.Get("client_secret") != "":
		return "client_secret_post"
	}
	return "none"
}

// base returns the server's address as a proxy says, else as the client does.
func base(r *http.Request) string {
	scheme, host := r.Header.Get("X-Forwarded-Proto"), r.Header.Get("X-Forwarded-Host")
	if scheme == "" {
		scheme = "http"
	}
	if host == "" {
		host = r.Host
	}
	return scheme + "://" + host
}

// violate records what no correct client does.
func (s *Server) violate(c *call, what string) {
	s.violations = append(s.violations, fmt.Sprintf("%s %s: %s", c.Method, c.URL.Path, what))
}

// An oauthError is a refusal (RFC 6749, section 5.2) with FusionAuth's reason.
type oauthError struct {
	status       int
	code, reason string
	text         string
}

func (e *oauthError) Error() string { return e.text }

func (e *oauthError) fields() map[string]string {
	fields := map[string]string{"error": e.code, "error_description": e.text}
	if e.reason != "" {
		fields["error_reason"] = e.reason
	}
	return fields
}

func (e *oauthError) answer() answer { return answer{status: e.status, body: e.fields()} }

// invalid is the refusal that most others are.
func invalid(reason, text string) error { return &oauthError{400, "invalid_request", reason, text} }

// An answer is JSON, a page, or a redirect.
type answer struct {
	status   int // 0: 200, or 302 with a location
	body     any // JSON
	html     string
	location string
	cookie   *http.Cookie
}

func (a answer) code() int {
	switch {
	case a.status != 0:
		return a.status
	case a.location != "":
		return http.StatusFound
	}
	return http.StatusOK
}

func (a answer) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if a.cookie != nil {
		http.SetCookie(w, a.cookie)
	}
	var body []byte
	switch {
	case a.location != "":
		h.Set("Location", a.location)
	case a.html != "":
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("X-Frame-Options", "DENY")
		body = []byte(a.html)
	case a.body != nil:
		h.Set("Content-Type", "application/json;charset=UTF-8")
		body, _ = json.Marshal(a.body) // maps of texts and numbers
	}
	w.WriteHeader(a.code())
	_, _ = w.Write(body) // a client that left needs no answer
}

// noted records the status of an answer that a fault gives.
type noted struct {
	http.ResponseWriter
	s     *Server
	n     int // the request's place, -1 for a page
	wrote bool
}

// WriteHeader implements [http.ResponseWriter].
func (w *noted) WriteHeader(status int) {
	w.wrote = true
	if w.n >= 0 {
		w.s.mu.Lock()
		w.s.requests[w.n].Status = status
		w.s.mu.Unlock()
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (w *noted) Write(p []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(p)
}
