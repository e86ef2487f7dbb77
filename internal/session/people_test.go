package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	clients "changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/session"
	"changebank/internal/store"
)

func TestOf(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		laptop, phone, other := newBrowser(t), newBrowser(t), newBrowser(t)
		phone.agent, laptop.agent = "a phone", "a laptop"
		b.wantListed(richard, "before any login")
		phone.login(b.Manager, richard)
		time.Sleep(time.Second)
		other.login(b.Manager, erlich)
		time.Sleep(time.Second)
		laptop.claim(b.Manager, richard)
		sessions := b.sessionsOf(richard)
		if len(sessions) != 2 {
			t.Fatalf("Of = %+v, want two sessions", sessions)
		}
		for i, want := range []session.Session{
			{By: session.ByPhone, Browser: clients.Browser{Agent: "a laptop", Addr: "192.0.2.1:1234"}, Began: time.Now()},
			{By: session.ByProvider, Browser: clients.Browser{Agent: "a phone", Addr: "192.0.2.1:1234"}, Began: time.Now().Add(-2 * time.Second)},
		} {
			s := sessions[i]
			if s.By != want.By || s.Browser != want.Browser || !s.Began.Equal(want.Began) || len(s.Ref) < 8 || !s.Seen.IsZero() {
				t.Errorf("session %d is %+v, want %+v with a name, not seen yet", i, s, want)
			}
			// The page that shows them has no use for these.
			if s.ID != "" || s.Tokens != (idp.Tokens{}) {
				t.Errorf("session %d comes with its secrets: %+v", i, s)
			}
		}
		if sessions[0].Ref == sessions[1].Ref {
			t.Errorf("both sessions are called %q", sessions[0].Ref)
		}
		if got := phone.load(b.Manager).Ref; got != sessions[1].Ref {
			t.Errorf("the phone's session is called %q, and %q in the list", got, sessions[1].Ref)
		}
		b.wantListed(erlich, "after other people's logins", other)
	})
}

// TestLatest: who uses a stolen cookie shows in the list.
func TestLatest(t *testing.T) {
	visits := map[string]func(thief *browser, b *bank){
		"Load":   func(thief *browser, b *bank) { thief.load(b.Manager) },
		"Update": func(thief *browser, b *bank) { thief.update(b.Manager, func(*session.Session) {}) },
	}
	for name, visit := range visits {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bank) {
				laptop := newBrowser(t)
				laptop.login(b.Manager, richard)
				begun := time.Now()
				laptop.load(b.Manager)
				thief := laptop.thief()
				thief.agent = "a thief"
				want := func(latest string, seen time.Time) {
					t.Helper()
					s := b.sessionsOf(richard)[0]
					if s.Browser.Agent != "a browser" || s.Latest.Agent != latest || !s.Seen.Equal(seen) {
						t.Errorf("the session was begun by %q and used by %q at %v, want %q, %q, %v", s.Browser.Agent, s.Latest.Agent, s.Seen, "a browser", latest, seen)
					}
				}
				want("a browser", begun)
				b.sleep(4 * time.Minute)
				visit(thief, b)
				want("a browser", begun)
				b.sleep(time.Minute)
				visit(thief, b)
				want("a thief", time.Now())
			})
		})
	}
}

