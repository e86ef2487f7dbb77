package session_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"changebank/internal/session"
)

// TestLimitsAreSettings: a session lasts as long as the settings say, and so does
// its cookie.
func TestLimitsAreSettings(t *testing.T) {
	for by, logIn := range logIns {
		t.Run(by, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bank) {
				b.idle, b.lifetime = time.Hour, 3*time.Hour
				b.Manager = b.replica()
				idle, busy := newBrowser(t), newBrowser(t)
				logIn(idle, b.Manager, richard)
				logIn(busy, b.Manager, richard)
				old := busy.thief() // whose cookie does not expire
				for range 4 {
					idle.wantPerson(b.Manager, richard, "before an hour without use")
					b.sleep(10 * time.Minute)
				}
				for range 3 {
					old.wantPerson(b.Manager, richard, "in use")
					b.sleep(40 * time.Minute)
				}
				idle.thief().wantNone(b.Manager, "after more than an hour without use")
				old.wantPerson(b.Manager, richard, "in use for less than three hours")
				b.sleep(20*time.Minute - time.Second)
				old.wantPerson(b.Manager, richard, "a second before three hours")
				b.sleep(time.Second)
				old.wantNone(b.Manager, "after three hours")
				if c := newBrowser(t).logIn(b.Manager, richard); c.MaxAge != 3*60*60 {
					t.Errorf("the cookie lasts %d s, want three hours", c.MaxAge)
				}
			})
		})
	}
}

// TestLimitsChange: a shorter setting counts for older sessions at once, at every
// process that has it. A longer one brings nothing back, and counts for later
// logins only.
func TestLimitsChange(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		quiet, busy := newBrowser(t), newBrowser(t)
		quiet.logIn(b.Manager, richard)
		busy.logIn(b.Manager, richard)
		b.sleep(2 * time.Hour)
		busy.load(b.Manager)

		b.idle = time.Hour
		shorter := b.replica()
		b.idle, b.lifetime = time.Hour, 90*time.Minute
		shortest := b.replica()
		quiet.thief().wantNone(shorter, "with a shorter SESSION_IDLE")
		quiet.wantNone(b.Manager, "once its browser was told that it is logged out")
		busy.wantPerson(shorter, richard, "in use, with a shorter SESSION_IDLE")
		busy.thief().wantNone(shortest, "with a shorter SESSION_LIFETIME")
		if sessions, err := shortest.Of(t.Context(), richard); err != nil || len(sessions) != 0 {
			t.Errorf("with shorter settings %d sessions are listed (%v), want none", len(sessions), err)
		}
		busy.wantNone(b.Manager, "at a process with the longer settings, once another has ended it")

		made := newBrowser(t)
		made.logIn(shorter, richard)
		made.load(shorter)
		b.idle, b.lifetime = 48*time.Hour, 30*24*time.Hour
		longer := b.replica()
		b.sleep(time.Hour - time.Second)
		made.thief().wantPerson(longer, richard, "with a longer SESSION_IDLE")
		b.sleep(time.Hour)
		made.thief().wantNone(longer, "an hour after its use, as at its login")
	})
}

// TestListOutlastsShorterSettings: a session that lasts longer than the settings of
// a while allow does not leave the list and live on after them, where nobody could
// end it.
func TestListOutlastsShorterSettings(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		const long = 90 * 24 * time.Hour
		b.idle, b.lifetime = long, long
		b.Manager = b.replica()
		old, phone := newBrowser(t), newBrowser(t)
		old.logIn(b.Manager, richard)
		b.sleep(30 * 24 * time.Hour)
		b.lifetime = time.Hour
		newBrowser(t).logIn(b.replica(), richard)
		phone.logIn(b.Manager, richard)
		if _, err := b.EndOthers(t.Context(), phone.load(b.Manager)); err != nil {
			t.Fatal(err)
		}
		old.wantNone(b.Manager, "after all others were logged out")
	})
}

// public logs the browser in by phone on a public computer.
func (b *browser) public(m *session.Manager) (id string, set *http.Cookie) {
	b.t.Helper()
	id = b.pend(m, richard)
	b.activate(m, id, true)
	b.makePublic(m, id)
	return id, b.setCookie(m, id)
}

