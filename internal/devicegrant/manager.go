package devicegrant

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/limit"
	"changebank/internal/store"
)

// When the laptop must type a number that the phone shows (RFC 10027, section
// 6.1.16). It makes a QR code that was mailed to a victim worthless to a sender
// who cannot also get the number from the victim.
const (
	NumberAuto   = "auto" // unless both are known to be on the same network
	NumberAlways = "always"
	NumberNever  = "never"
)

// Provider is what an attempt needs of the identity provider. *[idp.Client]
// implements it.
type Provider interface {
	StartDevice(context.Context) (idp.DeviceCode, error)
	ApproveDevice(ctx context.Context, userCode, access string) error
	PollDevice(ctx context.Context, deviceCode string) (idp.Tokens, error)
	Verify(ctx context.Context, tokens idp.Tokens, nonce string) (idp.Person, error)
	Revoke(idp.Tokens) // returns at once
	// DevicePage returns the provider's own page for a user code, or "".
	DevicePage(userCode, access string) string
	// Owns reports whether a page is the provider's.
	Owns(uri string) bool
}

// Sessions is what an attempt needs of the sessions. *session.Manager
// implements it. Calls may be repeated, when another writer has changed the
// attempt.
type Sessions interface {
	// Vouched reports whether the session that voucher names is still logged in
	// as person, and that nobody has logged out all the person's other sessions
	// since the voucher was made.
	Vouched(ctx context.Context, person idp.Person, voucher string) (bool, error)
	// CreatePending makes the session that the laptop will claim. Repeated with
	// the same id, it changes nothing about the session that is there, pending or
	// live. False: the voucher no longer holds, or the session was ended before;
	// then none is left. An empty voucher always holds.
	CreatePending(ctx context.Context, id string, person idp.Person, tokens idp.Tokens, laptop browser.Browser, voucher string) (bool, error)
	// Activate makes the pending session live. It is true again, for a moment
	// and for the same browser, as long as the session is unused. False: it was
	// ended, or used.
	Activate(ctx context.Context, id string, laptop browser.Browser) (bool, error)
	// Discard ends a session that no browser has used, if there is one, and
	// revokes its tokens.
	Discard(ctx context.Context, id string) error
}

// Limits say how often things may happen (RFC 10027, section 6.1.11).
type Limits struct {
	CodesPerAddress int // new codes in ten minutes, from one IPv4 address or IPv6 /64
	Live            int // attempts of this process that have not ended
	WrongCodes      int // different unknown user codes, by one person in ten minutes
	WrongNumbers    int // for one attempt
}

// Config is what a [Manager] needs.
type Config struct {
	Provider Provider
	Sessions Sessions
	Store    *store.Store
	// SameStore reports whether Sessions keeps its records in Store and takes part
	// in transactions ([store.Store.Atomically]). If so, an attempt and its session
	// change in one commit where possible.
	SameStore bool
	// VerificationURI is our page for phones, which a provider that lets an
	// application choose gives out as its verification URI.
	VerificationURI string
	// Local says that browsers reach the application on this machine or in a
	// private network, so that private addresses show who is near whom.
	Local bool
	// ConfirmNumber is [NumberAuto], [NumberAlways] or [NumberNever].
	ConfirmNumber string
	Limits        Limits
	// CodeLifetime is how long a code waits to be opened. The person who opened
	// it in time may answer until it expires at the provider.
	CodeLifetime time.Duration
	Log          *slog.Logger
	Observe      func(Event) // is told of each line "qr login" in the log; may be nil
}

// StepRefused is the step of an [Event] that a rule refused.
const StepRefused = "refused"

// Event is what a counter needs of a line in the log: words from fixed lists, and
// nothing about the people or their browsers.
type Event struct {
	Step   string        // a [State], or as logged; [StepRefused]: only Rule is set
	Reason Reason        // of the attempt
	Rule   string        // that refused a request
	Age    time.Duration // of the attempt
}

// Manager runs the attempts of one process. Any number of processes may share
// a store.
type Manager struct {
	cfg      Config
	log      *slog.Logger
	attempts *store.Table[record]    // by folded user code
	tried    *store.Table[triedCode] // by person and folded user code
	limiter  *limit.Limiter
	live     *liveAttempts

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	pollers map[string]time.Time // the attempts that have a poller here, and when someone last looked at each

	warnOnce sync.Once // about the provider's own page
}

// New returns a Manager. Its owner must Close it.
func New(cfg Config) *Manager {
	ctx, stop := context.WithCancel(context.Background())
	if cfg.Observe == nil {
		cfg.Observe = func(Event) {}
	}
	return &Manager{
		cfg:      cfg,
		log:      cfg.Log,
		attempts: store.NewTable[record](cfg.Store, "attempts"),
		tried:    store.NewTable[triedCode](cfg.Store, "tried codes"),
		limiter:  limit.New(cfg.Store),
		live:     &liveAttempts{most: cfg.Limits.Live, until: make(map[string]time.Time)},
		ctx:      ctx,
		stop:     stop,
		pollers:  make(map[string]time.Time),
	}
}

// Close ends the polling and waits for polls in flight. Another process, or the
// next one, continues with each attempt when its laptop looks again.
func (m *Manager) Close() {
	m.mu.Lock()
	m.stop() // from here on nothing new is started
	m.mu.Unlock()
	m.wg.Wait()
}

