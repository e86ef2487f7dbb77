package session_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
	"changebank/internal/session"
)

func TestCanAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tests := []struct {
			name            string
			person          *idp.Person
			access, refresh string
			left            time.Duration
			want            bool
		}{
			{"both tokens", &richard, "access", "refresh", time.Hour, true},
			{"an old one that can be refreshed", &richard, "access", "refresh", -time.Hour, true},
			{"a refresh token alone", &richard, "", "refresh", 0, true},
			{"an hour left", &richard, "access", "", time.Hour, true},
			{"11 s left", &richard, "access", "", 11 * time.Second, true},
			// A token that ends on its way to the provider is none.
			{"10 s left", &richard, "access", "", 10 * time.Second, false},
			{"at its end", &richard, "access", "", 0, false},
			{"past its end", &richard, "access", "", -time.Hour, false},
			{"no token", &richard, "", "", time.Hour, false},
			{"nobody", nil, "access", "refresh", time.Hour, false},
		}
		for _, tt := range tests {
			s := session.Session{Person: tt.person, Tokens: idp.Tokens{Access: tt.access, Refresh: tt.refresh, Expires: time.Now().Add(tt.left)}}
			if got := s.CanAct(); got != tt.want {
				t.Errorf("%s: CanAct() = %t, want %t", tt.name, got, tt.want)
			}
		}
		if (session.Session{}).CanAct() {
			t.Error("CanAct() of the zero Session = true, want false")
		}
	})
}

// TestTokenFresh: only a token that is about to end is refreshed.
func TestTokenFresh(t *testing.T) {
	tests := []struct {
		name string
		left time.Duration
		want int // refreshings
	}{
		{"an hour left", time.Hour, 0},
		{"just over 10 s left", 10*time.Second + time.Nanosecond, 0},
		{"10 s left", 10 * time.Second, 1},
		{"at its end", 0, 1},
		{"past its end", -time.Hour, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bearing(t, tt.left, func(t *testing.T, b *bearer) {
				b.idp.will(answer{tokens: tokens(1)})
				want := tokens(tt.want)
				b.wantToken(b.Manager, want, "Token")
				b.wantToken(b.Manager, want, "Token, once more")
				b.wantTokens(want)
				if n := b.idp.count(); n != tt.want {
					t.Errorf("the tokens were refreshed %d times, want %d", n, tt.want)
				}
			})
		})
	}
}

// TestTokenMissing: there is a refresh token, but no access token yet.
func TestTokenMissing(t *testing.T) {
	bearing(t, 0, func(t *testing.T, b *bearer) {
		b.change(func(s *session.Session) { s.Tokens.Access, s.Tokens.Expires = "", time.Now().Add(time.Hour) })
		b.idp.will(answer{tokens: tokens(1)})
		b.wantToken(b.Manager, tokens(1), "Token")
	})
}

// TestTokenOnce: a refresh token may be good for one use only, and a second
// use of it may end the whole login.
func TestTokenOnce(t *testing.T) {
	bearing(t, 10*time.Second, func(t *testing.T, b *bearer) {
		b.idp.will(answer{after: 3 * time.Second, tokens: tokens(1)})
		managers := []*session.Manager{b.Manager, b.with(false, key)} // two replicas
		begun := time.Now()
		for i, got := range b.askAtOnce(t.Context(), 50, managers...) {
			if got.err != nil || got.access != tokens(1).Access {
				t.Errorf("number %d: Token = %q, %v; want %q", i, got.access, got.err, tokens(1).Access)
			}
			if took := got.at.Sub(begun); took != 3*time.Second {
				t.Errorf("number %d got its token after %v, want 3s", i, took)
			}
		}
		b.wantTokens(tokens(1))
		// Whoever loaded the session before still has the old token.
		for _, m := range managers {
			b.wantToken(m, tokens(1), "Token of an older Session")
		}
		if n := b.idp.count(); n != 1 {
			t.Errorf("the tokens were refreshed %d times, want once", n)
		}
	})
}

