package session_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	clients "changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/session"
	"changebank/internal/store"
)

func TestNoCookie(t *testing.T) {
	b := newBank(t)
	newBrowser(t).wantNone(b.Manager, "without a cookie")
	if s := newBrowser(t).load(b.Manager); s.LoggedIn() {
		t.Error("the zero Session is logged in")
	}
	if newBrowser(t).reenter(b.Manager) {
		t.Error("Reenter gave a browser without a cookie a session")
	}
	if s, _ := newBrowser(t).logout(b.Manager); !isZero(s) {
		t.Errorf("Logout of a browser without a cookie = %+v, want the zero Session", s)
	}
}

func TestUpdateBegins(t *testing.T) {
	b := newBank(t)
	laptop := newBrowser(t)
	made, set := laptop.update(b.Manager, func(s *session.Session) { s.Attempt = "one" })
	if made.ID == "" || made.Attempt != "one" || made.LoggedIn() || set == nil {
		t.Fatalf("first Update = %+v with the cookie %v, want a session and its cookie", made, set)
	}
	if s := laptop.load(b.Manager); s.ID != made.ID || s.Attempt != "one" {
		t.Errorf("Load = %+v, want the session %+v", s, made)
	}
	s, set := laptop.update(b.Manager, func(s *session.Session) { s.Attempt += " two" })
	if s.ID != made.ID || s.Attempt != "one two" || set != nil {
		t.Errorf("second Update = %+v with the cookie %v, want the same session and no cookie", s, set)
	}
	if s := laptop.load(b.Manager); s.Attempt != "one two" {
		t.Errorf("Load = %+v, want the attempt %q", s, "one two")
	}
	if other, _ := newBrowser(t).update(b.Manager, func(*session.Session) {}); other.ID == made.ID || other.Attempt != "" {
		t.Errorf("another browser has the session %+v, want one of its own", other)
	}
}

// TestUpdateFails: a crawler that starts nothing gets no session, and a change
// that was given up leaves no half of itself.
func TestUpdateFails(t *testing.T) {
	b := newBank(t)
	fault := errors.New("not now")
	fail := func(s *session.Session) error {
		s.Attempt = "half"
		return fault
	}
	stranger, laptop := newBrowser(t), newBrowser(t)
	laptop.begin(b.Manager)
	for name, browser := range map[string]*browser{"without a session": stranger, "with a session": laptop} {
		set := browser.visit(func(w http.ResponseWriter, r *http.Request) {
			if s, err := b.Update(w, r, fail); err != fault {
				t.Errorf("%s: Update = %+v, %v; want %v", name, s, err, fault)
			}
		})
		if set != nil {
			t.Errorf("%s: the failed Update set the cookie %v", name, set)
		}
	}
	stranger.wantNone(b.Manager, "after the failed Update")
	if s := laptop.load(b.Manager); s.Attempt != "attempt" {
		t.Errorf("after the failed Update, Load = %+v, want the attempt as it was", s)
	}
}

func TestCookie(t *testing.T) {
	tests := []struct {
		name, address, want string
		secure              bool
	}{
		{"http", "http://localhost:5000/", "changebank", false},
		{"https", "https://bank.example.com/", "__Host-changebank", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newBank(t).with(tt.secure, key)
			laptop := browserAt(t, tt.address)
			made, begun := laptop.update(m, func(*session.Session) {})
			if s := laptop.load(m); s.ID == "" || s.ID != made.ID {
				t.Errorf("Load = %+v, want the session %+v", s, made)
			}
			entered := laptop.enter(m, create(t, m, richard, session.ByProvider))
			claimed := laptop.enterClaimed(m, create(t, m, richard, session.ByPhone))
			for when, c := range map[string]*http.Cookie{"Update": begun, "Enter": entered, "EnterClaimed": claimed} {
				wantCookie(t, when, c, tt.want, tt.secure)
				if c.MaxAge != 7*24*60*60 {
					t.Errorf("%s sets a cookie for %d s, want 7 days", when, c.MaxAge)
				}
			}
			_, cleared := laptop.logout(m)
			wantCookie(t, "Logout", cleared, tt.want, tt.secure)
			if cleared.MaxAge >= 0 || cleared.Value != "" {
				t.Errorf("Logout sets the cookie %v, want one that removes it", cleared)
			}
			if left := laptop.jar.Cookies(laptop.url); len(left) != 0 {
				t.Errorf("after Logout the browser still has %v", left)
			}
		})
	}
}

// wantCookie: HttpOnly keeps it from scripts, Lax from other sites' forms,
// Secure from the wire, and __Host- (which wants the path / and no domain)
// from sister domains that plant one.
func wantCookie(t *testing.T, when string, c *http.Cookie, name string, secure bool) {
	t.Helper()
	if c.Name != name || c.Path != "/" || c.Domain != "" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure != secure {
		t.Errorf("%s sets the cookie\n%v, want\n%s with Path=/, no Domain, HttpOnly, SameSite=Lax, Secure: %t", when, c, name, secure)
	}
}

