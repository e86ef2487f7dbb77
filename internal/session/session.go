// Package session knows the browsers that are logged in: as whom, since when,
// and with which tokens. It keeps nothing about any other browser.
//
// A session and its place on its person's list are stored and ended in one
// commit. So there is no live session that its person could not see and end. One
// that a phone approved begins as pending: no cookie opens it until the laptop
// claims it. A session that was ended leaves a tombstone, so that no slow writer
// brings it back.
package session

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"time"

	"changebank/internal/browser"
	"changebank/internal/cookies"
	"changebank/internal/idp"
	"changebank/internal/store"
)

// How a person logged in.
const (
	ByProvider = "provider" // at the provider's login page, in this browser
	ByPhone    = "phone"    // by a phone that approved a QR code
)

// An Ending says who ended a session, as far as its browser is told.
type Ending string

const (
	EndedByDevice   Ending = "device"   // another session of the person
	EndedByProvider Ending = "provider" // a back-channel logout, or a refused refresh
)

// ClaimWindow is how long a pending session waits to be claimed.
const ClaimWindow = 5 * time.Minute

// PublicIdle is how long a session on a public computer lasts without a request.
const PublicIdle = 15 * time.Minute

const (
	defaultIdle     = 24 * time.Hour
	defaultLifetime = 7 * 24 * time.Hour

	markEvery    = 5 * time.Minute    // how precise Seen is, or more so for a session that lasts less
	overFor      = 7 * 24 * time.Hour // how long a session that ended by time is kept, for its tokens to be revoked
	unclaimed    = 5 * time.Minute    // how long an expired pending session is kept, for Discard to revoke its tokens
	tombstoneFor = 24 * time.Hour     // longer than anyone may still try to make the session
)

// Session is one logged-in browser. The zero Session is a browser that is not
// logged in.
type Session struct {
	ID string `json:"-"` // a secret: its holder is treated as the browser

	// Ref names the session in pages, forms and logs. A new login of the same
	// person in the same browser keeps it.
	Ref       string
	Person    idp.Person
	Tokens    idp.Tokens
	By        string // ByProvider or ByPhone
	Pending   bool   `json:",omitzero"` // not live yet: no cookie opens it
	Confirmed bool   `json:",omitzero"` // another session of the person said that this one is theirs
	Public    bool   `json:",omitzero"` // on a public computer: see [Manager.MakePublic]
	Name      string `json:",omitzero"` // that the person gave the device, for their list of devices only

	// How long the session lasts without a request, and from its login. These are
	// the settings at its login, or shorter ones since. Zero: the present ones.
	Idle, Lifetime time.Duration

	Began   time.Time       // of what it is now: pending, live, or a tombstone
	Browser browser.Browser // at Began
	Seen    time.Time       `json:",omitzero"` // zero until the browser first shows the cookie
	Latest  browser.Browser `json:",omitzero"` // at Seen

	Ended Ending      `json:",omitzero"` // of a tombstone, so that its browser can be told why; empty: it ended the session itself
	Lease store.Lease `json:",omitzero"` // of the refresh of Tokens

	// NextCheck is when a refresh of Tokens must prove again that the provider has
	// not ended the login. Zero: [Config].Recheck after Began.
	NextCheck time.Time `json:",omitzero"`
}

// LoggedIn reports whether the browser belongs to a person. A pending session
// and a tombstone do not.
func (s Session) LoggedIn() bool { return s.hasPerson() && !s.Pending }

// Unconfirmed reports whether the session came by phone, and no other session
// of the person has confirmed it: its person may have been tricked into
// approving it.
func (s Session) Unconfirmed() bool { return s.By == ByPhone && !s.Confirmed }

// KeepUntil implements [store.Record].
func (s Session) KeepUntil() time.Time {
	if s.Pending {
		return s.expires().Add(unclaimed)
	}
	if s.hasPerson() {
		return s.expires().Add(overFor)
	}
	return s.expires()
}

func (s Session) expires() time.Time {
	switch {
	case !s.hasPerson():
		return s.Began.Add(tombstoneFor)
	case s.Pending:
		return s.Began.Add(ClaimWindow)
	}
	used := s.Seen
	if used.IsZero() {
		used = s.Began
	}
	end := s.Began.Add(s.Lifetime)
	if quiet := used.Add(s.Idle); quiet.Before(end) {
		end = quiet
	}
	return end
}

// mustMark reports whether the use of the session must be noted again.
func (s Session) mustMark(now time.Time) bool {
	return now.Sub(s.Seen) >= min(markEvery, s.Idle/15)
}

// hasPerson reports whether this is a session, live or pending, and not a
// tombstone.
func (s Session) hasPerson() bool { return s.Person.Subject != "" }

// valid reports whether the session is live, or can still be claimed.
func (s Session) valid(now time.Time) bool { return s.hasPerson() && now.Before(s.expires()) }

func (s Session) live(now time.Time) bool { return s.LoggedIn() && s.valid(now) }

// Manager finds and changes sessions.
type Manager struct {
	store     *store.Store
	sessions  *store.Table[Session]
	lists     *store.Table[list]
	holders   *store.Table[holder]
	cookie    *cookies.Kind
	browserOf func(*http.Request) browser.Browser
	refresh   RefreshFunc
	idle      time.Duration
	lifetime  time.Duration
	recheck   time.Duration
	revoke    func(idp.Tokens)
	log       *slog.Logger
	observe   func(event, how string)
	checks    checks
}