// TestTokenRotation: what is saved is what the provider gave last, all of it.
func TestTokenRotation(t *testing.T) {
	bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
		for i := 1; i <= 3; i++ {
			b.idp.will(answer{after: time.Second, tokens: tokens(i)})
			b.wantToken(b.Manager, tokens(i), fmt.Sprint("refreshing ", i))
			b.wantTokens(tokens(i))
			used := b.idp.asked[i-1]
			want := tokens(i - 1)
			if used.Refresh != want.Refresh || used.ID != want.ID || used.RefreshID != want.RefreshID {
				t.Errorf("refreshing %d used the tokens %+v, want %+v", i, used, want)
			}
			time.Sleep(time.Hour)
		}
	})
}

// refused wraps an error as [idp.Client.Refresh] does.
func refused(err error) error { return fmt.Errorf("idp: refresh: %w", err) }

// TestTokenEnded: a person who was locked out at the provider is not logged in
// at the bank.
func TestTokenEnded(t *testing.T) {
	for name, err := range map[string]error{
		"refused":                 refused(&idp.Error{Status: 400, Code: "invalid_grant"}),
		"refused with 401":        refused(&idp.Error{Status: 401, Code: "invalid_grant"}),
		"another person's tokens": refused(fmt.Errorf("%w: it is another person's", idp.ErrInvalidToken)),
	} {
		t.Run(name, func(t *testing.T) {
			bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
				b.idp.will(answer{after: 3 * time.Second, err: err})
				begun, ended := time.Now(), 0
				for i, got := range b.askAtOnce(t.Context(), 10, b.Manager, b.with(false, key)) {
					switch {
					case got.access != "":
						t.Errorf("number %d: Token = %q, %v; want none", i, got.access, got.err)
					case errors.Is(got.err, session.ErrEnded):
						ended++
					case !errors.Is(got.err, session.ErrNoToken):
						t.Errorf("number %d: Token: %v, want %v or %v", i, got.err, session.ErrEnded, session.ErrNoToken)
					}
					if took := got.at.Sub(begun); took != 3*time.Second {
						t.Errorf("number %d heard of it after %v, want 3s", i, took)
					}
				}
				if ended == 0 {
					t.Errorf("nobody got %v", session.ErrEnded)
				}
				b.laptop.wantNone(b.Manager, "after the provider has ended the login")
				b.wantNoToken(b.Manager, session.ErrNoToken, "Token after that")
				if n := b.idp.count(); n != 1 {
					t.Errorf("the provider was asked %d times, want once", n)
				}
				if text := b.logged(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "person.subject="+richard.Subject) {
					t.Errorf("the log has\n%s, want a warning that names the person", text)
				}
			})
		})
	}
}

// TestTokenFaults: nobody is logged out because the provider, or the way to
// it, is in trouble.
func TestTokenFaults(t *testing.T) {
	for name, err := range map[string]error{
		"network":                  errors.New("connection refused"),
		"timeout":                  context.DeadlineExceeded,
		"not discovered":           idp.ErrNotReady,
		"503":                      &idp.Error{Status: 503},
		"503 in the refusal's way": &idp.Error{Status: 503, Code: "invalid_grant"},
		"400 of a proxy":           &idp.Error{Status: 400},
		"404 of a proxy":           &idp.Error{Status: 404},
		"wrong client":             &idp.Error{Status: 401, Code: "invalid_client"},
		"bad request":              &idp.Error{Status: 400, Code: "invalid_request"},
	} {
		t.Run(name, func(t *testing.T) {
			bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
				err := refused(err)
				b.idp.will(answer{after: time.Second, err: err}, answer{tokens: tokens(1)})
				b.wantNoToken(b.Manager, err, "Token")
				b.wantTokens(tokens(0)) // and the lease is over
				b.laptop.wantPerson(b.Manager, richard, "after the fault")
				again := time.Now()
				b.wantToken(b.with(false, key), tokens(1), "next Token, in another process")
				if took := time.Since(again); took != 0 {
					t.Errorf("the next Token waited for %v, want not at all", took)
				}
				b.wantTokens(tokens(1))
			})
		})
	}
}

