package session_test

import (
	"crypto/rand"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"testing"

	clients "changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/session"
)

// browser keeps cookies as one does.
type browser struct {
	t           *testing.T
	url         *url.URL
	jar         http.CookieJar
	agent, addr string
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	return browserAt(t, appURL)
}

func browserAt(t *testing.T, address string) *browser {
	t.Helper()
	u, err := url.Parse(address + "/")
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, u, jar, "a browser", "192.0.2.1"}
}

// thief returns another browser with this one's present cookies. It keeps them
// forever and gets no new ones. It also stands for a slow request.
func (b *browser) thief() *browser {
	b.t.Helper()
	thief := *b
	thief.jar = newBrowser(b.t).jar
	thief.jar.SetCookies(b.url, b.jar.Cookies(b.url))
	return &thief
}

// has puts a cookie into the browser.
func (b *browser) has(name, value string) *browser {
	b.jar.SetCookies(b.url, []*http.Cookie{{Name: name, Value: value, Secure: b.url.Scheme == "https"}})
	return b
}

// cookie returns the one cookie that the browser would send.
func (b *browser) cookie() *http.Cookie {
	b.t.Helper()
	cookies := b.jar.Cookies(b.url)
	if len(cookies) != 1 {
		b.t.Fatalf("the browser has the cookies %v, want one", cookies)
	}
	return cookies[0]
}

func (b *browser) request() *http.Request {
	r := httptest.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url.String(), nil)
	r.Header.Set("User-Agent", b.agent)
	r.RemoteAddr = "[" + b.addr + "]:1234"
	for _, c := range b.jar.Cookies(b.url) {
		r.AddCookie(c)
	}
	return r
}

func (b *browser) browser() clients.Browser { return clients.Browser{Agent: b.agent, Addr: b.addr} }

// visit has a page answer the browser, and returns the cookie that it set, nil
// if it set none.
func (b *browser) visit(page func(w http.ResponseWriter, r *http.Request) error) (*http.Cookie, error) {
	b.t.Helper()
	w := httptest.NewRecorder()
	err := page(w, b.request())
	cookies := w.Result().Cookies()
	b.jar.SetCookies(b.url, cookies)
	switch len(cookies) {
	case 0:
		return nil, err
	case 1:
		return cookies[0], err
	}
	b.t.Fatalf("one answer sets the cookies %v", cookies)
	return nil, nil
}

func (b *browser) load(m *session.Manager) session.Session {
	b.t.Helper()
	s, err := m.Load(b.request())
	if err != nil {
		b.t.Fatalf("Load: %v", err)
	}
	return s
}

// logIn logs the browser in at the provider. The tokens are named for the
// person, or as name says.
func (b *browser) logIn(m *session.Manager, person idp.Person, name ...string) *http.Cookie {
	b.t.Helper()
	set, err := b.tryLogIn(m, person, append(name, person.Email)[0])
	if err != nil || set == nil {
		b.t.Fatalf("LogIn: %v with the cookie %v, want a cookie", err, set)
	}
	return set
}

func (b *browser) tryLogIn(m *session.Manager, person idp.Person, name string) (*http.Cookie, error) {
	b.t.Helper()
	return b.visit(func(w http.ResponseWriter, r *http.Request) error {
		return m.LogIn(w, r, person, tokensOf(name))
	})
}

// claim logs the browser in by phone, and returns the ID of its session.
func (b *browser) claim(m *session.Manager, person idp.Person) (id string) {
	b.t.Helper()
	id = b.pend(m, person)
	b.activate(m, id, true)
	b.setCookie(m, id)
	return id
}

// pend makes a pending session for the browser. Nobody vouches for it.
func (b *browser) pend(m *session.Manager, person idp.Person) (id string) {
	b.t.Helper()
	id = rand.Text()
	b.createPending(m, id, person, "", true)
	return id
}

func (b *browser) createPending(m *session.Manager, id string, person idp.Person, voucher string, want bool) {
	b.t.Helper()
	ok, err := m.CreatePending(b.t.Context(), id, person, tokensOf(person.Email), b.browser(), voucher)
	if ok != want || err != nil {
		b.t.Errorf("CreatePending = %t, %v; want %t", ok, err, want)
	}
}

func (b *browser) activate(m *session.Manager, id string, want bool) {
	b.t.Helper()
	if ok, err := m.Activate(b.t.Context(), id, b.browser()); ok != want || err != nil {
		b.t.Errorf("Activate = %t, %v; want %t", ok, err, want)
	}
}

func (b *browser) setCookie(m *session.Manager, id string) *http.Cookie {
	b.t.Helper()
	set, err := b.visit(func(w http.ResponseWriter, r *http.Request) error { return m.SetCookie(w, r, id) })
	if err != nil || set == nil {
		b.t.Fatalf("SetCookie: %v with the cookie %v, want a cookie", err, set)
	}
	return set
}

func (b *browser) logOut(m *session.Manager) (was session.Session, set *http.Cookie) {
	b.t.Helper()
	set, err := b.visit(func(w http.ResponseWriter, r *http.Request) (err error) {
		was, err = m.Logout(w, r)
		return err
	})
	if err != nil {
		b.t.Fatalf("Logout: %v", err)
	}
	return was, set
}

// logIns are the two ways to log in.
var logIns = map[string]func(b *browser, m *session.Manager, person idp.Person){
	session.ByProvider: func(b *browser, m *session.Manager, person idp.Person) { b.logIn(m, person) },
	session.ByPhone:    func(b *browser, m *session.Manager, person idp.Person) { b.claim(m, person) },
}

// wantNone wants the zero Session.
func (b *browser) wantNone(m *session.Manager, when string) {
	b.t.Helper()
	if s := b.load(m); s != (session.Session{}) {
		b.t.Errorf("%s: Load = %+v, want the zero Session", when, s)
	}
}

func (b *browser) wantPerson(m *session.Manager, want idp.Person, when string) session.Session {
	b.t.Helper()
	s := b.load(m)
	if s.Person != want || !s.LoggedIn() {
		b.t.Errorf("%s: Load = %+v, want the session of %v", when, s, want)
	}
	return s
}

func (b *browser) wantWasEnded(m *session.Manager, want session.Ending, when string) {
	b.t.Helper()
	if got, err := m.WasEnded(b.request()); got != want || err != nil {
		b.t.Errorf("%s: WasEnded = %q, %v; want %q", when, got, err, want)
	}
}
