package store

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

func testWatch(t *testing.T, b Backend) {
	ch := b.Watch(t.Context(), "key")
	wantTick(t, ch, "at the start")
	value := []byte(nil)
	for _, next := range [][]byte{[]byte("created"), []byte("changed"), nil, []byte("created again")} {
		mustSwap(t, b, "key", value, next, later())
		wantTick(t, ch, fmt.Sprintf("after %q became %q", value, next))
		wantValue(t, b, "key", next)
		value = next
	}
}

// A slow watcher must neither block the writers nor find a queue of ticks for
// changes that it has already seen.
func testWatchMerges(t *testing.T, b Backend) {
	ch := b.Watch(t.Context(), "key")
	wantTick(t, ch, "at the start")
	for range 10 {
		mustIncrement(t, b, "key")
	}
	settle(t, b)
	if n := ticks(ch); n != 1 {
		t.Errorf("%d ticks wait after 10 changes, want 1", n)
	}
	mustIncrement(t, b, "key")
	wantTick(t, ch, "after one more change")
}

func testWatchOthers(t *testing.T, b Backend) {
	ch := b.Watch(t.Context(), "key")
	wantTick(t, ch, "at the start")
	for _, other := range []string{"ke", "key2", "Key", "other"} {
		mustSwap(t, b, other, nil, []byte("v"), later())
	}
	settle(t, b)
	if n := ticks(ch); n != 0 {
		t.Errorf("%d ticks for changes of other keys, want none", n)
	}
}

func testWatchRefused(t *testing.T, b Backend) {
	mustSwap(t, b, "key", nil, []byte("v"), later())
	settle(t, b) // or its tick would come after the Watch
	ch := b.Watch(t.Context(), "key")
	wantTick(t, ch, "at the start")
	wantRefused(t, b, "key", nil, []byte("w"))
	settle(t, b)
	if n := ticks(ch); n != 0 {
		t.Errorf("%d ticks for a refused swap, want none", n)
	}
}

func testWatchEnd(t *testing.T, b Backend) {
	ctx, cancel := context.WithCancel(t.Context())
	ch := b.Watch(ctx, "key")
	stays := b.Watch(t.Context(), "key")
	wantTick(t, ch, "at the start")
	wantTick(t, stays, "at the start")
	cancel()
	wantClosed(t, ch)
	mustSwap(t, b, "key", nil, []byte("v"), later()) // does not send on the closed channel
	wantTick(t, stays, "after the other watcher left")

	wantClosed(t, b.Watch(ctx, "key")) // a context that has ended before
}

func testWatchMany(t *testing.T, b Backend) {
	const many = 100
	ctx, cancel := context.WithCancel(t.Context())
	var leave, stay []<-chan struct{}
	for range many {
		leave = append(leave, b.Watch(ctx, "key"))
		stay = append(stay, b.Watch(t.Context(), "key"))
	}
	for i := range many {
		wantTick(t, leave[i], "at the start")
		wantTick(t, stay[i], "at the start")
	}
	mustSwap(t, b, "key", nil, []byte("v"), later())
	for i := range many {
		wantTick(t, leave[i], "after a change")
		wantTick(t, stay[i], "after a change")
	}
	// Half of them leave during a write.
	var writer sync.WaitGroup
	writer.Go(func() {
		mustSwap(t, b, "key", []byte("v"), []byte("w"), later())
	})
	cancel()
	writer.Wait()
	for i := range many {
		wantClosed(t, leave[i])
		wantTick(t, stay[i], "after the others left")
	}
}

// Event streams open and close during writes. A send on a channel that was just
// closed would crash the program.
func testWatchChurn(t *testing.T, b Backend) {
	var streams, writer sync.WaitGroup
	for range 20 {
		streams.Go(func() {
			for range 20 {
				ctx, cancel := context.WithCancel(t.Context())
				ch := b.Watch(ctx, "key")
				<-ch
				cancel()
				for range ch { // until it is closed
				}
			}
		})
	}
	done := make(chan struct{})
	writer.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := increment(t.Context(), b, "key"); err != nil {
				t.Errorf("increment: %v", err)
				return
			}
		}
	})
	streams.Wait()
	close(done)
	writer.Wait()
}

func mustIncrement(t *testing.T, b Backend, key string) {
	t.Helper()
	if _, err := increment(t.Context(), b, key); err != nil {
		t.Fatalf("increment: %v", err)
	}
}

func wantTick(t *testing.T, ch <-chan struct{}, when string) {
	t.Helper()
	select {
	case _, ok := <-ch:
		if !ok {
			t.Fatalf("%s: the channel is closed, want a tick", when)
		}
	case <-time.After(timeout):
		t.Fatalf("%s: no tick", when)
	}
}

func wantClosed(t *testing.T, ch <-chan struct{}) {
	t.Helper()
	deadline := time.After(timeout)
	for {
		select {
		case _, ok := <-ch:
			if !ok {
				return
			}
		case <-deadline:
			t.Fatal("the channel is open, but its context has ended")
		}
	}
}

// settle returns when the ticks for all earlier changes have been sent. A
// backend sends ticks in the order of the changes, so the tick for a second
// change of another key comes after all of them.
func settle(t *testing.T, b Backend) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ch := b.Watch(ctx, "settle")
	wantTick(t, ch, "settle: at the start")
	for range 2 {
		mustIncrement(t, b, "settle")
		wantTick(t, ch, "settle: after a change")
	}
}

// ticks receives the ticks that wait in ch and counts them.
func ticks(ch <-chan struct{}) (n int) {
	for {
		select {
		case <-ch:
			n++
		default:
			return n
		}
	}
}
