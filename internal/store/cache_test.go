package store

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A replica that has read a record sees what another replica does to it: a change, a
// deletion, and a new record under the same name.
func TestCacheIsNeverBehind(t *testing.T) {
	backend := openFile(t, newPath(t))
	one, two := newNotes(t, backend, "notes"), newNotes(t, backend, "notes")
	id := mustCreate(t, one, "first")
	for i := range 5 {
		mustUpdate(t, one, id, func(n *note) { n.Count++ })
		for range 2 {
			if n, err := two.Get(t.Context(), id); err != nil || n.Count != i+1 {
				t.Fatalf("after %d changes, Get = %+v, %v", i+1, n, err)
			}
		}
	}
	if _, err := one.Delete(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	wantNoNote(t, two, id)
	if err := one.CreateAs(t.Context(), id, note{Text: "second", Until: later()}); err != nil {
		t.Fatal(err)
	}
	if n, err := two.Get(t.Context(), id); err != nil || n.Text != "second" {
		t.Errorf("Get = %+v, %v; want the second record", n, err)
	}
}

// A cached record is not returned in place of another, nor after its bytes were
// damaged.
func TestCacheChecksBytes(t *testing.T) {
	backend := openFile(t, newPath(t))
	table := newNotes(t, backend, "notes")
	one, two := mustCreate(t, table, "one"), mustCreate(t, table, "two")
	for _, id := range []string{one, two} {
		if _, err := table.Get(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	stored := mustGet(t, backend, table.key(one))
	mustSwap(t, backend, table.key(two), mustGet(t, backend, table.key(two)), stored, later())
	wantNoNote(t, table, two)
	damaged := append([]byte(nil), stored...)
	damaged[len(damaged)-1]++
	mustSwap(t, backend, table.key(one), stored, damaged, later())
	wantNoNote(t, table, one)
}

// A change works on its own copy, so readers see nothing of one that fails, whether the
// record was cached before or by the change itself. Neither does what a caller does
// with a result of Update or Delete.
func TestChangeLeavesReadersAlone(t *testing.T) {
	t.Run("slices", func(t *testing.T) {
		testChangeLeavesReadersAlone(t, listed{[]string{"a", "b"}, nested{[]int{1, 2}}}, func(l *listed) {
			l.Names[0] = "changed"
			l.Nested.Numbers = append(l.Nested.Numbers[:1], 3) // within the capacity
		})
	})
	t.Run("map", func(t *testing.T) {
		testChangeLeavesReadersAlone(t, mapped{map[string]int{"a": 1}}, func(m *mapped) { m.Ages["a"] = 2 })
	})
}

func testChangeLeavesReadersAlone[T Record](t *testing.T, record T, spoil func(*T)) {
	s := mustNew(t, openFile(t, newPath(t)), newKey)
	fault := errors.New("refused")
	for _, cached := range []bool{true, false} {
		table := NewTable[T](s, fmt.Sprint("cached: ", cached))
		if err := table.CreateAs(t.Context(), "id", record); err != nil {
			t.Fatal(err)
		}
		var before T
		var err error
		if cached {
			if before, err = table.Get(t.Context(), "id"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := table.Update(t.Context(), "id", func(r *T) error { spoil(r); return fault }); err != fault {
			t.Errorf("Update: %v", err)
		}
		after, err := table.Get(t.Context(), "id")
		if cached && !reflect.DeepEqual(before, record) || err != nil || !reflect.DeepEqual(after, record) {
			t.Errorf("cached: %t. A refused change is seen: %v, %v, %v", cached, before, after, err)
		}

		updated, err := table.Update(t.Context(), "id", func(*T) error { return nil })
		spoil(&updated)
		again, errAgain := table.Get(t.Context(), "id")
		deleted, errDelete := table.Delete(t.Context(), "id")
		spoil(&deleted)
		if err := errors.Join(err, errAgain, errDelete); err != nil || !reflect.DeepEqual(again, record) {
			t.Errorf("cached: %t. A change of a result is seen: %v, %v, %v", cached, after, again, err)
		}
	}
}

type listed struct {
	Names  []string
	Nested nested
}

type nested struct{ Numbers []int }

func (listed) KeepUntil() time.Time { return later() }

type mapped struct{ Ages map[string]int }

func (mapped) KeepUntil() time.Time { return later() }

// Records that a copy would share are not kept.
func TestCacheKeepsWhatItCanCopy(t *testing.T) {
	wantKept(t, true, struct {
		Time  time.Time
		Slice []struct{ Time time.Time }
		Inner struct{ Slice, Nil []string }
	}{Slice: make([]struct{ Time time.Time }, 2), Inner: struct{ Slice, Nil []string }{Slice: []string{}}})
	wantKept(t, false, struct{ Pointer *int }{})
	wantKept(t, false, struct{ Map map[string]int }{})
	wantKept(t, false, struct{ Any any }{})
	wantKept(t, false, struct{ Slices [][]int }{})
	wantKept(t, false, struct{ Array [1][]int }{})
	wantKept(t, false, struct{ Slice []struct{ Pointer *int } }{})
	wantKept(t, false, struct{ nested }{})
	wantKept(t, false, new(note))
}

func wantKept[T any](t *testing.T, want bool, record T) {
	t.Helper()
	c := newCache[T]()
	c.put("key", []byte("v"), record)
	if _, kept := c.get("key", []byte("v")); kept != want {
		t.Errorf("a %T is kept: %t, want %t", record, kept, want)
	}
	if copied := c.copy(record); !reflect.DeepEqual(copied, record) {
		t.Errorf("the copy is %#v, want %#v", copied, record)
	}
}

// A record is decoded only for its first reader. Later readers and changes use the
// decoded one.
func TestRecordsAreDecodedOnce(t *testing.T) {
	s := mustNew(t, openFile(t, newPath(t)), newKey)
	for _, first := range []string{"Get", "Update", "Atomically"} {
		table := NewTable[decoding](s, "first "+first)
		if err := table.CreateAs(t.Context(), "id", decoding{}); err != nil {
			t.Fatal(err)
		}
		read := map[string]func() error{
			"Get": func() error { _, err := table.Get(t.Context(), "id"); return err },
			"Update": func() error {
				_, err := table.Update(t.Context(), "id", func(*decoding) error { return nil })
				return err
			},
			"Atomically": func() error {
				return s.Atomically(t.Context(), func(ctx context.Context) error { _, err := table.Get(ctx, "id"); return err })
			},
		}
		before := decodings.Load()
		err := read[first]()
		for _, again := range read {
			err = errors.Join(err, again())
		}
		_, errDelete := table.Delete(t.Context(), "id")
		if n := decodings.Load() - before; n != 1 || err != nil || errDelete != nil {
			t.Errorf("first %s: %v, %v after %d decodings; want 1", first, err, errDelete, n)
		}
	}
}

// decoding is a record that counts how often it is decoded.
type decoding struct{}

var decodings atomic.Int64

func (*decoding) UnmarshalJSON([]byte) error { decodings.Add(1); return nil }

func (decoding) KeepUntil() time.Time { return later() }

// The cache stays within its bounds when many goroutines read many records, and keeps
// a record that is used all the time.
func TestCacheIsBounded(t *testing.T) {
	for name, size := range map[string]int{"by count": 10, "by bytes": 100 << 10} {
		t.Run(name, func(t *testing.T) {
			var c cache[string]
			c.put("used", []byte("v"), "used")
			var readers sync.WaitGroup
			for r := range 4 {
				readers.Go(func() {
					for i := range 3 * cacheRecords {
						key := fmt.Sprint(r, " ", i)
						c.put(key, []byte(strings.Repeat("x", size)), key)
						if got, ok := c.get("used", []byte("v")); ok && got != "used" {
							t.Errorf("get = %q", got)
						}
					}
				})
			}
			readers.Wait()
			records, bytes := 0, 0
			for _, generation := range []map[string]decoded[string]{c.young, c.old} {
				records += len(generation)
				for _, d := range generation {
					bytes += len(d.stored)
				}
			}
			if records > 2*cacheRecords || bytes > 2*(cacheBytes+size) {
				t.Errorf("it holds %d records with %d bytes", records, bytes)
			}
			if _, ok := c.get("used", []byte("v")); !ok {
				t.Error("what is used all the time is not in it")
			}
		})
	}
}
