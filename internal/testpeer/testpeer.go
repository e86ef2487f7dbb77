// Package testpeer runs a provider that is not ours, for tests: oidc-provider,
// in Node. What we and our demo provider take for granted it may not.
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

// ClientID is the application's name at the provider.
const ClientID = "changebank"

// DeviceGrant is the grant type of a poll (RFC 8628, section 3.4).
const DeviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// Options say what the provider is like.
type Options struct {
	AppURL       string `json:"appURL"` // of the application: browsers come back to its /callback and /
	ClientSecret string `json:"clientSecret"`
	// ClientAuth is the one way to show the secret that is offered, as
	// token_endpoint_auth_methods_supported has it; all of them if empty.
	ClientAuth string `json:"clientAuth"`
	IssuerPath string `json:"issuerPath"` // like /oidc, where the issuer is not a whole host
	DeviceTTL  int    `json:"deviceTTL"`  // seconds that a device code lasts; 0: ten minutes
	Interval   int    `json:"interval"`   // seconds from poll to poll; 0: the provider does not say, so it is five
	SlowDowns  int    `json:"slowDowns"`  // how many polls of a code are told to slow down, however slow they are
}

// Provider is one that runs.
type Provider struct {
	Issuer string
}

// State is what a provider has seen so far.
type State struct {
	Requests      []Request
	RefreshTokens int // that are good
}

// Request is one that the application itself made, not a browser, and its
// answer.
type Request struct {
	Path   string // below the issuer
	Grant  string // what the token endpoint is asked for
	Auth   string // as in [Options].ClientAuth
	At     int64  // milliseconds; see Time
	Status int    // 0: not answered yet
	Error  string // the OAuth error code
}

// Time returns when the request came.
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
	said := &output{}
	process.Stderr = said
	stdout, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	// It ends when its standard input does: even a test binary that crashes
	// leaves no provider behind.
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
			t.Logf("the provider said:\n%s", said)
		}
	})

	tooLong := time.AfterFunc(30*time.Second, func() { _ = process.Process.Kill() })
	defer tooLong.Stop()
	lines := bufio.NewReader(stdout)
	issuer, err := lines.ReadString('\n')
	if err != nil {
		t.Fatalf("the provider did not start: %v", err)
	}
	copying.Go(func() { _, _ = io.Copy(said, lines) })
	return &Provider{strings.TrimSpace(issuer)}
}

// State asks the provider what it has seen.
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

// output is what a process writes.
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
