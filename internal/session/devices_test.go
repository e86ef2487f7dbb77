package session_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"changebank/internal/idp"
	"changebank/internal/session"
)

func TestOf(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		laptop, phone, tablet, other := newBrowser(t), newBrowser(t), newBrowser(t), newBrowser(t)
		phone.agent, laptop.agent, tablet.agent = "a phone", "a laptop", "a tablet"
		b.wantListed(richard, "before any login")
		phone.logIn(b.Manager, richard)
		time.Sleep(time.Second)
		other.logIn(b.Manager, erlich)
		time.Sleep(time.Second)
		laptop.claim(b.Manager, richard)
		time.Sleep(time.Second)
		tablet.pend(b.Manager, richard)
		sessions := b.sessionsOf(richard)
		if len(sessions) != 3 {
			t.Fatalf("Of = %+v, want three sessions", sessions)
		}
		for i, want := range []session.Session{
			{By: session.ByPhone, Pending: true, Browser: tablet.browser(), Began: time.Now()},
			{By: session.ByPhone, Browser: laptop.browser(), Began: time.Now().Add(-time.Second)},
			{By: session.ByProvider, Browser: phone.browser(), Began: time.Now().Add(-3 * time.Second)},
		} {
			s := sessions[i]
			if s.By != want.By || s.Pending != want.Pending || s.Browser != want.Browser || !s.Began.Equal(want.Began) || len(s.Ref) < 8 || !s.Seen.IsZero() {
				t.Errorf("session %d is %+v, want %+v with a name, not seen yet", i, s, want)
			}
			// The page that shows them does not need these.
			if s.ID != "" || s.Tokens != (idp.Tokens{}) {
				t.Errorf("session %d comes with its secrets: %+v", i, s)
			}
		}
		if a, b, c := sessions[0].Ref, sessions[1].Ref, sessions[2].Ref; a == b || b == c || a == c {
			t.Errorf("the sessions are called %q, %q, %q", a, b, c)
		}
		if got := phone.load(b.Manager).Ref; got != sessions[2].Ref {
			t.Errorf("the phone's session is called %q, and %q in the list", got, sessions[2].Ref)
		}
		b.wantListed(erlich, "after other people's logins", other)
	})
}

func TestEnd(t *testing.T) {
	for by, logIn := range logIns {
		t.Run(by, func(t *testing.T) {
			b := newBank(t)
			log := new(syncBuffer)
			b.log = slog.New(slog.NewTextHandler(io.MultiWriter(log, t.Output()), nil))
			b.Manager = b.replica()
			laptop, phone := newBrowser(t), newBrowser(t)
			logIn(laptop, b.Manager, richard)
			phone.logIn(b.Manager, richard, "phone")
			id, ref := laptop.load(b.Manager).ID, b.refOf(laptop)

			was, err := b.End(t.Context(), phone.load(b.Manager), ref)
			if err != nil || was.Ref != ref || was.By != by {
				t.Errorf("End = %+v, %v; want the session as it was", was, err)
			}
			b.wantRevoked("after End", richard.Email)
			laptop.wantNone(b.Manager, "after End")
			laptop.wantWasEnded(b.Manager, session.EndedByDevice, "after End")
			phone.wantWasEnded(b.Manager, "", "in the session that ended the other")
			phone.wantPerson(b.Manager, richard, "in the session that ended the other")
			laptop.activate(b.Manager, id, false)
			laptop.createPending(b.Manager, id, richard, "", false)
			b.end(phone, ref, session.ErrOver)
			b.wantRevoked("after a second End", richard.Email)
			// The next login forgets what is over.
			newBrowser(t).logIn(b.Manager, richard)
			b.end(phone, ref, session.ErrUnknown)

			laptop.logIn(b.Manager, richard)
			laptop.wantPerson(b.Manager, richard, "after another login")
			laptop.wantWasEnded(b.Manager, "", "after another login")
			for _, want := range []string{"session ended", "ref=" + ref, "by=" + b.refOf(phone), "person.subject=1"} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("the log does not say %s:\n%s", want, log)
				}
			}
			if strings.Contains(log.String(), id) || strings.Contains(log.String(), "access of") {
				t.Errorf("the log has a secret:\n%s", log)
			}
		})
	}
}

// TestEndPending: an approved login that nobody has claimed can be ended.
func TestEndPending(t *testing.T) {
	for name, end := range map[string]func(b *bank, phone *browser, ref string){
		"End":       func(b *bank, phone *browser, ref string) { b.end(phone, ref, nil) },
		"EndOthers": func(b *bank, phone *browser, _ string) { b.endOthers(phone, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBank(t)
			phone, laptop := newBrowser(t), newBrowser(t)
			phone.logIn(b.Manager, richard, "phone")
			id := laptop.pend(b.Manager, richard)
			end(b, phone, b.sessionsOf(richard)[0].Ref)
			b.wantListed(richard, "after the end", phone)
			b.wantRevoked("after the end", richard.Email)
			laptop.activate(b.Manager, id, false)
			laptop.createPending(b.Manager, id, richard, b.voucherOf(phone), false)
			laptop.activate(b.Manager, id, false)
			b.wantListed(richard, "after a second CreatePending", phone)
		})
	}
}

