package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"changebank/internal/idp"
	"changebank/internal/session"
)

// bearer is a browser whose person has tokens.
type bearer struct {
	*bank
	t       *testing.T
	idp     *refresher
	laptop  *browser
	session session.Session // as it was loaded at the start
	text    *syncBuffer
	asking  sync.WaitGroup
}

// bearing runs a test in a bubble, with an access token that is good for so
// long. No token and no identifier may get into the log.
func bearing(t *testing.T, left time.Duration, test func(t *testing.T, b *bearer), change ...func(*idp.Tokens)) {
	t.Helper()
	inBubble(t, func(t *testing.T, bank *bank) {
		b := &bearer{bank: bank, t: t, idp: newRefresher(t), laptop: newBrowser(t), text: new(syncBuffer)}
		bank.refresh = b.idp.refresh
		bank.log = slog.New(slog.NewTextHandler(io.MultiWriter(b.text, t.Output()), &slog.HandlerOptions{Level: slog.LevelDebug}))
		bank.Manager = b.replica()
		first := tokens(0)
		first.Expires = time.Now().Add(left)
		for _, change := range change {
			change(&first)
		}
		if _, err := b.laptop.visit(func(w http.ResponseWriter, r *http.Request) error {
			return b.LogIn(w, r, richard, first)
		}); err != nil {
			t.Fatalf("LogIn: %v", err)
		}
		b.session = b.laptop.wantPerson(b.Manager, richard, "after the login")
		defer b.asking.Wait()
		defer close(b.idp.dead)
		test(t, b)
		for _, secret := range []string{"SECRET", b.session.ID} {
			if strings.Contains(b.logged(), secret) {
				t.Errorf("the log shows %q:\n%s", secret, b.logged())
			}
		}
	})
}

// tokens returns the nth tokens that the provider gives.
func tokens(n int) idp.Tokens {
	return idp.Tokens{
		Access:    fmt.Sprint("SECRET access ", n),
		Refresh:   fmt.Sprint("SECRET refresh ", n),
		ID:        fmt.Sprint("SECRET id ", n),
		RefreshID: fmt.Sprint("refresh id ", n),
	}
}

// got is an answer of Token.
type got struct {
	access string
	err    error
	at     time.Time
}

func (b *bearer) ask(ctx context.Context, m *session.Manager) got {
	access, err := m.Token(ctx, b.session)
	return got{access, err, time.Now()}
}

// goAsk asks in the background.
func (b *bearer) goAsk(m *session.Manager) <-chan got {
	result := make(chan got, 1)
	b.asking.Go(func() { result <- b.ask(b.t.Context(), m) })
	return result
}

// askAtOnce asks n times at once, the managers in turn.
func (b *bearer) askAtOnce(ctx context.Context, n int, managers ...*session.Manager) []got {
	var wg sync.WaitGroup
	all := make([]got, n)
	for i := range n {
		wg.Go(func() { all[i] = b.ask(ctx, managers[i%len(managers)]) })
	}
	wg.Wait()
	return all
}

func (b *bearer) wantToken(m *session.Manager, want idp.Tokens, when string) {
	b.t.Helper()
	if got := b.ask(b.t.Context(), m); got.err != nil || got.access != want.Access {
		b.t.Errorf("%s: Token = %q, %v; want %q", when, got.access, got.err, want.Access)
	}
}

func (b *bearer) wantNoToken(m *session.Manager, want error, when string) {
	b.t.Helper()
	if got := b.ask(b.t.Context(), m); got.access != "" || !errors.Is(got.err, want) {
		b.t.Errorf("%s: Token = %q, %v; want %v", when, got.access, got.err, want)
	}
}

// wantTokens wants those tokens in the store, and nobody who refreshes them.
func (b *bearer) wantTokens(want idp.Tokens) {
	b.t.Helper()
	s := b.laptop.load(b.Manager)
	got := s.Tokens
	got.Expires = time.Time{}
	if got != want {
		b.t.Errorf("the session has the tokens %+v, want %+v", got, want)
	}
	if want != tokens(0) && s.Tokens.Expires.Before(time.Now()) {
		b.t.Errorf("the session's access token expired at %v, want the new one's time", s.Tokens.Expires)
	}
	if !s.Lease.Until.IsZero() {
		b.t.Errorf("the lease is held until %v, want it free", s.Lease.Until)
	}
}

func (b *bearer) logged() string { return b.text.String() }

// refresher is a provider that refreshes as a script says.
type refresher struct {
	t    *testing.T
	dead chan struct{} // closed at the end of the test: nobody waits forever

	mu     sync.Mutex
	script []answer
	asked  []idp.Tokens
}

// answer is an answer of the provider.
type answer struct {
	after  time.Duration
	never  bool
	tokens idp.Tokens // good for an hour from the answer
	err    error
}

func newRefresher(t *testing.T) *refresher { return &refresher{t: t, dead: make(chan struct{})} }

func (f *refresher) will(script ...answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = append(f.script, script...)
}

func (f *refresher) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

// refresh is a [session.RefreshFunc]. It gives up with its context, as one
// that uses the network does.
func (f *refresher) refresh(ctx context.Context, old idp.Tokens, person idp.Person) (idp.Tokens, error) {
	if person != richard {
		f.t.Errorf("the tokens of %+v are refreshed, want those of %+v", person, richard)
	}
	f.mu.Lock()
	f.asked = append(f.asked, old)
	if len(f.script) == 0 {
		f.mu.Unlock()
		f.t.Errorf("the tokens are refreshed %d times, want fewer", f.count())
		return idp.Tokens{}, errors.New("nothing is left of the script")
	}
	a := f.script[0]
	f.script = f.script[1:]
	f.mu.Unlock()

	var due <-chan time.Time
	if !a.never {
		due = time.After(a.after)
	}
	select {
	case <-due:
	case <-f.dead:
		return idp.Tokens{}, errors.New("the process is dead")
	case <-ctx.Done():
		return idp.Tokens{}, ctx.Err()
	}
	if a.err != nil {
		return idp.Tokens{}, a.err
	}
	a.tokens.Expires = time.Now().Add(time.Hour)
	return a.tokens, nil
}

// syncBuffer is a buffer with many writers.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
