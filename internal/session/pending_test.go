package session_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"changebank/internal/session"
)

// TestClaim goes through a login by phone.
func TestClaim(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		laptop := newBrowser(t)
		id := laptop.pend(b.Manager, richard)
		early := newBrowser(t)
		early.setCookie(b.Manager, id)
		early.wantNone(b.Manager, "with the cookie of a pending session")
		if s, _ := early.logOut(b.Manager); s != (session.Session{}) {
			t.Errorf("Logout with the cookie of a pending session = %+v", s)
		}
		time.Sleep(time.Minute)
		laptop.addr = "192.0.2.2"
		laptop.activate(b.Manager, id, true)
		laptop.setCookie(b.Manager, id)
		s := laptop.wantPerson(b.Manager, richard, "after the claim")
		if s.ID != id || s.By != session.ByPhone || !s.Unconfirmed() || s.Browser != laptop.browser() || !s.Began.Equal(time.Now()) || s.Tokens.Access != tokensOf(richard.Email).Access {
			t.Errorf("after the claim Load = %+v, want the session %q of this browser, since just now", s, id)
		}
		b.wantListed(richard, "after the claim", laptop)
		b.wantRevoked("after the claim")
	})
}

// TestCreatePendingAgain: a call that is repeated after a crash finds what the
// first one left.
func TestCreatePendingAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		laptop := newBrowser(t)
		id := laptop.pend(b.Manager, richard)
		ref := b.sessionsOf(richard)[0].Ref
		time.Sleep(session.ClaimWindow - time.Second)
		laptop.createPending(b.Manager, id, richard, "", true)
		time.Sleep(time.Minute)
		laptop.activate(b.Manager, id, true) // in the claim window of the second call
		laptop.createPending(b.replica(), id, richard, "", true)
		laptop.setCookie(b.Manager, id)
		claimed := time.Now()
		time.Sleep(time.Minute)
		laptop.createPending(b.Manager, id, richard, "", true)
		if s := laptop.wantPerson(b.Manager, richard, "after the claim"); s.Ref != ref || !s.Began.Equal(claimed) {
			t.Errorf("the session is %+v, want it called %q, since %v", s, ref, claimed)
		}
		b.wantListed(richard, "after the claim", laptop)
	})
}

func TestClaimWindow(t *testing.T) {
	for after, want := range map[time.Duration]bool{session.ClaimWindow - time.Second: true, session.ClaimWindow: false, time.Hour: false} {
		t.Run(after.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bank) {
				laptop := newBrowser(t)
				id := laptop.pend(b.Manager, richard)
				b.sleep(after)
				if n := len(b.sessionsOf(richard)); (n == 1) != want {
					t.Errorf("%d sessions are listed, want one: %t", n, want)
				}
				laptop.activate(b.Manager, id, want)
			})
		})
	}
}

// TestUnclaimed: nobody claimed the session. Its attempt ends a little later,
// and its tokens must not stay good.
func TestUnclaimed(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		laptop := newBrowser(t)
		id := laptop.pend(b.Manager, richard)
		b.sleep(session.ClaimWindow + time.Minute)
		if err := b.Discard(t.Context(), id); err != nil {
			t.Errorf("Discard: %v", err)
		}
		b.wantRevoked("after Discard", richard.Email)
		laptop.createPending(b.Manager, id, richard, "", false)
	})
}

// TestClaimAgain: the answer with the cookie was lost. The same browser gets it
// once more, a thief with the cookie of the QR page does not.
func TestClaimAgain(t *testing.T) {
	tests := []struct {
		name   string
		before func(b *bank, laptop *browser, id string) // between the claim and its repetition
		want   bool
	}{
		{"at once", func(*bank, *browser, string) {}, true},
		{"within the minute", func(b *bank, _ *browser, _ string) { b.sleep(59 * time.Second) }, true},
		{"after a minute", func(b *bank, _ *browser, _ string) { b.sleep(time.Minute) }, false},
		{"after an hour", func(b *bank, _ *browser, _ string) { b.sleep(time.Hour) }, false},
		{"another browser", func(_ *bank, laptop *browser, _ string) { laptop.agent = "a thief" }, false},
		{"another address", func(_ *bank, laptop *browser, _ string) { laptop.addr = "192.0.2.9" }, false},
		{"another private address", func(_ *bank, laptop *browser, _ string) { laptop.addr = "192.168.0.9" }, false},
		{"an IPv6 network", func(_ *bank, laptop *browser, _ string) { laptop.addr = "2606:4700::1" }, false},
		{"an unknown address", func(_ *bank, laptop *browser, _ string) { laptop.addr = "" }, false},
		{"after the first use", func(b *bank, laptop *browser, id string) {
			laptop.setCookie(b.Manager, id)
			laptop.load(b.Manager)
		}, false},
		{"after Logout", func(b *bank, laptop *browser, id string) {
			laptop.setCookie(b.Manager, id)
			laptop.logOut(b.Manager)
		}, false},
		{"after Discard", func(b *bank, laptop *browser, id string) {
			if err := b.Discard(laptop.t.Context(), id); err != nil {
				laptop.t.Errorf("Discard: %v", err)
			}
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bank) {
				laptop := newBrowser(t)
				id := laptop.pend(b.Manager, richard)
				laptop.activate(b.Manager, id, true)
				tt.before(b, laptop, id)
				writes := b.tap.writes.Load()
				laptop.activate(b.Manager, id, tt.want)
				laptop.activate(b.replica(), id, tt.want)
				if n := b.tap.writes.Load() - writes; n != 0 {
					t.Errorf("a repeated claim wrote %d times, want never", n)
				}
			})
		})
	}
}

