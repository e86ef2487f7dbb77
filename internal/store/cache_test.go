package store

import (
	"fmt"
	"strings"
	"sync"
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

// A change works on its own copy, so readers see nothing of one that fails.
func TestChangeLeavesReadersAlone(t *testing.T) {
	s := mustNew(t, openFile(t, newPath(t)), newKey)
	table := NewTable[listed](s, "lists")
	if err := table.CreateAs(t.Context(), "id", listed{[]string{"a", "b"}}); err != nil {
		t.Fatal(err)
	}
	before, err := table.Get(t.Context(), "id")
	if err != nil {
		t.Fatal(err)
	}
	fault := fmt.Errorf("refused")
	if _, err := table.Update(t.Context(), "id", func(l *listed) error {
		l.Names[0] = "changed"
		return fault
	}); err != fault {
		t.Errorf("Update: %v", err)
	}
	after, err := table.Get(t.Context(), "id")
	if err != nil || before.Names[0] != "a" || after.Names[0] != "a" {
		t.Errorf("a refused change is seen: %v, %v, %v", before, after, err)
	}
}

type listed struct{ Names []string }

func (listed) KeepUntil() time.Time { return later() }

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
