package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come. Only a failing one
// waits that long.
const patience = 5 * time.Second

// testBackend is what every [Backend] promises. open returns an empty one,
// and closes it with the test. The time is the real one: a backend with a
// clock of its own must let it run along.
func testBackend(t *testing.T, open func(t *testing.T) Backend) {
	tests := []struct {
		name string
		test func(t *testing.T, b Backend)
	}{
		{"get of nothing", testGetNothing},
		{"swap", testSwap},
		{"empty is not absent", testEmpty},
		{"keys are apart", testKeysApart},
		{"bytes are copied", testCopies},
		{"forgotten in time", testForgotten},
		{"written past its time", testBornForgotten},
		{"one counter, many writers", testCounter},
		{"one place, many takers", testTakers},
		{"watch: start and change", testWatch},
		{"watch: ticks are merged", testWatchMerges},
		{"watch: other keys", testWatchOthers},
		{"watch: refused swaps", testWatchRefused},
		{"watch: end", testWatchEnd},
		{"watch: many", testWatchMany},
		{"watch: coming and going", testWatchChurn},
		{"closed", testClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

func testGetNothing(t *testing.T, b Backend) {
	wantValue(t, b, "nothing", nil)
}

func testSwap(t *testing.T, b Backend) {
	one, two, three := []byte("one"), []byte("two"), []byte("three")
	steps := []struct {
		name     string
		old, new []byte
		want     bool
		then     []byte // the value after it
	}{
		{"delete what is not there", one, nil, false, nil},
		{"change what is not there", one, two, false, nil},
		{"nothing to nothing", nil, nil, true, nil},
		{"nothing to value", nil, one, true, one},
		{"nothing to value, once more", nil, two, false, one},
		{"value to value", one, two, true, two},
		{"a value that was", one, three, false, two},
		{"the beginning of the value", []byte("tw"), three, false, two},
		{"more than the value", []byte("two "), three, false, two},
		{"value to the same", two, two, true, two},
		{"delete a value that was", one, nil, false, two},
		{"delete", two, nil, true, nil},
		{"delete once more", two, nil, false, nil},
		{"nothing to value again", nil, three, true, three},
	}
	for _, s := range steps {
		got, err := b.Swap(t.Context(), "key", s.old, s.new, later())
		if err != nil {
			t.Fatalf("%s: Swap(%q, %q): %v", s.name, s.old, s.new, err)
		}
		if got != s.want {
			t.Errorf("%s: Swap(%q, %q) = %t, want %t", s.name, s.old, s.new, got, s.want)
		}
		wantValue(t, b, "key", s.then)
	}
}

// testEmpty guards the difference between a value of no bytes and no value:
// whoever takes one for the other creates over a record or deletes it.
func testEmpty(t *testing.T, b Backend) {
	empty := []byte{}
	mustSwap(t, b, "key", nil, empty, later())
	wantValue(t, b, "key", empty)
	wantRefused(t, b, "key", nil, []byte("x"))
	wantValue(t, b, "key", empty)
	mustSwap(t, b, "key", empty, nil, time.Time{})
	wantValue(t, b, "key", nil)
	wantRefused(t, b, "key", empty, []byte("x"))
	wantValue(t, b, "key", nil)
}

func testKeysApart(t *testing.T, b Backend) {
	keys := []string{"a", "b", "aa", "a:b", "a\x00b", "ä"}
	for _, key := range keys {
		mustSwap(t, b, key, nil, []byte("value of "+key), later())
	}
	mustSwap(t, b, "b", []byte("value of b"), nil, time.Time{})
	for _, key := range keys {
		if key == "b" {
			wantValue(t, b, key, nil)
		} else {
			wantValue(t, b, key, []byte("value of "+key))
		}
	}
}

// testCopies guards against a value that changes with the slice it was
// written from or read into, or with what is written later. It is as long as a
// sealed session, so that it fills pages of its own.
func testCopies(t *testing.T, b Backend) {
	value := func(letter string) []byte { return []byte(strings.Repeat(letter, 5000)) }
	written := value("a")
	mustSwap(t, b, "key", nil, written, later())
	written[0] = 'X'
	read := mustGet(t, b, "key")
	for _, step := range []string{"ab", "bc", "cd", "de"} {
		mustSwap(t, b, "key", value(step[:1]), value(step[1:]), later())
	}
	if !bytes.Equal(read, value("a")) {
		t.Fatalf("after other writes, what Get had returned is %q…, want 5000 times a", read[:10])
	}
	again := mustGet(t, b, "key")
	again[0] = 'Y'
	wantValue(t, b, "key", value("e"))
}

func testForgotten(t *testing.T, b Backend) {
	until := time.Now().Add(50 * time.Millisecond)
	mustSwap(t, b, "key", nil, []byte("old"), until)
	mustSwap(t, b, "stays", nil, []byte("v"), until)
	for extended := false; !extended; {
		var err error
		if extended, err = b.Swap(t.Context(), "stays", mustGet(t, b, "stays"), []byte("v"), later()); err != nil {
			t.Fatalf("Swap: %v", err)
		}
	}
	if got := mustGet(t, b, "key"); got == nil && time.Now().Before(until) {
		t.Error("the value is gone before its time")
	}
	for mustGet(t, b, "key") != nil {
		if time.Since(until) > patience {
			t.Fatalf("the value is still there %v past its time", patience)
		}
		time.Sleep(time.Millisecond)
	}
	wantRefused(t, b, "key", []byte("old"), []byte("revived"))
	wantValue(t, b, "key", nil)
	mustSwap(t, b, "key", nil, []byte("new"), later())
	wantValue(t, b, "key", []byte("new"))
	wantValue(t, b, "stays", []byte("v"))
}

func testBornForgotten(t *testing.T, b Backend) {
	past := time.Now().Add(-time.Hour)
	mustSwap(t, b, "key", nil, []byte("v"), past)
	wantValue(t, b, "key", nil)
	mustSwap(t, b, "key", nil, []byte("v"), later())
	wantValue(t, b, "key", []byte("v"))
	mustSwap(t, b, "key", []byte("v"), []byte("w"), past)
	wantValue(t, b, "key", nil)
}

// testCounter guards the whole of the program against lost updates: leases,
// claims and wrong guesses are all counted with nothing but Swap.
func testCounter(t *testing.T, b Backend) {
	const writers, each = 64, 3
	var (
		wg   sync.WaitGroup
		mu   sync.Mutex
		seen = make(map[int]int) // how often each number was written
	)
	for range writers {
		wg.Go(func() {
			for range each {
				n, err := increment(t.Context(), b, "counter")
				if err != nil {
					t.Errorf("increment: %v", err)
					return
				}
				mu.Lock()
				seen[n]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	wantValue(t, b, "counter", []byte(strconv.Itoa(writers*each)))
	for n := 1; n <= writers*each; n++ {
		if seen[n] != 1 {
			t.Errorf("the counter became %d %d times, want once", n, seen[n])
		}
	}
}

// increment adds one to the number at key and returns what it made of it.
func increment(ctx context.Context, b Backend, key string) (int, error) {
	for {
		old, err := b.Get(ctx, key)
		if err != nil {
			return 0, err
		}
		n, _ := strconv.Atoi(string(old)) // nothing is 0
		ok, err := b.Swap(ctx, key, old, []byte(strconv.Itoa(n+1)), later())
		if err != nil {
			return 0, err
		}
		if ok {
			return n + 1, nil
		}
	}
}

// testTakers has many take one free place, and then many delete one value.
func testTakers(t *testing.T, b Backend) {
	const takers = 64
	var wg sync.WaitGroup
	won := make(chan string, takers)
	for i := range takers {
		wg.Go(func() {
			name := fmt.Sprint("taker ", i)
			ok, err := b.Swap(t.Context(), "place", nil, []byte(name), later())
			if err != nil {
				t.Errorf("Swap: %v", err)
			}
			if ok {
				won <- name
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Fatalf("%d takers were told that they have the place, want 1", len(won))
	}
	value := []byte(<-won)
	wantValue(t, b, "place", value)
	for range takers {
		wg.Go(func() {
			ok, err := b.Swap(t.Context(), "place", value, nil, time.Time{})
			if err != nil {
				t.Errorf("Swap: %v", err)
			}
			if ok {
				won <- ""
			}
		})
	}
	wg.Wait()
	if len(won) != 1 {
		t.Errorf("%d were told that they deleted the value, want 1", len(won))
	}
}

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

// testWatchMerges guards against a watcher that falls behind: it must neither
// block the writers nor work off a queue of news that are none any more.
func testWatchMerges(t *testing.T, b Backend) {
	ch := b.Watch(t.Context(), "key")
	wantTick(t, ch, "at the start")
	for range 10 {
		if _, err := increment(t.Context(), b, "key"); err != nil {
			t.Fatalf("increment: %v", err)
		}
	}
	settle(t, b)
	if n := ticks(ch); n != 1 {
		t.Errorf("%d ticks wait after 10 changes, want 1", n)
	}
	if _, err := increment(t.Context(), b, "key"); err != nil {
		t.Fatalf("increment: %v", err)
	}
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
	ch := b.Watch(t.Context(), "key")
	wantTick(t, ch, "at the start")
	wantRefused(t, b, "key", nil, []byte("w"))
	settle(t, b)
	if n := ticks(ch); n != 0 {
		t.Errorf("%d ticks for a swap that was refused, want none", n)
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
	mustSwap(t, b, "key", nil, []byte("v"), later()) // and nobody sends on a closed channel
	wantTick(t, stays, "after the other watcher left")

	wantClosed(t, b.Watch(ctx, "key")) // it had ended before
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
	// Half of them leave while somebody writes.
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

// testWatchChurn has event streams open and close while somebody writes: a
// send to one that leaves would take the whole program down.
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

func testClosed(t *testing.T, b Backend) {
	mustSwap(t, b, "key", nil, []byte("v"), later())
	if err := b.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if got, err := b.Get(t.Context(), "key"); !errors.Is(err, ErrClosed) {
		t.Errorf("Get after Close = %q, %v; want %v", got, err, ErrClosed)
	}
	if ok, err := b.Swap(t.Context(), "key", []byte("v"), []byte("w"), later()); !errors.Is(err, ErrClosed) {
		t.Errorf("Swap after Close = %t, %v; want %v", ok, err, ErrClosed)
	}
}

func later() time.Time { return time.Now().Add(time.Hour) }

func mustGet(t testing.TB, b Backend, key string) []byte {
	t.Helper()
	value, err := b.Get(t.Context(), key)
	if err != nil {
		t.Fatalf("Get(%q): %v", key, err)
	}
	return value
}

func mustSwap(t testing.TB, b Backend, key string, old, new []byte, until time.Time) {
	t.Helper()
	ok, err := b.Swap(t.Context(), key, old, new, until)
	if err != nil || !ok {
		t.Errorf("Swap(%q, %q, %q) = %t, %v; want true", key, old, new, ok, err)
	}
}

func wantRefused(t *testing.T, b Backend, key string, old, new []byte) {
	t.Helper()
	ok, err := b.Swap(t.Context(), key, old, new, later())
	if err != nil || ok {
		t.Errorf("Swap(%q, %q, %q) = %t, %v; want false", key, old, new, ok, err)
	}
}

// wantValue tells nil, no value, from a value without bytes.
func wantValue(t *testing.T, b Backend, key string, want []byte) {
	t.Helper()
	got := mustGet(t, b, key)
	if (got == nil) != (want == nil) || !bytes.Equal(got, want) {
		t.Errorf("Get(%q) = %#v (%q), want %#v (%q)", key, got, got, want, want)
	}
}

func wantTick(t *testing.T, ch <-chan struct{}, when string) {
	t.Helper()
	select {
	case _, ok := <-ch:
		if !ok {
			t.Fatalf("%s: the channel is closed, want a tick", when)
		}
	case <-time.After(patience):
		t.Fatalf("%s: no tick", when)
	}
}

func wantClosed(t *testing.T, ch <-chan struct{}) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case _, ok := <-ch:
			if !ok {
				return
			}
		case <-deadline:
			t.Fatal("the channel is not closed though its context has ended")
		}
	}
}

// settle returns when the news of all earlier changes have reached their
// watchers. A backend tells of changes in their order, so the news of a second
// change of another key come after all that belongs to the first.
func settle(t *testing.T, b Backend) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ch := b.Watch(ctx, "settle")
	wantTick(t, ch, "settle: at the start")
	for range 2 {
		if _, err := increment(ctx, b, "settle"); err != nil {
			t.Fatalf("settle: %v", err)
		}
		wantTick(t, ch, "settle: after a change")
	}
}

// ticks takes the ticks that wait in ch and counts them.
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