// TestClaimAgainNearby: a browser may change its address within its network.
func TestClaimAgainNearby(t *testing.T) {
	for _, tt := range []struct {
		claimed, again string
		want           bool
	}{
		{"2606:4700:1:2::1", "2606:4700:1:2::abcd", true},
		{"2606:4700:1:2::1", "2606:4700:1:3::1", false},
		{"127.0.0.1", "127.0.0.1", true},
		{"192.168.0.5", "192.168.0.5", true},
		// Behind a proxy that is not configured, they may be anywhere.
		{"192.168.0.5", "192.168.0.6", false},
	} {
		b := newBank(t)
		laptop := newBrowser(t)
		laptop.addr = tt.claimed
		id := laptop.pend(b.Manager, richard)
		laptop.activate(b.Manager, id, true)
		laptop.addr = tt.again
		if ok, err := b.Activate(t.Context(), id, laptop.browser()); ok != tt.want || err != nil {
			t.Errorf("claimed from %s and again from %s: Activate = %t, %v; want %t", tt.claimed, tt.again, ok, err, tt.want)
		}
	}
}

func TestClaimUnknown(t *testing.T) {
	b := newBank(t)
	for _, id := range []string{"", "unknown"} {
		newBrowser(t).activate(b.Manager, id, false)
		if err := b.Discard(t.Context(), id); err != nil {
			t.Errorf("Discard of %q: %v", id, err)
		}
	}
}

// TestClaimAtOnce: several tabs of the laptop claim at once, and a thief does.
// They get one session, and only one browser does.
func TestClaimAtOnce(t *testing.T) {
	b := newBank(t)
	laptop, thief := newBrowser(t), newBrowser(t)
	thief.agent = "a thief"
	id := laptop.pend(b.Manager, richard)
	managers := []*session.Manager{b.Manager, b.replica()}
	var wg sync.WaitGroup
	var mu sync.Mutex
	claimed := map[*browser]int{}
	for i := range 20 {
		browser := []*browser{laptop, thief}[i/2%2]
		wg.Go(func() {
			ok, err := managers[i%2].Activate(t.Context(), id, browser.browser())
			if err != nil {
				t.Errorf("Activate: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if ok {
				claimed[browser]++
			}
		})
	}
	wg.Wait()
	if l, th := claimed[laptop], claimed[thief]; l+th != 10 || l != 0 && th != 0 {
		t.Errorf("the laptop was told %d times that the session is its own, and the thief %d times; want 10 of one", l, th)
	}
	if sessions := b.sessionsOf(richard); len(sessions) != 1 || claimed[laptop] > 0 != (sessions[0].Browser == laptop.browser()) {
		t.Errorf("the sessions are %+v, want one of the browser that claimed it", sessions)
	}
}

func TestDiscard(t *testing.T) {
	b := newBank(t)
	laptop := newBrowser(t)
	discard := func(id string) {
		t.Helper()
		if err := b.Discard(t.Context(), id); err != nil {
			t.Errorf("Discard: %v", err)
		}
	}
	pending := laptop.pend(b.Manager, richard)
	discard(pending)
	b.wantRevoked("after Discard of a pending session", richard.Email)

	live := laptop.pend(b.Manager, erlich)
	laptop.activate(b.Manager, live, true)
	laptop.setCookie(b.Manager, live)
	discard(live)
	discard(live)
	b.wantRevoked("after Discard of a live session that nobody has used, twice", richard.Email, erlich.Email)
	laptop.wantNone(b.Manager, "after Discard")
	laptop.wantWasEnded(b.Manager, "", "after Discard")
	for _, id := range []string{pending, live} {
		laptop.activate(b.Manager, id, false)
		laptop.createPending(b.Manager, id, richard, "", false)
		laptop.activate(b.Manager, id, false)
	}
	b.wantListed(richard, "after Discard")
	b.wantListed(erlich, "after Discard")

	used := laptop.claim(b.Manager, richard)
	laptop.load(b.Manager)
	discard(used)
	laptop.wantPerson(b.Manager, richard, "after Discard of a session in use")
	b.wantRevoked("after Discard of a session in use", richard.Email, erlich.Email)
}

// TestVoucherOfEnded: no session, no voucher. An empty one would check nothing.
func TestVoucherOfEnded(t *testing.T) {
	b := newBank(t)
	phone := newBrowser(t)
	phone.logIn(b.Manager, richard)
	s := phone.load(b.Manager)
	phone.logOut(b.Manager)
	for _, s := range []session.Session{s, {}} {
		if voucher, err := b.Voucher(t.Context(), s); voucher != "" || !errors.Is(err, session.ErrOver) {
			t.Errorf("Voucher = %q, %v; want %v", voucher, err, session.ErrOver)
		}
	}
}
