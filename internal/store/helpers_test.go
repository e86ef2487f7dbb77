package store

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// timeout is how long a test waits for something that must happen. Only a
// failing test waits that long.
const timeout = 5 * time.Second

var (
	oldKey = []byte("the old key, 16 bytes or more")
	newKey = []byte("the new key, 16 bytes or more")
)

func later() time.Time { return time.Now().Add(time.Hour) }

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "store") }

func openFile(t testing.TB, path string) *File {
	t.Helper()
	f, err := OpenFile(path)
	if err != nil {
		t.Fatalf("OpenFile: %v", err)
	}
	t.Cleanup(func() { closeFile(t, f) })
	return f
}

func closeFile(t testing.TB, f *File) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// newDir returns an empty folder that only this user can access.
func newDir(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	mustMkdir(t, dir)
	return dir
}

// openDir opens the data folder, and returns what was logged.
func openDir(t testing.TB, dir string) (*File, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	f, err := OpenDir(dir, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatalf("OpenDir: %v", err)
	}
	t.Cleanup(func() { closeFile(t, f) })
	return f, &log
}

func mustNew(t testing.TB, b Backend, keys ...[]byte) *Store {
	t.Helper()
	s, err := New(t.Context(), b, keys)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return s
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func mustWrite(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustMkdir(t testing.TB, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

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
	ok, err := swapOne(t.Context(), b, key, old, new, until)
	if err != nil || !ok {
		t.Errorf("Swap(%q, %.20q, %.20q) = %t, %v; want true", key, old, new, ok, err)
	}
}

// swapOne is a Swap of one value.
func swapOne(ctx context.Context, b Backend, key string, old, new []byte, until time.Time) (bool, error) {
	return b.Swap(ctx, Write{Key: key, Old: old, New: new, Until: until})
}

func wantRefused(t *testing.T, b Backend, key string, old, new []byte) {
	t.Helper()
	ok, err := swapOne(t.Context(), b, key, old, new, later())
	if err != nil || ok {
		t.Errorf("Swap(%q, %q, %q) = %t, %v; want false", key, old, new, ok, err)
	}
}

// wantValue distinguishes nil, which is no value, from an empty value.
func wantValue(t *testing.T, b Backend, key string, want []byte) {
	t.Helper()
	got := mustGet(t, b, key)
	if (got == nil) != (want == nil) || !bytes.Equal(got, want) {
		t.Errorf("Get(%q) = %#v (%q), want %#v (%q)", key, got, got, want, want)
	}
}

// increment adds one to the number at key and returns the result.
func increment(ctx context.Context, b Backend, key string) (int, error) {
	for {
		old, err := b.Get(ctx, key)
		if err != nil {
			return 0, err
		}
		n, _ := strconv.Atoi(string(old)) // no value is 0
		ok, err := swapOne(ctx, b, key, old, []byte(strconv.Itoa(n+1)), later())
		if err != nil {
			return 0, err
		}
		if ok {
			return n + 1, nil
		}
	}
}

// errorsOf runs f n times at once.
func errorsOf(n int, f func(i int) error) []error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errs
}

func wantLines(t *testing.T, log *bytes.Buffer, n int, contents ...string) {
	t.Helper()
	if got := strings.Count(log.String(), "\n"); got != n {
		t.Errorf("%d lines were logged, want %d:\n%s", got, n, log)
	}
	for _, content := range contents {
		if !strings.Contains(log.String(), content) {
			t.Errorf("the log lacks %q:\n%s", content, log)
		}
	}
}
