package limit

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var errWrong = errors.New("wrong")

// try makes a try of "a" that fails, and reports whether it was made.
func try(t *testing.T, ctx context.Context, l *Limiter, rule Rule) (made bool, err error) {
	t.Helper()
	err = l.AllowTry(ctx, rule, "a", func() (bool, error) {
		made = true
		return true, errWrong
	})
	if !errors.Is(err, errWrong) && wait(t, err) == 0 {
		t.Errorf("AllowTry = %v, want the try's error or a refusal", err)
	}
	return made, err
}

func TestAllowTry(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter, b *backend) {
		before := b.writes.Load()
		for range 3 * codes.N {
			for _, want := range []error{nil, errWrong} {
				if err := l.AllowTry(t.Context(), codes, "a", func() (bool, error) { return false, want }); err != want {
					t.Fatalf("AllowTry = %v, want %v", err, want)
				}
			}
		}
		if n := b.writes.Load() - before; n != 0 {
			t.Errorf("tries that did not fail wrote %d times, want never", n)
		}
		for i := range codes.N {
			if made, err := try(t, t.Context(), l, codes); !made || err != errWrong {
				t.Fatalf("try %d: made %v, %v; want it made", i+1, made, err)
			}
		}
		before = b.writes.Load()
		if made, err := try(t, t.Context(), l, codes); made || wait(t, err) != time.Minute {
			t.Errorf("at the limit: made %v, %v; want a wait of 1m", made, err)
		}
		if n := b.writes.Load() - before; n != 0 {
			t.Errorf("a refusal wrote %d times, want never", n)
		}
		time.Sleep(time.Minute)
		if made, _ := try(t, t.Context(), l, codes); !made {
			t.Error("after the wait: refused")
		}
	})
}

// A client that disconnects during its tries gets no more of them.
func TestAbandonedTriesCount(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter, _ *backend) {
		for range codes.N {
			ctx, cancel := context.WithCancel(t.Context())
			err := l.AllowTry(ctx, codes, "a", func() (bool, error) {
				cancel()
				return true, errWrong
			})
			if err != errWrong {
				t.Fatalf("AllowTry = %v, want %v", err, errWrong)
			}
		}
		if made, _ := try(t, t.Context(), l, codes); made {
			t.Error("a try more than the limit")
		}
	})
}

// A try that the store could not count is not answered.
func TestTryThatIsNotCounted(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter, b *backend) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		err := l.AllowTry(ctx, codes, "a", func() (bool, error) {
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			return true, errWrong
		})
		if err == nil || errors.Is(err, errWrong) {
			t.Errorf("AllowTry = %v, want the store's error", err)
		}
	})
}

// triesAtOnce makes n tries at the same moment, spread over the Limiters. Each
// takes a second. It returns how many were made, and how many of them were
// answered.
func triesAtOnce(t *testing.T, n int, limiters ...*Limiter) (made, answered int) {
	t.Helper()
	var all sync.WaitGroup
	var mades, answers atomic.Int64
	for i := range n {
		all.Go(func() {
			err := limiters[i%len(limiters)].AllowTry(t.Context(), codes, "a", func() (bool, error) {
				mades.Add(1)
				time.Sleep(time.Second)
				return true, errWrong
			})
			if errors.Is(err, errWrong) {
				answers.Add(1)
			} else if wait(t, err) == 0 {
				t.Errorf("AllowTry = %v, want the try's error or a refusal", err)
			}
		})
	}
	all.Wait()
	return int(mades.Load()), int(answers.Load())
}

// Many tries at once are no more than the limit: while one is made, the next one
// waits.
func TestTriesAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter, _ *backend) {
		if made, answered := triesAtOnce(t, 5*codes.N, l); made != codes.N || answered != codes.N {
			t.Errorf("%d tries made and %d answered, want %d", made, answered, codes.N)
		}
	})
}

// Three processes may make two tries more than the limit. Those are not
// answered, and are made up for: over time there are no more.
func TestTriesOfProcesses(t *testing.T) {
	inBubble(t, func(t *testing.T, l *Limiter, _ *backend) {
		began := time.Now()
		processes := []*Limiter{l, anotherProcess(l), anotherProcess(l)}
		total := 0
		for range 20 {
			made, answered := triesAtOnce(t, 5*codes.N, processes...)
			if total += made; answered > codes.N {
				t.Errorf("%d tries answered, want %d at most", answered, codes.N)
			}
			if most := codes.N + int(time.Since(began)/codes.step()) + len(processes) - 1; total > most {
				t.Errorf("%d tries after %v, want %d at most", total, time.Since(began), most)
			}
			time.Sleep(codes.step())
		}
		var err error
		for made := true; made; {
			made, err = try(t, t.Context(), l, codes)
		}
		time.Sleep(wait(t, err))
		if made, _ := try(t, t.Context(), l, codes); !made {
			t.Error("refused after the wait that was named")
		}
	})
}
