package tests

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"changebank/internal/testfusion"
	"changebank/internal/testredis"
)

// replicas are several processes of the program on one Redis, behind one proxy,
// with one strict double of FusionAuth. The embedded bank is what browsers see.
type replicas struct {
	*bank
	all    []*bank
	redis  *testredis.Server
	fusion *testfusion.Server
	polls  *pollWatch

	balancer *balancer
}

// startReplicas runs n processes until the test ends.
func startReplicas(t *testing.T, n int, setup []byte, settings ...string) *replicas {
	t.Helper()
	r := &replicas{balancer: newBalancer(t, n), redis: testredis.Start(t, "--appendonly", "yes")}
	r.polls = newPollWatch(t)
	settings = append([]string{
		"REDIS_URL=" + r.redis.URL(), "APP_SECRET_KEY=the-same-key-on-each-of-the-replicas",
		"APP_URL=" + r.balancer.URL, "ISSUER=" + r.polls.URL,
		"CLIENT_ID=" + clientID, "CLIENT_SECRET=a+b/c=d:e%f g%20h&i", "LOG_LEVEL=debug",
	}, settings...)
	r.bank = newBank(t, settings)
	r.bank.URL, r.bank.password = r.balancer.URL, "password"
	r.fusion = testfusion.Start(t, setup, func(string) map[string]string {
		return map[string]string{
			"APP_URL": r.balancer.URL, "ISSUER": r.polls.URL, "CLIENT_ID": clientID, "CLIENT_SECRET": r.bank.secret,
			"USER_PASSWORD": "password", "ADMIN_PASSWORD": "password",
		}
	}, testfusion.Options{})
	r.polls.to(t, r.fusion.URL)
	for range n {
		r.all = append(r.all, newBank(t, settings))
	}
	var starting sync.WaitGroup
	for i := range r.all {
		starting.Go(func() { r.start(i) })
	}
	starting.Wait()
	return r
}

// start starts a replica that does not run, and waits until it is ready.
func (r *replicas) start(i int) {
	r.all[i].start()
	r.all[i].awaitProvider()
	r.balancer.behind[i].Store(new("127.0.0.1:" + r.all[i].log.await(r.all[i].t, `[ "]port"?[=:](\d+)`)))
}

// kill kills a replica: its connections break, and the balancer uses others.
func (r *replicas) kill(i int) { r.all[i].kill() }

// stop stops a replica as in a roll-out. The balancer sends it nothing more once
// it says that it is not ready.
func (r *replicas) stop(i int) {
	r.t.Helper()
	r.signal(i, syscall.SIGTERM)
	addr := r.balancer.behind[i].Load()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + *addr + "/readyz")
		if err != nil {
			r.t.Errorf("the replica stopped before it said that it would: %v", err)
			break
		}
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable {
			break
		}
	}
	r.balancer.behind[i].Store(nil)
	r.all[i].end(0) // no second signal, which would not wait
}

// signal sends a signal to a replica, such as SIGSTOP.
func (r *replicas) signal(i int, signal syscall.Signal) {
	r.t.Helper()
	if err := r.all[i].process.command.Process.Signal(signal); err != nil {
		r.t.Fatal(err)
	}
}

// openFiles returns how many files and connections the replicas that run have
// open.
func (r *replicas) openFiles() (n int) {
	r.t.Helper()
	for _, b := range r.all {
		files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", b.process.command.Process.Pid))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.t.Fatal(err)
		}
		n += len(files)
	}
	return n
}

// wantNoFaults checks that no process logged an error that is not one of those
// expected.
func (r *replicas) wantNoFaults(expected ...string) {
	r.t.Helper()
	for i, b := range r.all {
		for line := range strings.Lines(b.log.String()) {
			if strings.Contains(line, "level=ERROR") && !containsAny(line, expected) {
				r.t.Errorf("replica %d: %s", i, line)
			}
		}
	}
}

