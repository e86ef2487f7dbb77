package devicegrant

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
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

// world has a Manager, a scripted provider, sessions in memory and a real
// store, in a bubble: its clock stands still while any goroutine runs.
type world struct {
	*testing.T
	provider *provider
	sessions *sessions
	backend  *faultyBackend
	store    *store.Store
	records  *store.Table[record] // the attempts, read past the backend's faults
	log      *slog.Logger
	logged   *bytes.Buffer
	m        *Manager
	limits   Limits
	confirm  string // most tests are not about the number

	guessed int // how many unknown codes were made up

	mu  sync.Mutex
	ids []string // of the attempts
}

// inBubble runs a test in a world of its own. Afterwards it looks for secrets
// in the log and on pages, and for live sessions without a claim.
func inBubble(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		file, err := store.OpenFile(filepath.Join(t.TempDir(), "store"))
		if err != nil {
			t.Fatal(err)
		}
		backend := &faultyBackend{Backend: file}
		w := &world{
			T:        t,
			provider: newProvider(t),
			backend:  backend,
			store:    open(t, backend),
			records:  store.NewTable[record](open(t, file), "attempts"),
			logged:   new(bytes.Buffer),
			limits:   Limits{CodesPerAddress: 1000, Live: 1000, WrongCodes: 10, WrongNumbers: 3},
			confirm:  NumberNever,
		}
		w.sessions = newSessions(t, w.provider, w.recordOfSession)
		w.log = slog.New(slog.NewTextHandler(io.MultiWriter(w.logged, t.Output()), &slog.HandlerOptions{
			Level: slog.LevelDebug,
		}))
		t.Cleanup(func() {
			w.noSecrets()
			w.sessions.wantLiveOnlyIfApproved()
			if err := backend.Close(); err != nil {
				t.Errorf("closing the store: %v", err)
			}
		})
		w.m = w.newManager()
		test(w)
	})
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

// newManager returns a Manager on the same store, as another process or the
// next one has it.
func (w *world) newManager() *Manager {
	return w.newManagerWith(func(*Config) {})
}

func (w *world) newManagerWith(change func(*Config)) *Manager {
	cfg := Config{
		Provider:        w.provider,
		Sessions:        w.sessions,
		Store:           w.store,
		VerificationURI: verifyURI,
		CodeLifetime:    codeLifetime,
		ConfirmNumber:   w.confirm,
		Limits:          w.limits,
		Log:             w.log,
	}
	change(&cfg)
	m := New(cfg)
	w.Cleanup(m.Close)
	return m
}

// reconfigure replaces the world's Manager by one with other settings.
func (w *world) reconfigure(change func(*world)) {
	change(w)
	w.m = w.newManager()
}

// noSecrets checks that readers of the log or of a page cannot take over a
// login: they see no device code, token, voucher, attempt ID or session ID.
func (w *world) noSecrets() {
	secrets := []string{"SECRET"}
	var pages [][]byte
	for _, id := range w.ids {
		code, secret := keyOf(id)
		secrets = append(secrets, secret)
		r, err := w.records.Get(context.Background(), code)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			w.Errorf("reading the record: %v", err)
		}
		if r.Session != "" {
			secrets = append(secrets, r.Session)
		}
		page, err := json.Marshal(r.seen(id))
		if err != nil {
			w.Errorf("an Attempt as JSON: %v", err)
		}
		pages = append(pages, page)
	}
	for _, secret := range secrets {
		for _, page := range pages {
			if bytes.Contains(page, []byte(secret)) {
				w.Errorf("%s is in what pages see: %s", secret, page)
			}
		}
		for line := range strings.Lines(w.logged.String()) {
			if strings.Contains(line, secret) {
				w.Errorf("%s is in the log: %s", secret, line)
			}
		}
	}
}

// start is a laptop asking for a code.
func (w *world) start() Attempt {
	w.Helper()
	a, err := w.m.Start(w.Context(), laptop)
	if err != nil {
		w.Fatalf("Start: %v", err)
	}
	w.remember(a)
	return a
}

// remember has the checks that end a test include the attempt.
func (w *world) remember(a Attempt) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ids = append(w.ids, a.ID)
}

