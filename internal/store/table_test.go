package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// note is a record for tests.
type note struct {
	Text  string
	Count int
	Until time.Time
}

func (n note) KeepUntil() time.Time { return n.Until }

var (
	oldKey = []byte("the old key, 16 bytes or more")
	newKey = []byte("the new key, 16 bytes or more")
)

const realm = "https://idp.example\x00client\x00https://bank.example"

func TestTable(t *testing.T) {
	ctx := t.Context()
	table := newNotes(t, openFile(t, newPath(t)), "notes")
	want := note{"first", 1, later().UTC().Round(0)}
	id, err := table.Create(ctx, want)
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	if len(id) < 26 { // 128 bits in base 32
		t.Errorf("the identifier %q has less than 128 bits", id)
	}
	wantNote(t, table, id, want)

	want.Text, want.Count = "second", 2
	got, err := table.Update(ctx, id, func(n *note) error {
		n.Text = "second"
		n.Count++
		return nil
	})
	if err != nil || got != want {
		t.Errorf("Update = %+v, %v; want %+v", got, err, want)
	}
	wantNote(t, table, id, want)

	other, err := table.Create(ctx, want)
	if err != nil || other == id {
		t.Errorf("second Create = %q, %v; want another identifier than the first", other, err)
	}

	got, err = table.Delete(ctx, id)
	if err != nil || got != want {
		t.Errorf("Delete = %+v, %v; want %+v", got, err, want)
	}
	wantNoNote(t, table, id)
	if got, err := table.Delete(ctx, id); !errors.Is(err, ErrNotFound) || got != (note{}) {
		t.Errorf("second Delete = %+v, %v; want %v", got, err, ErrNotFound)
	}
	wantNote(t, table, other, want)
}

func TestTableCreateAs(t *testing.T) {
	ctx := t.Context()
	table := newNotes(t, openFile(t, newPath(t)), "notes")
	first := note{Text: "first", Until: later().UTC().Round(0)}
	if err := table.CreateAs(ctx, "WDJB-MJHT", first); err != nil {
		t.Fatalf("CreateAs: %v", err)
	}
	// Whoever creates over a user code's index takes over another's login.
	if err := table.CreateAs(ctx, "WDJB-MJHT", note{Text: "second", Until: later()}); !errors.Is(err, ErrExists) {
		t.Errorf("CreateAs of what exists: %v, want %v", err, ErrExists)
	}
	wantNote(t, table, "WDJB-MJHT", first)
	if err := table.CreateAs(ctx, "wdjb-mjht", first); err != nil {
		t.Errorf("CreateAs of another identifier: %v", err)
	}
	if _, err := table.Delete(ctx, "WDJB-MJHT"); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	if err := table.CreateAs(ctx, "WDJB-MJHT", first); err != nil {
		t.Errorf("CreateAs of what was deleted: %v", err)
	}
}

func TestTableCreateAsOnce(t *testing.T) {
	table := newNotes(t, openFile(t, newPath(t)), "notes")
	got := errorsOf(20, func(int) error {
		return table.CreateAs(t.Context(), "WDJB-MJHT", note{Until: later()})
	})
	wantOneWinner(t, got, ErrExists)
}

func TestTableDeleteOnce(t *testing.T) {
	table := newNotes(t, openFile(t, newPath(t)), "notes")
	id := mustCreate(t, table, "taken once")
	got := errorsOf(20, func(int) error {
		n, err := table.Delete(t.Context(), id)
		if err == nil && n.Text != "taken once" {
			t.Errorf("Delete = %+v, want the record", n)
		}
		return err
	})
	wantOneWinner(t, got, ErrNotFound)
}

func TestTableConcurrentUpdates(t *testing.T) {
	const writers = 50
	table := newNotes(t, openFile(t, newPath(t)), "notes")
	id := mustCreate(t, table, "")
	for _, err := range errorsOf(writers, func(int) error {
		_, err := table.Update(t.Context(), id, func(n *note) error {
			n.Count++
			return nil
		})
		return err
	}) {
		if err != nil {
			t.Errorf("Update: %v", err)
		}
	}
	got, err := table.Get(t.Context(), id)
	if err != nil || got.Count != writers {
		t.Errorf("after %d updates at once, Get = %+v, %v; want a count of %d", writers, got, err, writers)
	}
}

