package store

import (
	"errors"
	"testing"
	"time"
)

// A store that is unavailable must not look like a record that is gone, or a
// short outage would log everyone out.
func TestTableBackendErrors(t *testing.T) {
	ctx := t.Context()
	f := openFile(t, newPath(t))
	table := newNotes(t, f, "notes")
	id := mustCreate(t, table, "")
	closeFile(t, f)
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

// variant is a record that is not always valid JSON.
type variant struct{ Any any }

func (variant) KeepUntil() time.Time { return later() }

func TestTableJSONErrors(t *testing.T) {
	ctx := t.Context()
	backend := &counting{Backend: openFile(t, newPath(t))}
	s := mustNew(t, backend, newKey)
	table := NewTable[variant](s, "notes")
	before := backend.swaps.Load()
	if err := table.CreateAs(ctx, "id", variant{func() {}}); err == nil {
		t.Error("CreateAs of a record that cannot be JSON: no error")
	}
	if n := backend.swaps.Load() - before; n != 0 {
		t.Errorf("CreateAs of a record that cannot be JSON wrote %d times, want never", n)
	}
	if err := table.CreateAs(ctx, "id", variant{"text"}); err != nil {
		t.Fatalf("CreateAs: %v", err)
	}
	if _, err := table.Update(ctx, "id", func(v *variant) error { v.Any = func() {}; return nil }); err == nil {
		t.Error("Update to a record that cannot be JSON: no error")
	}
	if got, err := table.Get(ctx, "id"); err != nil || got.Any != "text" {
		t.Errorf("after that, Get = %+v, %v; want the record as it was", got, err)
	}

	// Another version of the program wrote this record in another shape.
	if got, err := NewTable[number](s, "notes").Get(ctx, "id"); err == nil || errors.Is(err, ErrNotFound) {
		t.Errorf("Get of another shape = %+v, %v; want an error that is not %v", got, err, ErrNotFound)
	}
}

// number cannot be read from every variant.
type number struct{ Any int }

func (number) KeepUntil() time.Time { return later() }
