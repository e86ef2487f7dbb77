package session_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clients "changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/session"
	"changebank/internal/store"
)

var (
	key      = []byte("the key of the bank, 16 bytes or more")
	otherKey = []byte("another key, 16 bytes or more")

	richard = idp.Person{Issuer: "https://idp.example", Subject: "1", Email: "richard@example.com"}
	erlich  = idp.Person{Issuer: "https://idp.example", Subject: "2", Email: "erlich@example.com"}
)

// bank is a Manager on a real store.
type bank struct {
	*session.Manager
	backend store.Backend

	t    *testing.T
	path string
	file *store.File
	wrap func(store.Backend) store.Backend // what stands before the file

	refresh session.RefreshFunc // nil: nobody may ask for it
	log     *slog.Logger

	mu      sync.Mutex
	revoked []string // access tokens
}

func newBank(t *testing.T) *bank {
	t.Helper()
	return newBankBehind(t, func(b store.Backend) store.Backend { return b })
}

func newBankBehind(t *testing.T, wrap func(store.Backend) store.Backend) *bank {
	t.Helper()
	b := &bank{t: t, path: filepath.Join(t.TempDir(), "store"), wrap: wrap, log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	b.open()
	t.Cleanup(b.close)
	return b
}

func (b *bank) open() {
	b.t.Helper()
	file, err := store.OpenFile(b.path)
	if err != nil {
		b.t.Fatal(err)
	}
	b.file, b.backend = file, b.wrap(file)
	b.Manager = b.with(false, key)
}

func (b *bank) close() {
	b.t.Helper()
	if err := b.file.Close(); err != nil {
		b.t.Errorf("closing the store: %v", err)
	}
}

// with returns another Manager on the same store: another process's, or that
// of the next version.
func (b *bank) with(secure bool, keys ...[]byte) *session.Manager {
	return b.of("test", secure, keys...)
}

// of returns a Manager of another realm.
func (b *bank) of(realm string, secure bool, keys ...[]byte) *session.Manager {
	return session.New(session.Config{
		Store:  namespace(b.t, b.backend, realm, keys...),
		Secure: secure,
		BrowserOf: func(r *http.Request) clients.Browser {
			return clients.Browser{Agent: r.UserAgent(), Addr: r.RemoteAddr}
		},
		Refresh: func(ctx context.Context, old idp.Tokens, person idp.Person) (idp.Tokens, error) {
			if b.refresh == nil {
				b.t.Errorf("the tokens of %v were refreshed, want no such thing", person)
				return old, nil
			}
			return b.refresh(ctx, old, person)
		},
		Revoke: func(_ context.Context, tokens idp.Tokens) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.revoked = append(b.revoked, tokens.Access)
			return nil
		},
		Log: b.log,
	})
}

// sleep lets time pass in a bubble. The bank is down meanwhile, so that a week
// is not ten thousand sweeps, and so that nothing rests on the sweep.
func (b *bank) sleep(d time.Duration) {
	b.t.Helper()
	b.close()
	time.Sleep(d)
	b.open()
}

// inBubble runs a test whose clock only moves while everybody waits.
func inBubble(t *testing.T, test func(t *testing.T, b *bank)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newBank(t)) })
}

// browser keeps cookies as one does.
type browser struct {
	t     *testing.T
	url   *url.URL
	jar   http.CookieJar
	agent string
}

func newBrowser(t *testing.T) *browser {
	t.Helper()
	return browserAt(t, "http://localhost:5000/")
}

func browserAt(t *testing.T, address string) *browser {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &browser{t, u, jar, "a browser"}
}

// thief is somebody with the browser's present cookies, who keeps them for
// ever and hears of no new ones. It also stands for a request that is slow.
func (b *browser) thief() *browser {
	b.t.Helper()
	thief := browserAt(b.t, b.url.String())
	thief.jar.SetCookies(b.url, b.jar.Cookies(b.url))
	return thief
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
	for _, c := range b.jar.Cookies(b.url) {
		r.AddCookie(c)
	}
	return r
}

// visit has a page answer the browser, and returns the cookie that it set, nil
// if it set none.
func (b *browser) visit(page func(w http.ResponseWriter, r *http.Request)) *http.Cookie {
	b.t.Helper()
	w := httptest.NewRecorder()
	page(w, b.request())
	cookies := w.Result().Cookies()
	b.jar.SetCookies(b.url, cookies)
	switch len(cookies) {
	case 0:
		return nil
	case 1:
		return cookies[0]
	}
	b.t.Fatalf("one answer sets the cookies %v", cookies)
	return nil
}

func (b *browser) load(m *session.Manager) session.Session {
	b.t.Helper()
	s, err := m.Load(b.request())
	if err != nil {
		b.t.Fatalf("Load: %v", err)
	}
	return s
}