// TestTokenFaultWithOthers: a fault is that of one who asked. Those who waited
// for the answer try for themselves, one after the other.
func TestTokenFaultWithOthers(t *testing.T) {
	bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
		fault := refused(errors.New("connection reset"))
		b.idp.will(answer{after: 2 * time.Second, err: fault}, answer{after: 2 * time.Second, tokens: tokens(1)})
		faults := 0
		for i, got := range b.askAtOnce(t.Context(), 20, b.Manager, b.with(false, key)) {
			switch {
			case errors.Is(got.err, fault) && got.access == "":
				faults++
			case got.err != nil || got.access != tokens(1).Access:
				t.Errorf("number %d: Token = %q, %v; want %q", i, got.access, got.err, tokens(1).Access)
			}
		}
		if faults != 1 || b.idp.count() != 2 {
			t.Errorf("%d got the fault, and the provider was asked %d times; want 1 and 2", faults, b.idp.count())
		}
		b.wantTokens(tokens(1))
	})
}

// TestTokenWithoutRefresh: not every provider gives refresh tokens. Then the
// access token is used to its end, and the person stays logged in after it.
func TestTokenWithoutRefresh(t *testing.T) {
	for left, want := range map[time.Duration]bool{
		time.Hour: true, 11 * time.Second: true, 10 * time.Second: true, time.Second: true, time.Nanosecond: true,
		0: false, -time.Second: false, -time.Hour: false,
	} {
		t.Run(left.String(), func(t *testing.T) {
			bearing(t, left, func(t *testing.T, b *bearer) {
				b.change(func(s *session.Session) { s.Tokens.Refresh = "" })
				if want {
					b.wantToken(b.Manager, tokens(0), "Token")
				} else {
					b.wantNoToken(b.Manager, session.ErrNoToken, "Token")
				}
				b.laptop.wantPerson(b.Manager, richard, "after Token")
			})
		})
	}
}

// TestTokenCallerLeaves: the person closes the tab while the tokens are
// refreshed. The old refresh token is used up then, and the new one is all
// that is left of the login.
func TestTokenCallerLeaves(t *testing.T) {
	bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
		b.idp.will(answer{after: 3 * time.Second, tokens: tokens(1)})
		ctx, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		begun := time.Now()
		for i, got := range b.askAtOnce(ctx, 5, b.Manager, b.with(false, key)) {
			// One refreshes. The others only wait, and so can go.
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

// TestTokenCallerIsGone: who has gone before refreshing began uses nothing up.
func TestTokenCallerIsGone(t *testing.T) {
	bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
		ctx, leave := context.WithCancel(t.Context())
		leave()
		b.idp.will(answer{tokens: tokens(1)})
		access, err := b.Token(ctx, b.session)
		if err == nil && access != tokens(1).Access || err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Token = %q, %v; want %q or %v", access, err, tokens(1).Access, context.Canceled)
		}
		b.wantTokens(tokens(b.idp.count())) // what was used up was saved
	})
}

