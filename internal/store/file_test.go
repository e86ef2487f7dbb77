package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"
)

func TestFile(t *testing.T) {
	testBackend(t, func(t *testing.T) Backend { return openFile(t, newPath(t)) })
}

func TestFileSurvivesReopen(t *testing.T) {
	path := newPath(t)
	f := openFile(t, path)
	mustSwap(t, f, "kept", nil, []byte("v"), later())
	mustSwap(t, f, "deleted", nil, []byte("v"), later())
	mustSwap(t, f, "deleted", []byte("v"), nil, time.Time{})
	if err := f.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	f = openFile(t, path)
	wantValue(t, f, "kept", []byte("v"))
	wantValue(t, f, "deleted", nil)
}

// TestFileSurvivesKill: what Swap has reported must be in the file, not in the
// memory of a process that may be killed. The copy is what the next process
// would find.
func TestFileSurvivesKill(t *testing.T) {
	path := newPath(t)
	f := openFile(t, path)
	if f.db.NoSync { // which no test in this process could see
		t.Error("the file is not synced: a power cut loses what was reported")
	}
	var value []byte
	for i := range 5 {
		next := fmt.Append(nil, "value ", i)
		mustSwap(t, f, "key", value, next, later())
		value = next
		copied := newPath(t)
		if err := os.WriteFile(copied, mustRead(t, path), 0o600); err != nil {
			t.Fatal(err)
		}
		wantValue(t, openFile(t, copied), "key", value)
	}
}

// TestFileCloseUnderLoad: a write that meets Close is either reported and
// durable, or refused with ErrClosed. Nobody waits for ever.
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

// closeUnderLoad closes f while many write, and returns the keys of which it
// was reported that they were written.
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
				ok, err := f.Swap(t.Context(), key, nil, []byte(key), later())
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
	case <-time.After(patience):
		t.Error("30 writes did not come about")
	}
	if err := f.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wg.Wait()
	return reported
}

func TestFileCloseTwice(t *testing.T) {
	f := openFile(t, newPath(t))
	if err := f.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	if err := f.Close(); err != nil && !errors.Is(err, ErrClosed) {
		t.Errorf("second Close: %v, want nil or %v", err, ErrClosed)
	}
}

// TestFileLocked: two processes that write one file would lose each other's
// logins.
func TestFileLocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // in which the second of patience passes at once
		path := newPath(t)
		f := openFile(t, path)
		second, err := OpenFile(path)
		if !errors.Is(err, ErrLocked) {
			t.Errorf("OpenFile of an open file = %v, %v; want %v", second, err, ErrLocked)
		}
		mustSwap(t, f, "key", nil, []byte("v"), later())
		if err := f.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
		wantValue(t, openFile(t, path), "key", []byte("v"))
	})
}

func TestFileOpenErrors(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage")
	if err := os.WriteFile(garbage, []byte("This is no database.\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a folder":    dir,
		"no folder":   filepath.Join(dir, "missing", "store"),
		"not our own": garbage,
	} {
		f, err := OpenFile(path)
		if err == nil || errors.Is(err, ErrLocked) {
			t.Errorf("%s: OpenFile = %v, %v; want an error that is not %v", name, f, err, ErrLocked)
		}
	}
}

// TestFileMode: other users of the machine have no business with our sessions.
func TestFileMode(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has other permissions")
	}
	path := newPath(t)
	openFile(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("the file's mode is %o, want 600", got)
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

// TestFileSweep: without it every visitor of the past would stay in the file.
// It must not take along what was extended, or took a forgotten one's place.
func TestFileSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := newPath(t)
		f := openFile(t, path)
		soon := time.Now().Add(10 * time.Second)
		v, w := []byte("v"), []byte("w")
		for i := range 20 {
			mustSwap(t, f, fmt.Sprint("forgotten ", i), nil, v, soon.Add(time.Duration(i)))
		}
		mustSwap(t, f, "stays", nil, v, later())
		mustSwap(t, f, "deleted", nil, v, soon)
		mustSwap(t, f, "deleted", v, nil, time.Time{})
		mustSwap(t, f, "extended", nil, v, soon)
		mustSwap(t, f, "extended", v, w, later())
		mustSwap(t, f, "shortened", nil, v, later())
		mustSwap(t, f, "shortened", v, w, soon)
		mustSwap(t, f, "replaced", nil, v, soon)
		time.Sleep(11 * time.Second)
		mustSwap(t, f, "replaced", nil, w, later())

		time.Sleep(time.Minute)
		synctest.Wait()
		want := []string{"extended", "replaced", "stays"}
		if records, untils := heldKeys(t, f); !slices.Equal(records, want) || !slices.Equal(untils, want) {
			t.Errorf("after a sweep the file has the records %q and the times of %q, want %q", records, untils, want)
		}
		wantValue(t, f, "stays", v)
		wantValue(t, f, "extended", w)
		wantValue(t, f, "replaced", w)

		time.Sleep(time.Hour)
		synctest.Wait()
		if records, untils := heldKeys(t, f); len(records) > 0 || len(untils) > 0 {
			t.Errorf("an hour later the file has the records %q and the times of %q, want none", records, untils)
		}
	})
}