// TestTableUpdateRepeats has somebody else write between an Update's reading
// and its writing. Neither may lose its change.
func TestTableUpdateRepeats(t *testing.T) {
	table := newNotes(t, openFile(t, newPath(t)), "notes")
	id := mustCreate(t, table, "")
	runs := 0
	got, err := table.Update(t.Context(), id, func(n *note) error {
		if runs++; runs == 1 {
			mustUpdate(t, table, id, func(n *note) { n.Text = "quicker" })
		}
		n.Count++
		return nil
	})
	if err != nil || got.Text != "quicker" || got.Count != 1 || runs != 2 {
		t.Errorf("after %d runs, Update = %+v, %v; want both changes after 2", runs, got, err)
	}
	wantNote(t, table, id, got)
}

// TestTableGoneStaysGone guards the logout: a request that was slower must not
// write the session back.
func TestTableGoneStaysGone(t *testing.T) {
	tests := []struct {
		name string
		end  func(t *testing.T, table *Table[note], id string)
	}{
		{"deleted", func(t *testing.T, table *Table[note], id string) {
			if _, err := table.Delete(t.Context(), id); err != nil {
				t.Errorf("Delete: %v", err)
			}
		}},
		{"past its time", func(t *testing.T, table *Table[note], id string) {
			mustUpdate(t, table, id, func(n *note) { n.Until = time.Now().Add(-time.Second) })
		}},
	}
	revive := func(n *note) error {
		n.Text, n.Until = "revived", later()
		return nil
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			table := newNotes(t, openFile(t, newPath(t)), "notes")
			id := mustCreate(t, table, "alive")
			runs := 0
			got, err := table.Update(t.Context(), id, func(n *note) error {
				if runs++; runs == 1 {
					tt.end(t, table, id)
				}
				return revive(n)
			})
			if !errors.Is(err, ErrNotFound) || got != (note{}) {
				t.Errorf("Update of a record that ends meanwhile = %+v, %v; want %v", got, err, ErrNotFound)
			}
			wantNoNote(t, table, id)
			if got, err := table.Update(t.Context(), id, revive); !errors.Is(err, ErrNotFound) || got != (note{}) {
				t.Errorf("Update of a record that has ended = %+v, %v; want %v", got, err, ErrNotFound)
			}
			wantNoNote(t, table, id)
			if got, err := table.Delete(t.Context(), id); !errors.Is(err, ErrNotFound) {
				t.Errorf("Delete of a record that has ended = %+v, %v; want %v", got, err, ErrNotFound)
			}
		})
	}
}

func TestTableKeepUntil(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		table := newNotes(t, openFile(t, newPath(t)), "notes")
		if err := table.CreateAs(ctx, "id", note{Text: "short", Until: time.Now().Add(10 * time.Second)}); err != nil {
			t.Fatalf("CreateAs: %v", err)
		}
		time.Sleep(9 * time.Second)
		mustUpdate(t, table, "id", func(n *note) { n.Until = time.Now().Add(10 * time.Second) })
		time.Sleep(9 * time.Second)
		if got, err := table.Get(ctx, "id"); err != nil || got.Text != "short" {
			t.Errorf("before its new time, Get = %+v, %v; want the record", got, err)
		}
		time.Sleep(time.Second)
		wantNoNote(t, table, "id")
		if err := table.CreateAs(ctx, "id", note{Text: "next", Until: later()}); err != nil {
			t.Errorf("CreateAs in the place of a forgotten record: %v", err)
		}
	})
}

func TestTableWritesNothing(t *testing.T) {
	backend := &counting{Backend: openFile(t, newPath(t))}
	table := newNotes(t, backend, "notes")
	id := mustCreate(t, table, "as it was")
	before := mustGet(t, backend, table.key(id))
	swaps := backend.swaps.Load()

	fault := errors.New("no change after all")
	_, err := table.Update(t.Context(), id, func(n *note) error {
		n.Text = "half changed"
		return fault
	})
	if err != fault {
		t.Errorf("Update: %v, want the error of the change itself, %v", err, fault)
	}
	got, err := table.Update(t.Context(), id, func(*note) error { return nil })
	if err != nil || got.Text != "as it was" {
		t.Errorf("Update without a change = %+v, %v; want the record", got, err)
	}
	if n := backend.swaps.Load() - swaps; n != 0 {
		t.Errorf("a failed and an empty change wrote %d times, want never", n)
	}
	if after := mustGet(t, backend, table.key(id)); !bytes.Equal(before, after) {
		t.Error("a failed and an empty change have changed the stored bytes")
	}
}

