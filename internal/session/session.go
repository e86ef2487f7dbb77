// Package session knows the browsers: which of them is logged in, as whom, and
// with which tokens. The cookie holds a signed identifier and nothing else;
// gorilla/sessions writes and reads it, the record stands in the store.
package session

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/gorilla/sessions"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/store"
)

// How a person logged in.
const (
	ByProvider = "provider" // at the provider's login page, in this browser
	ByPhone    = "phone"    // by a QR code
)

// How long a session lasts.
const (
	lifetime     = 7 * 24 * time.Hour // of a logged-in one, from its login
	idle         = 24 * time.Hour     // without a request
	anonymous    = 24 * time.Hour     // of one that is not logged in
	tombstone    = time.Minute        // for the browser to hear of its new session
	seenEvery    = 5 * time.Minute    // how exact Seen is
	flowLifetime = 15 * time.Minute   // of a login on its way
	maxFlows     = 8                  // logins on their way at a time, the oldest go
)

// Session is what is known of one browser. The zero Session is a browser that
// nothing is known of.
type Session struct {
	ID string `json:"-"` // a secret: who has it is the browser

	Attempt   string      // the QR login that this browser started last
	Person    *idp.Person // nil: not logged in
	Ref       string      // of a logged-in one: a name for it in pages, forms and logs; no secret
	Tokens    idp.Tokens
	By        string // ByProvider or ByPhone
	Greeted   bool   // the person was told how the login came about
	Confirmed bool   // another session of the person said that this one is theirs
	Flows     []idp.Flow

	Began, Seen     time.Time       // Seen is zero until the browser first shows the cookie
	Browser, Latest browser.Browser // at Began, and at Seen

	Successor string // this is a tombstone: the login gave the browser this session
	Ended     bool   // this is a tombstone: another session of the person ended this one

	// Who may refresh the tokens is decided by compare-and-set, as it is with an
	// attempt's polls: nobody does while the Lease of another lasts.
	Lease time.Time
	Turn  int
}

// KeepUntil implements [store.Record].
func (s Session) KeepUntil() time.Time {
	switch {
	case s.Successor != "":
		return s.Began.Add(tombstone)
	case s.Person == nil:
		return s.Began.Add(anonymous)
	case s.Seen.IsZero():
		return s.Began.Add(idle)
	}
	end := s.Began.Add(lifetime)
	if quiet := s.Seen.Add(idle); quiet.Before(end) {
		end = quiet
	}
	return end
}

func (s Session) live(now time.Time) bool {
	return s.Successor == "" && !s.Ended && now.Before(s.KeepUntil())
}

func (s *Session) see(now time.Time, b browser.Browser) { s.Seen, s.Latest = now, b }

// LoggedIn reports whether the browser belongs to a person.
func (s Session) LoggedIn() bool { return s.Person != nil }

// AddFlow keeps a login on its way. A browser may have several: two tabs.
func (s *Session) AddFlow(flow idp.Flow) {
	s.dropOldFlows()
	s.Flows = append(s.Flows, flow)
	if extra := len(s.Flows) - maxFlows; extra > 0 {
		s.Flows = slices.Delete(s.Flows, 0, extra)
	}
}

// TakeFlow returns the login with that state and forgets it: an answer of the
// provider counts once. No state is no login's: a browser that started none
// could otherwise be logged in by a link that somebody made.
func (s *Session) TakeFlow(state string) (idp.Flow, bool) {
	s.dropOldFlows()
	i := slices.IndexFunc(s.Flows, func(f idp.Flow) bool { return f.State == state })
	if state == "" || i < 0 {
		return idp.Flow{}, false
	}
	flow := s.Flows[i]
	s.Flows = slices.Delete(s.Flows, i, i+1)
	return flow, true
}

func (s *Session) dropOldFlows() {
	s.Flows = slices.DeleteFunc(s.Flows, func(f idp.Flow) bool { return time.Since(f.Started) > flowLifetime })
}

// Manager finds and changes sessions.
type Manager struct {
	table     *store.Table[Session]
	people    *store.Table[list]
	cookie    *cookie
	browserOf func(*http.Request) browser.Browser
	refresh   RefreshFunc
	revoke    func(context.Context, idp.Tokens) error
	log       *slog.Logger
}

// Config is what a [Manager] needs.
type Config struct {
	Store     *store.Store
	Secure    bool // cookies are for https only, and bound to this host
	BrowserOf func(*http.Request) browser.Browser
	Refresh   RefreshFunc // [idp.Client.Refresh]
	// Revoke, if there is one, ends tokens that a person took away by ending a
	// session, and refreshed ones whose session is over.
	Revoke func(context.Context, idp.Tokens) error
	Log    *slog.Logger
}

// New returns a Manager.
func New(cfg Config) *Manager {
	return &Manager{
		table:     store.NewTable[Session](cfg.Store, "sessions"),
		people:    store.NewTable[list](cfg.Store, "people"),
		cookie:    newCookie(cfg.Store.DeriveKeys("session cookie"), cfg.Secure),
		browserOf: cfg.BrowserOf,
		refresh:   cfg.Refresh,
		revoke:    cfg.Revoke,
		log:       cfg.Log,
	}
}

// Load returns the session of the browser that sent r, the zero Session if it
// has none. A cookie that does not verify, or whose session is over, is none.
func (m *Manager) Load(r *http.Request) (Session, error) {
	s, err := m.lookUp(r)
	if err != nil || !s.live(time.Now()) {
		return Session{}, err
	}
	if time.Since(s.Seen) < seenEvery {
		return s, nil
	}
	id := s.ID
	s, err = m.table.Update(r.Context(), id, func(s *Session) error {
		if !s.live(time.Now()) {
			return store.ErrNotFound // ended since it was read
		}
		s.see(time.Now(), m.browserOf(r))
		return nil
	})
	return found(id, s, err)
}

