package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// tally counts what was done, how long each took, and what went wrong.
type tally struct {
	mu      sync.Mutex
	times   []time.Duration
	errors  map[string]int // by kind
	crossed int            // laptops that were logged in as someone else

	inTime  int           // operations that were done while others still began
	elapsed time.Duration // in which they were done
}

func (t *tally) add(took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.times = append(t.times, took)
}

// errCrossed says that a laptop was logged in as another person than its phone.
var errCrossed = errors.New("a laptop is logged in as someone else than the person who approved")

// note counts an operation that took so long, or failed. What was cut off by
// the end of ctx did not fail.
func (t *tally) note(ctx context.Context, took time.Duration, err error) {
	switch {
	case err == nil:
		t.add(took)
	case ctx.Err() == nil:
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.errors == nil {
			t.errors = make(map[string]int)
		}
		t.errors[err.Error()]++
		if errors.Is(err, errCrossed) {
			t.crossed++
		}
	}
}

// counts returns how many operations succeeded and failed so far.
func (t *tally) counts() (done, failed int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, n := range t.errors {
		failed += n
	}
	return len(t.times), failed
}

// quantile returns the time within which a part of the operations were done.
func (t *tally) quantile(part float64) time.Duration { return t.quantileAfter(0, part) }

// quantileAfter is quantile without the first operations. It can no longer be
// used after quantile, which changes their order.
func (t *tally) quantileAfter(first int, part float64) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	times := t.times[first:]
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[min(int(part*float64(len(times))), len(times)-1)]
}

// perSecond returns how many operations were done in a second.
func (t *tally) perSecond() float64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.elapsed <= 0 {
		return 0
	}
	return float64(t.inTime) / t.elapsed.Seconds()
}

// operation does one thing, for a worker or as the n-th of its kind, and says
// how long the part that counts took.
type operation func(ctx context.Context, n int) (time.Duration, error)

// timed makes an operation of something all of which counts.
func timed(do func(ctx context.Context, n int) error) operation {
	return func(ctx context.Context, n int) (time.Duration, error) {
		began := time.Now()
		err := do(ctx, n)
		return time.Since(began), err
	}
}

// closedLoop lets workers do one operation after another for a while: it finds
// how much is possible.
func (t *tally) closedLoop(ctx context.Context, workers int, d time.Duration, do operation) {
	began := time.Now()
	var mu sync.Mutex
	var first, last time.Duration // when operations were done
	done := 0
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			for time.Since(began) < d && ctx.Err() == nil {
				took, err := do(ctx, n)
				t.note(ctx, took, err)
				if err != nil {
					rest(ctx, 10*time.Millisecond) // a failure may be quicker than an answer
					continue
				}
				mu.Lock()
				if at := time.Since(began); done == 0 || at < d {
					if done++; done == 1 {
						first = at
					}
					last = at
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	// Where one operation takes a second, none is done in the first second.
	t.inTime, t.elapsed = t.inTime+max(0, done-1), t.elapsed+last-first
}

// openLoop starts operations at a steady rate, however long each takes, as
// people come who do not know of each other. It returns when all are done.
func (t *tally) openLoop(ctx context.Context, rate float64, d time.Duration, do operation) {
	began := time.Now()
	var wg sync.WaitGroup
	for n := range max(1, int(rate*d.Seconds())) {
		rest(ctx, time.Until(began.Add(time.Duration(float64(n)/rate*float64(time.Second)))))
		if ctx.Err() != nil {
			break
		}
		t.inTime++
		wg.Go(func() {
			took, err := do(ctx, n)
			t.note(ctx, took, err)
		})
	}
	rest(ctx, time.Until(began.Add(d)))
	t.elapsed += time.Since(began)
	wg.Wait()
}

// each does n operations, a few at a time.
func (t *tally) each(ctx context.Context, n, workers int, do operation) {
	began := time.Now()
	var wg sync.WaitGroup
	places := make(chan struct{}, workers)
	for i := range n {
		places <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		t.inTime++
		wg.Go(func() {
			defer func() { <-places }()
			took, err := do(ctx, i)
			t.note(ctx, took, err)
		})
	}
	wg.Wait()
	t.elapsed += time.Since(began)
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