// counting counts the writes.
type counting struct {
	Backend
	swaps atomic.Int64
}

func (c *counting) Swap(ctx context.Context, key string, old, new []byte, until time.Time) (bool, error) {
	c.swaps.Add(1)
	return c.Backend.Swap(ctx, key, old, new, until)
}

// TestTableSealed reads the file as a thief would.
func TestTableSealed(t *testing.T) {
	path := newPath(t)
	f := openFile(t, path)
	table := newNotes(t, f, "notes")
	created := mustCreate(t, table, "PLAINTEXT-created")
	if err := table.CreateAs(t.Context(), "USER-CODE", note{Text: "PLAINTEXT-as", Until: later()}); err != nil {
		t.Fatalf("CreateAs: %v", err)
	}
	mustUpdate(t, table, created, func(n *note) { n.Text = "PLAINTEXT-updated" })
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(image, []byte("notes:")) {
		t.Error("the file has no key of the table: this test looks in the wrong place")
	}
	for _, secret := range []string{created, "USER-CODE", "PLAINTEXT", `"Text"`, string(newKey)} {
		if bytes.Contains(image, []byte(secret)) {
			t.Errorf("the file shows %q", secret)
		}
	}
}

// TestTableSealedApart: equal records must not look equal, else a thief sees
// which sessions are one person's.
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

// TestTableBound: somebody who can write to the store, but has no key, must
// not be able to put his own session in the place of another's.
func TestTableBound(t *testing.T) {
	backend := openFile(t, newPath(t))
	s := namespace(t, backend, realm, newKey)
	table, other := NewTable[note](s, "notes"), NewTable[note](s, "other")
	foreign := NewTable[note](namespace(t, backend, "elsewhere", newKey), "notes")
	id := mustCreate(t, table, "mine")
	stored := mustGet(t, backend, table.key(id))

	for name, place := range map[string]struct {
		table *Table[note]
		id    string
	}{
		"another identifier": {table, "another"},
		"another table":      {other, id},
		"another realm":      {foreign, id},
	} {
		mustSwap(t, backend, place.table.key(place.id), nil, stored, later())
		if got, err := place.table.Get(t.Context(), place.id); !errors.Is(err, ErrNotFound) {
			t.Errorf("moved to %s, Get = %+v, %v; want %v", name, got, err, ErrNotFound)
		}
	}

	for i := range stored {
		damaged := bytes.Clone(stored)
		damaged[i] ^= 1
		mustSwap(t, backend, table.key(id), mustGet(t, backend, table.key(id)), damaged, later())
		if got, err := table.Get(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Fatalf("with byte %d of %d changed, Get = %+v, %v; want %v", i, len(stored), got, err, ErrNotFound)
		}
	}
	for _, part := range [][]byte{{}, stored[:1], stored[:len(stored)-1], append(bytes.Clone(stored), 0)} {
		mustSwap(t, backend, table.key(id), mustGet(t, backend, table.key(id)), part, later())
		if got, err := table.Get(t.Context(), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("with %d of %d bytes, Get = %+v, %v; want %v", len(part), len(stored), got, err, ErrNotFound)
		}
	}
	mustSwap(t, backend, table.key(id), mustGet(t, backend, table.key(id)), stored, later())
	if got, err := table.Get(t.Context(), id); err != nil || got.Text != "mine" {
		t.Errorf("put back in its place, Get = %+v, %v; want the record", got, err)
	}
}

