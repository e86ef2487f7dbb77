package limit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/browser"
	"changebank/internal/store"
	"changebank/internal/teststore"
)

var codes = Rule{Name: "codes", N: 10, Window: 10 * time.Minute}

// backend is a store that counts its writes, refuses those whose context has
// ended, and loses the next compare-and-sets.
type backend struct {
	store.Backend
	beforeWrite func()
	writes      atomic.Int64
	lose        atomic.Int64
}

func (b *backend) Swap(ctx context.Context, writes ...store.Write) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if b.beforeWrite != nil {
		b.beforeWrite()
	}
	b.writes.Add(1)
	if b.lose.Add(-1) >= 0 {
		return false, nil
	}
	return b.Backend.Swap(ctx, writes...)
}

// inBubble runs a test with a Limiter, where time passes only while the test
// sleeps.
func inBubble(t *testing.T, test func(t *testing.T, l *Limiter, b *backend)) {
	synctest.Test(t, func(t *testing.T) {
		b := &backend{Backend: teststore.File(t)}
		test(t, New(teststore.In(t, b).Namespace("test")), b)
	})
}

// wait returns how long a refusal lasts, 0 if err is none.
func wait(t *testing.T, err error) time.Duration {
	t.Helper()
	tooMany, ok := errors.AsType[*TooManyError](err)
	if err != nil && !ok {
		t.Fatal(err)
	}
	if !ok {
		return 0
	}
	return tooMany.Wait
}

// anotherProcess returns the Limiter of another process with the same store.
func anotherProcess(l *Limiter) *Limiter { return newLimiter(l.store, l.counters) }

// fill allows all the events of key that the rule allows.
func fill(t *testing.T, l *Limiter, rule Rule, key string) {
	t.Helper()
	for i := range rule.N {
		if err := l.Allow(t.Context(), rule, key); err != nil {
			t.Fatalf("event %d: %v", i+1, err)
		}
	}
}

func TestAllow(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter, _ *backend) {
		ctx := t.Context()
		fill(t, l, codes, "a")
		if got := wait(t, l.Allow(ctx, codes, "a")); got != time.Minute {
			t.Errorf("event 11 waits %v, want 1m", got)
		}
		if err := l.Allow(ctx, codes, "b"); err != nil {
			t.Errorf("another key: %v", err)
		}
		time.Sleep(time.Minute)
		if err := l.Allow(ctx, codes, "a"); err != nil {
			t.Errorf("after the wait: %v", err)
		}
		if wait(t, l.Allow(ctx, codes, "a")) == 0 {
			t.Error("one wait allowed two events")
		}
		time.Sleep(codes.Window)
		fill(t, l, codes, "a")
	})
}

// The store's clock may be slow, and return a counter that has expired.
func TestExpiredCounter(t *testing.T) {
	now := time.Now()
	c := counter{now.Add(-time.Hour)}
	if err := c.add(codes, now); err != nil || !c.Full.Equal(now.Add(time.Minute)) {
		t.Errorf("the counter is full until %v (%v), want a minute after %v", c.Full, err, now)
	}
}

// The clock is set back by an hour or a year after a limit was reached. The refusal
// does not last until the old time: one event is allowed, and then one per step. If
// the clock is set back by less, a refusal lasts at most two windows.
func TestClockSetBack(t *testing.T) {
	for _, back := range []time.Duration{codes.Window, 2*codes.Window + 1, time.Hour, 365 * 24 * time.Hour} {
		now := time.Now()
		c := counter{now}
		for range codes.N {
			if err := c.add(codes, now); err != nil {
				t.Fatal(err)
			}
		}
		now = now.Add(-back)
		waited := time.Duration(0)
		for err := c.add(codes, now); err != nil; err = c.add(codes, now) {
			wait := wait(t, err)
			waited += wait
			now = now.Add(wait)
			if waited > 2*codes.Window+time.Minute {
				t.Fatalf("%v back: still refused after %v", back, waited)
			}
		}
		if got := wait(t, c.add(codes, now)); got != codes.Window/time.Duration(codes.N) {
			t.Errorf("%v back: the second event waits %v, want a minute", back, got)
		}
	}
}

// Failed tries of many processes at once are counted beyond the limit, but only up to
// a bound. A counter far in the future is taken for one from before the clock was set
// back, so an attacker must not be able to reach that.
func TestCountedBeyondTheLimit(t *testing.T) {
	once := Rule{Name: "tries", N: 1, Window: time.Minute}
	now := time.Now()
	c := counter{now}
	for n := range 10 {
		c.count(once, now)
		next := c
		if got, want := wait(t, next.add(once, now)), min(time.Duration(n+1), 2)*time.Minute; got != want {
			t.Errorf("after %d tries at once, the next one waits %v, want %v", n+1, got, want)
		}
	}
}

func TestOneEvent(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter, _ *backend) {
		once := Rule{Name: "events", N: 1, Window: time.Minute}
		fill(t, l, once, "a")
		if got := wait(t, l.Allow(t.Context(), once, "a")); got != time.Minute {
			t.Errorf("the second event waits %v, want 1m", got)
		}
	})
}

func TestRefund(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter, _ *backend) {
		for range 3 * codes.N {
			if err := l.Allow(t.Context(), codes, "a"); err != nil {
				t.Fatal(err)
			}
			l.Refund(t.Context(), codes, "a")
		}
	})
}

