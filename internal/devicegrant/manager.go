// Package devicegrant is the QR login: who started an attempt, who opened it,
// who said what, who may ask the provider for the tokens, and who gets them.
//
// It stands on RFC 8628 and adds what that leaves open: the verification page
// is ours, so only a person who said yes there lets a laptop in, and only as
// that person.
package devicegrant

import (
	"context"
	"crypto/rand"
	"errors"
	"iter"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/store"
)

var (
	// ErrNone says that there is no such attempt.
	ErrNone = errors.New("devicegrant: no such attempt")
	// ErrUnknownCode says that no attempt of ours has this user code. The
	// provider may know it nevertheless: its device endpoint lets anybody
	// start a code in our name, and such a code is not to be approved.
	ErrUnknownCode = errors.New("devicegrant: unknown user code")
	// ErrOtherPerson says that another person has opened this attempt.
	ErrOtherPerson = errors.New("devicegrant: another person has opened this attempt")
	// ErrChanged says that the answer was given to another attempt than the one
	// that this user code now stands for.
	ErrChanged = errors.New("devicegrant: the code stands for another attempt")
	// ErrSilent says that the provider did not take the yes; it may have
	// heard it, and saying yes again does no harm.
	ErrSilent = errors.New("devicegrant: the provider did not answer")
	// ErrTheirPage says that the provider's own page asks about this code.
	ErrTheirPage = errors.New("devicegrant: the code is answered at the provider's page")
	// ErrStrayPage says that the provider sends phones to a page that looks like
	// ours, but at another address than ours.
	ErrStrayPage = errors.New("devicegrant: the verification URI is ours at another address")
	// ErrNotApproved says that there is nothing to claim.
	ErrNotApproved = errors.New("devicegrant: not approved")
)

// claimWindow is how long an approved attempt waits for its laptop.
const claimWindow = 2 * time.Minute

// Provider is what an attempt needs of the identity provider. *[idp.Client] is
// one.
type Provider interface {
	StartDevice(context.Context) (idp.DeviceCode, error)
	ApproveDevice(ctx context.Context, userCode, access string) error
	PollDevice(ctx context.Context, deviceCode string) (idp.Tokens, error)
	Verify(ctx context.Context, tokens idp.Tokens, nonce string) (idp.Person, error)
	Revoke(context.Context, idp.Tokens) error
	// DevicePage returns the provider's own page for a user code, or "".
	DevicePage(userCode, access string) string
	// Owns reports whether a page is the provider's.
	Owns(uri string) bool
}

var _ Provider = (*idp.Client)(nil)

// Config is what a [Manager] needs.
type Config struct {
	Provider Provider
	Store    *store.Store
	// VerificationURI is our page for phones: what a provider that lets an
	// application have one gives out as its verification URI.
	VerificationURI string
	// Local says that browsers reach the application on this machine or in a
	// private network, so that private addresses tell who is near whom.
	Local bool
	// ConfirmNumber is [NumberAuto], [NumberAlways] or [NumberNever].
	ConfirmNumber string
	Limits        Limits
	// CodeLifetime is how long a code waits to be opened. Who has opened it may
	// read and answer until the provider's own time is up.
	CodeLifetime time.Duration
	Log          *slog.Logger
}

// Manager has the attempts.
type Manager struct {
	cfg      Config
	log      *slog.Logger
	attempts *store.Table[record]
	codes    *store.Table[codeRecord] // by folded user code
	limits   *limits

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	pollers map[string]time.Time // attempts that a goroutine here redeems, and when somebody last looked

	warnOnce sync.Once // that phishing has it easier on the provider's page
}

// New returns a Manager. Its owner must Close it.
func New(cfg Config) *Manager {
	ctx, stop := context.WithCancel(context.Background())
	return &Manager{
		cfg:      cfg,
		limits:   newLimits(cfg.Limits),
		log:      cfg.Log,
		attempts: store.NewTable[record](cfg.Store, "attempts"),
		codes:    store.NewTable[codeRecord](cfg.Store, "user codes"),
		ctx:      ctx,
		stop:     stop,
		pollers:  make(map[string]time.Time),
	}
}

// Close ends the polling and waits for it. An attempt that is not through goes
// on with the next watcher, in this process's successor for example.
func (m *Manager) Close() {
	m.mu.Lock()
	m.stop() // from here on nothing new is started
	m.mu.Unlock()
	m.wg.Wait()
}

// Start begins an attempt for a laptop. Its ID belongs into the laptop's
// session: who knows it can claim the login. session names that browser to the
// limits; a [TooManyError] says that one is reached.
func (m *Manager) Start(ctx context.Context, laptop browser.Browser, session string) (Attempt, error) {
	place, tooMany := m.limits.start(laptop.Addr, session)
	if tooMany != nil {
		m.log.Warn("qr login", "step", "refused", "rule", tooMany.Rule, "laptop", laptop, "wait", tooMany.Wait)
		return Attempt{}, tooMany
	}
	var a Attempt
	err := store.ErrExists
	for tries := 0; errors.Is(err, store.ErrExists) && tries < 5; tries++ {
		a, err = m.start(ctx, laptop) // again if its user code is that of another attempt
	}
	switch {
	case errors.Is(err, idp.ErrNotReady):
		place.giveBack() // the provider was not even asked
	case err != nil:
		place.free()
	default:
		place.take(a.ID, a.Expires)
	}
	return a, err
}

