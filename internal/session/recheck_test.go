package session_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
	"changebank/internal/session"
)

// every is how old the proof of a login may be in these tests.
const every = 10 * time.Minute

// rechecking runs a test with a laptop that has just been logged in, and an
// access token that is good for days: only the recheck refreshes it.
func rechecking(t *testing.T, test func(t *testing.T, b *bearer), change ...func(*idp.Tokens)) {
	t.Helper()
	bearing(t, 100*time.Hour, func(t *testing.T, b *bearer) {
		b.recheck = every
		b.Manager = b.replica()
		test(t, b)
	}, change...)
}

// use loads the session, which must be Richard's, at once.
func (b *bearer) use(when string) {
	b.t.Helper()
	asked := time.Now()
	b.laptop.wantPerson(b.Manager, richard, when)
	if took := time.Since(asked); took > 0 {
		b.t.Errorf("%s: Load took %v, want that it does not wait for the provider", when, took)
	}
}

func (b *bearer) wantAsked(want int, when string) {
	b.t.Helper()
	synctest.Wait()
	if got := b.idp.count(); got != want {
		b.t.Errorf("%s: the provider was asked %d times, want %d", when, got, want)
	}
}

// TestRecheck: while a session is used, the provider is asked once in each
// period, and a provider that rotates refresh tokens gets the latest.
func TestRecheck(t *testing.T) {
	rechecking(t, func(t *testing.T, b *bearer) {
		begun := time.Now()
		for i := 1; i <= 6; i++ {
			b.idp.will(answer{after: time.Second, tokens: tokens(i)})
		}
		for time.Since(begun) < time.Hour+30*time.Second {
			b.use("during the hour")
			time.Sleep(20 * time.Second)
		}
		b.wantAsked(5, "in an hour of use") // every ten minutes, and the request after that
		b.wantTokens(tokens(5))
		for i, used := range b.idp.asked {
			if used.Refresh != tokens(i).Refresh {
				t.Errorf("check %d used %q, want %q", i, used.Refresh, tokens(i).Refresh)
			}
		}
	})
}

// TestRecheckIdle: a session that nobody uses costs nothing. Its next use is
// checked.
func TestRecheckIdle(t *testing.T) {
	rechecking(t, func(t *testing.T, b *bearer) {
		time.Sleep(every - time.Second)
		b.use("just before the first check")
		b.wantAsked(0, "just before the first check")
		time.Sleep(5 * time.Hour)
		b.wantAsked(0, "after five hours without use")
		b.idp.will(answer{tokens: tokens(1)})
		b.use("after five hours")
		b.wantAsked(1, "after the next use")
	})
}

// TestRecheckOnce: many requests at once, to two replicas, ask once.
func TestRecheckOnce(t *testing.T) {
	rechecking(t, func(t *testing.T, b *bearer) {
		time.Sleep(every)
		b.idp.will(answer{after: 3 * time.Second, tokens: tokens(1)})
		managers := []*session.Manager{b.Manager, b.replica()}
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() { b.laptop.wantPerson(managers[i%2], richard, "during the check") })
		}
		wg.Wait()
		time.Sleep(2 * time.Second)
		b.laptop.wantPerson(managers[1], richard, "during the check")
		time.Sleep(2 * time.Second)
		b.use("after the check")
		b.wantAsked(1, "after the check")
		b.wantTokens(tokens(1))
	})
}

// TestRecheckRefused: an account that is locked, deleted or logged out at the
// provider is out here. Its browser is told, and a login by phone that it
// approved stops.
func TestRecheckRefused(t *testing.T) {
	rechecking(t, func(t *testing.T, b *bearer) {
		voucher := b.voucherOf(b.laptop)
		time.Sleep(every)
		b.idp.will(answer{after: time.Second, err: refused(&idp.Error{Status: 400, Code: "invalid_grant", Reason: "refresh_token_not_found"})})
		b.use("the request that asks")
		b.use("while the provider thinks")
		time.Sleep(time.Second)
		synctest.Wait()
		b.laptop.wantNone(b.Manager, "the next request")
		b.laptop.wantNone(b.replica(), "the next request to another replica")
		b.laptop.wantWasEnded(b.Manager, session.EndedByProvider, "afterwards")
		if b.vouched(voucher) {
			t.Error("the session still vouches for a laptop")
		}
		b.wantAsked(1, "in the end")
		if text := b.logged(); !strings.Contains(text, "login ended by the provider") {
			t.Errorf("the log has\n%s, want that the provider ended the login", text)
		}
	})
}

