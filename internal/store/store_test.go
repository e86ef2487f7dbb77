package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const bank = "https://idp.example client https://bank.example"

// Processes that start at once agree on one lookup key, whether it is missing
// or is sealed with an older key.
func testLookupKey(t *testing.T, b Backend) {
	for _, keys := range [][][]byte{{oldKey}, {oldKey, newKey}, {newKey, oldKey}, {newKey}} {
		const starts = 20
		stores := make([]*Store, starts)
		for _, err := range errorsOf(starts, func(i int) (err error) {
			stores[i], err = New(t.Context(), b, keys)
			return err
		}) {
			if err != nil {
				t.Fatalf("New: %v", err)
			}
		}
		id := "USER-CODE"
		if err := NewTable[note](stores[0], "notes").CreateAs(t.Context(), id, note{Until: later()}); err != nil {
			t.Fatalf("CreateAs: %v", err)
		}
		for i, s := range stores {
			if _, err := NewTable[note](s, "notes").Get(t.Context(), id); err != nil {
				t.Errorf("process %d of %d does not find the record: %v", i, starts, err)
			}
		}
		if _, err := NewTable[note](stores[1], "notes").Delete(t.Context(), id); err != nil {
			t.Fatalf("Delete: %v", err)
		}
	}
}

// From a file of plain hashes, user codes are computed in two minutes: neither
// the file's content nor anything public may be enough to compute a name.
func TestNamesAreKeyed(t *testing.T) {
	file := openFile(t, newPath(t))
	notes := NewTable[note](mustNew(t, file, newKey).Namespace(bank), "notes")
	other := newNotes(t, openFile(t, newPath(t)), "notes")
	name := notes.key("USER-CODE")
	if name != notes.key("USER-CODE") || name == notes.key("USER-CODF") {
		t.Error("a record has two names, or two records have one")
	}
	if name == other.key("USER-CODE") {
		t.Error("two stores give a record the same name: it is not keyed")
	}
	plain := sha256.Sum256([]byte(bank + "\x00notes\x00USER-CODE"))
	if strings.HasSuffix(name, base64.RawURLEncoding.EncodeToString(plain[:])) {
		t.Error("the name is a plain hash")
	}
	image := mustRead(t, file.db.Path())
	if !bytes.Contains(image, []byte(lookupName)) {
		t.Error("the file has no lookup key: this test looks in the wrong place")
	}
	if bytes.Contains(image, notes.store.lookup.get()) {
		t.Error("the file shows the lookup key")
	}
}

// Names never change: a record is found although the keys were replaced.
func TestNamesOutliveKeys(t *testing.T) {
	file := openFile(t, newPath(t))
	name := func(keys ...[]byte) string {
		t.Helper()
		return NewTable[note](mustNew(t, file, keys...), "notes").key("id")
	}
	want := name(oldKey)
	for _, keys := range [][][]byte{{oldKey}, {oldKey, newKey}, {newKey, oldKey}, {newKey}} {
		if got := name(keys...); got != want {
			t.Errorf("with the keys %q the name is %s, want %s", keys, got, want)
		}
	}
	// The start with the new key first has sealed the lookup key with it.
	if _, err := New(t.Context(), file, [][]byte{oldKey}); !errors.Is(err, errWrongKeys) {
		t.Errorf("New with the old key only: %v, want %v", err, errWrongKeys)
	}
}

// A start with the first key does not write.
func TestNewWritesOnce(t *testing.T) {
	backend := &counting{Backend: openFile(t, newPath(t))}
	for range 3 {
		mustNew(t, backend, newKey, oldKey)
	}
	if n := backend.swaps.Load(); n != 1 {
		t.Errorf("three starts wrote %d times, want once", n)
	}
}

// With a second lookup key, no record could be found again, not even after the
// right key is back.
func TestLookupKeyIsNeverReplaced(t *testing.T) {
	file := openFile(t, newPath(t))
	mustNew(t, file, oldKey)
	whole := mustGet(t, file, lookupName)
	damaged := bytes.Clone(whole)
	damaged[len(damaged)-1] ^= 1
	for name, test := range map[string]struct{ stored, key []byte }{
		"another key":  {whole, newKey},
		"damaged":      {damaged, oldKey},
		"shortened":    {whole[:10], oldKey},
		"without data": {[]byte{}, oldKey},
	} {
		mustSwap(t, file, lookupName, mustGet(t, file, lookupName), test.stored, forever)
		_, err := New(t.Context(), file, [][]byte{test.key})
		if err == nil || !strings.Contains(err.Error(), "APP_SECRET_KEY") || !strings.Contains(err.Error(), "DATA_DIR") {
			t.Errorf("%s: New: %v, want an error that names APP_SECRET_KEY and DATA_DIR", name, err)
		}
		wantValue(t, file, lookupName, test.stored)
	}
}

func TestLookupKeyDoesNotExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := newPath(t)
		f := openFile(t, path)
		want := mustNew(t, f, newKey).lookup.get()
		closeFile(t, f)
		time.Sleep(150 * 365 * 24 * time.Hour)
		f = openFile(t, path)
		time.Sleep(2 * sweepEvery)
		if got := mustNew(t, f, newKey).lookup.get(); !bytes.Equal(got, want) {
			t.Errorf("in %d there is another lookup key", time.Now().Year())
		}
	})
}

func TestNewOnClosedStore(t *testing.T) {
	f := openFile(t, newPath(t))
	closeFile(t, f)
	if _, err := New(t.Context(), f, [][]byte{newKey}); !errors.Is(err, ErrClosed) {
		t.Errorf("New: %v, want %v", err, ErrClosed)
	}
}

func TestDeriveKeys(t *testing.T) {
	file := openFile(t, newPath(t))
	s := mustNew(t, file, newKey, oldKey)
	cookie, again, other := s.DeriveKeys("cookie"), s.DeriveKeys("cookie"), s.DeriveKeys("other")
	if len(cookie) != 2 || len(cookie[0]) != 32 || len(cookie[1]) != 32 {
		t.Fatalf("DeriveKeys = %x, want two keys of 32 bytes", cookie)
	}
	if !slices.EqualFunc(cookie, again, bytes.Equal) {
		t.Errorf("DeriveKeys = %x, then %x; want the same: a restart logs nobody out", cookie, again)
	}
	if rotated := mustNew(t, file, oldKey, newKey).DeriveKeys("cookie"); !bytes.Equal(cookie[1], rotated[0]) {
		t.Error("the keys are not in the order of the Store's")
	}
	all := append(slices.Clone(cookie), other...)
	all = append(all, newKey, oldKey)
	for i, key := range all {
		for _, earlier := range all[:i] {
			if bytes.Equal(key, earlier) {
				t.Errorf("two purposes share the key %x", key)
			}
		}
	}
}

// A session of the demo provider, whose password is public, must not exist once
// a real provider is configured.
func TestNamespaces(t *testing.T) {
	s := mustNew(t, openFile(t, newPath(t)), newKey)
	demo := NewTable[note](s.Namespace("http://localhost:9011"), "notes")
	bank := NewTable[note](s.Namespace("https://login.example.com"), "notes")
	id := mustCreate(t, demo, "demo")
	wantNoNote(t, bank, id)
	want := note{Text: "real", Until: later().UTC().Round(0)}
	if err := bank.CreateAs(t.Context(), id, want); err != nil {
		t.Errorf("CreateAs of an identifier that exists in another namespace: %v", err)
	}
	if _, err := demo.Delete(t.Context(), id); err != nil {
		t.Errorf("Delete in the other namespace: %v", err)
	}
	wantNote(t, bank, id, want)
}
