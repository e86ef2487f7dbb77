package devicegrant

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
)

var errSessionsAway = errors.New("the sessions are away")

// voucherOf names the session of a person's phone.
func voucherOf(person idp.Person) string {
	return "SECRET-voucher " + person.Issuer + " " + person.Subject
}

// sessions are Sessions in memory. In every test they complain of what must
// never happen: two live sessions for one device code, a session that is made
// or goes live without an approval, one that is made without a voucher or for
// someone other than the approver, and the end of a claimed one.
type sessions struct {
	t         *testing.T
	provider  *provider
	attemptOf func(session string) (record, bool)

	mu     sync.Mutex
	made   map[string]*fakeSession // by ID
	broken map[string]bool         // vouchers
	asked  int                     // how often about a voucher
	// Faults.
	vouchedErr, createErr, activateErr, discardErr error
	// hook is called, if set, before and after each call has its effect. It may
	// change anything, or not return.
	hook func(call string)
}

type fakeSession struct {
	person idp.Person
	tokens idp.Tokens
	laptop browser.Browser
	device *device

	live, used, ended bool
	liveSince         time.Time
	claimedBy         browser.Browser
}

func newSessions(t *testing.T, p *provider, attemptOf func(string) (record, bool)) *sessions {
	return &sessions{
		t: t, provider: p, attemptOf: attemptOf,
		made: make(map[string]*fakeSession), broken: make(map[string]bool),
	}
}

// set changes the fake while others may use it.
func (s *sessions) set(change func(*sessions)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *sessions) at(call string) {
	s.mu.Lock()
	hook := s.hook
	s.mu.Unlock()
	if hook != nil {
		hook(call)
	}
}

// logOut logs out the phone whose session a voucher names.
func (s *sessions) logOut(voucher string) {
	s.set(func(s *sessions) { s.broken[voucher] = true })
}

func (s *sessions) holds(person idp.Person, voucher string) bool {
	return !s.broken[voucher] && strings.HasPrefix(voucher, voucherOf(person))
}

func (s *sessions) Vouched(_ context.Context, person idp.Person, voucher string) (bool, error) {
	s.at("vouched")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if voucher == "" {
		s.t.Error("Vouched without a voucher")
	}
	if s.vouchedErr != nil {
		return false, s.vouchedErr
	}
	return s.holds(person, voucher), nil
}

func (s *sessions) CreatePending(_ context.Context, id string, person idp.Person, tokens idp.Tokens, laptop browser.Browser, voucher string) (bool, error) {
	s.at("create")
	defer s.at("created")
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.attemptOf(id)
	switch {
	case !ok:
		s.t.Error("a session is made that no attempt names")
	case !r.pollable() && !r.State.Ended() && r.State != Approved: // a slow holder may be late
		s.t.Errorf("a session is made for an attempt that is %s", r.State)
	case !r.ProviderPage && !r.Person.Is(person):
		s.t.Errorf("a session is made for %v, want the approver, %v", person, r.Person)
	case !r.ProviderPage && voucher == "":
		s.t.Error("a session is made without a voucher")
	}
	if s.createErr != nil {
		return false, s.createErr
	}
	known := s.made[id]
	if known == nil && r.State == Claimed {
		s.t.Error("a session comes back after its attempt was claimed")
	}
	if voucher != "" && !s.holds(person, voucher) || known != nil && known.ended {
		delete(s.made, id)
		return false, nil
	}
	if known == nil {
		s.made[id] = &fakeSession{person: person, tokens: tokens, laptop: laptop, device: s.provider.deviceOf(tokens)}
	}
	return true, nil
}

func (s *sessions) Activate(_ context.Context, id string, laptop browser.Browser) (bool, error) {
	s.at("activate")
	defer s.at("activated")
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.activateErr != nil {
		return false, s.activateErr
	}
	if r, ok := s.attemptOf(id); !ok || r.State != Approved && !r.State.Ended() {
		s.t.Errorf("a session goes live for an attempt that is %q", r.State)
	}
	known := s.made[id]
	switch {
	case known == nil || known.ended:
		return false, nil
	case known.live:
		return !known.used && known.claimedBy == laptop && time.Since(known.liveSince) < time.Minute, nil
	}
	for _, other := range s.made {
		if other.device == known.device && other.live && !other.ended {
			s.t.Error("two live sessions for one device code")
		}
	}
	known.live, known.liveSince, known.claimedBy = true, time.Now(), laptop
	return true, nil
}

func (s *sessions) Discard(ctx context.Context, id string) error {
	s.at("discard")
	defer s.at("discarded")
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.attemptOf(id); ok && r.State == Claimed {
		s.t.Error("a claimed session is discarded")
	}
	if s.discardErr != nil {
		return s.discardErr
	}
	if known := s.made[id]; known != nil && !known.used && !known.ended {
		known.ended = true
		s.provider.discard(known.tokens)
	}
	return nil
}

// deviceOf returns the device that the tokens were given to.
func (p *provider) deviceOf(tokens idp.Tokens) *device {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.redeemed[tokens.Access]
	if d == nil {
		p.t.Error("a session is made of tokens that were never given out")
	}
	return d
}

func (p *provider) discard(tokens idp.Tokens) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.discarded[tokens.Access]++
}

// use is the laptop's browser loading a page with its session's cookie.
func (s *sessions) use(id string) {
	s.set(func(s *sessions) { s.made[id].used = true })
}

// end is the session's person logging the laptop out.
func (s *sessions) end(id string) {
	s.set(func(s *sessions) { s.made[id].ended = true })
}

// get returns a session, the zero one if there is none.
func (s *sessions) get(id string) fakeSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.made[id]; known != nil {
		return *known
	}
	return fakeSession{}
}

// count returns how many sessions there are or were.
func (s *sessions) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.made)
}

// live returns how many sessions a browser could use.
func (s *sessions) live() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range s.made {
		if known.live && !known.ended {
			n++
		}
	}
	return n
}

// wantNone checks that a session does not exist, or has ended.
func (s *sessions) wantNone(id string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.made[id]; known != nil && !known.ended {
		s.t.Errorf("the session is still there (live: %v)", known.live)
	}
}

// wantLiveOnlyIfApproved checks that each live session is of an attempt that
// is claimed, or that is approved and its claim was cut short.
func (s *sessions) wantLiveOnlyIfApproved() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, known := range s.made {
		if r, _ := s.attemptOf(id); known.live && !known.ended && r.State != Claimed && r.State != Approved {
			s.t.Errorf("a session is live, and its attempt is %q", r.State)
		}
	}
}

// claim is the laptop coming for its session.
func (w *world) claim(a Attempt) (string, error) {
	return w.m.Claim(w.Context(), a.ID, laptop)
}

// wantClaim claims an attempt, and checks that the session is live and
// Richard's, and has the tokens of the only poll that brought any.
func (w *world) wantClaim(m *Manager, a Attempt) string {
	w.Helper()
	id, err := m.Claim(w.Context(), a.ID, laptop)
	if err != nil || id == "" || id != w.record(a).Session {
		w.Errorf("Claim: %q, %v, want the attempt's session", id, err)
	}
	w.want(a, Claimed)
	session, first := w.sessions.get(id), w.provider.first()
	if !session.live || session.ended || !session.person.Is(richard) || session.laptop != laptop {
		w.Errorf("the session is %+v, want it live, Richard's and the laptop's", session)
	}
	if session.tokens.Access != first.Access || session.tokens.Refresh != first.Refresh || session.tokens.ID != first.ID {
		w.Error("the session does not have the tokens that the provider gave")
	}
	w.provider.wantKept()
	return id
}