// Refresh returns the attempt as it is now, or [ErrNone]. It ends the attempt
// if its time is over, and otherwise makes sure that it has a poller here.
func (m *Manager) Refresh(ctx context.Context, id string) (Attempt, error) {
	return m.refresh(ctx, id, true)
}

// refresh is Refresh for a page that someone looks at, or for one that nobody
// sees.
func (m *Manager) refresh(ctx context.Context, id string, looking bool) (Attempt, error) {
	r, err := m.get(ctx, id)
	if err != nil {
		return Attempt{}, err
	}
	if r.overdue() {
		return m.update(ctx, id, unchanged) // which expires it
	}
	if r.State == Approved || r.pollable() && (looking || !r.mustBeWatched()) {
		m.startPoller(id)
	}
	return r.seen(id), nil
}

// Watch returns a channel that ticks at once, and whenever the attempt may have
// changed; [Manager.Refresh] tells. Ticks that nobody has taken yet are merged.
// The channel is closed when ctx ends.
func (m *Manager) Watch(ctx context.Context, id string) <-chan struct{} {
	code, _ := keyOf(id)
	return m.attempts.Watch(ctx, code)
}

// RefreshWithin returns how long an open page may rely on [Manager.Watch]
// before it must refresh: until the attempt expires, or shorter where polling
// depends on someone looking.
func (a *Attempt) RefreshWithin() time.Duration {
	wait := time.Until(a.Expires)
	if a.mustBeWatched() {
		wait = min(wait, lookEvery)
	}
	return max(wait, 0)
}

func (m *Manager) get(ctx context.Context, id string) (record, error) {
	code, secret := keyOf(id)
	if secret == "" {
		return record{}, ErrNone // a visitor without a cookie costs no read
	}
	r, err := m.attempts.Get(ctx, code)
	if errors.Is(err, store.ErrNotFound) || err == nil && !r.hasSecret(secret) {
		return record{}, ErrNone
	}
	return r, err
}

// update changes an attempt, after expiring it if its time is over. It logs the
// transition. If the attempt has ended unclaimed, it revokes the tokens and ends
// the session.
func (m *Manager) update(ctx context.Context, id string, change func(*record) error) (Attempt, error) {
	code, secret := keyOf(id)
	var before record
	r, err := m.attempts.Update(ctx, code, func(r *record) error {
		if !r.hasSecret(secret) {
			return store.ErrNotFound
		}
		before = *r
		r.expire()
		return change(r)
	})
	if errors.Is(err, store.ErrNotFound) {
		return Attempt{}, ErrNone
	}
	if err != nil {
		return Attempt{}, err
	}
	if r.State != before.State {
		m.cfg.Store.After(ctx, func() { m.stepped(ctx, before, r) })
	}
	return r.seen(id), nil
}

// stepped logs a transition, and cleans up if the attempt has ended.
func (m *Manager) stepped(ctx context.Context, before, r record) {
	m.logStep(string(r.State), r.Attempt)
	if r.State.Ended() {
		m.live.remove(r.Ref)
	}
	if r.State.Ended() && r.State != Claimed {
		m.cfg.Provider.Revoke(before.Tokens)
		m.discard(ctx, r)
	}
}

// unchanged is the change of an update that only checks the attempt.
func unchanged(*record) error { return nil }

// discard ends the session of an attempt that ended unclaimed. If the store
// fails, the session expires unclaimed.
func (m *Manager) discard(ctx context.Context, r record) {
	if r.Session == "" {
		return
	}
	if err := m.cfg.Sessions.Discard(context.WithoutCancel(ctx), r.Session); err != nil {
		m.log.Error("pending session not ended; it expires unclaimed", "attempt", r.Ref, "err", err)
	}
}

// vouched reports whether the session that approved still stands for the
// approval. If not, the attempt fails: a thief who approved on a stolen phone
// must not get in after its owner logged that phone out.
func (m *Manager) vouched(ctx context.Context, id string, r record) (bool, error) {
	if r.ProviderPage {
		return true, nil // nobody approved on our page
	}
	ok, err := m.cfg.Sessions.Vouched(ctx, r.Person, r.Voucher)
	if ok || err != nil {
		return ok, err
	}
	_, err = m.update(ctx, id, func(now *record) error {
		if !now.State.Answered() || now.Voucher != r.Voucher {
			return nil // it has ended, or the person has approved again since
		}
		return now.fail(ReasonLoggedOut)
	})
	return false, err
}

// logStep logs one line for a step. Codes, numbers and tokens never get here.
func (m *Manager) logStep(step string, a Attempt, more ...any) {
	args := []any{"step", step, "attempt", a.Ref, "laptop", a.Laptop}
	if a.Phone != (browser.Browser{}) {
		args = append(args, "phone", a.Phone)
	}
	if a.Person.Subject != "" {
		args = append(args, "person", a.Person)
	}
	if a.Reason != "" {
		args = append(args, "reason", string(a.Reason))
	}
	m.log.Info("qr login", append(args, more...)...)
	m.cfg.Observe(Event{Step: step, Reason: a.Reason, Age: time.Since(a.Started)})
}

// logRefused logs that a rule refused a request.
func (m *Manager) logRefused(rule string, more ...any) {
	m.log.Warn("qr login", append([]any{"step", StepRefused, "rule", rule}, more...)...)
	m.cfg.Observe(Event{Step: StepRefused, Rule: rule})
}
