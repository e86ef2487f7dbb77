package session_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
	"changebank/internal/session"
)

// TestTokenCallerLeaves: the person closes the tab during the refresh. The old
// refresh token is used up by then, so the new one must be stored.
func TestTokenCallerLeaves(t *testing.T) {
	bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
		b.idp.will(answer{after: 3 * time.Second, tokens: tokens(1)})
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		begun := time.Now()
		for i, got := range b.askAtOnce(ctx, 5, b.Manager, b.replica()) {
			// One refreshes. The others only wait, and may leave.
			took := got.at.Sub(begun)
			refreshed := got.err == nil && got.access == tokens(1).Access && took == 3*time.Second
			left := errors.Is(got.err, context.Canceled) && got.access == "" && took == time.Second
			if !refreshed && !left {
				t.Errorf("number %d: Token = %q, %v after %v; want %q after 3s, or %v after 1s",
					i, got.access, got.err, took, tokens(1).Access, context.Canceled)
			}
		}
		b.wantTokens(tokens(1))
		b.wantToken(b.Manager, tokens(1), "Token afterwards")
		if n := b.idp.count(); n != 1 {
			t.Errorf("the tokens were refreshed %d times, want once", n)
		}
	})
}

// TestTokenCallerIsGone: a request that left before the refresh uses nothing up.
func TestTokenCallerIsGone(t *testing.T) {
	bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
		ctx, leave := context.WithCancel(t.Context())
		leave()
		b.idp.will(answer{tokens: tokens(1)})
		access, err := b.Token(ctx, b.session)
		if err == nil && access != tokens(1).Access || err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Token = %q, %v; want %q or %v", access, err, tokens(1).Access, context.Canceled)
		}
		b.wantTokens(tokens(b.idp.count())) // a used refresh token was replaced
	})
}

// TestTokenRefresherDies: a process is killed while it refreshes. The others
// wait until its lease expires.
func TestTokenRefresherDies(t *testing.T) {
	bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
		b.idp.will(answer{never: true}, answer{after: 500 * time.Millisecond, tokens: tokens(1)})
		begun := time.Now()
		b.goAsk(b.Manager) // without an answer
		time.Sleep(time.Second)
		for i, got := range b.askAtOnce(t.Context(), 10, b.replica(), b.replica()) {
			if got.err != nil || got.access != tokens(1).Access {
				t.Errorf("number %d: Token = %q, %v; want %q", i, got.access, got.err, tokens(1).Access)
			}
			if took := got.at.Sub(begun); took != 30*time.Second+500*time.Millisecond {
				t.Errorf("number %d got its token %v after the dead process began, want 30.5s: after its lease, and the answer", i, took)
			}
		}
		b.wantTokens(tokens(1))
		if n := b.idp.count(); n != 2 {
			t.Errorf("the provider was asked %d times, want twice", n)
		}
	})
}

// TestTokenRefresherIsPaused: a process that was paused after it took the lease
// does not refresh under it. The refresh token has been used by then.
func TestTokenRefresherIsPaused(t *testing.T) {
	bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
		b.idp.will(answer{after: 500 * time.Millisecond, tokens: tokens(1)})
		var paused atomic.Bool
		b.tap.after = func(write bool) error {
			if write && paused.CompareAndSwap(false, true) {
				time.Sleep(32 * time.Second)
			}
			return nil
		}
		first := b.goAsk(b.Manager)
		time.Sleep(time.Second)
		for _, asked := range []<-chan got{b.goAsk(b.replica()), first} {
			if got := <-asked; got.err != nil || got.access != tokens(1).Access {
				t.Errorf("Token = %q, %v; want %q", got.access, got.err, tokens(1).Access)
			}
		}
	})
}

// TestTokenPatience: nobody waits forever, however many processes die.
func TestTokenPatience(t *testing.T) {
	bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
		b.idp.will(answer{never: true}, answer{never: true})
		dead := b.goAsk(b.Manager)
		waiting := make(map[time.Duration]<-chan got)
		begun := time.Now()
		for _, at := range []time.Duration{10 * time.Second, 25 * time.Second} {
			time.Sleep(at - time.Since(begun))
			waiting[at] = b.goAsk(b.Manager)
		}
		time.Sleep(time.Hour)
		// When the lease expired, one of them took it.
		gaveUp := 0
		for at, waiter := range waiting {
			select {
			case got := <-waiter:
				gaveUp++
				if got.access != "" || !errors.Is(got.err, context.DeadlineExceeded) {
					t.Errorf("the request that came at %v got %q, %v; want %v", at, got.access, got.err, context.DeadlineExceeded)
				}
				if took := got.at.Sub(begun) - at; took != 33*time.Second {
					t.Errorf("the request that came at %v waited for %v, want 33s", at, took)
				}
			default:
			}
		}
		if gaveUp != 1 || len(dead) != 0 {
			t.Errorf("%d of 2 gave up waiting, want 1: the other waits for the provider itself", gaveUp)
		}
	})
}