func (b *browser) update(m *session.Manager, change func(*session.Session)) (s session.Session, set *http.Cookie) {
	b.t.Helper()
	set = b.visit(func(w http.ResponseWriter, r *http.Request) {
		var err error
		s, err = m.Update(w, r, func(s *session.Session) error {
			change(s)
			return nil
		})
		if err != nil {
			b.t.Fatalf("Update: %v", err)
		}
	})
	return s, set
}

// begin gives the browser a session that is not logged in.
func (b *browser) begin(m *session.Manager) session.Session {
	b.t.Helper()
	s, set := b.update(m, func(s *session.Session) { s.Attempt = "attempt" })
	if set == nil {
		b.t.Fatal("the browser got no cookie")
	}
	return s
}

// login logs the browser in as the provider's answer does, and returns the
// identifier of its new session.
func (b *browser) login(m *session.Manager, person idp.Person) (id string) {
	b.t.Helper()
	id = b.create(m, person, session.ByProvider)
	b.enter(m, id)
	return id
}

// claim logs the browser in as a phone's yes does.
func (b *browser) claim(m *session.Manager, person idp.Person) (id string) {
	b.t.Helper()
	id = b.create(m, person, session.ByPhone)
	b.enterClaimed(m, id)
	return id
}

// logins are the two ways to log in.
var logins = map[string]func(b *browser, m *session.Manager, person idp.Person) (id string){
	session.ByProvider: (*browser).login,
	session.ByPhone:    (*browser).claim,
}

func (b *browser) create(m *session.Manager, person idp.Person, by string) (id string) {
	b.t.Helper()
	return createFor(b.t, m, b.request(), person, by)
}

func create(t testing.TB, m *session.Manager, person idp.Person, by string) (id string) {
	t.Helper()
	return createFor(t, m, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), person, by)
}

func createFor(t testing.TB, m *session.Manager, r *http.Request, person idp.Person, by string) (id string) {
	t.Helper()
	tokens := idp.Tokens{Access: "access of " + person.Email, Refresh: "refresh", ID: "id", Expires: time.Now().Add(time.Hour)}
	id, err := m.Create(r, person, tokens, by)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	return id
}

func (b *browser) enter(m *session.Manager, id string) *http.Cookie {
	b.t.Helper()
	set := b.visit(func(w http.ResponseWriter, r *http.Request) {
		if _, err := m.Enter(w, r, id); err != nil {
			b.t.Fatalf("Enter: %v", err)
		}
	})
	if set == nil {
		b.t.Fatal("Enter set no cookie")
	}
	return set
}

func (b *browser) enterClaimed(m *session.Manager, id string) *http.Cookie {
	b.t.Helper()
	set := b.visit(func(w http.ResponseWriter, r *http.Request) {
		if err := m.EnterClaimed(w, r, id); err != nil {
			b.t.Fatalf("EnterClaimed: %v", err)
		}
	})
	if set == nil {
		b.t.Fatal("EnterClaimed set no cookie")
	}
	return set
}

func (b *browser) reenter(m *session.Manager) (again bool) {
	b.t.Helper()
	set := b.visit(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if again, err = m.Reenter(w, r); err != nil {
			b.t.Fatalf("Reenter: %v", err)
		}
	})
	if again != (set != nil) {
		b.t.Fatalf("Reenter = %t, and it set the cookie %v", again, set)
	}
	return again
}

func (b *browser) logout(m *session.Manager) (s session.Session, set *http.Cookie) {
	b.t.Helper()
	set = b.visit(func(w http.ResponseWriter, r *http.Request) {
		var err error
		if s, err = m.Logout(w, r); err != nil {
			b.t.Fatalf("Logout: %v", err)
		}
	})
	return s, set
}

// wantNone wants the zero Session, which nothing is known of.
func (b *browser) wantNone(m *session.Manager, when string) {
	b.t.Helper()
	if s := b.load(m); !isZero(s) {
		b.t.Errorf("%s: Load = %+v, want the zero Session", when, s)
	}
}

func (b *browser) wantPerson(m *session.Manager, want idp.Person, when string) session.Session {
	b.t.Helper()
	s := b.load(m)
	if s.Person == nil || *s.Person != want {
		b.t.Errorf("%s: Load = %+v, want the session of %v", when, s, want)
	}
	return s
}

func isZero(s session.Session) bool {
	return s.ID == "" && s.Attempt == "" && s.Person == nil && s.Tokens == (idp.Tokens{}) && s.By == "" && !s.Greeted &&
		s.Ref == "" && !s.Confirmed && s.Browser == (clients.Browser{}) && s.Latest == (clients.Browser{}) && !s.Ended &&
		len(s.Flows) == 0 && s.Began.IsZero() && s.Seen.IsZero() && s.Successor == "" && s.Lease.IsZero() && s.Turn == 0
}

// namespace returns a part of the store in a backend.
func namespace(t testing.TB, backend store.Backend, name string, keys ...[]byte) *store.Store {
	t.Helper()
	s, err := store.New(context.Background(), backend, keys)
	if err != nil {
		t.Fatal(err)
	}
	return s.Namespace(name)
}