func TestTableKeyRotation(t *testing.T) {
	ctx := t.Context()
	backend := openFile(t, newPath(t))
	with := func(keys ...[]byte) *Table[note] {
		return NewTable[note](namespace(t, backend, realm, keys...), "notes")
	}
	before, during, after := with(oldKey), with(newKey, oldKey), with(newKey)

	id := mustCreate(t, before, "old")
	touched := mustCreate(t, before, "touched")
	if got, err := during.Get(ctx, id); err != nil || got.Text != "old" {
		t.Errorf("with both keys, Get = %+v, %v; want the old record", got, err)
	}
	if err := during.CreateAs(ctx, id, note{Until: later()}); !errors.Is(err, ErrExists) {
		t.Errorf("with both keys, CreateAs over an old record: %v, want %v", err, ErrExists)
	}

	// What is written now is sealed with the new key.
	mustUpdate(t, during, touched, func(n *note) { n.Count++ })
	created := mustCreate(t, during, "new")
	for _, id := range []string{touched, created} {
		if got, err := after.Get(ctx, id); err != nil {
			t.Errorf("with the new key, Get of a record written with both = %+v, %v; want it", got, err)
		}
		wantNoNote(t, before, id)
	}

	// Without its key a record is absent: no error page for everybody.
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

// TestTableRealms: a session of the demo provider, whose password everybody
// knows, must be none once a real provider is configured.
func TestTableRealms(t *testing.T) {
	backend := openFile(t, newPath(t))
	keys := [][]byte{newKey}
	demo := NewTable[note](namespace(t, backend, "http://localhost:9011", keys...), "notes")
	bank := NewTable[note](namespace(t, backend, "https://login.example.com", keys...), "notes")
	id := mustCreate(t, demo, "demo")
	wantNoNote(t, bank, id)
	want := note{Text: "real", Until: later().UTC().Round(0)}
	if err := bank.CreateAs(t.Context(), id, want); err != nil {
		t.Errorf("CreateAs of an identifier that another realm has: %v", err)
	}
	if _, err := demo.Delete(t.Context(), id); err != nil {
		t.Errorf("Delete in the other realm: %v", err)
	}
	wantNote(t, bank, id, want)
}

func TestTableWatch(t *testing.T) {
	table := newNotes(t, openFile(t, newPath(t)), "notes")
	id := mustCreate(t, table, "")
	ch := table.Watch(t.Context(), id)
	wantTick(t, ch, "at the start")
	mustUpdate(t, table, id, func(n *note) { n.Count++ })
	wantTick(t, ch, "after Update")
	if _, err := table.Delete(t.Context(), id); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	wantTick(t, ch, "after Delete")
	if err := table.CreateAs(t.Context(), id, note{Until: later()}); err != nil {
		t.Fatalf("CreateAs: %v", err)
	}
	wantTick(t, ch, "after CreateAs")
}

// TestTableBackendErrors: a store that is away must not look like a record
// that is gone, or everybody is logged out by a hiccup.
func TestTableBackendErrors(t *testing.T) {
	ctx := t.Context()
	f := openFile(t, newPath(t))
	table := newNotes(t, f, "notes")
	id := mustCreate(t, table, "")
	if err := f.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	_, errCreate := table.Create(ctx, note{})
	_, errGet := table.Get(ctx, id)
	_, errUpdate := table.Update(ctx, id, func(*note) error { return nil })
	_, errDelete := table.Delete(ctx, id)
	for name, err := range map[string]error{
		"Create": errCreate, "CreateAs": table.CreateAs(ctx, id, note{}), "Get": errGet, "Update": errUpdate, "Delete": errDelete,
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s on a closed store: %v, want %v", name, err, ErrClosed)
		}
	}
}

// strange is a record that JSON cannot hold in every state.
type strange struct{ Any any }

func (strange) KeepUntil() time.Time { return later() }

func TestTableJSONErrors(t *testing.T) {
	ctx := t.Context()
	backend := &counting{Backend: openFile(t, newPath(t))}
	s := namespace(t, backend, realm, newKey)
	table := NewTable[strange](s, "notes")
	if err := table.CreateAs(ctx, "id", strange{func() {}}); err == nil {
		t.Error("CreateAs of what is no JSON: no error")
	}
	if n := backend.swaps.Load(); n != 0 {
		t.Errorf("CreateAs of what is no JSON wrote %d times, want never", n)
	}
	if err := table.CreateAs(ctx, "id", strange{"text"}); err != nil {
		t.Fatalf("CreateAs: %v", err)
	}
	if _, err := table.Update(ctx, "id", func(s *strange) error { s.Any = func() {}; return nil }); err == nil {
		t.Error("Update to what is no JSON: no error")
	}
	if got, err := table.Get(ctx, "id"); err != nil || got.Any != "text" {
		t.Errorf("after that, Get = %+v, %v; want the record as it was", got, err)
	}

	// A record that another version of the program wrote in another shape.
	if got, err := NewTable[shaped](s, "notes").Get(ctx, "id"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("Get of another shape = %+v, %v; want an error that is not %v", got, err, ErrNotFound)
	}
}

