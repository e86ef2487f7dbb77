package store

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
)

// TestTableSealed reads the file as a thief would.
func TestTableSealed(t *testing.T) {
	path := newPath(t)
	table := newNotes(t, openFile(t, path), "notes")
	created := mustCreate(t, table, "PLAINTEXT-created")
	if err := table.CreateAs(t.Context(), "USER-CODE", note{Text: "PLAINTEXT-as", Until: later()}); err != nil {
		t.Fatalf("CreateAs: %v", err)
	}
	mustUpdate(t, table, created, func(n *note) { n.Text = "PLAINTEXT-updated" })
	image := mustRead(t, path)
	if !bytes.Contains(image, []byte("notes:")) {
		t.Error("the file has no key of the table: this test looks in the wrong place")
	}
	for _, secret := range []string{created, "USER-CODE", "PLAINTEXT", `"Text"`, string(newKey), string(table.store.lookup.get())} {
		if bytes.Contains(image, []byte(secret)) {
			t.Errorf("the file shows %q", secret)
		}
	}
}

// Equal records must not look equal, or a thief sees which sessions belong to
// one person.
func TestTableSealedApart(t *testing.T) {
	f := openFile(t, newPath(t))
	table := newNotes(t, f, "notes")
	until := later()
	var stored [][]byte
	for _, text := range []string{"v", "w", "v"} {
		if err := table.CreateAs(t.Context(), "id", note{Text: text, Until: until}); err != nil {
			t.Fatalf("CreateAs: %v", err)
		}
		stored = append(stored, mustGet(t, f, table.key("id")))
		if _, err := table.Delete(t.Context(), "id"); err != nil {
			t.Fatalf("Delete: %v", err)
		}
	}
	if bytes.Equal(stored[0], stored[2]) {
		t.Errorf("the same record was sealed twice as %x", stored[0])
	}
}

// An attacker who can write to the store, but has no key, must not be able to
// put his own session in the place of another.
func TestTableBound(t *testing.T) {
	backend := openFile(t, newPath(t))
	s := mustNew(t, backend, newKey)
	table, other := NewTable[note](s.Namespace(bank), "notes"), NewTable[note](s.Namespace(bank), "other")
	foreign := NewTable[note](s.Namespace("elsewhere"), "notes")
	id := mustCreate(t, table, "mine")
	place := table.key(id)
	stored := mustGet(t, backend, place)

	for name, to := range map[string]struct {
		table *Table[note]
		id    string
	}{
		"another identifier": {table, "another"},
		"another table":      {other, id},
		"another namespace":  {foreign, id},
	} {
		mustSwap(t, backend, to.table.key(to.id), nil, stored, later())
		if got, err := to.table.Get(t.Context(), to.id); !errors.Is(err, ErrNotFound) {
			t.Errorf("moved to %s, Get = %+v, %v; want %v", name, got, err, ErrNotFound)
		}
	}

	for i := range stored {
		damaged := bytes.Clone(stored)
		damaged[i] ^= 1
		mustSwap(t, backend, place, mustGet(t, backend, place), damaged, later())
		if got, err := table.Get(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Fatalf("with byte %d of %d changed, Get = %+v, %v; want %v", i, len(stored), got, err, ErrNotFound)
		}
	}
	for _, part := range [][]byte{{}, stored[:1], stored[:len(stored)-1], append(bytes.Clone(stored), 0)} {
		mustSwap(t, backend, place, mustGet(t, backend, place), part, later())
		if got, err := table.Get(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("with %d of %d bytes, Get = %+v, %v; want %v", len(part), len(stored), got, err, ErrNotFound)
		}
	}
	mustSwap(t, backend, place, mustGet(t, backend, place), stored, later())
	if got, err := table.Get(t.Context(), id); err != nil || got.Text != "mine" {
		t.Errorf("back in its place, Get = %+v, %v; want the record", got, err)
	}
}

func TestTableKeyRotation(t *testing.T) {
	ctx := t.Context()
	backend := openFile(t, newPath(t))
	with := func(keys ...[]byte) *Table[note] {
		return NewTable[note](mustNew(t, backend, keys...), "notes")
	}
	// In the order in which they start.
	before, during, after := with(oldKey), with(newKey, oldKey), with(newKey)

	id := mustCreate(t, before, "old")
	touched := mustCreate(t, before, "touched")
	if got, err := during.Get(ctx, id); err != nil || got.Text != "old" {
		t.Errorf("with both keys, Get = %+v, %v; want the old record", got, err)
	}
	if err := during.CreateAs(ctx, id, note{Until: later()}); !errors.Is(err, ErrExists) {
		t.Errorf("with both keys, CreateAs over an old record: %v, want %v", err, ErrExists)
	}

	// New writes are sealed with the new key.
	mustUpdate(t, during, touched, func(n *note) { n.Count++ })
	created := mustCreate(t, during, "new")
	for _, id := range []string{touched, created} {
		if got, err := after.Get(ctx, id); err != nil {
			t.Errorf("with the new key, Get of a record written with both = %+v, %v; want it", got, err)
		}
		wantNoNote(t, before, id)
	}

	// Without its key a record is absent, which is no error.
	wantNoNote(t, after, id)
	if got, err := after.Update(ctx, id, func(*note) error { return nil }); !errors.Is(err, ErrNotFound) {
		t.Errorf("without its key, Update = %+v, %v; want %v", got, err, ErrNotFound)
	}
	if got, err := after.Delete(ctx, id); !errors.Is(err, ErrNotFound) {
		t.Errorf("without its key, Delete = %+v, %v; want %v", got, err, ErrNotFound)
	}
	next := note{Text: "in its place", Until: later().UTC().Round(0)}
	if err := after.CreateAs(ctx, id, next); err != nil {
		t.Errorf("CreateAs over a record without its key: %v", err)
	}
	wantNote(t, after, id, next)
}

// After a key was dropped, there may be very many records that do not open. They are
// logged once for each table, and missing records are not logged.
func TestUnopenedRecordIsLoggedOnce(t *testing.T) {
	dir := newDir(t)
	var log bytes.Buffer
	open := func(keys ...[]byte) *Store {
		t.Helper()
		s, err := Open(t.Context(), "", dir, keys, nil, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatalf("Open: %v", err)
		}
		return s.Namespace(bank)
	}
	closeStore := func(s *Store) {
		t.Helper()
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	s := open(oldKey)
	notes, letters := NewTable[note](s, "notes"), NewTable[note](s, "letters")
	first, second, letter := mustCreate(t, notes, "private text"), mustCreate(t, notes, "private text"), mustCreate(t, letters, "private text")
	closeStore(s)
	closeStore(open(newKey, oldKey))

	s = open(newKey)
	defer closeStore(s)
	notes, letters = NewTable[note](s, "notes"), NewTable[note](s, "letters")
	wantNoNote(t, notes, "of nothing")
	if strings.Contains(log.String(), "does not open") {
		t.Errorf("the log complains of a record that is not there: %s", &log)
	}
	for _, id := range []string{first, second, first} {
		wantNoNote(t, notes, id)
	}
	wantNoNote(t, letters, letter)
	for _, table := range []string{"notes", "letters"} {
		if n := strings.Count(log.String(), "table="+table); n != 1 {
			t.Errorf("the log names the table %s %d times, want once: %s", table, n, &log)
		}
	}
	if strings.Contains(log.String(), "private text") || strings.Contains(log.String(), first) {
		t.Errorf("the log shows a record: %s", &log)
	}
}