func containsAny(text string, parts []string) bool {
	for _, part := range parts {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// onReplica sends the browser's requests to one replica from now on, as long as
// it runs.
func (b *browser) onReplica(i int) *browser {
	b.on = strconv.Itoa(i)
	return b
}

// balancer is a reverse proxy that sends each request to any replica that
// accepts connections, as nginx does: to the one that the browser asks for, or
// else in turn.
type balancer struct {
	URL    string
	behind []atomic.Pointer[string] // addresses
	next   atomic.Uint64
}

// replicaHeader names the replica that a test's browser wants.
const replicaHeader = "Test-Replica"

func newBalancer(t testing.TB, n int) *balancer {
	b := &balancer{behind: make([]atomic.Pointer[string], n)}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "replica"
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			r.SetXForwarded()
		},
		Transport:     b,
		FlushInterval: -1,
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "bad gateway: "+err.Error(), http.StatusBadGateway)
		},
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	b.URL = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return b
}

// balanced is how the balancer connects: anew for each request, so that none
// waits for a replica that was killed.
var balanced = &http.Transport{DisableKeepAlives: true}

// RoundTrip implements [http.RoundTripper].
func (b *balancer) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		var err error
		if body, err = io.ReadAll(r.Body); err != nil {
			return nil, err
		}
	}
	first := int(b.next.Add(1))
	if wanted, err := strconv.Atoi(r.Header.Get(replicaHeader)); err == nil {
		first = wanted
	}
	var err error
	for i := range b.behind {
		addr := b.behind[(first+i)%len(b.behind)].Load()
		if addr == nil {
			continue
		}
		try := r.Clone(r.Context())
		try.Body, try.URL.Host = io.NopCloser(bytes.NewReader(body)), *addr
		var resp *http.Response
		if resp, err = balanced.RoundTrip(try); err == nil {
			return resp, nil
		}
		if dial, ok := errors.AsType[*net.OpError](err); !ok || dial.Op != "dial" {
			return nil, err // the replica may have done it
		}
	}
	return nil, err
}

// pollWatch is a proxy in front of the provider. It sees the polls of each
// device code, and reports two at a time.
type pollWatch struct {
	URL   string
	proxy atomic.Pointer[httputil.ReverseProxy]

	mu       sync.Mutex
	inFlight map[string]int // by device code
	most     int
	begun    int
	duration time.Duration
	answered bool // the provider answers first, and its answer takes so long
}

func newPollWatch(t testing.TB) *pollWatch {
	p := &pollWatch{inFlight: make(map[string]int)}
	server := httptest.NewServer(p)
	t.Cleanup(func() {
		server.Close()
		if p.most > 1 {
			t.Errorf("%d polls of one device code at a time, want one", p.most)
		}
	})
	p.URL = strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	return p
}

func (p *pollWatch) to(t testing.TB, address string) {
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	p.proxy.Store(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // which the provider's own URLs are made of
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			w.WriteHeader(http.StatusBadGateway) // the program that asked was killed
		},
	})
}

// lasts makes each poll last so long from now on: before the provider sees it,
// or before its answer arrives.
func (p *pollWatch) lasts(duration time.Duration, answered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.duration, p.answered = duration, answered
}

// await waits until so many polls have begun.
func (p *pollWatch) await(t testing.TB, n int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		p.mu.Lock()
		begun := p.begun
		p.mu.Unlock()
		if begun >= n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d polls, want %d", begun, n)
		}
	}
}

// ServeHTTP implements [http.Handler].
func (p *pollWatch) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	device := ""
	if r.Method == http.MethodPost {
		device = postedForm(r).Get("device_code")
	}
	if device == "" {
		p.proxy.Load().ServeHTTP(w, r)
		return
	}
	duration, answered := p.begin(device)
	defer p.end(device)
	wait := func() {
		select {
		case <-time.After(duration):
		case <-r.Context().Done():
		}
	}
	if answered {
		answer := httptest.NewRecorder()
		p.proxy.Load().ServeHTTP(answer, r)
		wait()
		maps.Copy(w.Header(), answer.Header())
		w.WriteHeader(answer.Code)
		_, _ = w.Write(answer.Body.Bytes())
		return
	}
	wait()
	if r.Context().Err() == nil { // else the program that asked was killed
		p.proxy.Load().ServeHTTP(w, r)
	}
}

func (p *pollWatch) begin(device string) (duration time.Duration, answered bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun++
	p.inFlight[device]++
	p.most = max(p.most, p.inFlight[device])
	return p.duration, p.answered
}

func (p *pollWatch) end(device string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inFlight[device]--
}
