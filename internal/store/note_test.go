package store

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
)

// note is a record for tests.
type note struct {
	Text  string
	Count int
	Until time.Time
}

func (n note) KeepUntil() time.Time { return n.Until }

// newNotes returns a table in the bank's namespace.
func newNotes(t testing.TB, b Backend, name string) *Table[note] {
	t.Helper()
	return NewTable[note](mustNew(t, b, newKey).Namespace(bank), name)
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

// counting counts the writes.
type counting struct {
	Backend
	swaps atomic.Int64
}

func (c *counting) Swap(ctx context.Context, writes ...Write) (bool, error) {
	c.swaps.Add(1)
	return c.Backend.Swap(ctx, writes...)
}