// A client that disconnects, or makes others' writes collide, must not turn its
// refunds into events of a network that it shares.
func TestRefundIsNotLost(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter, b *backend) {
		fill(t, l, codes, "a")
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		l.Refund(ended, codes, "a")
		if err := l.Allow(t.Context(), codes, "a"); err != nil {
			t.Errorf("after a refund for a client that disconnected: %v", err)
		}
		b.lose.Store(maxTries - 1)
		l.Refund(t.Context(), codes, "a")
		if err := l.Allow(t.Context(), codes, "a"); err != nil {
			t.Errorf("after a refund that collided with other writes: %v", err)
		}
	})
}

// If many events happen at once, exactly N are allowed: none is refused because
// others behind the same address come at the same moment.
func TestConcurrentEvents(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter, _ *backend) {
		rule := Rule{Name: "events", N: 40, Window: time.Hour}
		if got := atOnce(t, 2*rule.N, rule, l); got != rule.N {
			t.Errorf("%d events passed, want %d", got, rule.N)
		}
	})
}

// Over several processes, no more than N are allowed.
func TestConcurrentEventsOfProcesses(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter, _ *backend) {
		if got := atOnce(t, 8*codes.N, codes, l, anotherProcess(l), anotherProcess(l)); got == 0 || got > codes.N {
			t.Errorf("%d events passed, want between 1 and %d", got, codes.N)
		}
	})
}

// atOnce returns how many of n events at the same moment are allowed, spread
// over the Limiters.
func atOnce(t *testing.T, n int, rule Rule, limiters ...*Limiter) int {
	t.Helper()
	var all sync.WaitGroup
	var passed atomic.Int64
	for i := range n {
		all.Go(func() {
			if wait(t, limiters[i%len(limiters)].Allow(t.Context(), rule, "a")) == 0 {
				passed.Add(1)
			}
		})
	}
	all.Wait()
	return int(passed.Load())
}

// A flood of one key must not keep the store busy with retries.
func TestContention(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter, b *backend) {
		fill(t, l, codes, "a")
		time.Sleep(codes.Window / 2)
		before := b.writes.Load()
		b.lose.Store(1000)
		if got := wait(t, l.Allow(t.Context(), codes, "a")); got != contention {
			t.Errorf("an event that always loses waits %v, want %v", got, contention)
		}
		if n := b.writes.Load() - before; n != maxTries {
			t.Errorf("it tried %d times, want %d", n, maxTries)
		}
	})
}

// A client with a wide IPv6 prefix can neither multiply the limit nor use up
// the limit of others.
func TestIPv6Prefixes(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter, _ *backend) {
		rule := Rule{Name: "events", N: 2, Window: time.Hour}
		passes := func(n int, format string) (passed int) {
			for i := range n {
				if wait(t, l.AllowAddr(t.Context(), rule, fmt.Sprintf(format, i), nil)) == 0 {
					passed++
				}
			}
			return passed
		}
		if got, want := passes(20, "2001:db8:1:100::%x"), rule.N; got != want {
			t.Errorf("%d events from one /64, want %d", got, want)
		}
		// The refusals above have counted nowhere.
		if got, want := passes(20, "2001:db8:1:1%02x::1"), 3*rule.N; got != want {
			t.Errorf("%d more events from the /64s of its /56, want %d", got, want)
		}
		if got, want := passes(256, "2001:db8:1:%x00::1"), 60*rule.N; got != want {
			t.Errorf("%d more events from the /56s of its /48, want %d", got, want)
		}
		if got := passes(1, "2001:db8:2::%x"); got != 1 {
			t.Error("an event from another /48 is refused")
		}
	})
}

// A refused client costs its neighbors in the /48 nothing, and the store no
// write: its requests may come in any number.
func TestRefusalCostsNothing(t *testing.T) {
	for _, addr := range []string{"192.0.2.1", "2001:db8:1:1::1"} {
		inBubble(t, func(t *testing.T, l *Limiter, b *backend) {
			ctx := t.Context()
			for range codes.N {
				if err := l.AllowAddr(ctx, codes, addr, nil); err != nil {
					t.Fatal(err)
				}
			}
			before := b.writes.Load()
			for range 100 * codes.N {
				if wait(t, l.AllowAddr(ctx, codes, addr, nil)) == 0 {
					t.Fatal("too many events are allowed")
				}
			}
			if n := b.writes.Load() - before; n != 0 {
				t.Errorf("refusals of %s wrote %d times, want never", addr, n)
			}
			if err := l.AllowAddr(ctx, codes, "2001:db8:1:ff00::1", nil); err != nil {
				t.Errorf("a neighbor in the /48: %v", err)
			}
		})
	}
}

// An event may be refused in a narrow block although there was room when it
// began, because another was quicker. It must not count in the wide ones.
func TestLateRefusalCountsNowhere(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter, b *backend) {
		ctx := t.Context()
		once := Rule{Name: "events", N: 1, Window: time.Hour}
		for i := range 64 { // as many as the /48 allows
			addr := fmt.Sprintf("2001:db8:1:%x00::1", i)
			blocks := browser.Blocks(addr)
			b.beforeWrite = func() {
				b.beforeWrite = nil
				fill(t, anotherProcess(l), once, blocks[2])
			}
			if wait(t, l.AllowAddr(ctx, once, addr, nil)) == 0 {
				t.Fatalf("%s: two events passed, want 1", addr)
			}
		}
		if err := l.AllowAddr(ctx, once, "2001:db8:1:ff00::1", nil); err != nil {
			t.Errorf("a neighbor in the /48: %v", err)
		}
	})
}

func TestRefundAddr(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter, _ *backend) {
		for range 2 * codes.N {
			if err := l.AllowAddr(t.Context(), codes, "2001:db8:1:1::1", nil); err != nil {
				t.Fatal(err)
			}
			l.RefundAddr(t.Context(), codes, "2001:db8:1:1::1")
		}
	})
}