// Config is what a [Manager] needs.
type Config struct {
	Store   *store.Store
	Cookies *cookies.Jar                        // the session cookie is its main kind
	Browser func(*http.Request) browser.Browser // [browser.Proxies.Of]
	Refresh RefreshFunc                         // [idp.Client.Refresh]
	// Idle is how long a session lasts without a request (0: a day), and Lifetime
	// how long it lasts from its login (0: seven days). A process with shorter ones
	// than before ends older sessions accordingly, at once. Longer ones count for
	// later logins.
	Idle, Lifetime time.Duration
	Recheck        time.Duration    // how old the proof of a login may be while its session is used; 0: any age
	Revoke         func(idp.Tokens) // queues the revocation of tokens that nobody may use any longer, and returns at once
	Log            *slog.Logger
	// Observe is called when a session goes live (Started), and when a live one is
	// ended (Ended), with how its person logged in. It may be nil.
	Observe func(event, how string)
}

// What Config.Observe is told.
const (
	Started = "started"
	Ended   = "ended"
)

// New returns a Manager. Its owner must Close it.
func New(cfg Config) *Manager {
	if cfg.Observe == nil {
		cfg.Observe = func(string, string) {}
	}
	lifetime := cmp.Or(cfg.Lifetime, defaultLifetime)
	return &Manager{
		store:     cfg.Store,
		sessions:  store.NewTable[Session](cfg.Store, "sessions"),
		lists:     store.NewTable[list](cfg.Store, "session lists"),
		holders:   store.NewTable[holder](cfg.Store, "provider sessions"),
		cookie:    cfg.Cookies.Kind("", lifetime),
		browserOf: cfg.Browser,
		refresh:   cfg.Refresh,
		idle:      cmp.Or(cfg.Idle, defaultIdle),
		lifetime:  lifetime,
		recheck:   cfg.Recheck,
		revoke:    cfg.Revoke,
		log:       cfg.Log,
		observe:   cfg.Observe,
	}
}

// started logs that a session went live, and counts it.
func (m *Manager) started(s Session) {
	m.log.Info("login", "person", s.Person, "how", s.By, "ref", s.Ref, "browser", s.Browser)
	m.observe(Started, s.By)
}

// Load returns the session of the browser that sent r, or the zero Session. It
// notes when and by which browser the session is used: at the first use, and
// then every five minutes at most, or more often if the session would soon end
// without use. If the proof of the login is too old, Load starts a new one, and
// does not wait for it. An expired session is ended.
func (m *Manager) Load(r *http.Request) (Session, error) {
	s, err := m.lookUp(r)
	now := time.Now()
	if err != nil || !s.live(now) {
		if s.LoggedIn() { // expired; longer settings must not bring it back
			m.endOver(r.Context(), s.Person, []entry{entryOf(s)})
		}
		return Session{}, err
	}
	if !s.mustMark(now) && !m.mustCheck(s, now) {
		return s, nil
	}
	leased := false
	s, err = m.update(r.Context(), s.ID, func(s *Session) error {
		now := time.Now()
		leased = false
		if !s.live(now) {
			return store.ErrNotFound // it ended after it was read
		}
		if s.mustMark(now) {
			s.Seen, s.Latest = now, m.browserOf(r)
		}
		leased = m.mustCheck(*s, now) && s.Lease.Take(now, refreshLease)
		return nil
	})
	if leased && err == nil {
		m.check(context.WithoutCancel(r.Context()), s)
	}
	return s, err
}

// WasEnded returns who ended the session of the browser that sent r in the last
// day: empty, if nobody else did.
func (m *Manager) WasEnded(r *http.Request) (Ending, error) {
	s, err := m.lookUp(r)
	return s.Ended, err
}

// lookUp returns the record that the browser's cookie names: a session, a
// tombstone, or the zero Session if there is none.
func (m *Manager) lookUp(r *http.Request) (Session, error) { return m.get(r.Context(), m.id(r)) }

// id returns what the browser's cookie holds, "" if it has none of ours.
func (m *Manager) id(r *http.Request) string { return m.cookie.Read(r)["id"] }

// get returns the record of a session, the zero Session if there is none.
func (m *Manager) get(ctx context.Context, id string) (Session, error) {
	if id == "" {
		return Session{}, nil // a visitor costs the store nothing
	}
	s, err := m.sessions.Get(ctx, id)
	m.limit(&s)
	return found(id, s, err)
}

// update changes the record of a session, and returns it as it then is: the
// zero Session if it is gone, or if change returns [store.ErrNotFound].
func (m *Manager) update(ctx context.Context, id string, change func(*Session) error) (Session, error) {
	s, err := m.change(ctx, id, change)
	return found(id, s, err)
}

// change is update with the error of a record that is gone, [store.ErrNotFound].
func (m *Manager) change(ctx context.Context, id string, change func(*Session) error) (Session, error) {
	return m.sessions.Update(ctx, id, func(s *Session) error {
		m.limit(s)
		return change(s)
	})
}

// limit shortens a session as the settings say.
func (m *Manager) limit(s *Session) {
	if s.hasPerson() {
		s.Idle = min(cmp.Or(s.Idle, m.idle), m.idle)
		s.Lifetime = min(cmp.Or(s.Lifetime, m.lifetime), m.lifetime)
	}
}

func found(id string, s Session, err error) (Session, error) {
	if errors.Is(err, store.ErrNotFound) {
		return Session{}, nil
	}
	if err != nil {
		return Session{}, err
	}
	s.ID = id
	return s, nil
}
