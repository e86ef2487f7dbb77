package session_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"changebank/internal/idp"
	"changebank/internal/session"
	"changebank/internal/store"
)

// TestSessionFixation: an attacker who planted or saw the cookie that the
// browser had before the login has nothing after it.
func TestSessionFixation(t *testing.T) {
	for by, logIn := range logIns {
		t.Run(by, func(t *testing.T) {
			b := newBank(t)
			attacker := newBrowser(t)
			attacker.logIn(b.Manager, erlich)
			before := attacker.load(b.Manager)
			victim := attacker.thief()

			logIn(victim, b.Manager, richard)
			if victim.cookie().Value == attacker.cookie().Value {
				t.Error("the login kept the cookie")
			}
			s := victim.wantPerson(b.Manager, richard, "after the login")
			if s.ID == before.ID || s.Ref == before.Ref || s.By != by || s.Tokens.Access != tokensOf(richard.Email).Access || s.Seen.IsZero() {
				t.Errorf("after the login Load = %+v, want a new session with its own tokens", s)
			}
			attacker.wantNone(b.Manager, "the old cookie after the login")
			b.wantRevoked("after the login", erlich.Email)
			if s, _ := attacker.logOut(b.Manager); s != (session.Session{}) {
				t.Errorf("Logout with the old cookie = %+v, want the zero Session", s)
			}
			victim.wantPerson(b.Manager, richard, "after all that with the old cookie")
			b.wantListed(erlich, "after the login of another person")
		})
	}
}

// TestRef: the same person's new login in the same browser keeps the Ref, and
// nothing else does.
func TestRef(t *testing.T) {
	b := newBank(t)
	phone := newBrowser(t)
	phone.logIn(b.Manager, richard)
	ref := b.refOf(phone)
	want := func(same bool, when string) {
		t.Helper()
		now := b.refOf(phone)
		if (now == ref) != same {
			t.Errorf("%s: the Ref %q became %q, want the same: %t", when, ref, now, same)
		}
		ref = now
	}
	phone.logIn(b.Manager, richard)
	want(true, "after a second login")
	b.wantListed(richard, "after a second login", phone)
	other := newBrowser(t)
	other.logIn(b.Manager, richard)
	if b.refOf(other) == ref {
		t.Error("another browser's session has the same Ref")
	}
	phone.logIn(b.Manager, erlich)
	want(false, "after another person's login")
	phone.logIn(b.Manager, richard)
	want(false, "after the first person's next login")
	phone.claim(b.Manager, richard)
	want(false, "after a login by phone")
	phone.logIn(b.Manager, richard)
	want(true, "after a login in place of one by phone")
	if phone.load(b.Manager).Unconfirmed() {
		t.Error("the login at the provider left the session unconfirmed")
	}
	phone.logOut(b.Manager)
	phone.logIn(b.Manager, richard)
	want(false, "after a logout and a login")
	b.end(other, ref, nil)
	phone.logIn(b.Manager, richard)
	want(false, "after an End and a login")
}

// TestSetCookieTwice: a claim that is repeated must not end its own session.
func TestSetCookieTwice(t *testing.T) {
	b := newBank(t)
	laptop := newBrowser(t)
	id := laptop.claim(b.Manager, richard)
	laptop.setCookie(b.Manager, id)
	if s := laptop.wantPerson(b.Manager, richard, "after a second SetCookie"); s.ID != id {
		t.Errorf("the browser has the session %q, want %q", s.ID, id)
	}
	b.wantRevoked("after a second SetCookie")
}

// TestLogInsAtOnce: nobody gets another's session.
func TestLogInsAtOnce(t *testing.T) {
	b := newBank(t)
	var wg sync.WaitGroup
	for i := range 30 {
		wg.Go(func() {
			person := idp.Person{Issuer: "https://idp.example", Subject: fmt.Sprint(i), Email: fmt.Sprint(i)}
			browser := newBrowser(t)
			browser.logIn(b.Manager, person)
			if s := browser.wantPerson(b.Manager, person, "after its login"); s.Tokens.Access != tokensOf(person.Email).Access {
				t.Errorf("person %d has the tokens of %q", i, s.Tokens.Access)
			}
		})
	}
	wg.Wait()
}

// TestTwoTabs: two tabs of one browser log in at once. Its person can end both
// sessions, whichever cookie comes last.
func TestTwoTabs(t *testing.T) {
	for name, end := range map[string]func(b *bank, phone, other *browser){
		"Logout":    func(b *bank, phone, _ *browser) { phone.logOut(b.Manager) },
		"End":       func(b *bank, phone, other *browser) { b.end(other, b.refOf(phone), nil) },
		"EndOthers": func(b *bank, _, other *browser) { b.endOthers(other, 2) },
		"EndOthers in the first": func(b *bank, phone, _ *browser) {
			b.endOthers(phone, 2)
			phone.wantPerson(b.Manager, richard, "the tab that ended all others")
			phone.logOut(b.Manager)
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBank(t)
			phone, other := newBrowser(t), newBrowser(t)
			other.logIn(b.Manager, richard)
			phone.logIn(b.Manager, richard)
			voucher, tab := b.voucherOf(phone), phone.thief()
			b.tap.nextWrite(func() { tab.logIn(b.Manager, richard) })
			phone.logIn(b.Manager, richard)
			phone.wantPerson(b.Manager, richard, "the first tab")
			tab.wantPerson(b.Manager, richard, "the second tab")
			if !b.vouched(voucher) {
				t.Error("the voucher does not hold after both logins")
			}
			b.wantListedAll("after both logins", phone, tab, other)
			end(b, phone, other)
			phone.wantNone(b.Manager, "the first tab at the end")
			tab.wantNone(b.Manager, "the second tab at the end")
			if b.vouched(voucher) {
				t.Error("the voucher holds at the end")
			}
		})
	}
}