// TestTokenRefresherDies: a process is killed while it refreshes. The others
// wait for as long as its lease lasts and no longer.
func TestTokenRefresherDies(t *testing.T) {
	bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
		b.idp.will(answer{never: true}, answer{after: 500 * time.Millisecond, tokens: tokens(1)})
		begun := time.Now()
		b.goAsk(b.Manager) // and it hears nothing
		time.Sleep(time.Second)
		for i, got := range b.askAtOnce(t.Context(), 10, b.with(false, key), b.with(false, key)) {
			if got.err != nil || got.access != tokens(1).Access {
				t.Errorf("number %d: Token = %q, %v; want %q", i, got.access, got.err, tokens(1).Access)
			}
			if took := got.at.Sub(begun); took != 30*time.Second+500*time.Millisecond {
				t.Errorf("number %d got its token %v after the dead process began, want 30.5s: its lease, and then the answer", i, took)
			}
		}
		b.wantTokens(tokens(1))
		if n := b.idp.count(); n != 2 {
			t.Errorf("the provider was asked %d times, want twice", n)
		}
	})
}

// TestTokenPatience: who waits does not do so for ever, however many die.
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
		// When the lease was over, one of them took the dead one's place.
		gaveUp := 0
		for at, waiter := range waiting {
			select {
			case got := <-waiter:
				gaveUp++
				if got.access != "" || !errors.Is(got.err, context.DeadlineExceeded) {
					t.Errorf("who began to wait at %v got %q, %v; want %v", at, got.access, got.err, context.DeadlineExceeded)
				}
				if took := got.at.Sub(begun) - at; took != 33*time.Second {
					t.Errorf("who began to wait at %v waited for %v, want 33s", at, took)
				}
			default:
			}
		}
		if gaveUp != 1 || len(dead) != 0 {
			t.Errorf("%d of 2 gave up waiting, want 1: the other waits for the provider itself", gaveUp)
		}
	})
}

// TestTokenLateAnswer: a process was stopped for so long that its lease is
// over, and another one's turn has come. What it comes back with is old.
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
				b.wantToken(b.with(false, key), tokens(2), "Token after the lease")
				b.wantTokens(tokens(2))
				<-slow
				b.wantTokens(tokens(2))
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
				second := b.goAsk(b.with(false, key)) // until 51 s
				<-slow
				// It must not have ended the other's lease.
				b.wantToken(b.Manager, tokens(2), "Token while the second refreshes")
				if got := <-second; got.err != nil || got.access != tokens(2).Access {
					t.Errorf("second Token = %q, %v; want %q", got.access, got.err, tokens(2).Access)
				}
				b.wantTokens(tokens(2))
				if n := b.idp.count(); n != 2 {
					t.Errorf("the provider was asked %d times, want twice", n)
				}
			})
		})
	}
}

// TestTokenLogout: a logout that meets a refreshing wins.
func TestTokenLogout(t *testing.T) {
	for name, last := range map[string]answer{
		"tokens":    {after: 3 * time.Second, tokens: tokens(1)},
		"a fault":   {after: 3 * time.Second, err: refused(errors.New("connection reset"))},
		"a refusal": {after: 3 * time.Second, err: refused(&idp.Error{Status: 400, Code: "invalid_grant"})},
	} {
		t.Run(name, func(t *testing.T) {
			bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
				b.idp.will(last)
				old := b.laptop.thief()
				refreshing := b.goAsk(b.Manager)
				synctest.Wait()
				waiting := b.goAsk(b.with(false, key))
				time.Sleep(time.Second)
				if was, _ := b.laptop.logout(b.Manager); was.Tokens.Refresh != tokens(0).Refresh {
					t.Errorf("Logout = %+v, want the session with the tokens that it had", was)
				}
				begun := time.Now()
				if got := <-waiting; got.access != "" || !errors.Is(got.err, session.ErrNoToken) || got.at != begun {
					t.Errorf("who waited got %q, %v %v after the logout; want %v at once", got.access, got.err, got.at.Sub(begun), session.ErrNoToken)
				}
				got := <-refreshing
				if got.access != "" || !errors.Is(got.err, session.ErrNoToken) && (last.err == nil || !errors.Is(got.err, session.ErrEnded)) {
					t.Errorf("who refreshed got %q, %v; want %v", got.access, got.err, session.ErrNoToken)
				}
				old.wantNone(b.Manager, "after the logout")
				b.wantNoToken(b.Manager, session.ErrNoToken, "Token after the logout")
				if s, _ := old.update(b.Manager, func(*session.Session) {}); s.LoggedIn() || s.ID == b.session.ID {
					t.Errorf("after the logout Update = %+v, want a new session of nobody", s)
				}
			})
		})
	}
}

