package devicegrant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/store"
)

const (
	codeLifetime = 5 * time.Minute
	phoneToken   = "SECRET-phone-access"
)

var (
	laptop = browser.Browser{Agent: "Firefox on Windows", Addr: "203.0.113.7"}
	phone  = browser.Browser{Agent: "Safari on iPhone", Addr: "203.0.113.8"}
	tablet = browser.Browser{Agent: "Chrome on Android", Addr: "203.0.113.9"}
)

// world is a bank with a scripted provider and a real store, in a bubble: its
// clock stands still while anybody works.
type world struct {
	*testing.T
	provider *provider
	backend  *shaky
	store    *store.Store
	log      *slog.Logger
	bank     *Manager
	limits   Limits
	confirm  string // when a number is asked for; most tests are about something else

	mu  sync.Mutex
	ids []string // of the attempts
}

// inBubble runs a test in a world of its own, and then looks for secrets where
// none may be.
func inBubble(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		file, err := store.OpenFile(filepath.Join(t.TempDir(), "store"))
		if err != nil {
			t.Fatal(err)
		}
		backend := &shaky{Backend: file}
		var log bytes.Buffer
		w := &world{
			T:        t,
			provider: newProvider(t),
			backend:  backend,
			limits:   Limits{CodesPerAddress: 1000, CodesPerBrowser: 1000, LivePerAddress: 1000, Live: 1000, WrongCodes: 10, WrongNumbers: 3},
			confirm:  NumberNever,
			store:    open(t, backend),
			log: slog.New(slog.NewTextHandler(io.MultiWriter(&log, t.Output()), &slog.HandlerOptions{
				Level: slog.LevelDebug,
			})),
		}
		t.Cleanup(func() {
			w.noSecrets(log.String())
			if err := backend.Close(); err != nil {
				t.Errorf("closing the store: %v", err)
			}
		})
		w.bank = w.process()
		test(w)
	})
}

// shaky is a store's backend that can be away for a while.
type shaky struct {
	store.Backend
	noReads, noWrites atomic.Bool
}

var errAway = errors.New("the store is away")

func (s *shaky) Get(ctx context.Context, key string) ([]byte, error) {
	if s.noReads.Load() {
		return nil, errAway
	}
	return s.Backend.Get(ctx, key)
}

func (s *shaky) Swap(ctx context.Context, key string, old, new []byte, until time.Time) (bool, error) {
	if s.noWrites.Load() {
		return false, errAway
	}
	return s.Backend.Swap(ctx, key, old, new, until)
}

// process returns a Manager on the same store, as another process or the next
// one has it.
func (w *world) process() *Manager {
	m := New(Config{
		Provider:        w.provider,
		Store:           w.store,
		VerificationURI: verifyURI,
		CodeLifetime:    codeLifetime,
		ConfirmNumber:   w.confirm,
		Limits:          w.limits,
		Log:             w.log,
	})
	w.Cleanup(m.Close)
	return m
}

// noSecrets checks that nobody who reads the log or a page can take over a
// login: neither has a device code, a token, or the ID that claims an attempt.
func (w *world) noSecrets(log string) {
	secrets := append([]string{"SECRET"}, w.ids...)
	for _, id := range w.ids {
		a, err := w.bank.Get(context.Background(), id)
		if errors.Is(err, ErrNone) {
			continue
		}
		if err != nil {
			w.Errorf("Get: %v", err)
		}
		page, err := json.Marshal(a)
		if err != nil {
			w.Errorf("an Attempt as JSON: %v", err)
		}
		for _, secret := range secrets {
			if bytes.Contains(page, []byte(secret)) {
				w.Errorf("%s is in what pages see: %s", secret, page)
			}
		}
	}
	for line := range strings.Lines(log) {
		for _, secret := range secrets {
			if strings.Contains(line, secret) {
				w.Errorf("%s is in the log: %s", secret, line)
			}
		}
	}
}

