package limit

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/store"
)

var codes = Rule{Name: "codes", N: 10, Window: 10 * time.Minute}

// inBubble runs a test with a Limiter in a store whose clock stands still while
// anybody works.
func inBubble(t *testing.T, test func(t *testing.T, l *Limiter)) {
	synctest.Test(t, func(t *testing.T) {
		file, err := store.OpenFile(filepath.Join(t.TempDir(), "store"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		s, err := store.New(t.Context(), file, [][]byte{[]byte("0123456789abcdef")})
		if err != nil {
			t.Fatal(err)
		}
		test(t, New(s.Namespace("test")))
	})
}

// wait returns how long a refusal lasts, 0 if there is none.
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

func TestAllow(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter) {
		ctx := t.Context()
		for i := range codes.N {
			if err := l.Allow(ctx, codes, "a"); err != nil {
				t.Fatalf("event %d: %v", i+1, err)
			}
		}
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
		for range codes.N {
			if err := l.Allow(ctx, codes, "a"); err != nil {
				t.Fatalf("after a whole window: %v", err)
			}
		}
	})
}

func TestRefund(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter) {
		ctx := t.Context()
		for range 3 * codes.N {
			if err := l.Allow(ctx, codes, "a"); err != nil {
				t.Fatal(err)
			}
			l.Refund(ctx, codes, "a")
		}
	})
}

// Of many events at the same moment no more than N pass.
func TestAllowAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter) {
		var all sync.WaitGroup
		var mu sync.Mutex
		passed := 0
		for range 8 * codes.N {
			all.Go(func() {
				if wait(t, l.Allow(t.Context(), codes, "a")) == 0 {
					mu.Lock()
					defer mu.Unlock()
					passed++
				}
			})
		}
		all.Wait()
		if passed == 0 || passed > codes.N {
			t.Errorf("%d events passed, want between 1 and %d", passed, codes.N)
		}
	})
}

// A client with a wide IPv6 prefix can neither multiply the limit nor use up
// the limit of others.
func TestIPv6Prefixes(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter) {
		ctx := t.Context()
		passes := func(n int, format string) (passed int) {
			for i := range n {
				if wait(t, l.AllowAddr(ctx, codes, fmt.Sprintf(format, i%256))) == 0 {
					passed++
				}
			}
			return passed
		}
		if got := passes(100, "2001:db8:1:100::%x"); got != codes.N {
			t.Errorf("%d events from one /64, want %d", got, codes.N)
		}
		// The refusals above were refunded where they had been counted.
		if got := passes(200, "2001:db8:1:1%02x::1"); got != 3*codes.N {
			t.Errorf("%d more events from the /64s of its /56, want %d", got, 3*codes.N)
		}
		if got := passes(1024, "2001:db8:1:%x00::1"); got != 64*codes.N-4*codes.N {
			t.Errorf("%d more events from the /56s of its /48, want %d", got, 60*codes.N)
		}
		if err := l.AllowAddr(ctx, codes, "2001:db8:2::1"); err != nil {
			t.Errorf("another /48: %v", err)
		}
	})
}

// A household in a /48 of an attacker's other customers still gets through: the
// attacker's refusals cost the wide prefix nothing.
func TestRefusalCostsNothing(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter) {
		ctx := t.Context()
		for range 100 * codes.N {
			_ = l.AllowAddr(ctx, codes, "2001:db8:1:1::1")
		}
		if err := l.AllowAddr(ctx, codes, "2001:db8:1:ff00::1"); err != nil {
			t.Errorf("a neighbor in the /48: %v", err)
		}
	})
}