// TestTokenOfNobody: no session, no token, and nobody asks the provider.
func TestTokenOfNobody(t *testing.T) {
	bearing(t, 5*time.Second, func(t *testing.T, b *bearer) {
		wantNone := func(s session.Session, when string) {
			t.Helper()
			if access, err := b.Token(t.Context(), s); access != "" || !errors.Is(err, session.ErrNoToken) {
				t.Errorf("%s: Token = %q, %v; want %v", when, access, err, session.ErrNoToken)
			}
		}
		wantNone(session.Session{}, "the zero Session")
		wantNone(session.Session{ID: "unknown"}, "an unknown session")
		anonymous := newBrowser(t)
		anonymous.begin(b.Manager)
		wantNone(anonymous.load(b.Manager), "not logged in")
		b.laptop.claim(b.Manager, erlich)
		wantNone(b.session, "after another login in its place")
		b.laptop.login(b.Manager, richard)
		last := b.laptop.load(b.Manager)
		last.Tokens.Expires = time.Now()
		b.sleep(24 * time.Hour)
		wantNone(last, "after a day without a visit")
	})
}

// bearer is a browser whose person has tokens.
type bearer struct {
	*bank
	t       *testing.T
	idp     *refresher
	laptop  *browser
	session session.Session // as it was loaded at the start
	text    *syncBuffer
	asking  sync.WaitGroup
}

// bearing runs a test in a bubble, with an access token that has so long left.
// Whatever it does, no token and no identifier may get into the log.
func bearing(t *testing.T, left time.Duration, test func(t *testing.T, b *bearer)) {
	t.Helper()
	inBubble(t, func(t *testing.T, bank *bank) {
		b := &bearer{bank: bank, t: t, idp: newRefresher(t), laptop: newBrowser(t), text: new(syncBuffer)}
		bank.refresh = b.idp.refresh
		bank.log = slog.New(slog.NewTextHandler(io.MultiWriter(b.text, t.Output()), &slog.HandlerOptions{Level: slog.LevelDebug}))
		bank.Manager = bank.with(false, key)
		first := tokens(0)
		first.Expires = time.Now().Add(left)
		id, err := b.Create(b.laptop.request(), richard, first, session.ByPhone)
		if err != nil {
			t.Fatalf("Create: %v", err)
		}
		b.laptop.enter(b.Manager, id)
		b.session = b.laptop.wantPerson(b.Manager, richard, "after the login")
		defer b.asking.Wait()
		defer close(b.idp.dead)
		test(t, b)
		for _, secret := range []string{"SECRET", id} {
			if strings.Contains(b.logged(), secret) {
				t.Errorf("the log shows %q:\n%s", secret, b.logged())
			}
		}
	})
}

// tokens are the nth that the provider gives. They are good for an hour.
func tokens(n int) idp.Tokens {
	return idp.Tokens{
		Access:    fmt.Sprint("SECRET access ", n),
		Refresh:   fmt.Sprint("SECRET refresh ", n),
		ID:        fmt.Sprint("SECRET id ", n),
		RefreshID: fmt.Sprint("refresh id ", n),
	}
}

// got is what Token has returned.
type got struct {
	access string
	err    error
	at     time.Time
}

func (b *bearer) ask(ctx context.Context, m *session.Manager) got {
	access, err := m.Token(ctx, b.session)
	return got{access, err, time.Now()}
}

// goAsk asks and goes on.
func (b *bearer) goAsk(m *session.Manager) <-chan got {
	result := make(chan got, 1)
	b.asking.Go(func() { result <- b.ask(b.t.Context(), m) })
	return result
}

