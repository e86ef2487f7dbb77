package handlers

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"changebank/internal/browser"
	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/session"
)

const laptopAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

// benchProvider gives each code once. Nobody approves them.
type benchProvider struct{ devicegrant.Provider }

const benchURI = "http://bank.example/activate"

func (benchProvider) StartDevice(context.Context) (idp.DeviceCode, error) {
	user := rand.Text()[:8]
	return idp.DeviceCode{
		Device: "device", User: user, URI: benchURI, URIComplete: benchURI + "?user_code=" + user,
		Expires: time.Now().Add(10 * time.Minute), Interval: 5 * time.Second,
	}, nil
}

func (benchProvider) Revoke(idp.Tokens) {}

// benchServer returns a server whose provider answers at once.
func benchServer(b *testing.B) *Server {
	b.Helper()
	kept, jar := newStore(b, "http://bank.example", nil)
	provider := benchProvider{}
	log := slog.New(slog.DiscardHandler)
	sessions := session.New(session.Config{Store: kept, Cookies: jar, Browser: browser.Proxies(nil).Of, Revoke: provider.Revoke, Log: log})
	grants := devicegrant.New(devicegrant.Config{
		Provider: provider, Sessions: sessions, Store: kept, VerificationURI: benchURI, ConfirmNumber: devicegrant.NumberNever,
		Limits: devicegrant.Limits{CodesPerAddress: 1 << 20, Live: 1 << 20, WrongCodes: 10, WrongNumbers: 3}, CodeLifetime: 5 * time.Minute, Log: log,
	})
	b.Cleanup(grants.Close)
	s, err := New(Config{
		AppURL: "http://bank.example", Sessions: sessions, Grants: grants, Cookies: jar, Store: kept,
		People: []string{"richard@example.com", "erlich@example.com"}, Public: true, Log: log,
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// laptopRequest is what a laptop's browser sends.
func laptopRequest(method, path, body string, cookies ...*http.Cookie) *http.Request {
	r := httptest.NewRequest(method, "http://bank.example"+path, strings.NewReader(body))
	r.Header.Set("User-Agent", laptopAgent)
	for _, cookie := range cookies {
		r.AddCookie(cookie)
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	return r
}

// logIn returns the session cookie of a new login of that person.
func logIn(b *testing.B, s *Server, name string) *http.Cookie {
	b.Helper()
	w := httptest.NewRecorder()
	who := idp.Person{Issuer: "http://login.example", Subject: name, Email: name + "@example.com", EmailVerified: true}
	jwt := strings.Repeat("0123456789", 80)
	tokens := idp.Tokens{Access: jwt, Refresh: jwt[:50], ID: jwt, Expires: time.Now().Add(time.Hour)}
	if err := s.cfg.Sessions.LogIn(w, laptopRequest(http.MethodGet, "/", ""), who, tokens); err != nil {
		b.Fatal(err)
	}
	return w.Result().Cookies()[0]
}

// showCode returns the cookie of a laptop that shows a new code.
func showCode(b *testing.B, s *Server) *http.Cookie {
	b.Helper()
	w := httptest.NewRecorder()
	if err := s.startAttempt(w, laptopRequest(http.MethodGet, qrPath, ""), browser.Browser{Agent: laptopAgent, Addr: "192.0.2.1"}); err != nil {
		b.Fatal(err)
	}
	return w.Result().Cookies()[0]
}

// many does something n times, with as many at once as one commit takes.
func many(n int, do func(i int)) {
	var wg sync.WaitGroup
	places := make(chan struct{}, 256)
	for i := range n {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			do(i)
		})
	}
	wg.Wait()
}

// nowhere takes an answer.
type nowhere struct {
	header http.Header
	status int
}

func (n *nowhere) Header() http.Header         { return n.header }
func (n *nowhere) WriteHeader(status int)      { n.status = status }
func (n *nowhere) Write(p []byte) (int, error) { return len(p), nil }

// benchPage measures one page, without the network.
func benchPage(b *testing.B, s *Server, method, path, body string, cookies ...*http.Cookie) {
	b.Helper()
	r := laptopRequest(method, path, body, cookies...)
	b.ReportAllocs()
	for b.Loop() {
		r := r.Clone(r.Context())
		r.Body = io.NopCloser(strings.NewReader(body))
		w := &nowhere{header: make(http.Header)}
		if s.ServeHTTP(w, r); w.status != http.StatusOK {
			b.Fatalf("%s %s: status %d", method, path, w.status)
		}
	}
}

// BenchmarkPage measures the pages that are asked for most.
func BenchmarkPage(b *testing.B) {
	s := benchServer(b)
	shows, member := showCode(b, s), logIn(b, s, "richard")
	for _, page := range []struct {
		name, method, path, body string
		cookies                  []*http.Cookie
	}{
		{"home", http.MethodGet, "/", "", nil},
		{"home with a code", http.MethodGet, "/", "", []*http.Cookie{shows}},
		{"account", http.MethodGet, "/account", "", []*http.Cookie{member}},
		{"make change", http.MethodPost, "/make-change", url.Values{"amount": {"1.23"}}.Encode(), []*http.Cookie{member}},
		{"live code", http.MethodGet, qrPath, "", []*http.Cookie{shows}},
	} {
		b.Run(page.name, func(b *testing.B) { benchPage(b, s, page.method, page.path, page.body, page.cookies...) })
	}
}

// BenchmarkAccountAmong has the account page of a person with that many
// sessions, and of one among that many people and codes. It should not matter.
func BenchmarkAccountAmong(b *testing.B) {
	for _, n := range []int{1, 100} {
		b.Run(fmt.Sprintf("sessions=%d", n), func(b *testing.B) {
			s := benchServer(b)
			var member *http.Cookie
			for range n {
				member = logIn(b, s, "richard")
			}
			benchPage(b, s, http.MethodGet, "/account", "", member)
		})
	}
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("people=%d", n), func(b *testing.B) {
			s := benchServer(b)
			many(n, func(i int) { logIn(b, s, fmt.Sprint("person ", i)) })
			benchPage(b, s, http.MethodGet, "/account", "", logIn(b, s, "richard"))
		})
	}
}