// TestTokenLateAnswer: a process was stopped for so long that its lease expired,
// and another one took it. Its answer is old, and its tokens are revoked.
func TestTokenLateAnswer(t *testing.T) {
	late := map[string]answer{
		"tokens":  {after: 40 * time.Second, tokens: tokens(1)},
		"a fault": {after: 40 * time.Second, err: refused(errors.New("connection reset"))},
	}
	for name, answer1 := range late {
		t.Run(name+" after the new tokens", func(t *testing.T) {
			bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
				b.idp.will(answer1, answer{after: time.Second, tokens: tokens(2)})
				slow := b.goAsk(b.Manager)
				time.Sleep(31 * time.Second)
				b.wantToken(b.replica(), tokens(2), "Token after the lease")
				b.wantTokens(tokens(2))
				<-slow
				b.wantTokens(tokens(2))
				b.wantLateRevoked(answer1)
				if n := b.idp.count(); n != 2 {
					t.Errorf("the provider was asked %d times, want twice", n)
				}
			})
		})
		t.Run(name+" before the new tokens", func(t *testing.T) {
			bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
				b.idp.will(answer1, answer{after: 20 * time.Second, tokens: tokens(2)})
				slow := b.goAsk(b.Manager)
				time.Sleep(31 * time.Second)
				second := b.goAsk(b.replica()) // until 51 s
				<-slow
				// It must not have ended the other's lease.
				b.wantToken(b.Manager, tokens(2), "Token while the second refreshes")
				if got := <-second; got.err != nil || got.access != tokens(2).Access {
					t.Errorf("second Token = %q, %v; want %q", got.access, got.err, tokens(2).Access)
				}
				b.wantTokens(tokens(2))
				b.wantLateRevoked(answer1)
				if n := b.idp.count(); n != 2 {
					t.Errorf("the provider was asked %d times, want twice", n)
				}
			})
		})
	}
}

// wantLateRevoked wants the tokens of a late answer to be revoked, and no others.
func (b *bearer) wantLateRevoked(late answer) {
	b.t.Helper()
	var want []string
	if late.err == nil {
		want = append(want, late.tokens.Access)
	}
	if !slices.Equal(b.revoked, want) {
		b.t.Errorf("the revoked tokens are %q, want %q", b.revoked, want)
	}
}

// TestRefreshMeetsEnd: a logout that meets a refresh wins. The tokens that are
// on their way are nobody's, and are revoked as well.
func TestRefreshMeetsEnd(t *testing.T) {
	ends := map[string]func(b *bearer, other *browser){
		"Logout": func(b *bearer, _ *browser) {
			if was, _ := b.laptop.logOut(b.Manager); was.Tokens.Refresh != tokens(0).Refresh {
				b.t.Errorf("Logout = %+v, want the session with the tokens that it had", was)
			}
		},
		"End":           func(b *bearer, other *browser) { b.end(other, b.session.Ref, nil) },
		"another login": func(b *bearer, _ *browser) { b.laptop.logIn(b.Manager, erlich) },
	}
	answers := map[string]answer{
		"tokens":    {after: 3 * time.Second, tokens: tokens(1)},
		"a fault":   {after: 3 * time.Second, err: refused(errors.New("connection reset"))},
		"a refusal": {after: 3 * time.Second, err: refused(&idp.Error{Status: 400, Code: "invalid_grant"})},
	}
	for how, end := range ends {
		for name, last := range answers {
			t.Run(how+" meets "+name, func(t *testing.T) {
				bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
					b.idp.will(last)
					old, other := b.laptop.thief(), newBrowser(t)
					other.logIn(b.Manager, richard)
					refreshing := b.goAsk(b.Manager)
					synctest.Wait()
					waiting := b.goAsk(b.replica())
					time.Sleep(time.Second)
					end(b, other)
					begun := time.Now()
					if got := <-waiting; got.access != "" || !errors.Is(got.err, session.ErrNoToken) || got.at != begun {
						t.Errorf("the request that waited got %q, %v %v after the end; want %v at once", got.access, got.err, got.at.Sub(begun), session.ErrNoToken)
					}
					if got := <-refreshing; got.access != "" || !errors.Is(got.err, session.ErrNoToken) {
						t.Errorf("the request that refreshed got %q, %v; want %v", got.access, got.err, session.ErrNoToken)
					}
					old.wantNone(b.Manager, "after the end")
					b.wantNoToken(b.Manager, session.ErrNoToken, "Token after the end")
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
}

// TestTokenOfVisitor: no session, no token, and nobody asks the provider.
func TestTokenOfVisitor(t *testing.T) {
	bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
		wantNone := func(s session.Session, when string) {
			t.Helper()
			if access, err := b.Token(t.Context(), s); access != "" || !errors.Is(err, session.ErrNoToken) {
				t.Errorf("%s: Token = %q, %v; want %v", when, access, err, session.ErrNoToken)
			}
		}
		wantNone(session.Session{}, "the zero Session")
		wantNone(session.Session{ID: "unknown"}, "an unknown session")
		wantNone(session.Session{ID: newBrowser(t).pend(b.Manager, richard)}, "a pending session")
		b.laptop.logIn(b.Manager, erlich)
		wantNone(b.session, "after another login in its place")
		b.laptop.logIn(b.Manager, richard)
		last := b.laptop.load(b.Manager)
		last.Tokens.Expires = time.Now()
		b.sleep(24 * time.Hour)
		wantNone(last, "after a day without a visit")
	})
}
