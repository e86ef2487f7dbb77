package handlers

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
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
	if err := s.startAttempt(w, laptopRequest(http.MethodGet, qrPath, ""), browser.Browser{Agent: laptopAgent, Addr: "192.0.2.1"}, false); err != nil {
		b.Fatal(err)
	}
	return w.Result().Cookies()[0]
}