// open is Richard's phone arriving with the attempt's code.
func (w *world) open(a Attempt) Attempt {
	w.Helper()
	a, err := w.m.Open(w.Context(), visit(a.UserCode, phone, richard))
	if err != nil || a.State != Opened {
		w.Fatalf("Open: %s, %v, want %s", a.State, err, Opened)
	}
	return a
}

// visit is a person's phone arriving with a user code that it has scanned.
func visit(userCode string, phone browser.Browser, person idp.Person) Visit {
	return Visit{UserCode: userCode, Phone: phone, Person: person}
}

// answerOf is what a person's phone sends about the question as it is in a.
func answerOf(a Attempt, person idp.Person, phone browser.Browser) Answer {
	return Answer{
		Visit:       visit(a.UserCode, phone, person),
		Fingerprint: a.Fingerprint(), Voucher: voucherOf(person), Access: phoneToken,
	}
}

// yes is Richard approving on his phone.
func (w *world) yes(a Attempt) (Attempt, error) {
	return w.m.Yes(w.Context(), answerOf(a, richard, phone))
}

// no is Richard denying on his phone.
func (w *world) no(a Attempt) (Attempt, error) {
	return w.m.No(w.Context(), answerOf(a, richard, phone))
}

// answered is an attempt that Richard has opened and approved.
func (w *world) answered() Attempt {
	w.Helper()
	a, err := w.yes(w.open(w.start()))
	if err != nil || a.State != Yes {
		w.Fatalf("Yes: %s, %v, want %s", a.State, err, Yes)
	}
	return a
}

// approved is an attempt whose session waits for the laptop.
func (w *world) approved() Attempt {
	w.Helper()
	a := w.answered()
	time.Sleep(pollTime + verifyTime - pollQuickly)
	synctest.Wait()
	w.want(a, Approved)
	return a
}

// settle lets the provider answer one poll and one verification.
func (w *world) settle() {
	time.Sleep(pollTime + verifyTime)
	synctest.Wait()
}

// record reads an attempt and changes nothing, unlike Refresh.
func (w *world) record(a Attempt) record {
	w.Helper()
	code, _ := keyOf(a.ID)
	r, err := w.records.Get(context.WithoutCancel(w.Context()), code)
	if err != nil {
		w.Fatalf("reading the record: %v", err)
	}
	return r
}

// recordOfSession returns the attempt that names a session.
func (w *world) recordOfSession(session string) (record, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range w.ids {
		code, _ := keyOf(id)
		if r, err := w.records.Get(context.Background(), code); err == nil && r.Session == session {
			return r, true
		}
	}
	return record{}, false
}

// want checks the state of an attempt, as it is stored.
func (w *world) want(a Attempt, state State) record {
	w.Helper()
	r := w.record(a)
	if r.State != state {
		w.Errorf("attempt is %s (reason %q), want %s", r.State, r.Reason, state)
	}
	return r
}

// wantUnchanged checks that nothing has been written to an attempt.
func (w *world) wantUnchanged(a Attempt, before record) {
	w.Helper()
	if after := w.record(a); !reflect.DeepEqual(after, before) {
		w.Errorf("the attempt was %+v, is %+v, want it unchanged", before, after)
	}
}

// wantEnd checks an end, its reason, that no usable secret is left of it, that
// nobody continues with it, and that it logs nobody in.
func (w *world) wantEnd(a Attempt, state State, reason Reason) {
	w.Helper()
	r := w.want(a, state)
	if r.Reason != reason {
		w.Errorf("reason %q, want %q", r.Reason, reason)
	}
	if r.Tokens != (idp.Tokens{}) || r.Device.Device != "" {
		w.Error("the ended attempt still has its tokens or its device code")
	}
	synctest.Wait()
	w.m.mu.Lock()
	_, busy := w.m.pollers[a.ID]
	w.m.mu.Unlock()
	if busy {
		w.Error("a goroutine still continues with the ended attempt")
	}
	if state == Claimed {
		return
	}
	if session, err := w.claim(a); !errors.Is(err, ErrNotApproved) || session != "" {
		w.Errorf("Claim: %q, %v, want %v", session, err, ErrNotApproved)
	}
	w.sessions.wantNone(r.Session)
}

func (w *world) noError(_ Attempt, err error) {
	w.Helper()
	if err != nil {
		w.Errorf("error %v, want none", err)
	}
}