// shaped cannot be read from every strange.
type shaped struct{ Any int }

func (shaped) KeepUntil() time.Time { return later() }

func TestDeriveKeys(t *testing.T) {
	s := namespace(t, nil, realm, newKey, oldKey)
	cookie, again, other := s.DeriveKeys("cookie"), s.DeriveKeys("cookie"), s.DeriveKeys("other")
	if len(cookie) != 2 || len(cookie[0]) != 32 || len(cookie[1]) != 32 {
		t.Fatalf("DeriveKeys = %x, want two keys of 32 bytes", cookie)
	}
	if !slices.EqualFunc(cookie, again, bytes.Equal) {
		t.Errorf("DeriveKeys = %x, then %x; want the same: a restart must log nobody out", cookie, again)
	}
	if rotated := namespace(t, nil, realm, oldKey).DeriveKeys("cookie"); !bytes.Equal(cookie[1], rotated[0]) {
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

func newNotes(t testing.TB, b Backend, name string) *Table[note] {
	return NewTable[note](namespace(t, b, realm, newKey), name)
}

func mustCreate(t testing.TB, table *Table[note], text string) (id string) {
	t.Helper()
	id, err := table.Create(t.Context(), note{Text: text, Until: later()})
	if err != nil {
		t.Fatalf("Create: %v", err)
	}
	return id
}

func mustUpdate(t testing.TB, table *Table[note], id string, change func(*note)) {
	t.Helper()
	_, err := table.Update(t.Context(), id, func(n *note) error {
		change(n)
		return nil
	})
	if err != nil {
		t.Errorf("Update: %v", err)
	}
}

func wantNote(t *testing.T, table *Table[note], id string, want note) {
	t.Helper()
	if got, err := table.Get(t.Context(), id); err != nil || got != want {
		t.Errorf("Get(%q) = %+v, %v; want %+v", id, got, err, want)
	}
}

func wantNoNote(t *testing.T, table *Table[note], id string) {
	t.Helper()
	if got, err := table.Get(t.Context(), id); !errors.Is(err, ErrNotFound) || got != (note{}) {
		t.Errorf("Get(%q) = %+v, %v; want %v", id, got, err, ErrNotFound)
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

// wantOneWinner wants one nil, and loser from all the others.
func wantOneWinner(t *testing.T, errs []error, loser error) {
	t.Helper()
	winners := 0
	for i, err := range errs {
		switch {
		case err == nil:
			winners++
		case !errors.Is(err, loser):
			t.Errorf("number %d got %v, want nil or %v", i, err, loser)
		}
	}
	if winners != 1 {
		t.Errorf("%d of %d won, want 1", winners, len(errs))
	}
}

func BenchmarkTableGet(b *testing.B) {
	table := newNotes(b, openFile(b, newPath(b)), "notes")
	id := mustCreate(b, table, strings.Repeat("x", 512))
	for b.Loop() {
		if _, err := table.Get(b.Context(), id); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkTableUpdate has each writer update a record of its own.
func BenchmarkTableUpdate(b *testing.B) {
	for _, writers := range []int{1, 128} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			table := newNotes(b, openFile(b, newPath(b)), "notes")
			runParallel(b, writers, func(int) func() {
				id := mustCreate(b, table, strings.Repeat("x", 512))
				return func() { mustUpdate(b, table, id, func(n *note) { n.Count++ }) }
			})
		})
	}
}

// namespace returns a part of the store in a backend.
func namespace(t testing.TB, backend Backend, name string, keys ...[]byte) *Store {
	t.Helper()
	s, err := New(context.Background(), backend, keys)
	if err != nil {
		t.Fatal(err)
	}
	return s.Namespace(name)
}
