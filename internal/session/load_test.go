package session_test

import (
	"testing"
	"time"

	"changebank/internal/session"
)

// TestVisitor: a visitor who has not logged in costs the store nothing.
func TestVisitor(t *testing.T) {
	b := newBank(t)
	visitor := newBrowser(t)
	reads, writes := b.tap.reads.Load(), b.tap.writes.Load()
	visitor.wantNone(b.Manager, "without a cookie")
	visitor.wantWasEnded(b.Manager, "", "without a cookie")
	if s := visitor.load(b.Manager); s.LoggedIn() || s.CanAct() || s.Unconfirmed() {
		t.Error("the zero Session is logged in")
	}
	if s, set := visitor.logOut(b.Manager); s != (session.Session{}) || set == nil {
		t.Errorf("Logout = %+v with the cookie %v, want the zero Session and a cleared cookie", s, set)
	}
	if reads, writes := b.tap.reads.Load()-reads, b.tap.writes.Load()-writes; reads != 0 || writes != 0 {
		t.Errorf("a visitor costs %d reads and %d writes, want none", reads, writes)
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
	tests := []struct {
		name   string
		visits []time.Duration // since the login
		at     time.Duration
		want   bool
	}{
		{"never used", nil, day - time.Second, true},
		{"never used for a day", nil, day, false},
		{"idle", []time.Duration{10 * hour}, 34*hour - time.Second, true},
		{"idle for a day", []time.Duration{10 * hour}, 34 * hour, false},
		{"busy", every(23*hour, 7*day), 7*day - time.Second, true},
		// The thief of a cookie cannot keep the session alive forever.
		{"busy, a week old", every(23*hour, 7*day), 7 * day, false},
	}
	for by, logIn := range logIns {
		for _, tt := range tests {
			t.Run(by+" "+tt.name, func(t *testing.T) {
				inBubble(t, func(t *testing.T, b *bank) {
					laptop := newBrowser(t)
					logIn(laptop, b.Manager, richard)
					thief := laptop.thief() // whose cookie does not expire
					begun := time.Now()
					for _, at := range tt.visits {
						b.sleep(at - time.Since(begun))
						thief.wantPerson(b.Manager, richard, "after "+at.String())
					}
					b.sleep(tt.at - time.Since(begun))
					if s := thief.load(b.Manager); s.LoggedIn() != tt.want {
						t.Errorf("after %v, Load = %+v; want a session: %t", tt.at, s, tt.want)
					}
				})
			})
		}
	}
}

// TestSeen: most requests cost one read. When and by which browser the session
// is used is written now and then, so that a busy session does not expire, and
// the user of a stolen cookie shows in the list.
func TestSeen(t *testing.T) {
	for by, logIn := range logIns {
		t.Run(by, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bank) {
				laptop := newBrowser(t)
				logIn(laptop, b.Manager, richard)
				begun := time.Now()
				if s := b.sessionsOf(richard)[0]; !s.Seen.IsZero() || s.Browser.Agent != "a browser" {
					t.Errorf("before the first use the session is %+v", s)
				}
				thief := laptop.thief()
				for i, step := range []struct {
					wait    time.Duration
					browser *browser
					writes  int64
				}{
					{0, laptop, 1}, {0, laptop, 0}, {4*time.Minute + 59*time.Second, laptop, 0},
					{time.Second, laptop, 1}, {4 * time.Minute, thief, 0}, {time.Minute, thief, 1}, {time.Hour, laptop, 1},
				} {
					time.Sleep(step.wait)
					step.browser.agent = map[bool]string{true: "a thief", false: "a browser"}[step.browser == thief]
					reads, writes := b.tap.reads.Load(), b.tap.writes.Load()
					s := step.browser.load(b.Manager)
					reads, writes = b.tap.reads.Load()-reads, b.tap.writes.Load()-writes
					if writes != step.writes || writes == 0 && reads != 1 {
						t.Errorf("visit %d: %d reads and %d writes, want %d writes, and one read if there is none", i, reads, writes, step.writes)
					}
					if age := time.Since(s.Seen); age >= 5*time.Minute {
						t.Errorf("visit %d: the session was seen %v ago, want less than 5 minutes", i, age)
					}
					if s.Browser.Agent != "a browser" || writes == 1 && (s.Latest != step.browser.browser() || !s.Seen.Equal(time.Now())) {
						t.Errorf("visit %d: the session is %+v, want it used by %q", i, s, step.browser.agent)
					}
					if !s.Began.Equal(begun) {
						t.Errorf("visit %d: the session began at %v, want %v", i, s.Began, begun)
					}
				}
			})
		})
	}
}

// TestLoadMeetsEnd: a Load that has read the session, and is about to write
// when it was seen, brings back no session that ended in between.
func TestLoadMeetsEnd(t *testing.T) {
	for name, end := range map[string]func(b *bank, laptop, other *browser){
		"Logout":        func(b *bank, laptop, _ *browser) { laptop.logOut(b.Manager) },
		"another login": func(b *bank, laptop, _ *browser) { laptop.logIn(b.Manager, erlich) },
		"End":           func(b *bank, laptop, other *browser) { b.endOthers(other, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBank(t)
			laptop, other := newBrowser(t), newBrowser(t)
			laptop.logIn(b.Manager, richard)
			other.logIn(b.Manager, richard)
			other.load(b.Manager)
			slow := laptop.thief()
			met := false
			b.tap.nextWrite(func() {
				met = true
				end(b, laptop, other)
			})
			slow.wantNone(b.Manager, "a Load that meets the end")
			if !met {
				t.Error("Load wrote nothing: it has met no end")
			}
			slow.wantNone(b.Manager, "the next Load")
		})
	}
}

// TestLoadMeetsLoad: of two requests that are the first at the same time, one
// writes that the session is used.
func TestLoadMeetsLoad(t *testing.T) {
	b := newBank(t)
	laptop := newBrowser(t)
	laptop.logIn(b.Manager, richard)
	writes := b.tap.writes.Load()
	b.tap.nextWrite(func() { laptop.wantPerson(b.Manager, richard, "in between") })
	laptop.wantPerson(b.Manager, richard, "around it")
	if n := b.tap.writes.Load() - writes; n != 2 {
		t.Errorf("they write %d times, want twice: the second loses", n)
	}
}