func (b *browser) makePublic(m *session.Manager, id string) {
	b.t.Helper()
	if err := m.MakePublic(b.t.Context(), id); err != nil {
		b.t.Errorf("MakePublic: %v", err)
	}
}

func wantCookieUntilClosed(t *testing.T, c *http.Cookie) {
	t.Helper()
	if c.MaxAge != 0 || !c.Expires.IsZero() || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" {
		t.Errorf("the cookie of a public computer is %v, want one without Max-Age and Expires, like others otherwise", c)
	}
}

// TestPublicComputer: the session ends after 15 minutes without use. Its use is
// noted often enough for that.
func TestPublicComputer(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		laptop := newBrowser(t)
		_, set := laptop.public(b.Manager)
		wantCookieUntilClosed(t, set)
		for range 12 {
			s := laptop.wantPerson(b.Manager, richard, "in use")
			if !s.Public {
				t.Error("the session does not say that it is on a public computer")
			}
			time.Sleep(59 * time.Second)
			laptop.wantPerson(b.Manager, richard, "in use") // which need not be noted
			b.sleep(13 * time.Minute)
		}
		laptop.wantPerson(b.Manager, richard, "after three hours of use")
		b.sleep(15*time.Minute - time.Second)
		laptop.wantPerson(b.Manager, richard, "after less than 15 minutes")
		b.sleep(15 * time.Minute)
		laptop.wantNone(b.Manager, "after 15 minutes")

		unused := newBrowser(t)
		unused.public(b.Manager)
		b.sleep(15 * time.Minute)
		unused.wantNone(b.Manager, "15 minutes after a claim whose answer was lost")
	})
}

// TestPublicComputerWrites: an unused minute costs a read, and a used one a write.
func TestPublicComputerWrites(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		laptop := newBrowser(t)
		laptop.public(b.Manager)
		laptop.load(b.Manager)
		writes := b.tap.writes.Load()
		for range 60 {
			time.Sleep(10 * time.Second)
			laptop.load(b.Manager)
		}
		if n := b.tap.writes.Load() - writes; n != 10 {
			t.Errorf("ten minutes of use cost %d writes, want 10", n)
		}
	})
}

// TestPublicStaysPublic: nothing but a login at the provider makes the session
// longer.
func TestPublicStaysPublic(t *testing.T) {
	t.Run("a claim that is repeated", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bank) {
			laptop := newBrowser(t)
			id, _ := laptop.public(b.Manager)
			laptop.activate(b.Manager, id, true)
			wantCookieUntilClosed(t, laptop.setCookie(b.Manager, id)) // without MakePublic
			b.sleep(15 * time.Minute)
			laptop.wantNone(b.Manager, "after 15 minutes")
		})
	})
	t.Run("a phone that approves again", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bank) {
			laptop := newBrowser(t)
			id, _ := laptop.public(b.Manager)
			laptop.createPending(b.Manager, id, richard, "", true)
			b.sleep(15 * time.Minute)
			laptop.wantNone(b.Manager, "after 15 minutes")
		})
	})
	t.Run("a recheck", func(t *testing.T) {
		rechecking(t, func(t *testing.T, b *bearer) {
			id := b.laptop.pend(b.Manager, richard)
			b.laptop.activate(b.Manager, id, true)
			b.laptop.makePublic(b.Manager, id)
			b.laptop.setCookie(b.Manager, id)
			b.idp.will(answer{tokens: tokens(1)})
			b.use("at first")
			time.Sleep(every)
			b.use("after ten minutes")
			b.wantAsked(1, "after ten minutes")
			time.Sleep(session.PublicIdle)
			b.laptop.wantNone(b.Manager, "after another 15 minutes")
		})
	})
	t.Run("longer settings", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bank) {
			laptop := newBrowser(t)
			laptop.public(b.Manager)
			b.idle = 48 * time.Hour
			longer := b.replica()
			laptop.wantPerson(longer, richard, "at once")
			b.sleep(15 * time.Minute)
			laptop.wantNone(longer, "after 15 minutes")
		})
	})
	t.Run("shorter settings", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bank) {
			b.idle = 5 * time.Minute
			b.Manager = b.replica()
			laptop := newBrowser(t)
			laptop.public(b.Manager)
			b.sleep(5 * time.Minute)
			laptop.wantNone(b.Manager, "after five minutes")
		})
	})
	t.Run("a login at the provider", func(t *testing.T) {
		inBubble(t, func(t *testing.T, b *bank) {
			laptop := newBrowser(t)
			laptop.public(b.Manager)
			if set := laptop.logIn(b.Manager, richard); set.MaxAge != 7*24*60*60 {
				t.Errorf("the cookie lasts %d s, want a week", set.MaxAge)
			}
			b.sleep(time.Hour)
			if s := laptop.wantPerson(b.Manager, richard, "an hour later"); s.Public {
				t.Error("the new session is on a public computer")
			}
		})
	})
}

