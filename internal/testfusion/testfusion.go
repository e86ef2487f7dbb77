// Package testfusion is a test double of FusionAuth, of the version that
// docker-compose.yml runs. It was written by hand from the documentation, and is
// set up from a kickstart like FusionAuth. It is strict: a
// request that no correct client sends fails the test. It has what Changebank
// uses and no more, and reports everything else. It shares no code with
// internal/demoidp, so that the two cannot be wrong in the same way.
package testfusion

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Options are the state of a [Server] when it starts.
type Options struct {
	Behavior
	// Unfinished: the kickstart is still running. There is no application yet,
	// and the issuer is acme.com, until [Server.FinishKickstart].
	Unfinished bool
}

// Behavior is how a Server differs from a FusionAuth that was just set up. The
// zero value is no difference.
type Behavior struct {
	Interval       time.Duration // between polls, in whole seconds; 0: five seconds
	DeviceLifetime time.Duration // of device codes, in whole seconds; 0: the tenant's
	TokenLifetime  time.Duration // of access and ID tokens, in whole seconds; 0: the application's

	Purged         bool     // expired device codes are gone: invalid_device_code instead of expired_token
	Omit           []string // members that the token endpoint leaves out, like scope or id_token
	NoKeys         bool     // like an application without keys: HS256, and none are published
	OneTimeRefresh bool     // a refresh token can be used once, and the answer has the next

	NoDeviceGrant bool   // the application must not use it
	RefuseClient  string // the error_reason with which every client is refused

	NamesIssuer bool // authorization responses name their issuer (RFC 9207), as since 1.69

	Discovery func(document map[string]any) // changes the discovery document
}

// Server is a running FusionAuth.
type Server struct {
	URL string // its address; its issuer is what the kickstart says

	mux *http.ServeMux

	mu         sync.Mutex // held while a request is handled
	b          Behavior
	setup      *setup
	kickstart  *setup                                                   // waits for FinishKickstart
	faults     map[string]func(http.ResponseWriter, *http.Request) bool // by path
	requests   []Request
	violations []string

	codes   map[string]*code
	devices []*device
	access  map[string]*accessToken
	refresh []*refreshToken
	idHints map[string]*application // of every ID token
	sso     map[string]*login       // by the cookie's value
}

// Start runs a Server until the test ends. env returns the environment of the
// kickstart, given the server's URL. At the end the test fails for every
// violation that it did not take with [Server.Violations].
func Start(t testing.TB, kickstart []byte, env func(issuer string) map[string]string, o Options) *Server {
	t.Helper()
	s := &Server{
		b:       o.Behavior,
		faults:  make(map[string]func(http.ResponseWriter, *http.Request) bool),
		codes:   make(map[string]*code),
		access:  make(map[string]*accessToken),
		idHints: make(map[string]*application),
		sso:     make(map[string]*login),
	}
	s.routes()
	listening := httptest.NewServer(s.mux)
	t.Cleanup(func() {
		listening.Close()
		for _, violation := range s.Violations() {
			t.Errorf("violation: %s", violation)
		}
	})
	s.URL = strings.Replace(listening.URL, "127.0.0.1", "localhost", 1)

	made, err := parseKickstart(kickstart, env(s.URL))
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setup, s.kickstart = newSetup(map[string]string{"defaultTenantId": made.tenantID}), made
	if !o.Unfinished {
		s.setup = made
	}
	return s
}

// FinishKickstart ends [Options].Unfinished.
func (s *Server) FinishKickstart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setup = s.kickstart
}

// Behave changes the behavior from now on.
func (s *Server) Behave(change func(*Behavior)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.b)
}

// Fault makes a function answer at a path instead of the server. If it returns
// false, the server answers. A nil function ends the fault.
func (s *Server) Fault(path string, fault func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[path] = fault
}

// Refuse is a fault: an OAuth error with FusionAuth's error_reason, which may
// be empty.
func Refuse(status int, code, reason string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		(&oauthError{status, code, reason, "a fault of the test"}).answer().write(w)
		return true
	}
}

// Break is a fault: an answer with that status and no body, as from a proxy or
// from an older FusionAuth without the endpoint.
func Break(status int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(status)
		return true
	}
}

// RotateKeys replaces every signing key. The old ones are no longer published.
func (s *Server) RotateKeys() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.setup.keys {
		s.setup.keys[id] = newSigningKey()
	}
}

// TenantID returns the ID of the one tenant.
func (s *Server) TenantID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.setup.tenantID
}

// RefreshTokens returns the number of valid refresh tokens.
func (s *Server) RefreshTokens() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.refresh)
}

// EndRefreshTokens ends a user's refresh tokens, as an administrator can.
func (s *Server) EndRefreshTokens(email string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refresh = slices.DeleteFunc(s.refresh, func(r *refreshToken) bool { return r.user.Email == email })
}

// A Request was made by the application itself, not by a browser.
type Request struct {
	Method, Path  string
	Form          url.Values // of the body, with "…" for each secret
	Auth          string     // client_secret_post, client_secret_basic, bearer or none
	Person        string     // the email address of the user whose tokens were sent or issued
	Status        int        // of the answer; 0: not answered yet
	Error, Reason string     // OAuth error, and FusionAuth's error_reason
}

// Requests returns the requests to the paths, or to all of them, oldest first.
func (s *Server) Requests(paths ...string) []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.requests), func(r Request) bool {
		return len(paths) > 0 && !slices.Contains(paths, r.Path)
	})
}

// Polls returns the requests of the device grant, oldest first.
func (s *Server) Polls() []Request {
	return slices.DeleteFunc(s.Requests("/oauth2/token"), func(r Request) bool {
		return r.Form.Get("grant_type") != deviceGrant
	})
}

// Violations returns what clients did that no correct client does. Each is
// returned once: the test has seen it then.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.violations
	s.violations = nil
	return taken
}
