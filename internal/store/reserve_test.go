package store

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	bolterrors "go.etcd.io/bbolt/errors"
)

// On a full disk nothing is added, and all that is there can be changed, by many
// at once, and deleted. Ping says so. When there is room, records are added again.
func TestFullDiskKeepsWhatIsThere(t *testing.T) {
	f := openFile(t, newPath(t))
	record := make([]byte, 3500) // about a session with its tokens
	add := func(name string, size int) bool {
		ok, err := swapOne(t.Context(), f, name, nil, make([]byte, size), later())
		if err != nil && !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		return ok
	}
	f.db.MaxSize = 1 << 20 // like a full disk, it refuses to grow the file
	n := 0
	for add(fmt.Sprint("session ", n), len(record)) {
		n++
	}
	for i := range 500 { // smaller ones would find room for longer
		if add(fmt.Sprint("limit ", i), 100) {
			t.Errorf("limit %d is added to a full disk", i)
		}
	}
	if n < 20 {
		t.Fatalf("%d records fit into a megabyte", n)
	}

	var failed atomic.Int32
	var people sync.WaitGroup
	for i := range n {
		people.Go(func() {
			key := fmt.Sprint("session ", i)
			tombstone := []byte("logged out")
			for _, step := range [][2][]byte{{record, tombstone}, {tombstone, nil}} {
				if ok, err := swapOne(t.Context(), f, key, step[0], step[1], later()); !ok {
					failed.Add(1)
					t.Logf("%s: %v", key, err)
				}
				add(fmt.Sprint("mark ", i), 100) // in the same batches
			}
		})
	}
	people.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d records could not be changed", failed.Load())
	}
	wantValue(t, f, "session 0", nil)
	if !add("session", len(record)) {
		t.Error("what was deleted makes no room")
	}
}

// In one batch with a record that cannot be added, a session still ends, and Ping
// says that the disk is full.
func TestRescue(t *testing.T) {
	f := openFile(t, newPath(t))
	f.db.MaxSize = 1 << 20
	mustSwap(t, f, "session", nil, []byte("v"), later())
	var err error
	for i := 0; err == nil; i++ {
		_, err = swapOne(t.Context(), f, fmt.Sprint("record ", i), nil, make([]byte, 8<<10), later())
	}
	ended, added := make(chan swapped, 1), make(chan swapped, 1)
	f.commit([]swap{ // as the writer does, which has nothing else to do
		{[]Write{{Key: "session", Old: []byte("v")}}, ended},
		{[]Write{{Key: "another", New: make([]byte, 8<<10), Until: later()}}, added},
	})
	if got := <-ended; !got.ok || got.err != nil {
		t.Errorf("the session ends: %t, %v; want true", got.ok, got.err)
	}
	if got := <-added; got.ok || !errors.Is(got.err, bolterrors.ErrMaxSizeReached) {
		t.Errorf("another record is added: %t, %v; want %v", got.ok, got.err, bolterrors.ErrMaxSizeReached)
	}
	if err := f.Ping(t.Context()); !errors.Is(err, bolterrors.ErrMaxSizeReached) {
		t.Errorf("Ping: %v, want %v", err, bolterrors.ErrMaxSizeReached)
	}
}
