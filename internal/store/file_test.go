package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"

	"changebank/internal/testneed"
)

func TestFile(t *testing.T) {
	testBackend(t, func(t *testing.T) Backend { return openFile(t, newPath(t)) })
}

func TestFileSurvivesRestart(t *testing.T) {
	path := newPath(t)
	f := openFile(t, path)
	mustSwap(t, f, "kept", nil, []byte("v"), later())
	mustSwap(t, f, "deleted", nil, []byte("v"), later())
	mustSwap(t, f, "deleted", []byte("v"), nil, time.Time{})
	closeFile(t, f)
	f = openFile(t, path)
	wantValue(t, f, "kept", []byte("v"))
	wantValue(t, f, "deleted", nil)
}

// A change that Swap has reported is in the file, not only in the memory of a
// process that may be killed. The copy is what the next process would find.
func TestFileSurvivesKill(t *testing.T) {
	path := newPath(t)
	f := openFile(t, path)
	if f.db.NoSync { // no test in this process could see that
		t.Error("the file is not synced: a power failure loses what was reported")
	}
	var value []byte
	for i := range 5 {
		next := fmt.Append(nil, "value ", i)
		mustSwap(t, f, "key", value, next, later())
		value = next
		copied := newPath(t)
		mustWrite(t, copied, mustRead(t, path))
		wantValue(t, openFile(t, copied), "key", value)
	}
}

// A write during Close is either reported and durable, or refused with
// ErrClosed. None waits forever.
func TestFileCloseUnderLoad(t *testing.T) {
	for range 10 {
		path := newPath(t)
		reported := closeUnderLoad(t, openFile(t, path))
		f := openFile(t, path)
		for _, key := range reported {
			wantValue(t, f, key, []byte(key))
		}
		if t.Failed() {
			return
		}
	}
}

// closeUnderLoad closes f during many writes, and returns the keys that were
// reported as written.
func closeUnderLoad(t *testing.T, f *File) (reported []string) {
	t.Helper()
	var (
		wg sync.WaitGroup
		mu sync.Mutex
	)
	busy := make(chan struct{})
	for i := range 16 {
		wg.Go(func() {
			for n := 0; ; n++ {
				key := fmt.Sprintf("%d/%d", i, n)
				ok, err := swapOne(t.Context(), f, key, nil, []byte(key), later())
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil || !ok {
					t.Errorf("Swap: %t, %v; want true or %v", ok, err, ErrClosed)
					return
				}
				mu.Lock()
				if reported = append(reported, key); len(reported) == 30 {
					close(busy)
				}
				mu.Unlock()
			}
		})
	}
	select {
	case <-busy:
	case <-time.After(timeout):
		t.Error("there were fewer than 30 writes")
	}
	closeFile(t, f)
	wg.Wait()
	return reported
}

func TestFileCloseTwice(t *testing.T) {
	f := openFile(t, newPath(t))
	closeFile(t, f)
	if err := f.Close(); err != nil && !errors.Is(err, ErrClosed) {
		t.Errorf("second Close: %v, want nil or %v", err, ErrClosed)
	}
}

// Two processes that write one file would lose each other's records.
func TestFileLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the time that a lock is waited for passes at once
		path := newPath(t)
		f := openFile(t, path)
		if second, err := OpenFile(path); !errors.Is(err, ErrLocked) {
			t.Errorf("OpenFile of an open file = %v, %v; want %v", second, err, ErrLocked)
		}
		mustSwap(t, f, "key", nil, []byte("v"), later())
		closeFile(t, f)
		wantValue(t, openFile(t, path), "key", []byte("v"))
	})
}

// The lock must not be on the file itself: compaction replaces that, and a
// second process then gets the lock of a file that is deleted or new.
func TestFileLockedThoughReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := newPath(t)
		openFile(t, path)
		if err := os.Rename(path, path+".moved"); err != nil {
			t.Fatal(err)
		}
		if second, err := OpenFile(path); !errors.Is(err, ErrLocked) {
			t.Errorf("OpenFile of a replaced file = %v, %v; want %v", second, err, ErrLocked)
		}
	})
}