func (m *Manager) start(ctx context.Context, laptop browser.Browser) (Attempt, error) {
	device, err := m.cfg.Provider.StartDevice(ctx)
	if err != nil {
		return Attempt{}, err
	}
	if Fold(device.User) == "" {
		return Attempt{}, errors.New("devicegrant: nobody could type the user code that the provider gave")
	}
	onTheirPage, err := m.onTheirPage(device.URI)
	if err != nil {
		return Attempt{}, err
	}
	if onTheirPage && m.cfg.ConfirmNumber == NumberAlways {
		return Attempt{}, ErrNoNumber
	}
	now := time.Now()
	r := record{
		Attempt: Attempt{
			Ref:         rand.Text()[:8],
			State:       Waiting,
			UserCode:    device.User,
			URI:         device.URI,
			URIComplete: device.URIComplete,
			OnTheirPage: onTheirPage,
			Laptop:      laptop,
			Started:     now,
			Expires:     earlier(now.Add(m.cfg.CodeLifetime), device.Expires),
		},
		Device: device,
	}
	if onTheirPage {
		r.Expires = device.Expires // nobody tells us when it is opened
		r.Polled = now             // the first poll comes after one interval
		r.Due = r.earliest()
	}
	id, err := m.attempts.Create(ctx, r)
	if err != nil {
		return Attempt{}, err
	}
	err = m.codes.CreateAs(ctx, Fold(device.User), codeRecord{id, device.Expires.Add(keepEnded)})
	if err != nil {
		_, _ = m.attempts.Delete(ctx, id) // nobody knows it yet; if it stays, it is forgotten in time
		return Attempt{}, err
	}
	m.logStep("started", r.Attempt)
	return r.seen(id), nil
}

// onTheirPage reports whether the verification URI is the provider's own page.
// Ours at another address is an error: a tunnel that has changed its name,
// where the phone would find nobody, or a slip in the provider's settings.
func (m *Manager) onTheirPage(uri string) (bool, error) {
	if uri == m.cfg.VerificationURI {
		return false, nil
	}
	theirs, err := url.Parse(uri)
	if err != nil {
		return false, ErrStrayPage
	}
	ours, err := url.Parse(m.cfg.VerificationURI)
	if err != nil {
		return false, err
	}
	looksLikeOurs := strings.EqualFold(theirs.Hostname(), ours.Hostname()) ||
		strings.EqualFold(strings.TrimRight(theirs.Path, "/"), ours.Path)
	if looksLikeOurs && !m.cfg.Provider.Owns(uri) {
		return false, ErrStrayPage
	}
	m.warnOnce.Do(func() {
		m.log.Warn("people say yes on the provider's own page, which shows them nothing of the laptop that asks; "+
			"if the provider allows it, have its verification URI be ours", "theirs", uri, "ours", m.cfg.VerificationURI)
	})
	return true, nil
}

// Get returns an attempt as it is now, or [ErrNone].
func (m *Manager) Get(ctx context.Context, id string) (Attempt, error) {
	r, err := m.attempts.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return Attempt{}, ErrNone
	}
	if err != nil {
		return Attempt{}, err
	}
	if !r.State.Ended() && !time.Now().Before(r.Expires) {
		// Written down, so that everybody hears of it, and logged once.
		return m.update(ctx, id, func(*record) error { return nil })
	}
	if r.pollable() || r.State == Approved {
		m.redeem(id) // in place of a process that died, too
	}
	return r.seen(id), nil
}

// Watch yields the attempt as it is now, and again whenever that changes,
// until it has ended or ctx does.
func (m *Manager) Watch(ctx context.Context, id string) iter.Seq2[Attempt, error] {
	return func(yield func(Attempt, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		ticks := m.attempts.Watch(ctx, id)
		over := time.NewTimer(0)
		defer over.Stop()
		var last Attempt
		for {
			select {
			case _, open := <-ticks:
				if !open {
					return
				}
			case <-over.C:
			}
			a, err := m.Get(ctx, id)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				yield(Attempt{}, err)
				return
			}
			if a.State != last.State || a.Silent != last.Silent || a.Continue != last.Continue || !a.Expires.Equal(last.Expires) {
				if !yield(a, nil) || a.State.Ended() {
					return
				}
				last = a
			}
			wait := time.Until(a.Expires)
			if a.OnTheirPage || a.Continue != "" {
				wait = min(wait, lookEvery) // to be seen looking
			}
			over.Reset(wait)
		}
	}
}

// update changes an attempt whose time, if over, has been called first. It
// logs the step that the attempt took, and revokes its tokens if it ended
// without being claimed.
func (m *Manager) update(ctx context.Context, id string, change func(*record) error) (Attempt, error) {
	var before record
	r, err := m.attempts.Update(ctx, id, func(r *record) error {
		before = *r
		r.expire(time.Now())
		return change(r)
	})
	if errors.Is(err, store.ErrNotFound) {
		return Attempt{}, ErrNone
	}
	if err != nil {
		return Attempt{}, err
	}
	if r.State != before.State {
		m.logStep(stepNames[r.State], r.Attempt)
		m.limits.moved(id, r)
		if r.State.Ended() && r.State != Claimed {
			m.revoke(before.Tokens)
		}
	}
	return r.seen(id), nil
}

// stepNames are the log's words for the state that a step leads to.
var stepNames = map[State]string{
	Opened: "opened", Number: "number shown", Yes: "yes", Approved: "approved", Claimed: "claimed",
	Denied: "no", Expired: "expired", Cancelled: "cancelled", Failed: "failed",
}

// logStep logs one line for a step. The reference is public; codes, numbers and
// tokens never get here.
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
}

func (r record) seen(id string) Attempt {
	r.ID = id
	return r.Attempt
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
