package testfusion

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
)

// A call is a request as handlers see it.
type call struct {
	*http.Request
	query, form url.Values // of the URL, of the body
	record      Request
}

// A handler has the server's state to itself. Its error is an [*oauthError].
type handler func(*call) (answer, error)

func (s *Server) routes() {
	s.mux = http.NewServeMux()
	api := func(pattern string, h handler) { s.mux.Handle(pattern, s.serve(h, false)) }
	api("GET /.well-known/openid-configuration", s.discovery)
	api("GET /.well-known/jwks.json", s.jwks)
	api("POST /oauth2/device_authorize", s.deviceAuthorize)
	api("POST /oauth2/token", s.token)
	api("POST /oauth2/device/approve", s.deviceApprove)
	api("GET /oauth2/userinfo", s.userinfo)
	api("DELETE /api/jwt/refresh", s.revoke)
	api("DELETE /api/jwt/refresh/{id}", s.revoke)

	page := func(pattern string, h handler) { s.mux.Handle(pattern, s.serve(h, true)) }
	page("GET /oauth2/authorize", s.authorize)
	page("POST /oauth2/authorize", s.authorize)
	page("GET /oauth2/register", s.register)
	page("POST /oauth2/register", s.register)
	page("GET /oauth2/device", s.devicePage)
	page("POST /oauth2/device", s.devicePage)
	page("GET /oauth2/device-complete", s.deviceComplete)
	page("GET /oauth2/logout", s.logout)
	s.mux.Handle("GET /favicon.ico", http.NotFoundHandler()) // browsers ask for it unprompted
	page("/", func(c *call) (answer, error) {
		s.violate(c, "the double has no such endpoint")
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

		if recorder := httptest.NewRecorder(); fault != nil && fault(recorder, r) {
			s.mu.Lock()
			s.record(c, n, recorder.Code)
			s.mu.Unlock()
			maps.Copy(w.Header(), recorder.Header())
			w.WriteHeader(recorder.Code)
			_, _ = recorder.Body.WriteTo(w)
			return
		}
		s.handle(c, h, refused, n).write(w)
	})
}

// record completes the record of the n-th API request. n is negative for a page.
func (s *Server) record(c *call, n, status int) {
	if n >= 0 {
		c.record.Status = status
		s.requests[n] = c.record
	}
}

// handle calls the handler and records the answer before the client gets it.
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
	s.record(c, n, a.code())
	return a
}

// secrets must never be in a URL, which is logged and sent as a referrer.
var secrets = []string{
	"client_secret", "code_verifier", "device_code", "access_token", "refresh_token", "id_token", "token", "password",
}

// read parses a request and checks what holds for all of them.
func (s *Server) read(r *http.Request, body []byte, page bool) (*call, error) {
	c := &call{Request: r, query: r.URL.Query()}
	c.record = Request{Method: r.Method, Path: r.URL.Path, Form: make(url.Values)}
	var err error
	if len(body) > 0 {
		kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if c.form, err = url.ParseQuery(string(body)); err != nil || kind != "application/x-www-form-urlencoded" {
			s.violate(c, "the body is not a form but "+kind)
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
			s.violate(c, name+" is repeated") // RFC 6749, section 3.2
		}
	}
	for name, values := range c.query {
		switch {
		case slices.Contains(secrets, name):
			s.violate(c, name+" is in the URL")
		case !page && r.Method == http.MethodPost:
			s.violate(c, name+" is in the URL, not in the body")
		case len(values) > 1:
			s.violate(c, name+" is repeated")
		}
	}
	return c, nil
}

// authOf names the authentication method of a request.
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

// violate records what no correct client does.
func (s *Server) violate(c *call, what string) {
	s.violations = append(s.violations, fmt.Sprintf("%s %s: %s", c.Method, c.URL.Path, what))
}

// An oauthError is an error answer (RFC 6749, section 5.2) with FusionAuth's
// reason.
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

// invalid returns the most common error.
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
	_, _ = w.Write(body) // fails only if the client is gone
}
