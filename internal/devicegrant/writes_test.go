package devicegrant_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"changebank/internal/browser"
	"changebank/internal/cookies"
	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/session"
	"changebank/internal/store"
	"changebank/internal/teststore"
)

const (
	bankURL   = "http://localhost:5000"
	verifyURI = bankURL + "/activate"
)

var (
	theLaptop = browser.Browser{Agent: "Firefox on Windows", Addr: "203.0.113.7"}
	thePhone  = browser.Browser{Agent: "Safari on iPhone", Addr: "203.0.113.7"}
)

// writtenTables is a store's backend that notes the tables of each commit.
type writtenTables struct {
	store.Backend
	mu      sync.Mutex
	commits []string
}

func (b *writtenTables) Swap(ctx context.Context, writes ...store.Write) (bool, error) {
	var tables []string
	for _, w := range writes {
		if table, _, _ := strings.Cut(w.Key, ":"); !w.Keep {
			tables = append(tables, table)
		}
	}
	b.mu.Lock()
	b.commits = append(b.commits, strings.Join(tables, " + "))
	b.mu.Unlock()
	return b.Backend.Swap(ctx, writes...)
}

// take returns the commits since the last call, in order.
func (b *writtenTables) take() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer func() { b.commits = nil }()
	return b.commits
}

// quickProvider answers at once. The access tokens are the person's subject.
type quickProvider struct {
	devicegrant.Provider      // none: it panics
	slow                 bool // in verifying

	mu       sync.Mutex
	started  int
	approver map[string]string // access tokens, by user code
}

func (p *quickProvider) StartDevice(context.Context) (idp.DeviceCode, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started++
	code := fmt.Sprintf("WDJB-%d", p.started)
	return idp.DeviceCode{
		Device: code, User: code, URI: verifyURI, URIComplete: verifyURI + "?user_code=" + code,
		Expires: time.Now().Add(10 * time.Minute), Interval: 5 * time.Second,
	}, nil
}

func (p *quickProvider) ApproveDevice(_ context.Context, userCode, access string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.approver[userCode] = access
	return nil
}

func (p *quickProvider) PollDevice(_ context.Context, deviceCode string) (idp.Tokens, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return tokensOf(p.approver[deviceCode]), nil
}

func (p *quickProvider) Verify(ctx context.Context, tokens idp.Tokens, _ string) (idp.Person, error) {
	if _, hurried := ctx.Deadline(); hurried && p.slow {
		<-ctx.Done()
		return idp.Person{}, ctx.Err()
	}
	return idp.Person{Issuer: "https://idp.example", Subject: tokens.Access}, nil
}

func tokensOf(subject string) idp.Tokens {
	return idp.Tokens{Access: subject, Refresh: "refresh", ID: "id", Expires: time.Now().Add(time.Hour)}
}

// bank has the attempts and the sessions of one process.
type bank struct {
	testing.TB
	attempts *devicegrant.Manager
	sessions *session.Manager
}

func newBank(tb testing.TB, backend store.Backend, number string, slow bool) *bank {
	tb.Helper()
	return newBankWith(tb, backend, number, &quickProvider{slow: slow, approver: make(map[string]string)}, func(idp.Tokens) {})
}

