package handlers

import (
	"path/filepath"
	"testing"

	"changebank/internal/cookies"
	"changebank/internal/store"
)

// newStore returns an empty store, and the cookies of the application at
// appURL. wrap may put a backend with faults around the store's own.
func newStore(t testing.TB, appURL string, wrap func(store.Backend) store.Backend) (*store.Store, *cookies.Jar) {
	t.Helper()
	file, err := store.OpenFile(filepath.Join(t.TempDir(), "store"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	var backend store.Backend = file
	if wrap != nil {
		backend = wrap(file)
	}
	kept, err := store.New(t.Context(), backend, [][]byte{[]byte("0123456789abcdef")})
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookies.New(appURL, kept.DeriveKeys)
	if err != nil {
		t.Fatal(err)
	}
	return kept, jar
}
