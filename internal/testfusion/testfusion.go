// Package testfusion is FusionAuth 1.69 as an application meets it, for tests:
// written by hand from FusionAuth's documentation, set up from a kickstart as
// FusionAuth is, and strict. A request that no correct client sends makes the
// test fail. It shares no code with our demo provider, so that the two cannot
// be wrong in the same way.
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

// Options say what a [Server] is like when it starts.
type Options struct {
	Behaviour
	// Unfinished: the kickstart is still running. There is no application yet,
	// and the issuer reads acme.com, until [Server.FinishKickstart].
	Unfinished bool
}

// Behaviour is how a Server differs from a FusionAuth that has just been set
// up. The zero value is no difference.
type Behaviour struct {
	Interval       time.Duration // from poll to poll, in whole seconds; 0: five seconds
	CodeLifetime   time.Duration // of authorization codes; 0: the tenant's
	DeviceLifetime time.Duration // of device codes, in whole seconds; 0: the tenant's
	TokenLifetime  time.Duration // of access and ID tokens, in whole seconds; 0: the application's

	SlowDowns int  // so many polls are told to slow down, which FusionAuth does not do
	Purged    bool // expired device codes are gone: invalid_device_code in place of expired_token

	Omit           []string // members that the token endpoint leaves out, like scope or id_token
	NoTenant       bool     // tokens do not say their tenant (tid)
	NoKeys         bool     // as an application without keys: HS256, and none are published
	OneTimeRefresh bool     // a refresh token is good once, and the answer has the next

	NoDeviceGrant bool   // the application must not use it
	RefuseClient  string // the error_reason with which every client is refused

	Discovery func(document map[string]any) // changes the discovery document
}

// Server is a FusionAuth that runs.
type Server struct {
	URL string // where it is; its issuer is what the kickstart says

	mux  *http.ServeMux
	over chan struct{} // closed when the test is over

	mu         sync.Mutex // held while a request is handled
	b          Behaviour
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

// Start runs a Server until the test ends. env says what the kickstart finds in
// its environment, once the server's URL is known. At the end the test fails
// for every violation that it has not taken by [Server.Violations].
func Start(t testing.TB, kickstart []byte, env func(issuer string) map[string]string, o Options) *Server {
	t.Helper()
	s := &Server{
		over:    make(chan struct{}),
		b:       o.Behaviour,
		faults:  make(map[string]func(http.ResponseWriter, *http.Request) bool),
		codes:   make(map[string]*code),
		access:  make(map[string]*accessToken),
		idHints: make(map[string]*application),
		sso:     make(map[string]*login),
	}
	s.routes()
	listening := httptest.NewServer(s.mux)
	t.Cleanup(func() {
		close(s.over)
		listening.Close()
		for _, violation := range s.Violations() {
			t.Errorf("no correct client of FusionAuth does this: %s", violation)
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

// FinishKickstart makes what the kickstart says.
func (s *Server) FinishKickstart() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.setup = s.kickstart
}

// Behave changes how the server behaves from now on.
func (s *Server) Behave(change func(*Behaviour)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.b)
}

// Fault has a function answer at a path in place of the server; false leaves
// the request to the server. nil ends that.
func (s *Server) Fault(path string, fault func(http.ResponseWriter, *http.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[path] = fault
}

// Refuse is a fault: an OAuth error with FusionAuth's error_reason, which may
// be empty.
func Refuse(status int, code, reason string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		(&oauthError{status, code, reason, "as the test wants it"}).answer().write(w)
		return true
	}
}

// Break is a fault: an answer with that status and no body, as a proxy or an
// older FusionAuth without the endpoint gives it.
func Break(status int) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(status)
		return true
	}
}

// Hang is a fault: no answer, until the client or the test gives up.
func (s *Server) Hang(_ http.ResponseWriter, r *http.Request) bool {
	select {
	case <-r.Context().Done():
	case <-s.over:
	}
	panic(http.ErrAbortHandler) // the connection ends without an answer
}

// RotateKeys replaces every signing key by a new one; the old ones are no
// longer published.
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

// RefreshTokens returns how many refresh tokens are good.
func (s *Server) RefreshTokens() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.refresh)
}

// A Request is one that the application itself made, not a browser, and its
// answer.
type Request struct {
	At            time.Time
	Method, Path  string
	Form          url.Values // of the body, with "…" for each secret
	Auth          string     // client_secret_post, client_secret_basic, bearer or none
	Person        string     // the email of whose token it was, or whose tokens came of it
	Status        int        // 0: not answered yet
	Error, Reason string     // OAuth error, and FusionAuth's error_reason
}

// Requests returns what was asked at the paths, or at all of them, oldest
// first.
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

// Violations returns what clients did that no correct client does, and forgets
// it: the test has seen it.
func (s *Server) Violations() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.violations
	s.violations = nil
	return taken
}