// askAtOnce asks n times at once, the managers in turn.
func (b *bearer) askAtOnce(ctx context.Context, n int, managers ...*session.Manager) []got {
	var wg sync.WaitGroup
	all := make([]got, n)
	for i := range n {
		wg.Go(func() { all[i] = b.ask(ctx, managers[i%len(managers)]) })
	}
	wg.Wait()
	return all
}

func (b *bearer) wantToken(m *session.Manager, want idp.Tokens, when string) {
	b.t.Helper()
	if got := b.ask(b.t.Context(), m); got.err != nil || got.access != want.Access {
		b.t.Errorf("%s: Token = %q, %v; want %q", when, got.access, got.err, want.Access)
	}
}

func (b *bearer) wantNoToken(m *session.Manager, want error, when string) {
	b.t.Helper()
	if got := b.ask(b.t.Context(), m); got.access != "" || !errors.Is(got.err, want) {
		b.t.Errorf("%s: Token = %q, %v; want %v", when, got.access, got.err, want)
	}
}

// wantTokens wants those tokens in the store, and nobody who refreshes them.
func (b *bearer) wantTokens(want idp.Tokens) {
	b.t.Helper()
	s := b.laptop.load(b.Manager)
	got := s.Tokens
	got.Expires = time.Time{}
	if got != want {
		b.t.Errorf("the session has the tokens %+v, want %+v", got, want)
	}
	if want != tokens(0) && s.Tokens.Expires.Before(time.Now()) {
		b.t.Errorf("the session's access token ended at %v, want the new one's end", s.Tokens.Expires)
	}
	if !s.Lease.IsZero() {
		b.t.Errorf("somebody has the lease until %v, want nobody", s.Lease)
	}
}

// change changes the session before the test begins.
func (b *bearer) change(change func(*session.Session)) {
	b.t.Helper()
	b.session, _ = b.laptop.update(b.Manager, change)
}

func (b *bearer) logged() string { return b.text.String() }

// refresher is a provider that refreshes as a script says.
type refresher struct {
	t    *testing.T
	dead chan struct{} // closed: even answers that never come do

	mu     sync.Mutex
	script []answer
	asked  []idp.Tokens
}

// answer is one of the provider's.
type answer struct {
	after  time.Duration
	never  bool
	tokens idp.Tokens // good for an hour from the answer
	err    error
}

func newRefresher(t *testing.T) *refresher { return &refresher{t: t, dead: make(chan struct{})} }

func (f *refresher) will(script ...answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script = append(f.script, script...)
}

func (f *refresher) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

// refresh is a [session.RefreshFunc]. It gives up with its context, as one
// that uses the network does.
func (f *refresher) refresh(ctx context.Context, old idp.Tokens, person idp.Person) (idp.Tokens, error) {
	if person != richard {
		f.t.Errorf("the tokens of %+v are refreshed, want those of %+v", person, richard)
	}
	f.mu.Lock()
	f.asked = append(f.asked, old)
	if len(f.script) == 0 {
		f.mu.Unlock()
		f.t.Errorf("the tokens are refreshed for the time number %d, want no such thing", f.count())
		return idp.Tokens{}, errors.New("nothing is left of the script")
	}
	a := f.script[0]
	f.script = f.script[1:]
	f.mu.Unlock()

	var due <-chan time.Time
	if !a.never {
		due = time.After(a.after)
	}
	select {
	case <-due:
	case <-f.dead:
		return idp.Tokens{}, errors.New("the process is dead")
	case <-ctx.Done():
		return idp.Tokens{}, ctx.Err()
	}
	if a.err != nil {
		return idp.Tokens{}, a.err
	}
	a.tokens.Expires = time.Now().Add(time.Hour)
	return a.tokens, nil
}

// syncBuffer is a buffer for many who write.
type syncBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