// start is a laptop asking for a code.
func (w *world) start() Attempt {
	w.Helper()
	a, err := w.bank.Start(w.Context(), laptop, "")
	if err != nil {
		w.Fatalf("Start: %v", err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids = append(w.ids, a.ID)
	return a
}

// open is Richard's phone arriving with the attempt's code.
func (w *world) open(a Attempt) Attempt {
	w.Helper()
	a, err := w.bank.Open(w.Context(), a.UserCode, phone, richard)
	if err != nil || a.State != Opened {
		w.Fatalf("Open: %s, %v, want %s", a.State, err, Opened)
	}
	return a
}

// yes is Richard's consent, on his phone.
func (w *world) yes(a Attempt) (Attempt, error) {
	return w.bank.Yes(w.Context(), a.UserCode, a.Shown(), phone, richard, phoneToken)
}

// agreed is an attempt that Richard has opened and said yes to.
func (w *world) agreed() Attempt {
	w.Helper()
	a, err := w.yes(w.open(w.start()))
	if err != nil || a.State != Yes {
		w.Fatalf("Yes: %s, %v, want %s", a.State, err, Yes)
	}
	return a
}

// approved is an attempt whose tokens are here.
func (w *world) approved() Attempt {
	w.Helper()
	a := w.agreed()
	time.Sleep(pollTime + verifyTime)
	synctest.Wait()
	w.want(a, Approved)
	return a
}

// record reads an attempt without having anything done about it, as Get would.
func (w *world) record(a Attempt) record {
	w.Helper()
	r, err := w.bank.attempts.Get(w.Context(), a.ID)
	if err != nil {
		w.Fatalf("reading the record: %v", err)
	}
	return r
}

// want checks how far an attempt has come, by what is stored.
func (w *world) want(a Attempt, state State) record {
	w.Helper()
	r := w.record(a)
	if r.State != state {
		w.Errorf("attempt is %s (reason %q), want %s", r.State, r.Reason, state)
	}
	return r
}

// wantEnd checks an end, its reason, that nothing is kept of it that could be
// used, and that nobody goes on with it.
func (w *world) wantEnd(a Attempt, state State, reason Reason) {
	w.Helper()
	r := w.want(a, state)
	if r.Reason != reason {
		w.Errorf("reason %q, want %q", r.Reason, reason)
	}
	if r.Tokens != (idp.Tokens{}) || r.Device.Device != "" {
		w.Errorf("the ended attempt still has its tokens or its device code")
	}
	synctest.Wait()
	w.bank.mu.Lock()
	_, busy := w.bank.pollers[a.ID]
	w.bank.mu.Unlock()
	if busy {
		w.Errorf("a goroutine still redeems the ended attempt")
	}
	if session, claimed, err := w.bank.Claim(w.Context(), a.ID, w.neverGive); state != Claimed && !errors.Is(err, ErrNotApproved) {
		w.Errorf("Claim: %q, %v, %v, want %v", session, claimed, err, ErrNotApproved)
	}
}

func (w *world) neverGive(idp.Person, idp.Tokens) (string, error) {
	w.Error("a session was made of an attempt that is not approved")
	return "", errors.New("no")
}

// watcher is a laptop's page with its event stream.
type watcher struct {
	cancel context.CancelFunc

	mu   sync.Mutex
	seen []sight
	err  error
	over bool
}

type sight struct {
	State  State
	Silent bool
	At     time.Duration // since the watching began
}

// watch has a page watch an attempt through m until it ends. The page has seen
// the present when watch returns.
func (w *world) watch(m *Manager, id string) *watcher {
	ctx, cancel := context.WithCancel(w.Context())
	v := &watcher{cancel: cancel}
	began := time.Now()
	go func() {
		for a, err := range m.Watch(ctx, id) {
			v.mu.Lock()
			if v.err = err; err == nil {
				v.seen = append(v.seen, sight{a.State, a.Silent, time.Since(began)})
			}
			v.mu.Unlock()
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		v.over = true
	}()
	w.Cleanup(cancel)
	synctest.Wait()
	return v
}

// saw returns what the page has seen, once nobody is busy.
func (v *watcher) saw() (seen []sight, over bool, err error) {
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]sight(nil), v.seen...), v.over, v.err
}

// open returns the store in a backend.
func open(t *testing.T, backend store.Backend) *store.Store {
	t.Helper()
	s, err := store.New(t.Context(), backend, [][]byte{[]byte("0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	return s.Namespace("test")
}