// TestForgedCookies: none of them may be a session, and none of them is an
// error, else everybody sees an error page on the day the keys change.
func TestForgedCookies(t *testing.T) {
	b := newBank(t)
	real := newBrowser(t)
	id := real.login(b.Manager, richard)
	real.wantPerson(b.Manager, richard, "with the real cookie")
	value := real.cookie().Value
	plain, err := base64.URLEncoding.DecodeString(value)
	if err != nil {
		t.Fatalf("the cookie %q: %v", value, err)
	}

	forged := map[string]string{
		"empty":          "",
		"garbage":        "garbage",
		"the identifier": id,
		"base64 of it":   base64.URLEncoding.EncodeToString([]byte(id)),
		"shortened":      value[:len(value)/2],
		"twice as long":  value + value,
		"very long":      string(bytes.Repeat([]byte("A"), 5000)),
	}
	for i := range plain {
		changed := bytes.Clone(plain)
		changed[i] ^= 1
		forged[fmt.Sprintf("with byte %d of %d changed", i, len(plain))] = base64.URLEncoding.EncodeToString(changed)
	}

	thief := newBrowser(t)
	thief.login(b.with(false, otherKey), richard)
	forged["of another key"] = thief.cookie().Value

	secure := browserAt(t, "https://localhost/")
	secure.login(b.with(true, key), richard)
	forged["of another name"] = secure.cookie().Value

	for name, value := range forged {
		b1 := newBrowser(t).has("changebank", value)
		if s, err := b.Load(b1.request()); err != nil || !isZero(s) {
			t.Errorf("cookie %s: Load = %+v, %v; want the zero Session", name, s, err)
		}
	}

	// Such a browser can start afresh.
	b1 := newBrowser(t).has("changebank", "garbage")
	made := b1.begin(b.Manager)
	if s := b1.load(b.Manager); s.ID != made.ID || made.ID == id {
		t.Errorf("after a garbage cookie, Load = %+v, want the new session %+v", s, made)
	}

	// The prefix is worth nothing if the cookie without it counts as well.
	for when, value := range map[string]string{
		"the plain cookie at the secure bank":           value,
		"the secure cookie's value in the plain cookie": secure.cookie().Value,
	} {
		browserAt(t, "https://localhost/").has("changebank", value).wantNone(b.with(true, key), when)
	}
}

// TestOtherRealm: the demo provider's sessions must not survive the switch to
// a real one, though the key of the cookies is the same.
func TestOtherRealm(t *testing.T) {
	b := newBank(t)
	laptop := newBrowser(t)
	laptop.begin(b.Manager)
	retry := laptop.thief()
	laptop.claim(b.Manager, richard)
	real := b.of("a real provider", false, key)
	laptop.wantNone(real, "with another provider")
	if retry.reenter(real) {
		t.Error("Reenter gives a session of another provider")
	}
	if !retry.reenter(b.Manager) {
		t.Error("Reenter = false with the same provider, want true")
	}
	laptop.wantPerson(b.Manager, richard, "with the same provider")
}

func TestKeyRotation(t *testing.T) {
	b := newBank(t)
	before, during, after := b.with(false, otherKey), b.with(false, key, otherKey), b.with(false, key)

	old := newBrowser(t)
	old.login(before, richard)
	old.wantPerson(during, richard, "an old cookie, with both keys")
	touched, fresh := newBrowser(t), newBrowser(t)
	touched.begin(before)
	touched.login(during, richard)
	fresh.begin(during)

	touched.wantPerson(after, richard, "a cookie that was renewed, with the new key only")
	if s := fresh.load(after); s.Attempt != "attempt" {
		t.Errorf("a new cookie, with the new key only: Load = %+v, want its session", s)
	}
	fresh.wantNone(before, "a new cookie, with the old key only")
	newcomer := newBrowser(t)
	newcomer.login(before, erlich)
	newcomer.wantNone(after, "an old cookie, with the new key only")
	if made := newcomer.begin(after); made.LoggedIn() {
		t.Errorf("its next session is %+v, want one that is not logged in", made)
	}
}

// TestLogin guards against session fixation: who planted or saw the cookie of
// before the login has nothing after it.
func TestLogin(t *testing.T) {
	for by, login := range logins {
		t.Run(by, func(t *testing.T) {
			b := newBank(t)
			laptop := newBrowser(t)
			before, _ := laptop.update(b.Manager, func(s *session.Session) {
				s.Attempt = "attempt"
				s.AddFlow(idp.Flow{State: "state", Started: time.Now()})
			})
			attacker := laptop.thief()

			id := login(laptop, b.Manager, richard)
			if id == before.ID {
				t.Error("the login kept the identifier")
			}
			if laptop.cookie().Value == attacker.cookie().Value {
				t.Error("the login kept the cookie")
			}
			s := laptop.wantPerson(b.Manager, richard, "after the login")
			if s.ID != id || s.By != by || s.Tokens.Access != "access of richard@example.com" || s.Seen.IsZero() {
				t.Errorf("after the login Load = %+v, want the session %q with what it was made of", s, id)
			}
			if s.Attempt != "" || len(s.Flows) != 0 {
				t.Errorf("the login kept %+v from before it", s)
			}

			attacker.wantNone(b.Manager, "the old cookie after the login")
			if s, set := attacker.thief().update(b.Manager, func(s *session.Session) { s.Attempt = "attacker's" }); s.ID == id || s.LoggedIn() || set == nil {
				t.Errorf("Update with the old cookie = %+v and the cookie %v, want a session of its own", s, set)
			}
			if s, _ := attacker.logout(b.Manager); s.LoggedIn() {
				t.Errorf("Logout with the old cookie = %+v, want nobody", s)
			}
			if s := laptop.wantPerson(b.Manager, richard, "after all that with the old cookie"); s.Attempt != "" {
				t.Errorf("the old cookie has changed the session: %+v", s)
			}
		})
	}
}