func newBankWith(tb testing.TB, backend store.Backend, number string, provider devicegrant.Provider, revoke func(idp.Tokens)) *bank {
	tb.Helper()
	s, err := store.New(tb.Context(), backend, [][]byte{[]byte("0123456789abcdef")})
	if err != nil {
		tb.Fatal(err)
	}
	jar, err := cookies.New(bankURL, s.DeriveKeys)
	if err != nil {
		tb.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	sessions := session.New(session.Config{Store: s, Cookies: jar, Browser: browser.Proxies(nil).Of, Revoke: revoke, Log: log})
	attempts := devicegrant.New(devicegrant.Config{
		Provider: provider, Sessions: sessions, Store: s, VerificationURI: verifyURI,
		SameStore: true, ConfirmNumber: number, CodeLifetime: 5 * time.Minute, Log: log,
		Limits: devicegrant.Limits{CodesPerAddress: 1e6, Live: 1e6, WrongCodes: 10, WrongNumbers: 3},
	})
	tb.Cleanup(attempts.Close)
	return &bank{tb, attempts, sessions}
}

// cookieOf returns a request with the cookie that set sets.
func (b *bank) cookieOf(set func(http.ResponseWriter, *http.Request) error) *http.Request {
	b.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(b.Context(), "GET", bankURL, nil)
	b.must("the cookie", set(w, r))
	for _, cookie := range w.Result().Cookies() {
		r.AddCookie(cookie)
	}
	return r
}

func (b *bank) must(step string, err error) {
	b.Helper()
	if err != nil {
		b.Fatalf("%s: %v", step, err)
	}
}

// answerOf logs in a person's phone, and returns what it will answer.
func (b *bank) answerOf(subject string) devicegrant.Answer {
	b.Helper()
	person := idp.Person{Issuer: "https://idp.example", Subject: subject}
	phone, err := b.sessions.Load(b.cookieOf(func(w http.ResponseWriter, r *http.Request) error {
		return b.sessions.LogIn(w, r, person, tokensOf(subject))
	}))
	b.must("the phone's page", err)
	voucher, err := b.sessions.Voucher(b.Context(), phone)
	b.must("Voucher", err)
	return devicegrant.Answer{Visit: devicegrant.Visit{Phone: thePhone, Person: person}, Voucher: voucher, Access: subject}
}

// logIn logs the laptop in, up to its first page. It calls after for each step.
func (b *bank) logIn(answer devicegrant.Answer, after func(step string)) {
	b.Helper()
	ctx := b.Context()
	a, err := b.attempts.Start(ctx, theLaptop)
	b.must("Start", err)
	after("start")
	answer.UserCode = a.UserCode
	a, err = b.attempts.Open(ctx, answer.Visit)
	b.must("Open", err)
	after("open")
	answer.Fingerprint = a.Fingerprint()
	a, err = b.attempts.Yes(ctx, answer)
	b.must("Yes", err)
	if a.State == devicegrant.Number {
		number, err := b.attempts.NumberFor(ctx, a.ID, answer.Person)
		b.must("NumberFor", err)
		_, err = b.attempts.Confirm(ctx, a.ID, number)
		b.must("Confirm", err)
	}
	for range b.attempts.Watch(ctx, a.ID) {
		if a, err = b.attempts.Refresh(ctx, a.ID); err != nil || a.State != devicegrant.Yes {
			break
		}
	}
	b.must("Refresh", err)
	after("yes")
	id, err := b.attempts.Claim(ctx, a.ID, theLaptop)
	b.must("Claim", err)
	cookie := b.cookieOf(func(w http.ResponseWriter, r *http.Request) error { return b.sessions.SetCookie(w, r, id) })
	after("claim")
	laptop, err := b.sessions.Load(cookie)
	b.must("the laptop's page", err)
	if !laptop.Person.Is(answer.Person) {
		b.Fatalf("the laptop is logged in as %v, want %v", laptop.Person, answer.Person)
	}
	after("first page")
}

// A login makes these commits. People wait for each one, and each limits how many
// logins a store can serve. If the tokens cannot be verified at once, they are saved
// first.
func TestWritesOfALogin(t *testing.T) {
	for name, want := range map[string]struct {
		number string
		slow   bool
		total  int
		yes    string // the number included
	}{
		"without a number":    {devicegrant.NumberNever, false, 7, "attempts, attempts + sessions + session lists"},
		"with a number":       {devicegrant.NumberAlways, false, 9, "attempts, attempts, attempts, attempts + sessions + session lists"},
		"slow to be verified": {devicegrant.NumberNever, true, 9, "attempts, attempts, sessions + session lists, attempts"},
	} {
		t.Run(name, func(t *testing.T) {
			backend := &writtenTables{Backend: teststore.File(t)}
			b := newBank(t, backend, want.number, want.slow)
			answer := b.answerOf("richard")
			backend.take()
			total := 0
			b.logIn(answer, func(step string) {
				commits := backend.take()
				total += len(commits)
				steps := map[string]string{
					"start":      "limits, attempts",
					"open":       "attempts",
					"yes":        want.yes,
					"claim":      "attempts + sessions",
					"first page": "sessions",
				}
				if got := strings.Join(commits, ", "); got != steps[step] {
					t.Errorf("%s commits %s; want %s", step, got, steps[step])
				}
			})
			if total != want.total {
				t.Errorf("%d commits, want %d", total, want.total)
			}
		})
	}
}
