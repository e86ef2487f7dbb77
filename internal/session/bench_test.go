package session_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	clients "changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/session"
	"changebank/internal/teststore"
)

// BenchmarkLoad measures what each page pays: among that many sessions of the
// same person, who can have a hundred, and of others. Cost must not grow with
// them.
func BenchmarkLoad(b *testing.B) {
	for _, n := range []int{1, 100} {
		benchLoad(b, "sessions", n, func(int) idp.Person { return richard })
	}
	for _, n := range []int{1, 100, 10_000} {
		benchLoad(b, "people", n, func(i int) idp.Person {
			return idp.Person{Issuer: richard.Issuer, Subject: fmt.Sprint("person ", i)}
		})
	}
}

// benchLoad measures Load after n logins.
func benchLoad(b *testing.B, what string, n int, person func(i int) idp.Person) {
	b.Run(fmt.Sprintf("%s=%d", what, n), func(b *testing.B) {
		s, jar := storeAndJar(b, teststore.File(b), "test", appURL, key)
		m := session.New(session.Config{
			Store: s, Cookies: jar, Browser: clients.Proxies(nil).Of, Revoke: func(idp.Tokens) {}, Log: slog.New(slog.DiscardHandler),
		})
		logIn := func(i int) *http.Request {
			r, w := httptest.NewRequest(http.MethodGet, appURL, nil), httptest.NewRecorder()
			if err := m.LogIn(w, r, person(i), tokensOf("someone")); err != nil {
				b.Error(err)
			}
			r.AddCookie(w.Result().Cookies()[0])
			return r
		}
		teststore.Many(n-1, func(i int) { logIn(i) })
		r := logIn(n)
		b.ReportAllocs()
		for b.Loop() {
			if s, err := m.Load(r); err != nil || !s.LoggedIn() {
				b.Fatalf("Load = %+v, %v", s, err)
			}
		}
	})
}