// TestLoginLeavesNothing: for a minute the cookie of before any login was once
// good for the new session, and so the attacker who had planted it was logged
// in as the victim. Only a login by phone, which the attacker could have
// claimed as well, leaves something.
func TestLoginLeavesNothing(t *testing.T) {
	for _, when := range []string{"while the new session is unused", "when it is used"} {
		b := newBank(t)
		attacker := newBrowser(t)
		attacker.begin(b.Manager)
		victim := attacker.thief()
		id := victim.login(b.Manager, richard)
		if when == "when it is used" {
			victim.wantPerson(b.Manager, richard, "after the login")
		} else if unused, err := b.Unused(newBrowser(t).request(), id); err != nil || !unused {
			t.Errorf("after the login Unused = %t, %v; want true", unused, err)
		}
		if attacker.thief().reenter(b.Manager) {
			t.Errorf("%s, who planted the cookie of before the login is let in", when)
		}
		attacker.wantNone(b.Manager, when+", with the planted cookie")
		if s, _ := attacker.logout(b.Manager); !isZero(s) {
			t.Errorf("%s, the store still has %+v of before the login", when, s)
		}
	}
}

func TestLoginAfterLogin(t *testing.T) {
	for by, login := range logins {
		t.Run(by, func(t *testing.T) {
			b := newBank(t)
			laptop, phone := newBrowser(t), newBrowser(t)
			login(laptop, b.Manager, richard)
			login(phone, b.Manager, richard)
			old := laptop.thief()
			login(laptop, b.Manager, erlich)
			laptop.wantPerson(b.Manager, erlich, "after the second login")
			old.wantNone(b.Manager, "the cookie of the first login")
			if s, _ := old.logout(b.Manager); s.LoggedIn() || s.Tokens != (idp.Tokens{}) {
				t.Errorf("of the first login the store still has %+v", s)
			}
			phone.wantPerson(b.Manager, richard, "another browser of the first person")
		})
	}
}

// TestEnterTwice: an answer that was asked for twice once replaced the
// browser's new session by a note that it had gone to itself.
func TestEnterTwice(t *testing.T) {
	for name, enter := range map[string]func(*browser, *session.Manager, string) *http.Cookie{
		"Enter": (*browser).enter, "EnterClaimed": (*browser).enterClaimed,
	} {
		b := newBank(t)
		laptop := newBrowser(t)
		laptop.begin(b.Manager)
		id := create(t, b.Manager, richard, session.ByPhone)
		for range 2 {
			enter(laptop, b.Manager, id)
		}
		if s := laptop.wantPerson(b.Manager, richard, "after a second "+name+" with the same session"); s.ID != id {
			t.Errorf("after a second %s the browser has the session %q, want %q", name, s.ID, id)
		}
	}
}

// TestLoginsAtOnce: nobody gets another's session.
func TestLoginsAtOnce(t *testing.T) {
	b := newBank(t)
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			person := idp.Person{Issuer: "https://idp.example", Subject: fmt.Sprint(i)}
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
			w := httptest.NewRecorder()
			id, err := b.Create(r, person, idp.Tokens{Access: fmt.Sprint(i)}, session.ByPhone)
			if err == nil {
				_, err = b.Enter(w, r, id)
			}
			if err != nil {
				t.Errorf("login of person %d: %v", i, err)
				return
			}
			for _, c := range w.Result().Cookies() {
				r.AddCookie(c)
			}
			s, err := b.Load(r)
			if err != nil || s.Person == nil || *s.Person != person || s.Tokens.Access != fmt.Sprint(i) {
				t.Errorf("person %d: Load = %+v, %v", i, s, err)
			}
		})
	}
	wg.Wait()
}