// TestRecheckFaults: a provider that fails ends nothing, delays no page, and is
// not asked again with each of them.
func TestRecheckFaults(t *testing.T) {
	for name, fault := range map[string]answer{
		"refused connection":             {err: errors.New("connection refused")},
		"slow":                           {after: 25 * time.Second, err: errors.New("timeout")},
		"not discovered":                 {err: idp.ErrNotReady},
		"503":                            {err: &idp.Error{Status: 503}},
		"503 with the code of a refusal": {err: &idp.Error{Status: 503, Code: "invalid_grant"}},
		"429":                            {err: &idp.Error{Status: 429, Code: "invalid_grant", Interval: time.Minute}},
		"404 of a proxy":                 {err: &idp.Error{Status: 404}},
		"wrong client":                   {err: &idp.Error{Status: 401, Code: "invalid_client"}},
	} {
		t.Run(name, func(t *testing.T) {
			rechecking(t, func(t *testing.T, b *bearer) {
				fault.err = refused(fault.err)
				b.idp.will(fault, fault, fault, fault, answer{tokens: tokens(1)})
				time.Sleep(every)
				for begun := time.Now(); time.Since(begun) < every; time.Sleep(10 * time.Second) {
					b.use("while the provider fails")
				}
				b.wantAsked(4, "in ten minutes of use")
				time.Sleep(2 * time.Minute)
				b.use("when the provider is back")
				b.wantAsked(5, "when the provider is back")
				b.wantTokens(tokens(1))
				if n := strings.Count(b.logged(), "level=WARN"); n == 0 || n > 4 {
					t.Errorf("the log has %d warnings, want one for each fault at most:\n%s", n, b.logged())
				}
			})
		})
	}
}

// TestRecheckPatience: a provider that says how long to wait is not asked before.
func TestRecheckPatience(t *testing.T) {
	rechecking(t, func(t *testing.T, b *bearer) {
		b.recheck = 20 * time.Second
		b.Manager = b.replica()
		b.idp.will(answer{err: refused(&idp.Error{Status: 429, Interval: time.Minute})}, answer{tokens: tokens(1)})
		time.Sleep(20 * time.Second)
		for begun := time.Now(); time.Since(begun) < time.Minute; time.Sleep(time.Second) {
			b.use("while the provider wants no requests")
		}
		b.wantAsked(1, "in a minute")
		b.use("after a minute")
		b.wantAsked(2, "after a minute")
	})
}

// TestRecheckNothing: no check without a refresh token, or when it is off.
func TestRecheckNothing(t *testing.T) {
	rechecking(t, func(t *testing.T, b *bearer) {
		time.Sleep(5 * every)
		b.use("without a refresh token")
		b.wantAsked(0, "without a refresh token")
	}, func(first *idp.Tokens) { first.Refresh = "" })
	rechecking(t, func(t *testing.T, b *bearer) {
		b.recheck = 0
		b.Manager = b.replica()
		time.Sleep(5 * every)
		b.use("when it is off")
		b.wantAsked(0, "when it is off")
	})
}

// TestRecheckByPhone: a session that a phone made is checked like any other.
func TestRecheckByPhone(t *testing.T) {
	rechecking(t, func(t *testing.T, b *bearer) {
		other := newBrowser(t)
		other.claim(b.Manager, richard)
		other.wantPerson(b.Manager, richard, "after the claim")
		time.Sleep(every)
		b.idp.will(answer{err: refused(&idp.Error{Status: 400, Code: "invalid_grant"})}, answer{tokens: tokens(1)})
		other.wantPerson(b.Manager, richard, "the request that asks")
		synctest.Wait()
		other.wantNone(b.Manager, "the next request")
		b.use("the other session, which is asked about next")
		b.wantAsked(2, "in the end")
	})
}

// TestRecheckStoreDown: the check of a request whose session could not be written
// is left to the next one.
func TestRecheckStoreDown(t *testing.T) {
	rechecking(t, func(t *testing.T, b *bearer) {
		time.Sleep(every)
		b.tap.before = func(write bool) error {
			if write {
				return errDown
			}
			return nil
		}
		if _, err := b.Load(b.laptop.request()); !errors.Is(err, errDown) {
			t.Errorf("Load while the store is down: %v, want %v", err, errDown)
		}
		b.tap.before = nil
		b.wantAsked(0, "while the store is down")
		b.idp.will(answer{tokens: tokens(1)})
		b.use("when the store is back")
		b.wantAsked(1, "when the store is back")
	})
}

// TestRecheckStops: a process that stops waits for the answer, because the old
// refresh token may be used up. It does not wait for a provider that hangs, and
// starts nothing more.
func TestRecheckStops(t *testing.T) {
	for name, tt := range map[string]struct {
		answer answer
		want   time.Duration
	}{
		"answers": {answer{after: 3 * time.Second, tokens: tokens(1)}, 3 * time.Second},
		"hangs":   {answer{never: true}, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			rechecking(t, func(t *testing.T, b *bearer) {
				time.Sleep(every)
				b.idp.will(tt.answer)
				b.use("the request that asks")
				begun := time.Now()
				b.Close()
				if took := time.Since(begun); took != tt.want {
					t.Errorf("Close took %v, want %v", took, tt.want)
				}
				if !tt.answer.never {
					b.wantTokens(tokens(1))
				}
				time.Sleep(5 * every)
				b.use("after Close")
				b.wantAsked(1, "after Close")
			})
		})
	}
}