// TestLeavesTheList goes through every way in which a session ends.
func TestLeavesTheList(t *testing.T) {
	ends := map[string]func(b *bank, laptop *browser, id string){
		"Logout": func(b *bank, laptop *browser, _ string) { laptop.logout(b.Manager) },
		"Discard": func(b *bank, laptop *browser, id string) {
			if err := b.Discard(laptop.t.Context(), id); err != nil {
				laptop.t.Errorf("Discard: %v", err)
			}
		},
		"End": func(b *bank, laptop *browser, _ string) {
			other := newBrowser(laptop.t)
			other.login(b.Manager, richard)
			b.end(other, b.refOf(laptop), nil)
			other.logout(b.Manager)
		},
		"another login there": func(b *bank, laptop *browser, _ string) { laptop.login(b.Manager, erlich) },
		"a day without a visit": func(b *bank, laptop *browser, _ string) {
			laptop.load(b.Manager)
			b.sleep(24 * time.Hour)
		},
		"the provider": func(b *bank, laptop *browser, _ string) {
			laptop.update(b.Manager, func(s *session.Session) { s.Tokens.Expires = time.Now() })
			b.refresh = func(context.Context, idp.Tokens, idp.Person) (idp.Tokens, error) {
				return idp.Tokens{}, &idp.Error{Status: 400, Code: "invalid_grant"}
			}
			if _, err := b.Token(laptop.t.Context(), laptop.load(b.Manager)); !errors.Is(err, session.ErrEnded) {
				laptop.t.Errorf("Token: %v, want %v", err, session.ErrEnded)
			}
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bank) {
				laptop := newBrowser(t)
				id := laptop.login(b.Manager, richard)
				b.wantListed(richard, "after the login", laptop)
				end(b, laptop, id)
				b.wantListed(richard, "after the end")
			})
		})
	}
}

// TestListLasts: over a restart, and for as long as the last session does.
func TestListLasts(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		const hour = time.Hour
		old, young := newBrowser(t), newBrowser(t)
		begun := time.Now()
		old.login(b.Manager, richard)
		old.load(b.Manager)
		for at := 23 * hour; at < 7*24*hour; at += 23 * hour {
			b.sleep(at - time.Since(begun))
			if at == 46*hour {
				young.login(b.Manager, richard)
			}
			if at >= 46*hour {
				young.load(b.Manager)
			}
			old.load(b.Manager)
		}
		b.sleep(7*24*hour - time.Second - time.Since(begun))
		b.wantListed(richard, "a second before the older one's week is over", young, old)
		b.sleep(time.Second)
		b.wantListed(richard, "when it is over", young)
		b.sleep(22 * hour)
		b.wantListed(richard, "when only the younger one is used", young)
	})
}