// TestReenter: the answer that carried the new cookie was lost. The old cookie
// brings it once more, but only while nobody has it.
func TestReenter(t *testing.T) {
	tests := []struct {
		name  string
		after func(b *bank, laptop *browser, id string) // between the lost answer and the retry
		want  bool
	}{
		{"at once", func(*bank, *browser, string) {}, true},
		{"within the minute", func(b *bank, _ *browser, _ string) { b.sleep(59 * time.Second) }, true},
		{"after a minute", func(b *bank, _ *browser, _ string) { b.sleep(time.Minute) }, false},
		{"after an hour", func(b *bank, _ *browser, _ string) { b.sleep(time.Hour) }, false},
		{"after it was used", func(b *bank, laptop *browser, _ string) { laptop.load(b.Manager) }, false},
		// A session that was only ever changed once passed for unused.
		{"after it was changed", func(b *bank, laptop *browser, _ string) {
			laptop.update(b.Manager, func(s *session.Session) { s.Greeted = true })
		}, false},
		{"after a visit that changed nothing", func(b *bank, laptop *browser, _ string) {
			laptop.update(b.Manager, func(*session.Session) {})
		}, false},
		{"after it was logged out", func(b *bank, laptop *browser, _ string) { laptop.logout(b.Manager) }, false},
		{"after it was discarded", func(b *bank, laptop *browser, id string) {
			if err := b.Discard(laptop.t.Context(), id); err != nil {
				laptop.t.Errorf("Discard: %v", err)
			}
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bank) {
				laptop := newBrowser(t)
				laptop.begin(b.Manager)
				b.sleep(time.Hour)
				retry := laptop.thief() // it does not hear of the new cookie
				id := laptop.claim(b.Manager, richard)
				tt.after(b, laptop, id)
				if got := retry.reenter(b.Manager); got != tt.want {
					t.Fatalf("Reenter = %t, want %t", got, tt.want)
				}
				if !tt.want {
					retry.wantNone(b.Manager, "after the refusal")
					return
				}
				if s := retry.wantPerson(b.Manager, richard, "after Reenter"); s.ID != id {
					t.Errorf("Reenter gave the session %q, want %q", s.ID, id)
				}
			})
		})
	}
}

func TestReenterAgain(t *testing.T) {
	b := newBank(t)
	laptop := newBrowser(t)
	laptop.begin(b.Manager)
	retry, late := laptop.thief(), laptop.thief()
	laptop.claim(b.Manager, richard)
	for range 3 {
		if !retry.thief().reenter(b.Manager) { // this answer is lost as well
			t.Fatal("Reenter = false though nobody has used the session")
		}
	}
	if !retry.reenter(b.Manager) {
		t.Fatal("Reenter = false though nobody has used the session")
	}
	retry.wantPerson(b.Manager, richard, "after Reenter")
	if late.reenter(b.Manager) {
		t.Error("Reenter gave away a session that is in use")
	}
}

func TestReenterOthers(t *testing.T) {
	b := newBank(t)
	anonymous, loggedIn, stranger := newBrowser(t), newBrowser(t), newBrowser(t).has("changebank", "garbage")
	anonymous.begin(b.Manager)
	loggedIn.claim(b.Manager, richard)
	for name, browser := range map[string]*browser{
		"not logged in": anonymous, "logged in": loggedIn, "with a garbage cookie": stranger, "without a cookie": newBrowser(t),
	} {
		if browser.reenter(b.Manager) {
			t.Errorf("Reenter gave a browser %s a session", name)
		}
	}
}

func TestLogout(t *testing.T) {
	b := newBank(t)
	laptop, phone := newBrowser(t), newBrowser(t)
	id := laptop.login(b.Manager, richard)
	phone.login(b.Manager, richard)
	thief := laptop.thief()

	was, _ := laptop.logout(b.Manager)
	if was.ID != id || was.Person == nil || was.Tokens.Refresh != "refresh" {
		t.Errorf("Logout = %+v, want the session, whose tokens are to be revoked", was)
	}
	laptop.wantNone(b.Manager, "after the logout")
	thief.wantNone(b.Manager, "with the old cookie after the logout")
	if unused, err := b.Unused(newBrowser(t).request(), id); err != nil || unused {
		t.Errorf("after the logout Unused = %t, %v; want false", unused, err)
	}
	if s, set := thief.logout(b.Manager); !isZero(s) || set == nil {
		t.Errorf("second Logout = %+v and the cookie %v, want the zero Session and a cleared cookie", s, set)
	}
	phone.wantPerson(b.Manager, richard, "another browser after the logout")
}

// TestLogoutIsFinal: a request that had loaded the session before the logout
// comes to its end after it. It must not bring the person back.
func TestLogoutIsFinal(t *testing.T) {
	// The request has not begun to write.
	t.Run("before Update", func(t *testing.T) {
		b := newBank(t)
		laptop := newBrowser(t)
		laptop.login(b.Manager, richard)
		slow := laptop.thief()
		loaded := slow.wantPerson(b.Manager, richard, "before the logout")
		laptop.logout(b.Manager)
		s, _ := slow.update(b.Manager, func(s *session.Session) { s.Attempt = "slow" })
		wantNotBack(t, b, s, loaded.ID, slow)
	})
	// The request has read the session, and is about to write it.
	t.Run("in Update", func(t *testing.T) {
		b := newBank(t)
		laptop := newBrowser(t)
		id := laptop.login(b.Manager, richard)
		slow, old := laptop.thief(), laptop.thief()
		runs := 0
		s, _ := slow.update(b.Manager, func(s *session.Session) {
			if runs++; runs == 1 {
				laptop.logout(b.Manager)
			}
			s.Attempt = "slow"
		})
		if runs < 2 {
			t.Errorf("the change ran %d times, want once more after the logout", runs)
		}
		wantNotBack(t, b, s, id, slow)
		old.wantNone(b.Manager, "the cookie of before the logout")
	})
	// Load writes as well: when the browser was seen.
	t.Run("in Load", func(t *testing.T) {
		var h *hooked
		b := newBankBehind(t, func(backend store.Backend) store.Backend {
			h = &hooked{Backend: backend}
			return h
		})
		laptop := newBrowser(t)
		laptop.login(b.Manager, richard)
		slow := laptop.thief()
		h.before(func() { laptop.logout(b.Manager) })
		slow.wantNone(b.Manager, "Load that meets a logout")
		slow.wantNone(b.Manager, "Load after it")
	})
}

