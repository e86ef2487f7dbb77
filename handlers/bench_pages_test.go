package handlers

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"changebank/internal/teststore"
)

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

// BenchmarkAccountAmong measures the account page of a person with that many
// sessions, and of one among that many people. Cost must not grow with them. No
// person has more than a hundred sessions: the oldest end.
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
			teststore.Many(n, func(i int) { logIn(b, s, fmt.Sprint("person ", i)) })
			benchPage(b, s, http.MethodGet, "/account", "", logIn(b, s, "richard"))
		})
	}
}

// BenchmarkCodeAmong measures a live code's page and a new code among that many
// codes. Cost must not grow with them.
func BenchmarkCodeAmong(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("codes=%d", n), func(b *testing.B) {
			s := benchServer(b)
			teststore.Many(n, func(int) { showCode(b, s) })
			b.Run("live", func(b *testing.B) { benchPage(b, s, http.MethodGet, qrPath, "", showCode(b, s)) })
			b.Run("new", func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					showCode(b, s)
				}
			})
		})
	}
}
