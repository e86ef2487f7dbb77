package store

import (
	"context"
	"errors"
	"testing"
)

// newPair returns two tables of one store, and their backend.
func newPair(t *testing.T) (backend *counting, s *Store, people, accounts *Table[note]) {
	t.Helper()
	backend = &counting{Backend: openFile(t, newPath(t))}
	s = mustNew(t, backend, newKey).Namespace(bank)
	return backend, s, NewTable[note](s, "people"), NewTable[note](s, "accounts")
}

func add(n int) func(*note) error {
	return func(r *note) error {
		r.Count += n
		r.Until = later()
		return nil
	}
}

// A transaction is one write to the backend. It reads its own changes, which others
// see only after its end.
func TestAtomically(t *testing.T) {
	backend, s, people, accounts := newPair(t)
	gone := mustCreate(t, people, "gone")
	before := backend.swaps.Load()
	ran := false
	err := s.Atomically(t.Context(), func(ctx context.Context) error {
		s.After(ctx, func() { ran = true })
		_, errUpsert := people.Upsert(ctx, "1", add(1))
		_, errAgain := people.Update(ctx, "1", add(1))
		_, errDelete := people.Delete(ctx, gone)
		_, errUpdate := people.Update(ctx, gone, add(1))
		if !errors.Is(errUpdate, ErrNotFound) {
			t.Errorf("Update of a record that was deleted before: %v", errUpdate)
		}
		if n, err := people.Get(ctx, "1"); err != nil || n.Count != 2 {
			t.Errorf("inside, Get = %+v, %v; want a count of 2", n, err)
		}
		wantNoNote(t, people, "1")
		if ran {
			t.Error("After ran before the end")
		}
		// A function that makes its own transaction joins this one.
		return errors.Join(errUpsert, errAgain, errDelete, s.Atomically(ctx, func(ctx context.Context) error {
			return accounts.CreateAs(ctx, "1", note{Count: 3, Until: later()})
		}))
	})
	if err != nil || !ran {
		t.Errorf("Atomically: %v, After ran: %t", err, ran)
	}
	if n := backend.swaps.Load() - before; n != 1 {
		t.Errorf("%d writes, want 1", n)
	}
	if n, err := people.Get(t.Context(), "1"); err != nil || n.Count != 2 {
		t.Errorf("Get = %+v, %v; want a count of 2", n, err)
	}
	if n, err := accounts.Get(t.Context(), "1"); err != nil || n.Count != 3 {
		t.Errorf("Get = %+v, %v; want a count of 3", n, err)
	}
	wantNoNote(t, people, gone)
}

// An error stores nothing, and neither does a transaction that changes nothing.
func TestAtomicallyFails(t *testing.T) {
	backend, s, people, accounts := newPair(t)
	id := mustCreate(t, people, "")
	before := backend.swaps.Load()
	fault := errors.New("refused")
	for _, want := range []error{fault, nil} {
		err := s.Atomically(t.Context(), func(ctx context.Context) error {
			if want != nil {
				s.After(ctx, func() { t.Error("After ran") })
				_, err := accounts.Upsert(ctx, "1", add(1))
				return errors.Join(err, fault)
			}
			_, err := people.Update(ctx, id, func(*note) error { return nil })
			return err
		})
		if !errors.Is(err, want) {
			t.Errorf("Atomically: %v, want %v", err, want)
		}
	}
	if n := backend.swaps.Load() - before; n != 0 {
		t.Errorf("%d writes, want none", n)
	}
	wantNoNote(t, accounts, "1")
}

// If another writer changes, deletes or creates a record that a transaction has
// read, even one that it does not write, it runs again, and sees that.
func TestAtomicallyRunsAgain(t *testing.T) {
	for name, other := range map[string]func(ctx context.Context, people *Table[note], id string) error{
		"change": func(ctx context.Context, people *Table[note], id string) error {
			_, err := people.Update(ctx, id, add(1))
			return err
		},
		"delete": func(ctx context.Context, people *Table[note], id string) error {
			_, err := people.Delete(ctx, id)
			return err
		},
		"create": func(ctx context.Context, people *Table[note], _ string) error {
			return people.CreateAs(ctx, "another", note{Until: later()})
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, s, people, accounts := newPair(t)
			id := mustCreate(t, people, "")
			runs, after := 0, 0
			err := s.Atomically(t.Context(), func(ctx context.Context) error {
				runs++
				s.After(ctx, func() { after++ })
				for _, id := range []string{id, "another"} {
					if _, err := people.Get(ctx, id); err != nil && !errors.Is(err, ErrNotFound) {
						return err
					}
				}
				if runs == 1 {
					if err := other(t.Context(), people, id); err != nil {
						t.Errorf("the other writer: %v", err)
					}
				}
				_, err := accounts.Upsert(ctx, "1", add(1))
				return err
			})
			if err != nil || runs != 2 || after != 1 {
				t.Errorf("Atomically: %v after %d runs, %d of After; want 2 and 1", err, runs, after)
			}
			if n, err := accounts.Get(t.Context(), "1"); err != nil || n.Count != 1 {
				t.Errorf("Get = %+v, %v; want a count of 1", n, err)
			}
		})
	}
}