// TestUpdateMeetsLogin: a request that had begun before the login writes after
// it. It must neither change the new session nor lose it for the browser whose
// claim's answer was lost.
func TestUpdateMeetsLogin(t *testing.T) {
	for by, login := range logins {
		t.Run(by, func(t *testing.T) {
			b := newBank(t)
			laptop := newBrowser(t)
			laptop.begin(b.Manager)
			slow, retry := laptop.thief(), laptop.thief()
			id, runs := "", 0
			s, _ := slow.update(b.Manager, func(s *session.Session) {
				if runs++; runs == 1 {
					id = login(laptop, b.Manager, richard)
				}
				s.Attempt = "slow"
			})
			if s.ID == id || s.LoggedIn() || s.Successor != "" || s.Attempt != "slow" {
				t.Errorf("Update that meets a login = %+v, want a new session of nobody", s)
			}
			if got, want := retry.reenter(b.Manager), by == session.ByPhone; got != want {
				t.Errorf("Reenter = %t, want %t: the slow Update was not the browser's first visit with the new cookie", got, want)
			}
			if by == session.ByPhone {
				laptop = retry
			}
			if s := laptop.wantPerson(b.Manager, richard, "after the login"); s.Attempt != "" {
				t.Errorf("the slow Update changed the new session: %+v", s)
			}
		})
	}
}

// TestLoadMeetsLogin: a Load that was about to write when the browser was seen
// once returned what the login had left in the session's place.
func TestLoadMeetsLogin(t *testing.T) {
	for by, login := range logins {
		t.Run(by, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var h *hooked
				b := newBankBehind(t, func(backend store.Backend) store.Backend {
					h = &hooked{Backend: backend}
					return h
				})
				laptop := newBrowser(t)
				laptop.begin(b.Manager)
				time.Sleep(6 * time.Minute)
				slow, retry := laptop.thief(), laptop.thief()
				met := false
				h.before(func() {
					met = true
					login(laptop, b.Manager, richard)
				})
				slow.wantNone(b.Manager, "Load that meets a login")
				if !met {
					t.Error("Load wrote nothing: it has met no login")
				}
				slow.wantNone(b.Manager, "Load after it")
				if got, want := retry.reenter(b.Manager), by == session.ByPhone; got != want {
					t.Errorf("after such a Load, Reenter = %t, want %t", got, want)
				}
				laptop.wantPerson(b.Manager, richard, "after the login")
			})
		})
	}
}

func wantNotBack(t *testing.T, b *bank, s session.Session, old string, slow *browser) {
	t.Helper()
	if s.LoggedIn() || s.ID == old || s.Tokens != (idp.Tokens{}) {
		t.Errorf("Update after the logout = %+v, want a new session of nobody", s)
	}
	if now := slow.load(b.Manager); now.LoggedIn() {
		t.Errorf("after the logout and a slow Update, Load = %+v, want nobody", now)
	}
}

// hooked lets a test come between a reading and a writing.
type hooked struct {
	store.Backend
	hook func()
}

// before has f run before the next write, once.
func (h *hooked) before(f func()) { h.hook = f }

func (h *hooked) Swap(ctx context.Context, key string, old, new []byte, until time.Time) (bool, error) {
	if hook := h.hook; hook != nil {
		h.hook = nil
		hook()
	}
	return h.Backend.Swap(ctx, key, old, new, until)
}

