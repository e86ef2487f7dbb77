package session_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"changebank/internal/idp"
	"changebank/internal/session"
)

// TestLeavesTheList goes through every way in which a session ends.
func TestLeavesTheList(t *testing.T) {
	ends := map[string]func(b *bank, laptop *browser){
		"Logout": func(b *bank, laptop *browser) { laptop.logOut(b.Manager) },
		"End": func(b *bank, laptop *browser) {
			other := newBrowser(laptop.t)
			other.logIn(b.Manager, richard)
			b.end(other, b.refOf(laptop), nil)
			other.logOut(b.Manager)
		},
		"another login there": func(b *bank, laptop *browser) { laptop.logIn(b.Manager, erlich) },
		"another claim there": func(b *bank, laptop *browser) { laptop.claim(b.Manager, erlich) },
		"a day without a visit": func(b *bank, laptop *browser) {
			laptop.load(b.Manager)
			b.sleep(24 * time.Hour)
		},
		"the provider": func(b *bank, laptop *browser) {
			b.refresh = func(context.Context, idp.Tokens, idp.Person) (idp.Tokens, error) {
				return idp.Tokens{}, &idp.Error{Status: 400, Code: "invalid_grant"}
			}
			s := laptop.load(b.Manager)
			b.sleep(time.Hour)
			if _, err := b.Token(laptop.t.Context(), s); !errors.Is(err, session.ErrLoginEnded) {
				laptop.t.Errorf("Token: %v, want %v", err, session.ErrLoginEnded)
			}
		},
	}
	for name, end := range ends {
		for by, logIn := range logIns {
			t.Run(by+", "+name, func(t *testing.T) {
				inBubble(t, func(t *testing.T, b *bank) {
					laptop := newBrowser(t)
					logIn(laptop, b.Manager, richard)
					b.wantListed(richard, "after the login", laptop)
					old := laptop.thief()
					end(b, laptop)
					b.wantListed(richard, "after the end")
					old.wantNone(b.Manager, "after the end")
				})
			})
		}
	}
}

// TestListLasts: the list outlives restarts, and lasts as long as the last
// session.
func TestListLasts(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		const hour = time.Hour
		old, young := newBrowser(t), newBrowser(t)
		begun := time.Now()
		id := old.pend(b.Manager, richard)
		time.Sleep(session.ClaimWindow - time.Second)
		// The session lasts from its claim, which is later than its entry.
		old.activate(b.Manager, id, true)
		old.setCookie(b.Manager, id)
		old.load(b.Manager)
		claimed := time.Now()
		for at := 23 * hour; at < 7*24*hour; at += 23 * hour {
			b.sleep(at - time.Since(begun))
			if at == 46*hour {
				young.logIn(b.Manager, richard)
			}
			if at >= 46*hour {
				young.load(b.Manager)
			}
			old.load(b.Manager)
		}
		b.sleep(7*24*hour - time.Second - time.Since(claimed))
		newBrowser(t).logIn(b.Manager, erlich)
		passing := newBrowser(t)
		passing.logIn(b.Manager, richard) // drops entries that are over
		passing.logOut(b.Manager)
		b.wantListed(richard, "a second before the older one's week is over", young, old)
		b.sleep(time.Second)
		b.wantListed(richard, "when it is over", young)
		b.sleep(22 * hour)
		b.wantListed(richard, "when only the younger one is used", young)
	})
}

// TestMaxSessions: the oldest end. To drop them from the list only would leave
// sessions that nobody can end.
func TestMaxSessions(t *testing.T) {
	b := newBank(t)
	browsers := make([]*browser, 103)
	for i := range browsers {
		browsers[i] = newBrowser(t)
		browsers[i].logIn(b.Manager, richard, fmt.Sprint(i))
	}
	newest := slices.Clone(browsers[3:])
	slices.Reverse(newest)
	b.wantListed(richard, "after 103 logins", newest...)
	for i, old := range browsers[:3] {
		old.wantNone(b.Manager, fmt.Sprintf("login %d of 103", i+1))
	}
	b.wantRevoked("after 103 logins", "0", "1", "2")

	// A login that replaces a session does not need room.
	browsers[102].logIn(b.Manager, richard, "again")
	browsers[3].wantPerson(b.Manager, richard, "the oldest, after a login that replaced another one")
	// One by phone does.
	pending := newBrowser(t)
	id := pending.pend(b.Manager, richard)
	browsers[3].wantNone(b.Manager, "the oldest, after one more login by phone")
	pending.activate(b.Manager, id, true)
	if n := len(b.sessionsOf(richard)); n != 100 {
		t.Errorf("%d sessions are listed, want 100", n)
	}
}