// wantListedAll wants the sessions of these browsers in their persons' lists.
func (b *bank) wantListedAll(when string, browsers ...*browser) {
	b.t.Helper()
	for _, browser := range browsers {
		s := browser.load(b.Manager)
		found := !s.LoggedIn()
		if s.LoggedIn() {
			for _, listed := range b.sessionsOf(s.Person) {
				found = found || listed.Ref == s.Ref
			}
		}
		if !found {
			b.t.Errorf("%s: a live session is not listed: %+v", when, s)
		}
	}
}

func TestLogout(t *testing.T) {
	for by, logIn := range logIns {
		t.Run(by, func(t *testing.T) {
			b := newBank(t)
			laptop, phone := newBrowser(t), newBrowser(t)
			logIn(laptop, b.Manager, richard)
			phone.logIn(b.Manager, richard, "phone")
			thief, id := laptop.thief(), laptop.load(b.Manager).ID

			was, _ := laptop.logOut(b.Manager)
			if was.ID != id || !was.LoggedIn() || was.Tokens.ID != "id" {
				t.Errorf("Logout = %+v, want the session as it was", was)
			}
			b.wantRevoked("after the logout", richard.Email)
			laptop.wantNone(b.Manager, "after the logout")
			laptop.wantWasEnded(b.Manager, "", "after the logout")
			thief.wantNone(b.Manager, "with the old cookie after the logout")
			thief.wantWasEnded(b.Manager, "", "with the old cookie after the logout")
			// A claim that is repeated, and a slow process, bring nothing back.
			laptop.activate(b.Manager, id, false)
			laptop.createPending(b.Manager, id, richard, "", false)
			laptop.activate(b.Manager, id, false)
			if s, set := thief.logOut(b.Manager); s != (session.Session{}) || set == nil {
				t.Errorf("second Logout = %+v and the cookie %v, want the zero Session and a cleared cookie", s, set)
			}
			b.wantRevoked("after a second logout", richard.Email)
			phone.wantPerson(b.Manager, richard, "another browser after the logout")
			b.wantListed(richard, "after the logout", phone)
		})
	}
}

// TestStoreAway: a store that is away is an error and not a logout. The cookie
// stays as it is.
func TestStoreAway(t *testing.T) {
	b := newBank(t)
	laptop := newBrowser(t)
	laptop.claim(b.Manager, richard)
	due, voucher := laptop.load(b.Manager), b.voucherOf(laptop)
	due.Tokens.Expires, due.Confirmed = time.Now(), true
	if err := b.file.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	for name, page := range map[string]func(w http.ResponseWriter, r *http.Request) error{
		"Load": func(_ http.ResponseWriter, r *http.Request) error { _, err := b.Load(r); return err },
		"ToConfirm": func(_ http.ResponseWriter, r *http.Request) error {
			_, err := b.ToConfirm(r.Context(), due)
			return err
		},
		"WasEnded":  func(_ http.ResponseWriter, r *http.Request) error { _, err := b.WasEnded(r); return err },
		"LogIn":     func(w http.ResponseWriter, r *http.Request) error { return b.LogIn(w, r, richard, tokensOf("lost")) },
		"SetCookie": func(w http.ResponseWriter, r *http.Request) error { return b.SetCookie(w, r, "another") },
		"Logout":    func(w http.ResponseWriter, r *http.Request) error { _, err := b.Logout(w, r); return err },
		"Token":     func(_ http.ResponseWriter, r *http.Request) error { _, err := b.Token(r.Context(), due); return err },
		"Of":        func(_ http.ResponseWriter, r *http.Request) error { _, err := b.Of(r.Context(), richard); return err },
		"End": func(_ http.ResponseWriter, r *http.Request) error {
			_, err := b.End(r.Context(), due, due.Ref)
			return err
		},
		"EndOthers": func(_ http.ResponseWriter, r *http.Request) error {
			_, err := b.EndOthers(r.Context(), due)
			return err
		},
		"Confirm": func(_ http.ResponseWriter, r *http.Request) error { return b.Confirm(r.Context(), due, due.Ref) },
		"Voucher": func(_ http.ResponseWriter, r *http.Request) error { _, err := b.Voucher(r.Context(), due); return err },
		"Vouched": func(_ http.ResponseWriter, r *http.Request) error {
			ok, err := b.Vouched(r.Context(), richard, voucher)
			if ok {
				t.Error("Vouched = true")
			}
			return err
		},
		"CreatePending": func(_ http.ResponseWriter, r *http.Request) error {
			_, err := b.CreatePending(r.Context(), "another", richard, idp.Tokens{}, laptop.browser(), voucher)
			return err
		},
		"Activate": func(_ http.ResponseWriter, r *http.Request) error {
			_, err := b.Activate(r.Context(), due.ID, laptop.browser())
			return err
		},
		"Discard": func(_ http.ResponseWriter, r *http.Request) error { return b.Discard(r.Context(), due.ID) },
	} {
		w := httptest.NewRecorder()
		if err := page(w, laptop.request()); !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s: %v, want %v", name, err, store.ErrClosed)
		}
		if cookies := w.Result().Cookies(); len(cookies) > 0 {
			t.Errorf("%s sets the cookies %v, want none", name, cookies)
		}
	}
	b.wantRevoked("after a login that failed", "lost")
}
