// Package teststore opens stores for the tests of other packages.
package teststore

import (
	"path/filepath"
	"testing"

	"changebank/internal/store"
)

// Key is the secret key of the stores that tests open.
const Key = "0123456789abcdef"

// File returns an empty data file, which is closed when the test ends.
func File(t testing.TB) *store.File {
	t.Helper()
	file, err := store.OpenFile(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return file
}

// In returns the store in a backend.
func In(t testing.TB, backend store.Backend) *store.Store {
	t.Helper()
	s, err := store.New(t.Context(), backend, [][]byte{[]byte(Key)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}