// TestFileSweepKeepsUp: a sweep once deleted a thousand records a minute and no
// more, so that a crawler which makes more of them let the file grow for ever.
func TestFileSweepKeepsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFile(t, newPath(t))
		soon := time.Now().Add(10 * time.Second)
		var wg sync.WaitGroup
		for i := range 2*maxSweep + 500 {
			wg.Go(func() { mustSwap(t, f, fmt.Sprint("forgotten ", i), nil, []byte("v"), soon) })
		}
		wg.Wait()
		mustSwap(t, f, "stays", nil, []byte("v"), later())
		time.Sleep(sweepEvery + time.Second)
		synctest.Wait()
		records, untils := heldKeys(t, f)
		if want := []string{"stays"}; !slices.Equal(records, want) || !slices.Equal(untils, want) {
			t.Errorf("a sweep after their end, %d records and %d times are in the file, want only those of %q", len(records), len(untils), want)
		}
		wantValue(t, f, "stays", []byte("v"))
	})
}

// TestFileIdleSweep: a sweep of nothing once committed all the same, which
// keeps disks awake and wears out an SD card.
func TestFileIdleSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := newPath(t)
		f := openFile(t, path)
		mustSwap(t, f, "key", nil, []byte("v"), later())
		before := mustRead(t, path)
		time.Sleep(10 * sweepEvery)
		synctest.Wait()
		if !bytes.Equal(mustRead(t, path), before) {
			t.Error("the sweep of nothing has written to the file")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if bytes.Equal(mustRead(t, path), before) {
			t.Error("the sweep of a record has not written to the file: this test would find nothing")
		}
	})
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// heldKeys returns what the file really holds, by both of its buckets.
func heldKeys(t *testing.T, f *File) (records, untils []string) {
	t.Helper()
	err := f.db.View(func(tx *bolt.Tx) error {
		return errors.Join(
			tx.Bucket(bucketRecords).ForEach(func(key, _ []byte) error {
				records = append(records, string(key))
				return nil
			}),
			tx.Bucket(bucketUntil).ForEach(func(key, _ []byte) error {
				untils = append(untils, string(key[8:]))
				return nil
			}),
		)
	})
	if err != nil {
		t.Fatalf("reading the file: %v", err)
	}
	slices.Sort(untils)
	return records, untils
}

// TestFileWatchersLeave: each event stream is a watcher, and a server sees
// millions of them.
func TestFileWatchersLeave(t *testing.T) {
	f := openFile(t, newPath(t))
	for i := range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		ch := f.Watch(ctx, fmt.Sprint("key ", i%10))
		cancel()
		wantClosed(t, ch)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.watchers) != 0 {
		t.Errorf("of watchers that left, these are kept: %v", f.watchers)
	}
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "store") }

func openFile(t testing.TB, path string) *File {
	t.Helper()
	f, err := OpenFile(path)
	if err != nil {
		t.Fatalf("OpenFile: %v", err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return f
}

// BenchmarkFileSwap has each writer change a record of its own, alone and with
// many others: then one commit serves all that wait.
func BenchmarkFileSwap(b *testing.B) {
	value := make([]byte, 512)
	for _, writers := range []int{1, 16, 128, 512} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			f := openFile(b, newPath(b))
			runParallel(b, writers, func(n int) func() {
				key := fmt.Sprint("key ", n)
				mustSwap(b, f, key, nil, value, later())
				return func() { mustSwap(b, f, key, value, value, later()) }
			})
		})
	}
}

// runParallel measures what that many writers do at once. writer prepares the
// nth of them and returns what it repeats.
func runParallel(b *testing.B, writers int, writer func(n int) func()) {
	b.Helper()
	if writers == 1 {
		write := writer(0)
		for b.Loop() {
			write()
		}
		return
	}
	perCPU := (writers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	ready := make(chan func(), perCPU*runtime.GOMAXPROCS(0))
	for n := range cap(ready) {
		ready <- writer(n)
	}
	b.SetParallelism(perCPU)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		write := <-ready
		for pb.Next() {
			write()
		}
	})
}
