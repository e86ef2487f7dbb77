// Package testpeer runs an OpenID provider written by others, for tests:
// oidc-provider, in Node. It does not share the assumptions of Changebank and its
// demo provider.
package testpeer

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"changebank/internal/testneed"
)

// ClientID is the application's ID at the provider.
const ClientID = "changebank"

// DeviceGrant is the grant type of a poll (RFC 8628, section 3.4).
const DeviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// Options configure the provider.
type Options struct {
	AppURL       string `json:"appURL"` // of the application: browsers come back to its /callback and /
	ClientSecret string `json:"clientSecret"`
	// ClientAuth is the only client authentication method that is offered, named as
	// in token_endpoint_auth_methods_supported. Empty: all of them.
	ClientAuth string `json:"clientAuth"`
	IssuerPath string `json:"issuerPath"` // like /oidc, for an issuer with a path
	DeviceTTL  int    `json:"deviceTTL"`  // lifetime of a device code in seconds; 0: ten minutes
	Interval   int    `json:"interval"`   // between polls, in seconds; 0: not announced, which means five
	SlowDowns  int    `json:"slowDowns"`  // how many polls of a code are answered slow_down in any case

	RequiresPush     bool `json:"requiresPush"`     // authorization requests must be pushed (RFC 9126)
	EncryptsIDTokens bool `json:"encryptsIDTokens"` // for this client
	NoDeviceGrant    bool `json:"noDeviceGrant"`

	// LogoutTokens says what the logout tokens name that go to the application:
	// [Sub] or [SubAndSID]. Empty: none are sent.
	LogoutTokens string `json:"logoutTokens"`
}

// What logout tokens name: the person, or one session of the person as well.
const (
	Sub       = "sub"
	SubAndSID = "sub and sid"
)

// Provider is a running provider.
type Provider struct {
	Issuer string
}

// State is what a provider has recorded.
type State struct {
	Requests      []Request
	RefreshTokens int // the number of valid ones
	// LogoutTokens has an entry for each that was sent: the application's error,
	// empty if it accepted the token.
	LogoutTokens []string
}

// Request was made by the application itself, not by a browser.
type Request struct {
	Path   string // below the issuer
	Grant  string // the grant_type
	Auth   string // as in [Options].ClientAuth
	At     int64  // Unix milliseconds; see Time
	Status int    // of the answer; 0: not answered yet
	Error  string // the OAuth error code in the answer
}

// Time returns when the request arrived.
func (r Request) Time() time.Time { return time.UnixMilli(r.At) }

// Start runs a provider until the test ends.
func Start(t testing.TB, o Options) *Provider {
	t.Helper()
	_, source, _, _ := runtime.Caller(0)
	dir := filepath.Dir(source)
	node := testneed.Program(t, "Node is not installed, so another provider is not tested.", "node")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "oidc-provider")); err != nil {
		testneed.Missing(t, "oidc-provider is not installed (npm ci --prefix internal/testpeer), so another provider is not tested.")
	}
	options, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	process := exec.Command(node, filepath.Join(dir, "provider.mjs"), ClientID, string(options))
	log := &output{}
	process.Stderr = log
	stdout, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	// The provider exits when its standard input is closed, even by a crash of the
	// test binary.
	if _, err := process.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	var copying sync.WaitGroup
	t.Cleanup(func() {
		_ = process.Process.Kill()
		copying.Wait()
		_ = process.Wait() // it was killed
		if t.Failed() {
			t.Logf("the provider's output:\n%s", log)
		}
	})

	tooLong := time.AfterFunc(30*time.Second, func() { _ = process.Process.Kill() })
	defer tooLong.Stop()
	lines := bufio.NewReader(stdout)
	issuer, err := lines.ReadString('\n')
	if err != nil {
		t.Fatalf("the provider did not start: %v", err)
	}
	copying.Go(func() { _, _ = io.Copy(log, lines) })
	return &Provider{strings.TrimSpace(issuer)}
}

// State returns what the provider has recorded.
func (p *Provider) State(t testing.TB) State {
	t.Helper()
	u, err := url.Parse(p.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(u.Scheme + "://" + u.Host + "/__test/state")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var state State
	if err := json.NewDecoder(resp.Body).Decode(&state); err != nil {
		t.Fatal(err)
	}
	return state
}

// Polls returns the requests of the device grant, oldest first.
func (p *Provider) Polls(t testing.TB) []Request {
	t.Helper()
	var polls []Request
	for _, r := range p.State(t).Requests {
		if r.Grant == DeviceGrant {
			polls = append(polls, r)
		}
	}
	return polls
}

// output collects what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
