package session_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"testing"
	"testing/cryptotest"

	"changebank/internal/idp"
	"changebank/internal/session"
)

// scene is Richard's phone, which has approved the login of a laptop, and his
// PC. Its store is in memory, because there is one for each interleaving.
type scene struct {
	*bank
	phone, pc, laptop *browser
	voucher           string // the phone's
	phoneRef          string
	id                string // of the laptop's session
	created           bool   // what CreatePending said last
}

// newScene returns a scene whose random values are always the same.
func newScene(t *testing.T) *scene {
	t.Helper()
	cryptotest.SetGlobalRandom(t, 1)
	b := &bank{t: t, keys: [][]byte{key}, tap: &tap{Backend: &memory{values: make(map[string]kept)}}, log: slog.New(slog.DiscardHandler)}
	b.Manager = b.replica()
	s := &scene{bank: b, phone: newBrowser(t), pc: newBrowser(t), laptop: newBrowser(t), id: rand.Text()}
	s.phone.logIn(b.Manager, richard, "phone")
	s.pc.logIn(b.Manager, richard, "pc")
	s.pc.load(b.Manager)
	s.voucher, s.phoneRef = b.voucherOf(s.phone), b.refOf(s.phone)
	return s
}

// An action is something that a person or a process does. It returns an error
// only if the store is down.
type action func(*scene) error

func create(s *scene) (err error) {
	s.created, err = s.CreatePending(s.t.Context(), s.id, richard, tokensOf("laptop"), s.laptop.browser(), s.voucher)
	return err
}

func claim(s *scene) error {
	ok, err := s.Activate(s.t.Context(), s.id, s.laptop.browser())
	if err != nil || !ok {
		return err
	}
	_, err = s.laptop.visit(func(w http.ResponseWriter, r *http.Request) error { return s.SetCookie(w, r, s.id) })
	return err
}

func discard(s *scene) error { return s.Discard(s.t.Context(), s.id) }

// login is an action: a login of the phone's browser.
func login(person idp.Person) action {
	return func(s *scene) error {
		_, err := s.phone.tryLogIn(s.Manager, person, "phone again")
		return err
	}
}

func logout(of func(*scene) *browser) action {
	return func(s *scene) error {
		_, err := of(s).visit(func(w http.ResponseWriter, r *http.Request) error {
			_, err := s.Logout(w, r)
			return err
		})
		return err
	}
}

// end is an action: the PC ends the phone's session, or the pending one.
func end(ref func(*scene) string) action {
	return func(s *scene) error {
		by, err := s.Load(s.pc.request())
		if err != nil {
			return err
		}
		if _, err = s.End(s.t.Context(), by, ref(s)); errors.Is(err, session.ErrOver) || errors.Is(err, session.ErrUnknown) {
			return nil
		}
		return err
	}
}

func endOthers(of func(*scene) *browser) action {
	return func(s *scene) error {
		by, err := s.Load(of(s).request())
		if err != nil || !by.LoggedIn() {
			return err
		}
		_, err = s.EndOthers(s.t.Context(), by)
		return err
	}
}

// then is one action after the other.
func then(actions ...action) action {
	return func(s *scene) error {
		for _, a := range actions {
			if err := a(s); err != nil {
				return err
			}
		}
		return nil
	}
}

func thePhone(s *scene) *browser   { return s.phone }
func thePC(s *scene) *browser      { return s.pc }
func theLaptop(s *scene) *browser  { return s.laptop }
func thePhonesRef(s *scene) string { return s.phoneRef }

// theLaptopsRef returns the name of the laptop's session, however the list is
// being changed.
func theLaptopsRef(s *scene) string {
	sessions, _ := s.Of(s.t.Context(), richard)
	for _, other := range sessions {
		if other.By == session.ByPhone {
			return other.Ref
		}
	}
	return ""
}

// inEveryGap runs first, and second in between: once before each operation on
// the store that first makes, and once after all of them (inside is false
// then). Each run has a scene of its own.
func inEveryGap(t *testing.T, first, second action, setUp action, check func(s *scene, inside bool)) {
	for gap := 0; ; gap++ {
		t.Run(fmt.Sprint("gap ", gap), func(t *testing.T) {
			s := newScene(t)
			if setUp != nil {
				s.do(setUp)
			}
			n, inside := 0, false
			s.tap.before = func(bool) error {
				if n++; n > gap && !inside {
					inside = true
					s.do(second)
				}
				return nil
			}
			s.do(first)
			s.tap.before = nil
			if !inside {
				s.do(second)
				gap = -2 // the last one
			}
			check(s, inside)
		})
		if gap < 0 {
			return
		}
	}
}

func (s *scene) do(a action) {
	s.t.Helper()
	if err := a(s); err != nil {
		s.t.Errorf("unexpected error: %v", err)
	}
}

// atEveryFault runs a on a store that goes down at a's first write, at its
// second, and so on: before the write is made, and after it, when only the
// answer is lost. Then the process is started again.
func atEveryFault(t *testing.T, a action, setUp action, check func(s *scene)) {
	for n := 1; ; n++ {
		done := false
		for _, written := range []bool{false, true} {
			t.Run(fmt.Sprintf("write %d, written %t", n, written), func(t *testing.T) {
				s := newScene(t)
				if setUp != nil {
					s.do(setUp)
				}
				writes, down := 0, false
				s.tap.before = func(write bool) error {
					if write {
						writes++
					}
					if down = down || write && writes == n && !written; down {
						return errDown
					}
					return nil
				}
				s.tap.after = func(write bool) error {
					if down = down || write && writes == n; down {
						return errDown
					}
					return nil
				}
				err := a(s)
				s.tap.before, s.tap.after = nil, nil
				if done = !down; done {
					return
				}
				if err != nil && !errors.Is(err, errDown) {
					t.Errorf("unexpected error: %v", err)
				}
				s.Manager = s.replica()
				check(s)
			})
		}
		if done {
			return
		}
	}
}

// wantSound checks what must be true at any time: a session that a cookie can
// open is listed, so that Richard's PC can end it. It uses the laptop's session,
// and those with these IDs.
func (s *scene) wantSound(ids ...string) {
	s.t.Helper()
	s.wantListedAll("at the end", s.phone, s.pc, s.laptop)
	for _, id := range append(ids, s.id) {
		holder := newBrowser(s.t)
		holder.setCookie(s.Manager, id)
		s.wantListedAll("at the end", holder)
	}
	for _, access := range s.revoked {
		n := 0
		for _, other := range s.revoked {
			if access == other {
				n++
			}
		}
		if n > 2 {
			s.t.Errorf("%q is revoked %d times, want 2 at most", access, n)
		}
	}
}

// wantNoLaptop checks that the laptop's session is gone for good.
func (s *scene) wantNoLaptop() {
	s.t.Helper()
	s.laptop.activate(s.Manager, s.id, false)
	if ref := theLaptopsRef(s); ref != "" {
		s.t.Error("the laptop's session is listed")
	}
	holder := newBrowser(s.t)
	holder.setCookie(s.Manager, s.id)
	holder.wantNone(s.Manager, "with the cookie of the laptop's session")
}
