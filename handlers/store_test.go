package handlers

import (
	"testing"

	"changebank/internal/cookies"
	"changebank/internal/store"
	"changebank/internal/teststore"
)

// newStore returns an empty store, and the cookies of the application at
// appURL. wrap may put a backend with faults around the store's own.
func newStore(t testing.TB, appURL string, wrap func(store.Backend) store.Backend) (*store.Store, *cookies.Jar) {
	t.Helper()
	var backend store.Backend = teststore.File(t)
	if wrap != nil {
		backend = wrap(backend)
	}
	kept := teststore.In(t, backend)
	jar, err := cookies.New(appURL, kept.DeriveKeys)
	if err != nil {
		t.Fatal(err)
	}
	return kept, jar
}