// TestExpiredSessionTokensAreRevoked: a session that ended by time leaves its tokens, which
// the person's next login or look at the list revokes, once.
func TestExpiredSessionTokensAreRevoked(t *testing.T) {
	for name, next := range map[string]func(b *bank){
		"a login":            func(b *bank) { newBrowser(b.t).logIn(b.Manager, richard) },
		"a login by phone":   func(b *bank) { newBrowser(b.t).pend(b.Manager, richard) },
		"a look at the list": func(b *bank) { b.sessionsOf(richard) },
		"six days later":     func(b *bank) { b.sleep(6 * 24 * time.Hour); b.sessionsOf(richard) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bank) {
				laptop := newBrowser(t)
				laptop.logIn(b.Manager, richard, "laptop")
				b.sleep(25 * time.Hour)
				newBrowser(t).logIn(b.Manager, erlich)
				b.wantRevoked("after another person's login")
				next(b)
				b.wantRevoked("then", "laptop")
				next(b)
				b.wantRevoked("after another time", "laptop")
				laptop.wantWasEnded(b.Manager, "", "it ended by time")
			})
		})
	}
}

// TestLoginEndsFewExpired: a login does not wait for all that a person has left, and
// the list is rid of them little by little.
func TestLoginEndsFewExpired(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		for i := range 50 {
			newBrowser(t).logIn(b.Manager, richard, fmt.Sprint(i))
		}
		b.sleep(25 * time.Hour)
		for _, want := range []int{20, 40, 50, 50} {
			newBrowser(t).logIn(b.Manager, richard, "later")
			if n := len(b.revoked); n != want {
				t.Errorf("the tokens of %d sessions were revoked, want %d", n, want)
			}
		}
	})
}

// TestLoginDoesNotReadAll: sessions that cannot have expired are not read.
func TestLoginDoesNotReadAll(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		laptop := newBrowser(t)
		reads := func() int64 {
			before := b.tap.reads.Load()
			laptop.logIn(b.Manager, richard)
			return b.tap.reads.Load() - before
		}
		reads()
		alone := reads()
		for range 60 {
			newBrowser(t).logIn(b.Manager, richard)
		}
		if n := reads(); n != alone {
			t.Errorf("a login among young sessions reads %d times, want %d", n, alone)
		}
		time.Sleep(time.Hour)
		if n := reads(); n > alone+25 {
			t.Errorf("a login among old sessions reads %d times, want %d at most", n, alone+25)
		}
	})
}

// TestLoginDespiteFailedCleanup: a login succeeds even if the sessions that are over cannot
// be ended.
func TestLoginDespiteFailedCleanup(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		old, laptop := newBrowser(t), newBrowser(t)
		old.logIn(b.Manager, richard)
		b.sleep(25 * time.Hour)
		writes := 0
		b.tap.before = func(write bool) error {
			if write {
				if writes++; writes > 1 { // the session and the list
					return errDown
				}
			}
			return nil
		}
		laptop.logIn(b.Manager, richard)
		b.tap.before = nil
		laptop.wantPerson(b.Manager, richard, "after the login")
		b.wantRevoked("while the store fails")
		b.sessionsOf(richard)
		b.wantRevoked("later", richard.Email)
	})
}

func (b *bank) rename(by *browser, ref, name string) error {
	b.t.Helper()
	return b.Rename(b.t.Context(), by.load(b.Manager), ref, name)
}

// nameOf returns the name of the device with that Ref.
func (b *bank) nameOf(ref string) string {
	b.t.Helper()
	for _, s := range b.sessionsOf(richard) {
		if s.Ref == ref {
			return s.Name
		}
	}
	b.t.Fatalf("%q is not listed", ref)
	return ""
}