// Another program that opens the file as bbolt does, such as its own tool, is
// noticed as well.
func TestFileLockedByBolt(t *testing.T) {
	path := newPath(t)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	synctest.Test(t, func(t *testing.T) {
		if f, err := OpenFile(path); !errors.Is(err, ErrLocked) {
			t.Errorf("OpenFile of a file that bbolt has open = %v, %v; want %v", f, err, ErrLocked)
		}
	})
}

func TestFileOpenErrors(t *testing.T) {
	dir := t.TempDir()
	text, folder := filepath.Join(dir, "text"), filepath.Join(dir, "folder")
	mustWrite(t, text, []byte("This is no database.\n"))
	mustMkdir(t, folder)
	for path, damaged := range map[string]bool{
		text:                                   true,
		folder:                                 false,
		filepath.Join(dir, "missing", "store"): false,
	} {
		for range 2 { // the first attempt must not leave a lock behind
			f, err := OpenFile(path)
			if err == nil || errors.Is(err, ErrLocked) || errors.Is(err, ErrDamaged) != damaged {
				t.Errorf("OpenFile(%s) = %v, %v; want an error that is %v: %t", path, f, err, ErrDamaged, damaged)
			}
		}
	}
}

func TestFileUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFile(t, newPath(t))
		mustSwap(t, f, "key", nil, []byte("v"), time.Now().Add(10*time.Second))
		time.Sleep(10*time.Second - time.Nanosecond)
		wantValue(t, f, "key", []byte("v"))
		time.Sleep(time.Nanosecond)
		wantValue(t, f, "key", nil)
		wantRefused(t, f, "key", []byte("v"), []byte("w"))
		mustSwap(t, f, "key", nil, []byte("w"), time.Now().Add(time.Second))
		wantValue(t, f, "key", []byte("w"))
	})
}

// A process that was killed when it had created the file left it empty.
func TestFileOpenEmpty(t *testing.T) {
	path := newPath(t)
	mustWrite(t, path, nil)
	mustSwap(t, openFile(t, path), "key", nil, []byte("v"), later())
}

// A start reads all of the file, but keeps little of it in memory.
func TestFileOpenResident(t *testing.T) {
	const smaps = "/proc/self/smaps"
	if _, err := os.Stat(smaps); err != nil {
		testneed.Missing(t, "There is no "+smaps+", so the memory of a start is not tested.")
	}
	path := newPath(t)
	f := openFile(t, path)
	f.db.NoSync = true
	errorsOf(500, func(i int) error {
		mustSwap(t, f, fmt.Sprint("key ", i), nil, make([]byte, 4000), later())
		return nil
	})
	closeFile(t, f)
	openFile(t, path)
	_, mapped, ok := strings.Cut(string(mustRead(t, smaps)), path+"\n")
	_, mapped, _ = strings.Cut(mapped, "Rss:")
	var resident int64
	if _, err := fmt.Sscan(mapped, &resident); !ok || err != nil {
		t.Fatalf("the file is not in %s: %v", smaps, err)
	}
	if resident <<= 10; resident > size(t, path)/4 {
		t.Errorf("%d bytes of a file of %d are in memory, want little", resident, size(t, path))
	}
}

// Each event stream is a watcher, and a server sees millions of them.
func TestFileForgetsWatchers(t *testing.T) {
	f := openFile(t, newPath(t))
	for i := range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		ch := f.Watch(ctx, fmt.Sprint("key ", i%10))
		cancel()
		wantClosed(t, ch)
	}
	f.watchers.mu.Lock()
	defer f.watchers.mu.Unlock()
	if len(f.watchers.byKey) != 0 {
		t.Errorf("watchers that have left are kept: %v", f.watchers.byKey)
	}
}