// TestTakeFlow guards against login CSRF: an answer of the provider that the
// browser did not ask for, or that was used before, logs nobody in.
func TestTakeFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ago := func(state string, d time.Duration) idp.Flow {
			return idp.Flow{State: state, Nonce: "nonce of " + state, Started: time.Now().Add(-d)}
		}
		tests := []struct {
			name  string
			flows []idp.Flow
			state string
			want  bool
		}{
			{"its own", []idp.Flow{ago("a", 0)}, "a", true},
			{"one of two", []idp.Flow{ago("a", 0), ago("b", 0)}, "b", true},
			{"none on its way", nil, "a", false},
			{"another's", []idp.Flow{ago("a", 0)}, "b", false},
			{"the beginning of one", []idp.Flow{ago("abc", 0)}, "ab", false},
			{"in other letters", []idp.Flow{ago("abc", 0)}, "ABC", false},
			{"no state, none on its way", nil, "", false},
			{"no state, one on its way", []idp.Flow{ago("a", 0)}, "", false},
			{"no state, one without a state", []idp.Flow{ago("", 0)}, "", false},
			{"a quarter of an hour old", []idp.Flow{ago("a", 15*time.Minute)}, "a", true},
			{"older", []idp.Flow{ago("a", 15*time.Minute+time.Second)}, "a", false},
			{"old, beside a young one", []idp.Flow{ago("a", time.Hour), ago("b", 0)}, "a", false},
			{"young, beside an old one", []idp.Flow{ago("a", time.Hour), ago("b", 0)}, "b", true},
		}
		for _, tt := range tests {
			s := session.Session{Flows: tt.flows}
			flow, ok := s.TakeFlow(tt.state)
			if ok != tt.want {
				t.Errorf("%s: TakeFlow(%q) = %+v, %t; want %t", tt.name, tt.state, flow, ok, tt.want)
			}
			if ok && (flow.State != tt.state || flow.Nonce != "nonce of "+tt.state) {
				t.Errorf("%s: TakeFlow(%q) = %+v", tt.name, tt.state, flow)
			}
			if !ok && flow != (idp.Flow{}) {
				t.Errorf("%s: TakeFlow(%q) refuses and yet gives %+v", tt.name, tt.state, flow)
			}
			if flow, again := s.TakeFlow(tt.state); again {
				t.Errorf("%s: second TakeFlow(%q) = %+v, want none", tt.name, tt.state, flow)
			}
		}
	})
}

// TestFlowsBounded: a page that starts logins in a loop must not fill the
// store, nor push out the login that was begun last.
func TestFlowsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s session.Session
		add := func(from, to int) {
			for i := from; i <= to; i++ {
				s.AddFlow(idp.Flow{State: fmt.Sprint(i), Started: time.Now()})
			}
		}
		wantStates := func(from, to int) {
			t.Helper()
			var got, want []string
			for _, f := range s.Flows {
				got = append(got, f.State)
			}
			for i := from; i <= to; i++ {
				want = append(want, fmt.Sprint(i))
			}
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("the flows are %v, want %v", got, want)
			}
		}
		add(1, 8)
		wantStates(1, 8)
		add(9, 11)
		wantStates(4, 11)
		time.Sleep(16 * time.Minute)
		add(12, 13)
		wantStates(12, 13)
	})
}

// TestFlowOnce sends one answer of the provider many times at once.
func TestFlowOnce(t *testing.T) {
	b := newBank(t)
	laptop := newBrowser(t)
	laptop.update(b.Manager, func(s *session.Session) {
		s.AddFlow(idp.Flow{State: "first", Started: time.Now()})
		s.AddFlow(idp.Flow{State: "second", Verifier: "verifier", Started: time.Now()})
	})
	var taken atomic.Int64
	noFlow := errors.New("no flow")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			var flow idp.Flow
			_, err := b.Update(httptest.NewRecorder(), laptop.request(), func(s *session.Session) error {
				var ok bool
				if flow, ok = s.TakeFlow("second"); !ok {
					return noFlow
				}
				return nil
			})
			switch {
			case err == nil && flow.Verifier == "verifier":
				taken.Add(1)
			case err != noFlow:
				t.Errorf("Update: %v with the flow %+v, want %v", err, flow, noFlow)
			}
		})
	}
	wg.Wait()
	if n := taken.Load(); n != 1 {
		t.Errorf("the flow was taken %d times, want once", n)
	}
	if s := laptop.load(b.Manager); len(s.Flows) != 1 || s.Flows[0].State != "first" {
		t.Errorf("the flows left are %+v, want the first", s.Flows)
	}
}

func TestUpdatesAtOnce(t *testing.T) {
	b := newBank(t)
	laptop := newBrowser(t)
	laptop.begin(b.Manager)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			w := httptest.NewRecorder()
			_, err := b.Update(w, laptop.request(), func(s *session.Session) error {
				s.AddFlow(idp.Flow{State: fmt.Sprint(i), Started: time.Now()})
				return nil
			})
			if err != nil || len(w.Result().Cookies()) != 0 {
				t.Errorf("Update: %v, cookies %v; want neither", err, w.Result().Cookies())
			}
		})
	}
	wg.Wait()
	if s := laptop.load(b.Manager); len(s.Flows) != 8 {
		t.Errorf("of 8 flows added at once, %d are left", len(s.Flows))
	}
}