func TestEnd(t *testing.T) {
	for by, login := range logins {
		t.Run(by, func(t *testing.T) {
			b := newBank(t)
			log := new(syncBuffer)
			b.log = slog.New(slog.NewTextHandler(io.MultiWriter(log, t.Output()), nil))
			b.Manager = b.with(false, key)
			laptop, phone := newBrowser(t), newBrowser(t)
			id := login(laptop, b.Manager, richard)
			phone.login(b.Manager, richard)
			laptop.load(b.Manager)
			slow := laptop.thief()
			ref := b.refOf(laptop)

			was, err := b.End(t.Context(), phone.load(b.Manager), ref)
			if err != nil || was.Ref != ref || was.By != by {
				t.Errorf("End = %+v, %v; want the session as it was", was, err)
			}
			if want := []string{"access of " + richard.Email}; !slices.Equal(b.revoked, want) {
				t.Errorf("the revoked tokens are %q, want %q", b.revoked, want)
			}
			laptop.wantNone(b.Manager, "after End")
			laptop.wantWasEnded(b.Manager, true, "after End")
			phone.wantWasEnded(b.Manager, false, "in the session that ended the other")
			phone.wantPerson(b.Manager, richard, "who ended another session")
			if unused, err := b.Unused(newBrowser(t).request(), id); err != nil || unused {
				t.Errorf("Unused of an ended session = %t, %v", unused, err)
			}
			if laptop.thief().reenter(b.Manager) {
				t.Error("Reenter brings an ended session back")
			}
			if s, _ := slow.update(b.Manager, func(s *session.Session) { s.Attempt = "slow" }); s.LoggedIn() || s.ID == id {
				t.Errorf("a slow request after End has the session %+v, want a new one of nobody", s)
			}
			b.end(phone, ref, session.ErrOver)
			if len(b.revoked) != 1 {
				t.Errorf("to end a session twice revokes twice: %q", b.revoked)
			}
			// The next login forgets what is over.
			newBrowser(t).login(b.Manager, richard)
			b.end(phone, ref, session.ErrUnknown)

			laptop.login(b.Manager, richard)
			laptop.wantPerson(b.Manager, richard, "after another login")
			laptop.wantWasEnded(b.Manager, false, "after another login")
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

// TestEndOfAnother: nobody can end, confirm or find out another person's
// session by its name.
func TestEndOfAnother(t *testing.T) {
	b := newBank(t)
	mine, theirs := newBrowser(t), newBrowser(t)
	mine.login(b.Manager, richard)
	theirs.claim(b.Manager, erlich)
	sameSubject := idp.Person{Issuer: "https://another.example", Subject: erlich.Subject}
	impostor := newBrowser(t)
	impostor.login(b.Manager, sameSubject)
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
	if len(b.revoked) != 0 {
		t.Errorf("the tokens %q are revoked, want none", b.revoked)
	}
}

func TestEndOthers(t *testing.T) {
	b := newBank(t)
	mine, other := newBrowser(t), newBrowser(t)
	mine.login(b.Manager, richard)
	other.login(b.Manager, erlich)
	b.endOthers(mine, 0)
	first, second := newBrowser(t), newBrowser(t)
	first.login(b.Manager, richard)
	second.claim(b.Manager, richard)
	b.endOthers(mine, 2)
	for _, ended := range []*browser{first, second} {
		ended.wantNone(b.Manager, "after EndOthers")
		ended.wantWasEnded(b.Manager, true, "after EndOthers")
	}
	if len(b.revoked) != 2 {
		t.Errorf("the tokens of %d sessions are revoked, want 2", len(b.revoked))
	}
	mine.wantPerson(b.Manager, richard, "after EndOthers")
	other.wantPerson(b.Manager, erlich, "after another person's EndOthers")
	b.wantListed(richard, "after EndOthers", mine)
	b.endOthers(mine, 0)
}

// TestEndGoneCaller: who closes the tab still wants the others logged out.
func TestEndGoneCaller(t *testing.T) {
	b := newBank(t)
	mine, other := newBrowser(t), newBrowser(t)
	mine.login(b.Manager, richard)
	other.login(b.Manager, richard)
	ctx, leave := context.WithCancel(t.Context())
	leave()
	if n, err := b.EndOthers(ctx, mine.load(b.Manager)); n != 1 || err != nil {
		t.Errorf("EndOthers = %d, %v; want 1", n, err)
	}
	other.wantNone(b.Manager, "after EndOthers")
}

// TestEndMeetsRefresh: tokens that are on their way when their session is
// ended are nobody's, and end as well.
func TestEndMeetsRefresh(t *testing.T) {
	for name, last := range map[string]answer{
		"tokens":    {after: 3 * time.Second, tokens: tokens(1)},
		"a refusal": {after: 3 * time.Second, err: refused(&idp.Error{Status: 400, Code: "invalid_grant"})},
	} {
		t.Run(name, func(t *testing.T) {
			bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
				b.idp.will(last)
				phone := newBrowser(t)
				phone.login(b.Manager, richard)
				refreshing := b.goAsk(b.Manager)
				synctest.Wait()
				waiting := b.goAsk(b.with(false, key))
				time.Sleep(time.Second)
				b.end(phone, b.session.Ref, nil)
				begun := time.Now()
				if got := <-waiting; got.access != "" || !errors.Is(got.err, session.ErrNoToken) || got.at != begun {
					t.Errorf("who waited got %q, %v; want %v at once", got.access, got.err, session.ErrNoToken)
				}
				if got := <-refreshing; got.access != "" || !errors.Is(got.err, session.ErrNoToken) {
					t.Errorf("who refreshed got %q, %v; want %v", got.access, got.err, session.ErrNoToken)
				}
				b.laptop.wantNone(b.Manager, "after End")
				b.laptop.wantWasEnded(b.Manager, true, "after End")
				want := []string{tokens(0).Access}
				if last.err == nil {
					want = append(want, tokens(1).Access)
				}
				if !slices.Equal(b.revoked, want) {
					t.Errorf("the revoked tokens are %q, want %q", b.revoked, want)
				}
			})
		})
	}
}

// TestConfirm: a laptop that somebody tricked a phone into logging in must not
// answer for itself, nor for the next one.
func TestConfirm(t *testing.T) {
	b := newBank(t)
	phone, laptop, evil := newBrowser(t), newBrowser(t), newBrowser(t)
	phone.login(b.Manager, richard)
	laptop.claim(b.Manager, richard)
	evil.claim(b.Manager, richard)
	confirm := func(by, of *browser, want error) {
		t.Helper()
		if err := b.Confirm(t.Context(), by.load(b.Manager), b.refOf(of)); !errors.Is(err, want) {
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
	confirm(evil, evil, session.ErrUnconfirmed)
	confirm(evil, laptop, session.ErrUnconfirmed)
	confirm(laptop, evil, session.ErrUnconfirmed)
	wantUnconfirmed(laptop, true, "before the answer")
	confirm(phone, laptop, nil)
	wantUnconfirmed(laptop, false, "after the answer")
	wantUnconfirmed(evil, true, "after the answer about another")
	confirm(phone, laptop, nil) // once more
	confirm(laptop, evil, nil)  // now it has a say
	ref := b.refOf(evil)
	evil.logout(b.Manager)
	if err := b.Confirm(t.Context(), phone.load(b.Manager), ref); !errors.Is(err, session.ErrOver) {
		t.Errorf("Confirm of a session that is over: %v, want %v", err, session.ErrOver)
	}
}

// TestMaxSessions: the oldest end. To drop them from the list only would leave
// sessions that nobody can end.
func TestMaxSessions(t *testing.T) {
	b := newBank(t)
	browsers := make([]*browser, 103)
	for i := range browsers {
		browsers[i] = newBrowser(t)
		browsers[i].login(b.Manager, richard)
	}
	newest := slices.Clone(browsers[3:])
	slices.Reverse(newest)
	b.wantListed(richard, "after 103 logins", newest...)
	for i, old := range browsers[:3] {
		old.wantNone(b.Manager, fmt.Sprintf("login %d of 103", i+1))
	}
	if len(b.revoked) != 3 {
		t.Errorf("the tokens of %d sessions are revoked, want 3", len(b.revoked))
	}
}

// TestListFirst: whatever goes wrong in a login, there is no session that is
// not in the list.
func TestListFirst(t *testing.T) {
	var h *hooked
	b := newBankBehind(t, func(backend store.Backend) store.Backend {
		h = &hooked{Backend: backend}
		return h
	})
	mine := newBrowser(t)
	mine.login(b.Manager, richard)
	me := mine.load(b.Manager)
	for writes := range 2 { // that succeed
		f := &failing{Backend: b.file, after: writes}
		m := session.New(session.Config{
			Store:     namespace(t, f, "test", key),
			BrowserOf: func(*http.Request) clients.Browser { return clients.Browser{} },
			Log:       b.log,
		})
		if _, err := m.Create(mine.request(), richard, idp.Tokens{}, session.ByPhone); !errors.Is(err, errDisk) {
			t.Errorf("Create whose write %d fails: %v, want %v", writes+1, err, errDisk)
		}
		b.wantListed(richard, "after it", mine)
		b.endOthers(mine, 0)
	}
	// The process may also just be slow between the two writes. Whoever ends
	// all others then must not strike off what is about to come.
	slow := newBrowser(t)
	h.before(func() {
		h.before(func() { b.endOthers(mine, 0) })
	})
	slow.login(b.Manager, richard)
	slow.wantPerson(b.Manager, richard, "after its slow login")
	b.wantListed(richard, "after a slow login", slow, mine)
	if n, err := b.EndOthers(t.Context(), me); n != 1 || err != nil {
		t.Errorf("EndOthers = %d, %v; want 1", n, err)
	}
	slow.wantNone(b.Manager, "after EndOthers")
}

var errDisk = errors.New("the disk is full")

// failing takes so many writes and no more.
type failing struct {
	store.Backend
	after int
}

func (f *failing) Swap(ctx context.Context, key string, old, new []byte, until time.Time) (bool, error) {
	if f.after--; f.after < 0 {
		return false, errDisk
	}
	return f.Backend.Swap(ctx, key, old, new, until)
}

// TestListAtOnce: many of one person's browsers come and go at the same time.
// The list loses none that stayed.
func TestListAtOnce(t *testing.T) {
	b := newBank(t)
	managers := []*session.Manager{b.Manager, b.with(false, key)} // two replicas
	browsers := make([]*browser, 40)
	var wg sync.WaitGroup
	for i := range browsers {
		browsers[i] = newBrowser(t)
		wg.Go(func() {
			m := managers[i%2]
			browsers[i].login(m, richard)
			if i%4 == 0 {
				browsers[i].logout(m)
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
	// All of them end one session at once: one does.
	target := b.refOf(browsers[1])
	var ended, over int
	var mu sync.Mutex
	for _, by := range browsers[2:4] {
		for range 5 {
			wg.Go(func() {
				_, err := b.End(t.Context(), by.load(b.Manager), target)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					ended++
				case errors.Is(err, session.ErrOver):
					over++
				}
			})
		}
	}
	wg.Wait()
	if ended != 1 || over != 9 || len(b.revoked) != 1 {
		t.Errorf("of 10 that end one session %d do and %d are too late, and %d revoke; want 1, 9, 1", ended, over, len(b.revoked))
	}
}

// TestListOfAnotherRealm: what another provider's people did is not shown.
func TestListOfAnotherRealm(t *testing.T) {
	b := newBank(t)
	newBrowser(t).login(b.Manager, richard)
	if got, err := b.of("a real provider", false, key).Of(t.Context(), richard); err != nil || len(got) != 0 {
		t.Errorf("Of with another provider = %+v, %v; want none", got, err)
	}
}

func (b *bank) sessionsOf(person idp.Person) []session.Session {
	b.t.Helper()
	sessions, err := b.Of(b.t.Context(), person)
	if err != nil {
		b.t.Fatalf("Of: %v", err)
	}
	return sessions
}

// wantListed wants the sessions of these browsers in the person's list, and
// no others, the newest first.
func (b *bank) wantListed(person idp.Person, when string, browsers ...*browser) {
	b.t.Helper()
	var got, want []string
	for _, s := range b.sessionsOf(person) {
		got = append(got, s.Ref)
	}
	for _, browser := range browsers {
		want = append(want, b.refOf(browser))
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("%s: the list has %q, want %q", when, got, want)
	}
}

func (b *bank) refOf(browser *browser) string {
	b.t.Helper()
	ref := browser.load(b.Manager).Ref
	if ref == "" {
		b.t.Fatal("the browser has no session with a name")
	}
	return ref
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

func (b *browser) wantWasEnded(m *session.Manager, want bool, when string) {
	b.t.Helper()
	if got, err := m.WasEnded(b.request()); got != want || err != nil {
		b.t.Errorf("%s: WasEnded = %t, %v; want %t", when, got, err, want)
	}
}

// What is over must not push out what lives.
func TestTheDeadDoNotCount(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		phone := newBrowser(t)
		phone.login(b.Manager, richard)
		for range 130 { // of each of which, after a day, nothing is left
			time.Sleep(72 * time.Minute)
			newBrowser(t).create(b.Manager, richard, session.ByPhone)
			if !phone.load(b.Manager).LoggedIn() {
				t.Fatalf("the phone is logged out, with %d live sessions", len(b.sessionsOf(richard)))
			}
		}
	})
}