// lookUp returns whatever record the browser's cookie names.
func (m *Manager) lookUp(r *http.Request) (Session, error) {
	id := m.cookie.id(r)
	if id == "" {
		return Session{}, nil
	}
	s, err := m.table.Get(r.Context(), id)
	return found(id, s, err)
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

// Update changes the session of the browser that sent r. A browser without one
// gets one. A session that ended meanwhile stays ended: a slow request cannot
// bring back what a logout has taken away.
func (m *Manager) Update(w http.ResponseWriter, r *http.Request, change func(*Session) error) (Session, error) {
	s, err := m.lookUp(r)
	if err != nil {
		return Session{}, err
	}
	if s.live(time.Now()) {
		id := s.ID
		s, err = m.table.Update(r.Context(), id, func(s *Session) error {
			now := time.Now()
			if !s.live(now) {
				return store.ErrNotFound
			}
			if now.Sub(s.Seen) >= seenEvery {
				s.see(now, m.browserOf(r))
			}
			return change(s)
		})
		if !errors.Is(err, store.ErrNotFound) {
			s.ID = id
			return s, err
		}
	}
	now := time.Now()
	s = Session{Began: now}
	s.see(now, m.browserOf(r))
	if err := change(&s); err != nil {
		return Session{}, err
	}
	if s.ID, err = m.table.Create(r.Context(), s); err != nil {
		return Session{}, err
	}
	return s, m.cookie.set(w, r, s.ID)
}

// Create makes a logged-in session for the browser that sent r, which does not
// have it yet, and returns its identifier for [Manager.Enter]. If the person
// then has too many, the oldest end.
func (m *Manager) Create(r *http.Request, person idp.Person, tokens idp.Tokens, by string) (id string, err error) {
	ctx := r.Context()
	s := Session{Ref: rand.Text()[:8], Person: &person, Tokens: tokens, By: by, Began: time.Now(), Browser: m.browserOf(r)}
	id = rand.Text()
	// The list first: a session that is not in it could not be ended from
	// elsewhere, while an entry without a session harms nobody.
	l, err := m.enlist(ctx, person, entry{ID: id, Ref: s.Ref, Began: s.Began})
	if err != nil {
		return "", err
	}
	if err := m.table.CreateAs(ctx, id, s); err != nil {
		return "", err
	}
	if len(l.Sessions) > maxSessions {
		err = m.makeRoom(ctx, s, l)
	}
	return id, err
}

// Discard ends a session that [Manager.Create] made in vain.
func (m *Manager) Discard(ctx context.Context, id string) error {
	_, err := m.delete(ctx, id)
	return err
}

// delete removes the session id, and returns what it was, the zero Session if
// it was none.
func (m *Manager) delete(ctx context.Context, id string) (Session, error) {
	s, err := m.table.Delete(ctx, id)
	if s, err = found(id, s, err); err == nil && s.LoggedIn() {
		m.strike(ctx, *s.Person, id)
	}
	return s, err
}

// Enter gives the session id to the browser that sent r, and returns the one
// that it had. The browser's old identifier is worthless from then on, so that
// nobody who planted or saw it is logged in along with the person (session
// fixation).
func (m *Manager) Enter(w http.ResponseWriter, r *http.Request, id string) (old Session, err error) {
	if oldID := m.cookie.id(r); oldID != "" && oldID != id {
		if old, err = m.delete(r.Context(), oldID); err != nil {
			return Session{}, err
		}
	}
	return old, m.cookie.set(w, r, id)
}

// EnterClaimed is Enter for a login by phone, whose claim cannot be repeated:
// for a minute the old identifier is good for [Manager.Reenter], where the
// login was claimed.
func (m *Manager) EnterClaimed(w http.ResponseWriter, r *http.Request, id string) error {
	if old := m.cookie.id(r); old != "" && old != id {
		_, err := m.table.Update(r.Context(), old, func(s *Session) error {
			*s = Session{Began: time.Now(), Successor: id}
			return nil
		})
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	return m.cookie.set(w, r, id)
}

// Reenter gives a browser whose claim's answer was lost its new session once
// more, as long as nobody has used that one. It reports whether it did.
func (m *Manager) Reenter(w http.ResponseWriter, r *http.Request) (bool, error) {
	old, err := m.lookUp(r)
	if err != nil || old.Successor == "" || time.Now().After(old.KeepUntil()) {
		return false, err
	}
	unused, err := m.Unused(r, old.Successor)
	if err != nil || !unused {
		return false, err
	}
	return true, m.cookie.set(w, r, old.Successor)
}

// Unused reports whether the session exists, no browser has shown its cookie
// yet, and r comes from the address that it was made for: a stolen cookie of
// before must not get it elsewhere.
func (m *Manager) Unused(r *http.Request, id string) (bool, error) {
	s, err := m.table.Get(r.Context(), id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	here := s.Browser.Addr == m.browserOf(r).Addr
	return err == nil && here && s.Seen.IsZero() && s.live(time.Now()), err
}

// Logout ends the browser's session and returns what it was.
func (m *Manager) Logout(w http.ResponseWriter, r *http.Request) (Session, error) {
	var s Session
	if id := m.cookie.id(r); id != "" {
		var err error
		if s, err = m.delete(r.Context(), id); err != nil {
			return Session{}, err // the cookie stays: it is needed to try again
		}
	}
	m.cookie.clear(w, r)
	return s, nil
}

var _ sessions.Store = (*cookie)(nil)