// TestEndedDoNotCount: sessions that are over must not push out live ones.
func TestEndedDoNotCount(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		phone := newBrowser(t)
		phone.logIn(b.Manager, richard)
		for range 130 { // of each of which, after a few minutes, nothing is left
			time.Sleep(72 * time.Minute)
			newBrowser(t).pend(b.Manager, richard)
			if !phone.load(b.Manager).LoggedIn() {
				t.Fatalf("the phone is logged out, with %d sessions", len(b.sessionsOf(richard)))
			}
		}
	})
}

// TestListForgets: the list does not grow with every login that ever was, even if
// nothing is left of the sessions, and no login has ended them.
func TestListForgets(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		for range 50 {
			newBrowser(t).logIn(b.Manager, richard)
		}
		b.sleep(14*24*time.Hour + session.ClaimWindow - time.Second)
		phone := newBrowser(t)
		phone.logIn(b.Manager, richard) // which takes 20 off
		wantReads := func(want int64, when string) {
			t.Helper()
			before := b.tap.reads.Load()
			b.sessionsOf(richard)
			if n := b.tap.reads.Load() - before; n != want {
				t.Errorf("%s: Of reads %d times, want %d", when, n, want)
			}
		}
		phone.logIn(b.Manager, richard)
		time.Sleep(time.Second)
		phone.logIn(b.Manager, richard)
		wantReads(1+1, "after two weeks")
	})
}

// TestListAtOnce: many of one person's browsers come and go at the same time.
// The list loses none that stayed.
func TestListAtOnce(t *testing.T) {
	b := newBank(t)
	managers := []*session.Manager{b.Manager, b.replica()}
	browsers := make([]*browser, 40)
	var wg sync.WaitGroup
	for i := range browsers {
		browsers[i] = newBrowser(t)
		wg.Go(func() {
			m := managers[i%2]
			if i%3 == 0 {
				browsers[i].claim(m, richard)
			} else {
				browsers[i].logIn(m, richard)
			}
			if i%4 == 0 {
				browsers[i].logOut(m)
			}
			if _, err := m.Of(t.Context(), richard); err != nil {
				t.Errorf("Of: %v", err)
			}
		})
	}
	wg.Wait()
	listed := make(map[string]bool)
	for _, s := range b.sessionsOf(richard) {
		listed[s.Ref] = true
	}
	for i, browser := range browsers {
		if s := browser.load(b.Manager); s.LoggedIn() != (i%4 != 0) || s.LoggedIn() && !listed[s.Ref] {
			t.Errorf("browser %d: logged in: %t, in the list: %t", i, s.LoggedIn(), listed[s.Ref])
		}
	}
	if len(listed) != 30 {
		t.Errorf("%d sessions are listed, want 30", len(listed))
	}
}

// TestEndAtOnce: of many who end one session at once, one does.
func TestEndAtOnce(t *testing.T) {
	b := newBank(t)
	phone, laptop := newBrowser(t), newBrowser(t)
	phone.logIn(b.Manager, richard)
	laptop.logIn(b.Manager, richard, "laptop")
	by, target := phone.load(b.Manager), b.refOf(laptop)
	var wg sync.WaitGroup
	errs := make([]error, 10)
	for i := range errs {
		wg.Go(func() { _, errs[i] = b.End(t.Context(), by, target) })
	}
	wg.Wait()
	ended := 0
	for _, err := range errs {
		switch {
		case err == nil:
			ended++
		case !errors.Is(err, session.ErrOver):
			t.Errorf("End: %v, want %v", err, session.ErrOver)
		}
	}
	if ended != 1 {
		t.Errorf("%d of 10 ended the session, want 1", ended)
	}
	b.wantRevoked("after ten End", "laptop")
}
