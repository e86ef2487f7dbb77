package tests

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// victims is how many requests of other people are timed, before an attack and
// during it.
const victims = 60

// An attack is kept up until stop is closed.
type attack func(t *testing.T, b *bank, stop <-chan struct{})

// Each of these attacks comes from one address that is no proxy's. Meanwhile
// others are served as before, and memory and open files stay bounded. Afterwards
// all is as before. It compares times, so no other test runs beside it.
func TestAbuse(t *testing.T) {
	for name, attack := range map[string]attack{
		"idle connections":             idle(""),
		"headers a byte at a time":     idle("GET / HTTP/1.1\r\nHost: x\r\nX-Slow: "),
		"bodies that stall":            idle("POST /logout HTTP/1.1\r\nHost: localhost\r\nContent-Length: 60000\r\n\r\nx"),
		"readers that take nothing":    idle(strings.Repeat("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 3)),
		"huge headers":                 flood(func(r *http.Request) { r.Header.Set("X-Huge", strings.Repeat("x", 60<<10)) }),
		"huge bodies":                  flood(hugeBody),
		"random cookies":               flood(func(r *http.Request) { r.Header.Set("Cookie", strings.Repeat("changebank-login-abcdefgh=MTY; ", 1000)) }),
		"new codes":                    flood(func(r *http.Request) { r.URL.Path = qrPage; r.URL.RawQuery = "again=1" }),
		"guessed codes, not logged in": flood(func(r *http.Request) { r.URL.Path = "/activate"; r.URL.RawQuery = "user_code=ABC123" }),
		"callbacks of logins not begun": flood(func(r *http.Request) {
			r.URL.Path = "/callback"
			r.URL.RawQuery = "code=x&state=" + strings.Repeat("y", 300)
		}),
	} {
		t.Run(name, func(t *testing.T) { // one after the other, so that none slows another
			b := startBank(t, "TRUSTED_PROXIES=192.0.2.1", "LIMIT_CODES_PER_ADDRESS=1000")
			person := b.browserOf(t, richard)
			before, files, memory := person.median(), b.openFiles(t), b.memory(t)
			stop := make(chan struct{})
			var attackers sync.WaitGroup
			attackers.Go(func() { attack(t, b, stop) })
			time.Sleep(200 * time.Millisecond) // it begins; the bounds hold at any time
			during := person.median()
			if n := b.openFiles(t) - files; n > 1100 {
				t.Errorf("%d more files are open", n)
			}
			if n := b.memory(t) - memory; n > 900 { // the race detector's own memory included
				t.Errorf("%d MB more are used", n)
			}
			b.browser(t).code()
			close(stop)
			attackers.Wait()
			// The machine may be busy with other tests, before or after.
			if usual := max(before, person.median()); during > 25*usual+20*time.Millisecond {
				t.Errorf("a request takes %v during the attack, otherwise %v", during, usual)
			}
			if strings.Contains(b.log.String(), "level=ERROR") {
				t.Error("an attack is logged as an error")
			}
		})
	}
}

// median returns how long a request of this person takes.
func (b *browser) median() time.Duration {
	b.t.Helper()
	var took []time.Duration
	for range victims {
		began := time.Now()
		b.wantPerson(richard)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// attacker connects from an address of its own.
var attacker = net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 66)}, Timeout: 10 * time.Second}

// idle opens two thousand connections, sends a beginning on each, and then
// nothing but a byte now and then. It reads nothing.
func idle(beginning string) attack {
	return func(t *testing.T, b *bank, stop <-chan struct{}) {
		_, port, _ := strings.Cut(strings.TrimPrefix(b.URL, "http://"), ":")
		begin := strings.ReplaceAll(beginning, "Host: localhost", "Host: localhost:"+port)
		var connections []net.Conn
		defer func() {
			for _, c := range connections {
				_ = c.Close()
			}
		}()
		for range 2000 {
			c, err := attacker.DialContext(t.Context(), "tcp4", "127.0.0.1:"+port)
			if err != nil {
				t.Errorf("connect: %v", err)
				return
			}
			connections = append(connections, c)
			_ = c.(*net.TCPConn).SetReadBuffer(1) // as little as the system allows
			_, _ = io.WriteString(c, begin)       // it may be closed already
			select {
			case <-stop:
				return
			default:
			}
		}
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
				_, _ = io.WriteString(connections[i%len(connections)], "x")
			}
		}
	}
}

// flood sends requests over four connections, each soon after the last was
// answered. The pause leaves the machine to the program.
func flood(change func(*http.Request)) attack {
	return func(t *testing.T, b *bank, stop <-chan struct{}) {
		at, err := url.Parse(b.URL)
		if err != nil {
			t.Error(err)
			return
		}
		var clients sync.WaitGroup
		for range 4 {
			clients.Go(func() {
				transport := &http.Transport{DialContext: attacker.DialContext}
				defer transport.CloseIdleConnections()
				for {
					select {
					case <-stop:
						return
					case <-time.After(5 * time.Millisecond):
					}
					req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, at.String()+"/", nil)
					if err != nil {
						t.Error(err)
						return
					}
					change(req)
					resp, err := transport.RoundTrip(req)
					if err != nil {
						continue // hung up on
					}
					_, _ = io.Copy(io.Discard, resp.Body)
					_ = resp.Body.Close()
				}
			})
		}
		clients.Wait()
	}
}

// hugeBody makes a request a POST of a megabyte.
func hugeBody(r *http.Request) {
	r.Method, r.ContentLength = http.MethodPost, 1<<20
	r.URL.Path = "/activate"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Body = io.NopCloser(io.LimitReader(endless{}, r.ContentLength))
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// One address may have a thousand connections. The log says so, once. Others
// connect as before, and when some are closed, that address does, too.
func TestConnectionsPerAddress(t *testing.T) {
	t.Parallel()
	b := startBank(t, "TRUSTED_PROXIES=192.0.2.1")
	_, port, _ := strings.Cut(strings.TrimPrefix(b.URL, "http://"), ":")
	request := "GET /healthz HTTP/1.1\r\nHost: localhost:" + port + "\r\n\r\n"
	var connections []net.Conn
	answered := 0
	ask := func() (answers bool) {
		c, err := attacker.DialContext(t.Context(), "tcp4", "127.0.0.1:"+port)
		if err != nil {
			t.Fatal(err)
		}
		connections = append(connections, c)
		_, _ = io.WriteString(c, request)
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		n, _ := c.Read(make([]byte, 1000))
		return n > 0
	}
	for range 1100 {
		if ask() {
			answered++
		}
	}
	if answered != 1000 {
		t.Errorf("%d connections of one address are answered, want 1000", answered)
	}
	if n := strings.Count(b.log.String(), "too many connections"); n != 1 || !strings.Contains(b.log.String(), "addr=127.0.0.66") {
		t.Errorf("the log says so %d times, want once", n)
	}
	b.browser(t).code()
	for _, c := range connections {
		_ = c.Close()
	}
	b.browser(t).await("true", func() string { return fmt.Sprint(ask()) })
}
