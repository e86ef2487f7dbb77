package store

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"
)

// All or nothing: one value that has changed, exists, or is missing prevents all the
// other changes, at any position among them.
func testSeveral(t *testing.T, b Backend) {
	create := func(key, value string) Write { return Write{Key: key, New: []byte(value), Until: later()} }
	change := func(key, from, to string) Write {
		return Write{Key: key, Old: []byte(from), New: []byte(to), Until: later()}
	}
	keep := func(key, value string) Write { return Write{Key: key, Old: []byte(value), Keep: true} }
	absent := func(key string) Write { return Write{Key: key, Keep: true} }
	swap := func(name string, want bool, writes ...Write) {
		t.Helper()
		if ok, err := b.Swap(t.Context(), writes...); ok != want || err != nil {
			t.Fatalf("%s: Swap = %t, %v; want %t", name, ok, err, want)
		}
	}
	swap("create two", true, create("a", "1"), create("b", "1"))
	losers := map[string]Write{
		"a changed value": change("b", "0", "2"), "a missing value": change("c", "0", "2"), "an existing value": create("b", "2"),
		"a kept value that has changed": keep("b", "0"), "a kept value that is missing": keep("c", "1"), "a value that shall be absent": absent("b"),
	}
	for name, loser := range losers {
		swap(name+", last", false, change("a", "1", "2"), create("d", "2"), loser)
		swap(name+", first", false, loser, change("a", "1", "2"), create("d", "2"))
		swap(name+", with a deletion", false, Write{Key: "a", Old: []byte("1")}, loser)
	}
	for key, value := range map[string]string{"a": "1", "b": "1"} {
		wantValue(t, b, key, []byte(value))
	}
	wantValue(t, b, "d", nil)

	swap("change, delete, create, keep", true, change("a", "1", "2"), Write{Key: "b", Old: []byte("1")}, create("c", "1"), absent("d"))
	swap("keep", true, create("e", "1"), keep("a", "2"), keep("c", "1"))
	for key, value := range map[string]string{"a": "2", "c": "1", "e": "1"} {
		wantValue(t, b, key, []byte(value))
	}
	wantValue(t, b, "b", nil)
	wantValue(t, b, "d", nil)
}

// Each value has an expiry of its own. A kept one keeps it.
func testSeveralExpire(t *testing.T, b Backend) {
	soon := time.Now().Add(100 * time.Millisecond)
	mustSwap(t, b, "kept", nil, []byte("v"), soon)
	ok, err := b.Swap(t.Context(), Write{Key: "short", New: []byte("v"), Until: soon}, Write{Key: "long", New: []byte("v"), Until: later()},
		Write{Key: "never", New: []byte("v"), Until: forever}, Write{Key: "kept", Old: []byte("v"), Keep: true, Until: later()})
	if !ok || err != nil {
		t.Fatalf("Swap = %t, %v", ok, err)
	}
	for _, key := range []string{"short", "kept"} {
		for deadline := time.Now().Add(timeout); mustGet(t, b, key) != nil; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%q does not expire", key)
			}
		}
	}
	wantValue(t, b, "long", []byte("v"))
	wantValue(t, b, "never", []byte("v"))
}

// testTransfers has many writers move units between accounts, whose sum must stay
// the same. The sets of accounts overlap, in different orders.
func testTransfers(t *testing.T, b Backend) {
	const accounts, writers, each = 4, 16, 20
	for i := range accounts {
		mustSwap(t, b, strconv.Itoa(i), nil, []byte("100"), later())
	}
	ch := b.Watch(t.Context(), "0")
	move := func(from, to, kept string) (bool, error) {
		write := func(key string, n int) (Write, error) {
			old, err := b.Get(t.Context(), key)
			balance, _ := strconv.Atoi(string(old))
			return Write{Key: key, Old: old, New: strconv.AppendInt(nil, int64(balance+n), 10), Until: later(), Keep: n == 0}, err
		}
		a, err := write(from, -1)
		if err != nil {
			return false, err
		}
		z, err := write(to, 1)
		if err != nil {
			return false, err
		}
		k, err := write(kept, 0)
		if err != nil {
			return false, err
		}
		return b.Swap(t.Context(), a, z, k)
	}
	for i, err := range errorsOf(writers, func(int) error {
		for done := 0; done < each; {
			p := rand.Perm(accounts)
			ok, err := move(strconv.Itoa(p[0]), strconv.Itoa(p[1]), strconv.Itoa(p[2]))
			if err != nil {
				return err
			}
			if ok {
				done++
			}
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("writer %d: %v", i, err)
		}
	}
	sum := 0
	for i := range accounts {
		n, _ := strconv.Atoi(string(mustGet(t, b, strconv.Itoa(i))))
		sum += n
	}
	if sum != 100*accounts {
		t.Errorf("the sum is %d, want %d", sum, 100*accounts)
	}
	wantTick(t, ch, "after the transfers")
}

// Each key that was written ticks, and one that was only compared does not.
func testWatchSeveral(t *testing.T, b Backend) {
	mustSwap(t, b, "kept", nil, []byte("v"), later())
	settle(t, b)
	one, two, kept := b.Watch(t.Context(), "one"), b.Watch(t.Context(), "two"), b.Watch(t.Context(), "kept")
	wantTick(t, one, "at the start")
	wantTick(t, two, "at the start")
	wantTick(t, kept, "at the start")
	writes := []Write{
		{Key: "one", New: []byte("v"), Until: later()}, {Key: "two", New: []byte("v"), Until: later()}, {Key: "kept", Old: []byte("v"), Keep: true},
	}
	if ok, err := b.Swap(t.Context(), writes...); !ok || err != nil {
		t.Fatalf("Swap = %t, %v", ok, err)
	}
	wantTick(t, one, "after the swap")
	wantTick(t, two, "after the swap")
	if ok, err := b.Swap(t.Context(), writes...); ok || err != nil {
		t.Fatalf("second Swap = %t, %v; want false", ok, err)
	}
	settle(t, b)
	if n := ticks(kept); n != 0 {
		t.Errorf("%d ticks for a key that was only compared", n)
	}
	if n := ticks(one) + ticks(two); n != 0 {
		t.Errorf("%d ticks for a refused swap, want none", n)
	}
}