func TestLifetime(t *testing.T) {
	const (
		hour = time.Hour
		day  = 24 * time.Hour
	)
	every := func(step, end time.Duration) (visits []time.Duration) {
		for at := step; at < end; at += step {
			visits = append(visits, at)
		}
		return visits
	}
	anonymous := func(b *bank, laptop *browser) { laptop.begin(b.Manager) }
	loggedIn := func(b *bank, laptop *browser) { laptop.login(b.Manager, richard) }
	tests := []struct {
		name   string
		begin  func(b *bank, laptop *browser)
		visits []time.Duration // since the begin
		at     time.Duration
		want   bool
	}{
		{"anonymous", anonymous, nil, day - time.Second, true},
		{"anonymous, a day old", anonymous, nil, day, false},
		{"anonymous and busy", anonymous, every(6*hour, day), day - time.Second, true},
		{"anonymous and busy, a day old", anonymous, every(6*hour, day), day, false},
		{"never used", loggedIn, nil, day - time.Second, true},
		{"never used for a day", loggedIn, nil, day, false},
		{"idle", loggedIn, []time.Duration{10 * hour}, 34*hour - time.Second, true},
		{"idle for a day", loggedIn, []time.Duration{10 * hour}, 34 * hour, false},
		{"busy", loggedIn, every(23*hour, 7*day), 7*day - time.Second, true},
		// Whoever stole the cookie cannot keep the session alive for ever.
		{"busy, a week old", loggedIn, every(23*hour, 7*day), 7 * day, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bank) {
				laptop := newBrowser(t)
				tt.begin(b, laptop)
				thief := laptop.thief() // whose cookie does not end
				begun := time.Now()
				for _, at := range tt.visits {
					b.sleep(at - time.Since(begun))
					if s := thief.load(b.Manager); s.ID == "" {
						t.Fatalf("the session is over after %v", at)
					}
				}
				b.sleep(tt.at - time.Since(begun))
				if s := thief.load(b.Manager); (s.ID != "") != tt.want {
					t.Errorf("after %v, Load = %+v; want a session: %t", tt.at, s, tt.want)
				}
				if !tt.want {
					if s, _ := thief.update(b.Manager, func(*session.Session) {}); s.LoggedIn() || s.Attempt != "" {
						t.Errorf("after %v, Update = %+v; want a new session", tt.at, s)
					}
				}
			})
		})
	}
}

// TestSeen: when the browser was seen is written now and then, so that most
// pages cost no write, but often enough that a busy session does not end.
func TestSeen(t *testing.T) {
	visits := map[string]func(laptop *browser, m *session.Manager) session.Session{
		"Load": (*browser).load,
		"Update": func(laptop *browser, m *session.Manager) session.Session {
			s, _ := laptop.update(m, func(*session.Session) {})
			return s
		},
	}
	for name, visit := range visits {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := new(counting)
				b := newBankBehind(t, func(backend store.Backend) store.Backend {
					c.Backend = backend
					return c
				})
				laptop := newBrowser(t)
				laptop.login(b.Manager, richard)
				steps := []struct {
					wait   time.Duration
					writes int
				}{{0, 1}, {0, 0}, {4 * time.Minute, 0}, {time.Minute, 1}, {time.Minute, 0}, {time.Hour, 1}}
				for i, step := range steps {
					time.Sleep(step.wait)
					before := c.swaps
					s := visit(laptop, b.Manager)
					if got := c.swaps - before; got != step.writes {
						t.Errorf("visit %d wrote %d times, want %d", i, got, step.writes)
					}
					if age := time.Since(s.Seen); age >= 5*time.Minute {
						t.Errorf("visit %d: the session was seen %v ago, want less than 5 minutes", i, age)
					}
				}
			})
		})
	}
}

// counting counts the writes.
type counting struct {
	store.Backend
	swaps int
}

func (c *counting) Swap(ctx context.Context, key string, old, new []byte, until time.Time) (bool, error) {
	c.swaps++
	return c.Backend.Swap(ctx, key, old, new, until)
}

func TestUnusedAndDiscard(t *testing.T) {
	ctx := t.Context()
	b := newBank(t)
	wantUnused := func(id string, want bool, when string) {
		t.Helper()
		if got, err := b.Unused(newBrowser(t).request(), id); err != nil || got != want {
			t.Errorf("%s: Unused = %t, %v; want %t", when, got, err, want)
		}
	}
	wantUnused("", false, "no identifier")
	wantUnused("unknown", false, "an unknown identifier")

	id := create(t, b.Manager, richard, session.ByProvider)
	wantUnused(id, true, "after Create")
	laptop := newBrowser(t)
	laptop.enter(b.Manager, id)
	wantUnused(id, true, "after Enter")
	laptop.load(b.Manager)
	wantUnused(id, false, "after Load")

	id = create(t, b.Manager, richard, session.ByPhone)
	laptop.enterClaimed(b.Manager, id)
	wantUnused(id, true, "after EnterClaimed")
	laptop.update(b.Manager, func(s *session.Session) { s.Greeted = true })
	wantUnused(id, false, "after Update")

	for _, login := range logins {
		replaced := laptop.login(b.Manager, richard)
		login(laptop, b.Manager, richard)
		wantUnused(replaced, false, "after another login in its place")
	}

	id = create(t, b.Manager, richard, session.ByPhone)
	laptop.enter(b.Manager, id)
	if err := b.Discard(ctx, id); err != nil {
		t.Errorf("Discard: %v", err)
	}
	wantUnused(id, false, "after Discard")
	laptop.wantNone(b.Manager, "after Discard")
	if err := b.Discard(ctx, id); err != nil {
		t.Errorf("second Discard: %v, want nil: it is gone", err)
	}
}

func TestUnusedEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		id := create(t, b.Manager, richard, session.ByPhone)
		b.sleep(24 * time.Hour)
		if got, err := b.Unused(newBrowser(t).request(), id); err != nil || got {
			t.Errorf("Unused of a session that is over = %t, %v; want false", got, err)
		}
	})
}

// TestStoreAway: a store that is away is an error, not a logout: the cookie
// stays as it is. Only who logs out loses it in any case.
func TestStoreAway(t *testing.T) {
	b := newBank(t)
	laptop := newBrowser(t)
	id, due := laptop.login(b.Manager, richard), laptop.load(b.Manager)
	due.Tokens.Expires = time.Now()
	if err := b.file.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	none := func(*session.Session) error { return nil }
	for name, tt := range map[string]struct {
		browser *browser
		page    func(w http.ResponseWriter, r *http.Request) error
		sets    bool // a cookie
	}{
		"Load": {laptop, func(_ http.ResponseWriter, r *http.Request) error {
			_, err := b.Load(r)
			return err
		}, false},
		"Update": {laptop, func(w http.ResponseWriter, r *http.Request) error {
			_, err := b.Update(w, r, none)
			return err
		}, false},
		"Update without a session": {newBrowser(t), func(w http.ResponseWriter, r *http.Request) error {
			_, err := b.Update(w, r, none)
			return err
		}, false},
		"Create": {laptop, func(_ http.ResponseWriter, r *http.Request) error {
			_, err := b.Create(r, richard, idp.Tokens{}, session.ByPhone)
			return err
		}, false},
		"Enter":        {laptop, func(w http.ResponseWriter, r *http.Request) error { _, err := b.Enter(w, r, "another"); return err }, false},
		"EnterClaimed": {laptop, func(w http.ResponseWriter, r *http.Request) error { return b.EnterClaimed(w, r, "another") }, false},
		"Token": {laptop, func(_ http.ResponseWriter, r *http.Request) error {
			_, err := b.Token(r.Context(), due)
			return err
		}, false},
		"Reenter": {laptop, func(w http.ResponseWriter, r *http.Request) error {
			_, err := b.Reenter(w, r)
			return err
		}, false},
		"Unused": {laptop, func(_ http.ResponseWriter, r *http.Request) error {
			_, err := b.Unused(r, id)
			return err
		}, false},
		"Discard": {laptop, func(_ http.ResponseWriter, r *http.Request) error { return b.Discard(r.Context(), id) }, false},
		"Logout": {laptop, func(w http.ResponseWriter, r *http.Request) error {
			_, err := b.Logout(w, r)
			return err
		}, false},
		"Of": {laptop, func(_ http.ResponseWriter, r *http.Request) error { _, err := b.Of(r.Context(), richard); return err }, false},
		"End": {laptop, func(_ http.ResponseWriter, r *http.Request) error {
			_, err := b.End(r.Context(), due, due.Ref)
			return err
		}, false},
		"EndOthers": {laptop, func(_ http.ResponseWriter, r *http.Request) error {
			_, err := b.EndOthers(r.Context(), due)
			return err
		}, false},
		"Confirm":  {laptop, func(_ http.ResponseWriter, r *http.Request) error { return b.Confirm(r.Context(), due, due.Ref) }, false},
		"WasEnded": {laptop, func(_ http.ResponseWriter, r *http.Request) error { _, err := b.WasEnded(r); return err }, false},
	} {
		w := httptest.NewRecorder()
		err := tt.page(w, tt.browser.request())
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: %v, want %v", name, err, store.ErrClosed)
		}
		if cookies := w.Result().Cookies(); (len(cookies) > 0) != tt.sets {
			t.Errorf("%s sets the cookies %v, want some: %t", name, cookies, tt.sets)
		}
	}
}

// TestIdentifierNotInRecord: the store must not hold what the cookie holds.
func TestIdentifierNotInRecord(t *testing.T) {
	text, err := json.Marshal(session.Session{ID: "SECRET"})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("SECRET")) {
		t.Errorf("the record has the identifier: %s", text)
	}
}

// BenchmarkLoad is what each page pays.
func BenchmarkLoad(b *testing.B) {
	file, err := store.OpenFile(filepath.Join(b.TempDir(), "store"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	m := session.New(session.Config{Store: namespace(b, file, "test", key), Secure: true, BrowserOf: func(*http.Request) clients.Browser { return clients.Browser{} }})
	r, w := httptest.NewRequest(http.MethodGet, "https://bank.example.com/", nil), httptest.NewRecorder()
	if _, err := m.Enter(w, r, create(b, m, richard, session.ByProvider)); err != nil {
		b.Fatal(err)
	}
	r.AddCookie(w.Result().Cookies()[0])
	for b.Loop() {
		if s, err := m.Load(r); err != nil || !s.LoggedIn() {
			b.Fatalf("Load = %+v, %v", s, err)
		}
	}
}