func TestRename(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		phone, laptop := newBrowser(t), newBrowser(t)
		phone.logIn(b.Manager, richard)
		laptop.logIn(b.Manager, richard)
		ref := b.refOf(laptop)
		for name, want := range map[string]string{
			"Kitchen laptop":                        "Kitchen laptop",
			"  Kitchen \n\t laptop ":                "Kitchen laptop",
			"Kit\u200bchen\u202e lap\u2066top\x00":  "Kitchen laptop",
			strings.Repeat("ü", 50):                 strings.Repeat("ü", 40),
			strings.Repeat("a", 39) + " long":       strings.Repeat("a", 39),
			"a" + strings.Repeat("\u0301", 30):      "a" + strings.Repeat("\u0301", 3),
			"\u2800\u3164\ufe0f":                    "",
			"":                                      "",
			"\xff\xfe":                              "\ufffd\ufffd",
			"<b>“Firefox on Windows”</b> & nothing": "<b>“Firefox on Windows”</b> & nothing",
		} {
			if err := b.rename(phone, ref, name); err != nil {
				t.Errorf("Rename to %q: %v", name, err)
			}
			if got := b.nameOf(ref); got != want {
				t.Errorf("after Rename to %q the name is %q, want %q", name, got, want)
			}
		}
		if err := b.rename(laptop, ref, "Mine"); err != nil {
			t.Errorf("Rename of itself: %v", err)
		}
		if b.nameOf(b.refOf(phone)) != "" {
			t.Error("another device has the name")
		}
	})
}

// TestRenameRefused: a person cannot rename another person's device, an ended one, or
// any device from an unconfirmed session.
func TestRenameRefused(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		phone, stranger, laptop := newBrowser(t), newBrowser(t), newBrowser(t)
		phone.logIn(b.Manager, richard)
		stranger.logIn(b.Manager, erlich)
		laptop.claim(b.Manager, richard)
		mine, theirs := b.refOf(phone), b.refOf(laptop)
		if err := b.rename(stranger, mine, "Erlich's"); err != session.ErrUnknown {
			t.Errorf("Rename of another person's: %v, want %v", err, session.ErrUnknown)
		}
		for _, ref := range []string{mine, theirs} {
			if err := b.rename(laptop, ref, "Richard's own"); err != session.ErrUnconfirmed {
				t.Errorf("Rename by an unconfirmed session: %v, want %v", err, session.ErrUnconfirmed)
			}
		}
		if err := b.rename(phone, theirs, "Kitchen laptop"); err != nil {
			t.Errorf("Rename of an unconfirmed session: %v", err)
		}
		if s := laptop.load(b.Manager); !s.Unconfirmed() {
			t.Error("a name confirms the session")
		}
		laptop.logOut(b.Manager)
		if err := b.rename(phone, theirs, "Kitchen laptop"); err != session.ErrOver {
			t.Errorf("Rename of an ended session: %v, want %v", err, session.ErrOver)
		}
	})
}

// TestNameStays: the device keeps its name when the same person logs in there again,
// before or after the session has expired.
func TestNameStays(t *testing.T) {
	for name, test := range map[string]struct {
		between func(b *bank, laptop *browser)
		want    string
	}{
		"at once":              {func(*bank, *browser) {}, "Kitchen laptop"},
		"after two days":       {func(b *bank, _ *browser) { b.sleep(48 * time.Hour) }, "Kitchen laptop"},
		"after a logout":       {func(b *bank, laptop *browser) { laptop.logOut(b.Manager) }, ""},
		"after another person": {func(b *bank, laptop *browser) { laptop.logIn(b.Manager, erlich) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bank) {
				laptop := newBrowser(t)
				laptop.logIn(b.Manager, richard)
				if err := b.rename(laptop, b.refOf(laptop), "Kitchen laptop"); err != nil {
					t.Fatalf("Rename: %v", err)
				}
				test.between(b, laptop)
				laptop.logIn(b.Manager, richard)
				if got := b.nameOf(b.refOf(laptop)); got != test.want {
					t.Errorf("the name is %q, want %q", got, test.want)
				}
			})
		})
	}
}