// A transaction that writes nothing, or that fails, has still seen its records as they
// were at one moment.
func TestAtomicallyReads(t *testing.T) {
	_, s, people, accounts := newPair(t)
	id := mustCreate(t, people, "")
	if _, err := accounts.Upsert(t.Context(), "1", add(1)); err != nil {
		t.Fatal(err)
	}
	unequal := errors.New("the counts differ")
	for _, fails := range []bool{false, true} {
		runs, differ := 0, false
		err := s.Atomically(t.Context(), func(ctx context.Context) error {
			runs++
			one, errOne := people.Get(ctx, id)
			if runs == 1 { // both change together
				errOne = errors.Join(errOne, s.Atomically(t.Context(), func(ctx context.Context) error {
					_, errOne := people.Update(ctx, id, func(n *note) error { n.Count = one.Count + 1; return nil })
					_, errTwo := accounts.Update(ctx, "1", func(n *note) error { n.Count = one.Count + 1; return nil })
					return errors.Join(errOne, errTwo)
				}))
			}
			two, errTwo := accounts.Get(ctx, "1")
			if differ = one.Count != two.Count; differ && fails {
				return unequal
			}
			return errors.Join(errOne, errTwo)
		})
		if err != nil || differ || runs != 2 {
			t.Errorf("after %d runs, the counts differ: %t, %v; want equal ones after 2", runs, differ, err)
		}
	}
}

// After its transaction, a context has no effect.
func TestAfterTheTransaction(t *testing.T) {
	_, s, people, _ := newPair(t)
	var over context.Context
	err := s.Atomically(t.Context(), func(ctx context.Context) error {
		over = ctx
		_, err := people.Upsert(ctx, "1", add(1))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := people.Update(over, "1", add(1)); err != nil {
		t.Errorf("Update: %v", err)
	}
	if n, err := people.Get(over, "1"); err != nil || n.Count != 2 {
		t.Errorf("Get = %+v, %v; want a count of 2", n, err)
	}
	ran := false
	s.After(over, func() { ran = true })
	if !ran {
		t.Error("After did not run at once")
	}
}

// leaving is a backend whose caller leaves while a write is on its way. Like Redis, it
// then does not wait for the answer.
type leaving struct {
	Backend
	leave context.CancelFunc
}

func (b *leaving) Swap(ctx context.Context, writes ...Write) (bool, error) {
	b.leave()
	ok, err := b.Backend.Swap(context.WithoutCancel(ctx), writes...)
	return ok && ctx.Err() == nil, errors.Join(err, ctx.Err())
}

// A commit is finished although its request ends, and what follows it happens. None
// begins after that.
func TestRequestEndsDuringTheCommit(t *testing.T) {
	backend := &leaving{Backend: openFile(t, newPath(t)), leave: func() {}}
	s := mustNew(t, backend, newKey)
	people := NewTable[note](s, "people")
	ctx, cancel := context.WithCancel(t.Context())
	backend.leave = cancel
	try := func(id string) (ran bool, err error) {
		err = s.Atomically(ctx, func(ctx context.Context) error {
			s.After(ctx, func() { ran = true })
			_, err := people.Upsert(context.WithoutCancel(ctx), id, add(1))
			return err
		})
		return ran, err
	}
	if ran, err := try("1"); err != nil || !ran {
		t.Errorf("Atomically: %v, After ran: %t; want it finished", err, ran)
	}
	if ran, err := try("2"); !errors.Is(err, context.Canceled) || ran {
		t.Errorf("Atomically after the request: %v, After ran: %t; want %v", err, ran, context.Canceled)
	}
	wantNoNote(t, people, "2")
}