// TestEndOfAnother: nobody can end, confirm or find out another person's
// session by its name.
func TestEndOfAnother(t *testing.T) {
	b := newBank(t)
	mine, theirs, impostor := newBrowser(t), newBrowser(t), newBrowser(t)
	mine.logIn(b.Manager, richard)
	theirs.claim(b.Manager, erlich)
	impostor.logIn(b.Manager, idp.Person{Issuer: "https://another.example", Subject: erlich.Subject})
	for _, ref := range []string{b.refOf(theirs), "NOSUCHRF", "", "others"} {
		for _, by := range []*browser{mine, impostor} {
			b.end(by, ref, session.ErrUnknown)
			if err := b.Confirm(t.Context(), by.load(b.Manager), ref); !errors.Is(err, session.ErrUnknown) {
				t.Errorf("Confirm of %q: %v, want %v", ref, err, session.ErrUnknown)
			}
		}
	}
	b.endOthers(mine, 0)
	b.endOthers(impostor, 0)
	if s := theirs.wantPerson(b.Manager, erlich, "after all that"); s.Confirmed {
		t.Error("another person has confirmed the session")
	}
	b.wantRevoked("after all that")
}

func TestEndOthers(t *testing.T) {
	b := newBank(t)
	mine, other := newBrowser(t), newBrowser(t)
	mine.logIn(b.Manager, richard)
	other.logIn(b.Manager, erlich)
	b.endOthers(mine, 0)
	first, second := newBrowser(t), newBrowser(t)
	first.logIn(b.Manager, richard, "first")
	second.claim(b.Manager, richard)
	b.endOthers(mine, 2)
	for _, ended := range []*browser{first, second} {
		ended.wantNone(b.Manager, "after EndOthers")
		ended.wantWasEnded(b.Manager, session.EndedByDevice, "after EndOthers")
	}
	b.wantRevoked("after EndOthers", "first", richard.Email)
	mine.wantPerson(b.Manager, richard, "after EndOthers")
	other.wantPerson(b.Manager, erlich, "after another person's EndOthers")
	b.wantListed(richard, "after EndOthers", mine)
	b.endOthers(mine, 0)
}

// TestEndGoneCaller: the others are logged out even if the person closes the
// tab.
func TestEndGoneCaller(t *testing.T) {
	b := newBank(t)
	mine, other := newBrowser(t), newBrowser(t)
	mine.logIn(b.Manager, richard)
	other.logIn(b.Manager, richard)
	me := mine.load(b.Manager)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if n, err := b.EndOthers(ctx, me); n != 1 || err != nil {
		t.Errorf("EndOthers = %d, %v; want 1", n, err)
	}
	other.wantNone(b.Manager, "after EndOthers")
}

// wantToConfirm checks which browsers' sessions a person is asked about in the
// session of by, the newest first.
func (b *bank) wantToConfirm(by *browser, want ...*browser) {
	by.t.Helper()
	sessions, err := b.ToConfirm(by.t.Context(), by.load(b.Manager))
	if err != nil {
		by.t.Errorf("ToConfirm: %v", err)
	}
	var got, refs []string
	for _, s := range sessions {
		got = append(got, s.Ref)
	}
	for _, other := range want {
		refs = append(refs, b.refOf(other))
	}
	if !slices.Equal(got, refs) {
		by.t.Errorf("ToConfirm = %q, want %q", got, refs)
	}
}

// A page that every session opens must not get slower with the number of the
// person's sessions: it reads the list, and the sessions that are asked about.
func TestToConfirmReadsFew(t *testing.T) {
	for name, settle := range map[string]func(b *bank, phone, laptop *browser){
		"confirmed":  func(b *bank, phone, laptop *browser) { b.confirm(phone, b.refOf(laptop)) },
		"ended":      func(b *bank, phone, laptop *browser) { b.end(phone, b.refOf(laptop), nil) },
		"logged out": func(b *bank, _, laptop *browser) { laptop.logOut(b.Manager) },
		"replaced":   func(b *bank, _, laptop *browser) { laptop.logIn(b.Manager, richard) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBank(t)
			phone, laptop, second := newBrowser(t), newBrowser(t), newBrowser(t)
			for range 20 {
				newBrowser(t).logIn(b.Manager, richard)
			}
			phone.logIn(b.Manager, richard)
			s := phone.load(b.Manager)
			wantReads := func(when string, asked int, want int64) {
				t.Helper()
				reads := b.tap.reads.Load()
				if sessions, err := b.ToConfirm(t.Context(), s); len(sessions) != asked || err != nil {
					t.Errorf("%s: ToConfirm = %+v, %v; want %d sessions", when, sessions, err, asked)
				}
				if n := b.tap.reads.Load() - reads; n != want {
					t.Errorf("%s: ToConfirm reads %d records, want %d", when, n, want)
				}
			}
			wantReads("without a login by phone", 0, 1)
			laptop.claim(b.Manager, richard)
			second.claim(b.Manager, richard)
			wantReads("with two", 2, 3)
			settle(b, phone, laptop)
			wantReads("with one", 1, 2)
			second.logOut(b.Manager)
			wantReads("at the end", 0, 1)
		})
	}
}

