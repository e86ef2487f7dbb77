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

// testBackend checks what every [Backend] promises. open returns an empty one,
// and closes it with the test. Time is real: a backend with a clock of its own
// must let it run along.
func testBackend(t *testing.T, open func(t *testing.T) Backend) {
	tests := []struct {
		name string
		test func(t *testing.T, b Backend)
	}{
		{"get a missing key", testGetMissing},
		{"swap", testSwap},
		{"an empty value exists", testEmpty},
		{"keys are separate", testKeysSeparate},
		{"values are copied", testCopies},
		{"values expire", testExpiry},
		{"values that have expired when written", testExpiredWrite},
		{"values that never expire", testForever},
		{"concurrent increments", testIncrements},
		{"concurrent creates and deletes", testOneWinner},
		{"several values", testSeveral},
		{"several values expire", testSeveralExpire},
		{"concurrent swaps of several values", testTransfers},
		{"watch: several values", testWatchSeveral},
		{"watch: start and changes", testWatch},
		{"watch: ticks are merged", testWatchMerges},
		{"watch: other keys", testWatchOthers},
		{"watch: refused swaps", testWatchRefused},
		{"watch: end", testWatchEnd},
		{"watch: many watchers", testWatchMany},
		{"watch: watchers come and go", testWatchChurn},
		{"ping", testPing},
		{"lookup key", testLookupKey},
		{"closed", testClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, open(t)) })
	}
}

func testGetMissing(t *testing.T, b Backend) {
	wantValue(t, b, "missing", nil)
}

func testSwap(t *testing.T, b Backend) {
	one, two, three := []byte("one"), []byte("two"), []byte("three")
	steps := []struct {
		name     string
		old, new []byte
		want     bool
		then     []byte // the value after it
	}{
		{"delete a missing value", one, nil, false, nil},
		{"change a missing value", one, two, false, nil},
		{"nothing to nothing", nil, nil, true, nil},
		{"create", nil, one, true, one},
		{"create an existing value", nil, two, false, one},
		{"change", one, two, true, two},
		{"change an earlier value", one, three, false, two},
		{"change the beginning of the value", []byte("tw"), three, false, two},
		{"change more than the value", []byte("two "), three, false, two},
		{"change to the same", two, two, true, two},
		{"delete an earlier value", one, nil, false, two},
		{"delete", two, nil, true, nil},
		{"delete again", two, nil, false, nil},
		{"create again", nil, three, true, three},
	}
	for _, s := range steps {
		got, err := swapOne(t.Context(), b, "key", s.old, s.new, later())
		if err != nil {
			t.Fatalf("%s: Swap(%q, %q): %v", s.name, s.old, s.new, err)
		}
		if got != s.want {
			t.Errorf("%s: Swap(%q, %q) = %t, want %t", s.name, s.old, s.new, got, s.want)
		}
		wantValue(t, b, "key", s.then)
	}
}

// An empty value must not be taken for a missing one, or a create would
// overwrite it.
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

func testKeysSeparate(t *testing.T, b Backend) {
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

// A value must not change with the slice that it was written from or read into,
// nor with later writes. It is as long as a sealed session, to fill pages of its
// own.
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
		t.Fatalf("after other writes, the value that Get returned is %q…, want 5000 times a", read[:10])
	}
	again := mustGet(t, b, "key")
	again[0] = 'Y'
	wantValue(t, b, "key", value("e"))
}

func testExpiry(t *testing.T, b Backend) {
	until := time.Now().Add(50 * time.Millisecond)
	mustSwap(t, b, "key", nil, []byte("old"), until)
	mustSwap(t, b, "extended", nil, []byte("v"), until)
	for extended := false; !extended; {
		var err error
		if extended, err = swapOne(t.Context(), b, "extended", mustGet(t, b, "extended"), []byte("v"), later()); err != nil {
			t.Fatalf("Swap: %v", err)
		}
	}
	if got := mustGet(t, b, "key"); got == nil && time.Now().Before(until) {
		t.Error("the value expired too early")
	}
	for mustGet(t, b, "key") != nil {
		if time.Since(until) > timeout {
			t.Fatalf("the value still exists %v after it should have expired", timeout)
		}
		time.Sleep(time.Millisecond)
	}
	wantRefused(t, b, "key", []byte("old"), []byte("revived"))
	wantValue(t, b, "key", nil)
	mustSwap(t, b, "key", nil, []byte("new"), later())
	wantValue(t, b, "key", []byte("new"))
	wantValue(t, b, "extended", []byte("v"))
}

func testExpiredWrite(t *testing.T, b Backend) {
	for _, past := range []time.Time{time.Now().Add(-time.Hour), {}} {
		mustSwap(t, b, "key", nil, []byte("v"), past)
		wantValue(t, b, "key", nil)
		mustSwap(t, b, "key", nil, []byte("v"), later())
		wantValue(t, b, "key", []byte("v"))
		mustSwap(t, b, "key", []byte("v"), []byte("w"), past)
		wantValue(t, b, "key", nil)
	}
}

// A date that overflows would have expired at once.
func testForever(t *testing.T, b Backend) {
	mustSwap(t, b, "key", nil, []byte("v"), forever)
	wantValue(t, b, "key", []byte("v"))
}

// Leases, claims and wrong guesses are all counted with nothing but Swap: none
// may be lost.
func testIncrements(t *testing.T, b Backend) {
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

// testOneWinner has many callers create one value, and then delete it.
func testOneWinner(t *testing.T, b Backend) {
	const callers = 64
	swapAll := func(old []byte, new func(i int) []byte) (winners []int) {
		var mu sync.Mutex
		for _, err := range errorsOf(callers, func(i int) error {
			ok, err := swapOne(t.Context(), b, "key", old, new(i), later())
			if ok {
				mu.Lock()
				defer mu.Unlock()
				winners = append(winners, i)
			}
			return err
		}) {
			if err != nil {
				t.Errorf("Swap: %v", err)
			}
		}
		return winners
	}
	value := func(i int) []byte { return fmt.Append(nil, "caller ", i) }
	created := swapAll(nil, value)
	if len(created) != 1 {
		t.Fatalf("%d callers created the value, want 1", len(created))
	}
	wantValue(t, b, "key", value(created[0]))
	if deleted := swapAll(value(created[0]), func(int) []byte { return nil }); len(deleted) != 1 {
		t.Errorf("%d callers deleted the value, want 1", len(deleted))
	}
}

// Health checks are open to everyone: pings, many at once, must neither fail
// nor touch a value.
func testPing(t *testing.T, b Backend) {
	mustSwap(t, b, "key", nil, []byte("v"), later())
	for _, err := range errorsOf(100, func(int) error { return b.Ping(t.Context()) }) {
		if err != nil {
			t.Fatalf("Ping: %v", err)
		}
	}
	wantValue(t, b, "key", []byte("v"))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 10 {
		if err := b.Ping(ended); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Ping whose context has ended: %v, want %v", err, context.Canceled)
		}
	}
}

func testClosed(t *testing.T, b Backend) {
	mustSwap(t, b, "key", nil, []byte("v"), later())
	if err := b.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if got, err := b.Get(t.Context(), "key"); !errors.Is(err, ErrClosed) {
		t.Errorf("Get after Close = %q, %v; want %v", got, err, ErrClosed)
	}
	if ok, err := swapOne(t.Context(), b, "key", []byte("v"), []byte("w"), later()); !errors.Is(err, ErrClosed) {
		t.Errorf("Swap after Close = %t, %v; want %v", ok, err, ErrClosed)
	}
	if err := b.Ping(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("Ping after Close: %v, want %v", err, ErrClosed)
	}
}