// BenchmarkLiveCodeAmong has the page of a code among that many others.
func BenchmarkLiveCodeAmong(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("codes=%d", n), func(b *testing.B) {
			s := benchServer(b)
			many(n, func(int) { showCode(b, s) })
			benchPage(b, s, http.MethodGet, qrPath, "", showCode(b, s))
		})
	}
}

// BenchmarkStream reports the memory and the goroutines of a laptop that waits
// for its phone, and those of a stream that only waits.
func BenchmarkStream(b *testing.B) {
	b.Run("laptop", func(b *testing.B) {
		s := benchServer(b)
		benchStreams(b, s, func() *http.Request {
			return laptopRequest(http.MethodGet, qrPath+"/events", "", showCode(b, s))
		})
	})
	b.Run("bare", func(b *testing.B) {
		bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for {
				_, _ = io.WriteString(w, "event: state\ndata: {\"state\": \"waiting\"}\n\n")
				_ = http.NewResponseController(w).Flush()
				select {
				case <-r.Context().Done():
					return
				case <-time.After(15 * time.Second):
				}
			}
		})
		benchStreams(b, bare, func() *http.Request { return laptopRequest(http.MethodGet, "/", "") })
	})
}

// benchStreams opens as many streams as the benchmark has rounds.
func benchStreams(b *testing.B, h http.Handler, request func() *http.Request) {
	server := httptest.NewServer(h)
	defer server.Close()
	defer server.CloseClientConnections()
	requests := make([]*http.Request, b.N)
	many(b.N, func(i int) { requests[i] = request() })
	memory, goroutines := held()
	b.ResetTimer()
	for _, r := range requests {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		defer conn.Close()
		if err := r.Write(conn); err != nil {
			b.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		var answer strings.Builder
		for part := make([]byte, 1024); !strings.Contains(answer.String(), "event: state"); {
			n, err := conn.Read(part)
			if answer.Write(part[:n]); err != nil {
				b.Fatal(err, answer.String())
			}
		}
	}
	b.StopTimer()
	now, running := held()
	b.ReportMetric(float64(now-memory)/float64(b.N), "B/stream")
	b.ReportMetric(float64(running-goroutines)/float64(b.N), "goroutines/stream")
}

// held returns the memory of objects and stacks that are in use, and the number
// of goroutines.
func held() (bytes int64, goroutines int) {
	for range 3 { // what a pool holds goes with the second collection
		runtime.GC()
	}
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc + stats.StackInuse), runtime.NumGoroutine()
}