func (b *bank) confirm(by *browser, ref string) {
	b.t.Helper()
	if err := b.Confirm(b.t.Context(), by.load(b.Manager), ref); err != nil {
		b.t.Errorf("Confirm: %v", err)
	}
}

// TestConfirm: a laptop that a phone was tricked into logging in must not
// confirm itself or the next one, nor log the phone out.
func TestConfirm(t *testing.T) {
	b := newBank(t)
	phone, laptop, evil, pending := newBrowser(t), newBrowser(t), newBrowser(t), newBrowser(t)
	phone.logIn(b.Manager, richard)
	laptop.claim(b.Manager, richard)
	evil.claim(b.Manager, richard)
	confirm := func(by *browser, ref string, want error) {
		t.Helper()
		if err := b.Confirm(t.Context(), by.load(b.Manager), ref); !errors.Is(err, want) {
			t.Errorf("Confirm: %v, want %v", err, want)
		}
	}
	wantUnconfirmed := func(of *browser, want bool, when string) {
		t.Helper()
		if got := of.load(b.Manager).Unconfirmed(); got != want {
			t.Errorf("%s: Unconfirmed() = %t, want %t", when, got, want)
		}
	}
	wantUnconfirmed(phone, false, "logged in at the provider")
	confirm(evil, b.refOf(evil), session.ErrUnconfirmed)
	confirm(evil, b.refOf(laptop), session.ErrUnconfirmed)
	confirm(laptop, b.refOf(evil), session.ErrUnconfirmed)
	b.end(evil, b.refOf(phone), session.ErrUnconfirmed)
	if n, err := b.EndOthers(t.Context(), evil.load(b.Manager)); n != 0 || !errors.Is(err, session.ErrUnconfirmed) {
		t.Errorf("EndOthers of an unconfirmed session = %d, %v; want %v", n, err, session.ErrUnconfirmed)
	}
	wantUnconfirmed(laptop, true, "before the answer")
	b.wantToConfirm(phone, evil, laptop)
	b.wantToConfirm(evil)
	confirm(phone, b.refOf(laptop), nil)
	b.wantToConfirm(phone, evil)
	b.wantToConfirm(laptop, evil)
	wantUnconfirmed(laptop, false, "after the answer")
	wantUnconfirmed(evil, true, "after the answer about another")
	confirm(phone, b.refOf(laptop), nil) // once more
	confirm(laptop, b.refOf(evil), nil)  // now it counts
	ref := b.refOf(evil)
	evil.logOut(b.Manager)
	confirm(phone, ref, session.ErrOver)
	b.wantToConfirm(phone)

	id := pending.pend(b.Manager, richard)
	confirm(phone, b.sessionsOf(richard)[0].Ref, nil)
	pending.activate(b.Manager, id, true)
	pending.setCookie(b.Manager, id)
	wantUnconfirmed(pending, false, "confirmed before it was claimed")
}

// TestExpired: a session that has expired is neither ended nor confirmed.
func TestExpired(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		phone := newBrowser(t)
		phone.logIn(b.Manager, richard)
		phone.load(b.Manager)
		time.Sleep(time.Second)
		newBrowser(t).pend(b.Manager, richard)
		ref := b.sessionsOf(richard)[0].Ref
		b.sleep(session.ClaimWindow)
		if err := b.Confirm(t.Context(), phone.load(b.Manager), ref); !errors.Is(err, session.ErrOver) {
			t.Errorf("Confirm: %v, want %v", err, session.ErrOver)
		}
		b.end(phone, ref, session.ErrOver)
		newBrowser(t).pend(b.Manager, richard)
		b.sleep(session.ClaimWindow)
		b.endOthers(phone, 0)
	})
}

func (b *bank) end(by *browser, ref string, want error) {
	b.t.Helper()
	if _, err := b.End(b.t.Context(), by.load(b.Manager), ref); !errors.Is(err, want) {
		b.t.Errorf("End of %q: %v, want %v", ref, err, want)
	}
}

func (b *bank) endOthers(by *browser, want int) {
	b.t.Helper()
	if n, err := b.EndOthers(b.t.Context(), by.load(b.Manager)); n != want || err != nil {
		b.t.Errorf("EndOthers = %d, %v; want %d", n, err, want)
	}
}
