package store

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

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

func TestCreateAs(t *testing.T) {
	ctx := t.Context()
	table := newNotes(t, openFile(t, newPath(t)), "notes")
	first := note{Text: "first", Until: later().UTC().Round(0)}
	if err := table.CreateAs(ctx, "WDJB-MJHT", first); err != nil {
		t.Fatalf("CreateAs: %v", err)
	}
	// A second attempt with the same user code must not take over the first.
	if err := table.CreateAs(ctx, "WDJB-MJHT", note{Text: "second", Until: later()}); !errors.Is(err, ErrExists) {
		t.Errorf("CreateAs of an existing record: %v, want %v", err, ErrExists)
	}
	wantNote(t, table, "WDJB-MJHT", first)
	if err := table.CreateAs(ctx, "wdjb-mjht", first); err != nil {
		t.Errorf("CreateAs of another identifier: %v", err)
	}
	if _, err := table.Delete(ctx, "WDJB-MJHT"); err != nil {
		t.Fatalf("Delete: %v", err)
	}
	if err := table.CreateAs(ctx, "WDJB-MJHT", first); err != nil {
		t.Errorf("CreateAs of a deleted record: %v", err)
	}
}

func TestConcurrentCreateAs(t *testing.T) {
	table := newNotes(t, openFile(t, newPath(t)), "notes")
	wantOneWinner(t, ErrExists, errorsOf(20, func(int) error {
		return table.CreateAs(t.Context(), "WDJB-MJHT", note{Until: later()})
	}))
}

func TestConcurrentDeletes(t *testing.T) {
	table := newNotes(t, openFile(t, newPath(t)), "notes")
	id := mustCreate(t, table, "deleted once")
	wantOneWinner(t, ErrNotFound, errorsOf(20, func(int) error {
		n, err := table.Delete(t.Context(), id)
		if err == nil && n.Text != "deleted once" {
			t.Errorf("Delete = %+v, want the record", n)
		}
		return err
	}))
}

// wantOneWinner wants one nil in errs, and otherwise loser.
func wantOneWinner(t *testing.T, loser error, errs []error) {
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

func TestConcurrentUpdates(t *testing.T) {
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

// Another write between an Update's read and its own write: neither is lost.
// Try gives up instead, and leaves the other's change.
func TestConflict(t *testing.T) {
	table := newNotes(t, openFile(t, newPath(t)), "notes")
	id := mustCreate(t, table, "")
	runs := 0
	change := func(n *note) error {
		if runs++; runs == 1 {
			mustUpdate(t, table, id, func(n *note) { n.Text += "quicker" })
		}
		n.Count++
		return nil
	}
	got, err := table.Update(t.Context(), id, change)
	if err != nil || got.Text != "quicker" || got.Count != 1 || runs != 2 {
		t.Errorf("after %d runs, Update = %+v, %v; want both changes after 2", runs, got, err)
	}
	wantNote(t, table, id, got)

	runs = 0
	err = table.store.Try(t.Context(), func(ctx context.Context) error {
		_, err := table.Update(ctx, id, change)
		return err
	})
	if !errors.Is(err, ErrConflict) || runs != 1 {
		t.Errorf("after %d runs, Try: %v; want %v after 1", runs, err, ErrConflict)
	}
	if got, err := table.Get(t.Context(), id); err != nil || got.Text != "quickerquicker" || got.Count != 1 {
		t.Errorf("after a conflict, Get = %+v, %v; want only the other change", got, err)
	}
}

// A request that is slower than a logout must not write the session back.
func TestGoneStaysGone(t *testing.T) {
	tests := []struct {
		name string
		end  func(t *testing.T, table *Table[note], id string)
	}{
		{"deleted", func(t *testing.T, table *Table[note], id string) {
			if _, err := table.Delete(t.Context(), id); err != nil {
				t.Errorf("Delete: %v", err)
			}
		}},
		{"expired", func(t *testing.T, table *Table[note], id string) {
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
				t.Errorf("Update of a record that ends during it = %+v, %v; want %v", got, err, ErrNotFound)
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

func TestKeepUntil(t *testing.T) {
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
			t.Errorf("before its new expiry, Get = %+v, %v; want the record", got, err)
		}
		time.Sleep(time.Second)
		wantNoNote(t, table, "id")
		if err := table.CreateAs(ctx, "id", note{Text: "next", Until: later()}); err != nil {
			t.Errorf("CreateAs in the place of an expired record: %v", err)
		}
	})
}

func TestUpdateWithoutChange(t *testing.T) {
	backend := &counting{Backend: openFile(t, newPath(t))}
	table := newNotes(t, backend, "notes")
	id := mustCreate(t, table, "as it was")
	before := mustGet(t, backend, table.key(id))
	swaps := backend.swaps.Load()

	fault := errors.New("changed my mind")
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

// Writers of a record that does not exist yet all count, and an error of the
// change stores nothing.
func TestUpsert(t *testing.T) {
	notes := newNotes(t, openFile(t, newPath(t)), "notes")
	if _, err := notes.Upsert(t.Context(), "id", func(*note) error { return errors.New("refused") }); err == nil {
		t.Error("Upsert returns no error")
	}
	if _, err := notes.Get(t.Context(), "id"); !errors.Is(err, ErrNotFound) {
		t.Errorf("after a refused Upsert, Get: %v, want ErrNotFound", err)
	}
	const writers = 16
	for _, err := range errorsOf(writers, func(int) error {
		_, err := notes.Upsert(t.Context(), "id", func(n *note) error {
			n.Count++
			n.Until = later()
			return nil
		})
		return err
	}) {
		if err != nil {
			t.Errorf("Upsert: %v", err)
		}
	}
	if n, err := notes.Get(t.Context(), "id"); err != nil || n.Count != writers {
		t.Errorf("after %d Upserts: %+v, %v", writers, n, err)
	}
}
