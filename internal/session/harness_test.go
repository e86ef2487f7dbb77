package session_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clients "changebank/internal/browser"
	"changebank/internal/cookies"
	"changebank/internal/idp"
	"changebank/internal/session"
	"changebank/internal/store"
)

const appURL = "http://localhost:5000"

var (
	key      = []byte("the key of the bank, 16 bytes or more")
	otherKey = []byte("another key, 16 bytes or more")

	richard = idp.Person{Issuer: "https://idp.example", Subject: "1", Email: "richard@example.com"}
	erlich  = idp.Person{Issuer: "https://idp.example", Subject: "2", Email: "erlich@example.com"}
)

// bank is a Manager with a store.
type bank struct {
	*session.Manager
	t    *testing.T
	tap  *tap
	path string // of the store's file
	file *store.File
	keys [][]byte

	refresh        session.RefreshFunc // nil: nobody may ask for it
	recheck        time.Duration
	idle, lifetime time.Duration // 0: the defaults
	log            *slog.Logger

	mu      sync.Mutex
	revoked []string // access tokens
}

// newBank returns a bank with a file, sealed with key unless others are given.
func newBank(t *testing.T, keys ...[]byte) *bank {
	t.Helper()
	b := &bank{t: t, path: filepath.Join(t.TempDir(), "store"), keys: keys, tap: new(tap), log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	if keys == nil {
		b.keys = [][]byte{key}
	}
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
	b.file, b.tap.Backend = file, file
	b.Manager = b.replica()
}

func (b *bank) close() {
	b.t.Helper()
	if err := b.file.Close(); err != nil {
		b.t.Errorf("closing the store: %v", err)
	}
}

// sleep lets time pass in a bubble. The bank is down then, so that a week
// does not take ten thousand sweeps, and so that nothing depends on the sweep.
func (b *bank) sleep(d time.Duration) {
	b.t.Helper()
	b.close()
	time.Sleep(d)
	b.open()
}

// inBubble runs a test whose clock only moves while everyone waits.
func inBubble(t *testing.T, test func(t *testing.T, b *bank)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newBank(t)) })
}

// replica returns the Manager of another process on the same store.
func (b *bank) replica() *session.Manager { return b.at("test", appURL, b.keys...) }

// at returns a Manager of another namespace, address or set of keys.
func (b *bank) at(namespace, appURL string, keys ...[]byte) *session.Manager {
	b.t.Helper()
	s, jar := storeAndJar(b.t, b.tap, namespace, appURL, keys...)
	return session.New(session.Config{
		Store:   s,
		Cookies: jar,
		Browser: clients.Proxies(nil).Of,
		Refresh: func(ctx context.Context, old idp.Tokens, person idp.Person) (idp.Tokens, error) {
			if b.refresh == nil {
				b.t.Errorf("the tokens of %v are refreshed, want no refresh", person)
				return old, nil
			}
			return b.refresh(ctx, old, person)
		},
		Recheck: b.recheck,
		Idle:    b.idle, Lifetime: b.lifetime,
		Revoke: func(tokens idp.Tokens) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.revoked = append(b.revoked, tokens.Access)
		},
		Log: b.log,
	})
}

func storeAndJar(t testing.TB, backend store.Backend, namespace, appURL string, keys ...[]byte) (*store.Store, *cookies.Jar) {
	t.Helper()
	s, err := store.New(context.Background(), backend, keys)
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookies.New(appURL, s.DeriveKeys)
	if err != nil {
		t.Fatal(err)
	}
	return s.Namespace(namespace), jar
}

// tokensOf returns tokens that are named for whom they are, good for an hour.
func tokensOf(name string) idp.Tokens {
	return idp.Tokens{Access: "access of " + name, Refresh: "refresh", ID: "id", Expires: time.Now().Add(time.Hour)}
}

// wantRevoked wants the tokens of these names to be revoked, each once.
func (b *bank) wantRevoked(when string, names ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	want := make([]string, len(names))
	for i, name := range names {
		want[i] = tokensOf(name).Access
	}
	if !slices.Equal(slices.Sorted(slices.Values(b.revoked)), slices.Sorted(slices.Values(want))) {
		b.t.Errorf("%s: the revoked tokens are %q, want %q", when, b.revoked, want)
	}
}

func (b *bank) sessionsOf(person idp.Person) []session.Session {
	b.t.Helper()
	sessions, err := b.Of(b.t.Context(), person)
	if err != nil {
		b.t.Fatalf("Of: %v", err)
	}
	return sessions
}

// wantListed wants the sessions of these browsers in the person's list, and
// no others, the newest first.
func (b *bank) wantListed(person idp.Person, when string, browsers ...*browser) {
	b.t.Helper()
	var got, want []string
	for _, s := range b.sessionsOf(person) {
		got = append(got, s.Ref)
	}
	for _, browser := range browsers {
		want = append(want, b.refOf(browser))
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("%s: the list has %q, want %q", when, got, want)
	}
}

func (b *bank) refOf(browser *browser) string {
	b.t.Helper()
	ref := browser.load(b.Manager).Ref
	if ref == "" {
		b.t.Fatal("the browser has no session")
	}
	return ref
}

// voucherOf returns the voucher of a browser's session.
func (b *bank) voucherOf(browser *browser) string {
	b.t.Helper()
	voucher, err := b.Voucher(b.t.Context(), browser.load(b.Manager))
	if err != nil || voucher == "" {
		b.t.Fatalf("Voucher = %q, %v; want one", voucher, err)
	}
	return voucher
}

// vouched reports whether a voucher of Richard's holds.
func (b *bank) vouched(voucher string) bool {
	b.t.Helper()
	ok, err := b.Vouched(b.t.Context(), richard, voucher)
	if err != nil {
		b.t.Fatalf("Vouched: %v", err)
	}
	return ok
}
