package store

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// A transaction holds what one run of [Store.Atomically] has read and written.
type transaction struct {
	entries []*entry
	after   []func()
	over    bool
}

// An entry is one record of a transaction.
type entry struct {
	key    string
	sealer sealer
	stored []byte // in the backend

	written bool   // by the transaction
	now     []byte // then the record's JSON; nil: it is deleted
	until   time.Time
}

// transactionKey is the name of a transaction in a context. Another Store's
// records do not belong to it; all namespaces of one have the same lookup key.
type transactionKey struct{ of *lookupKey }

func (s *Store) transaction(ctx context.Context) *transaction {
	tx, _ := ctx.Value(transactionKey{s.lookup}).(*transaction)
	if tx == nil || tx.over {
		return nil
	}
	return tx
}

// Atomically runs change, and then makes everything that it wrote durable in one
// commit, or nothing. All operations of s's tables with the context that change gets
// are part of this transaction, and so are nested calls of Atomically with it. If
// another writer has meanwhile changed one of the records, even one that change
// only read, change runs again. So change must have no other effects: defer these
// with [Store.After].
//
// If change returns an error, nothing is written and Atomically returns that
// error. In a nested call, the outer transaction decides: if it continues after
// such an error, it commits the changes made before the error.
func (s *Store) Atomically(ctx context.Context, change func(ctx context.Context) error) error {
	for lost := 0; ; lost++ {
		err := s.Try(ctx, change)
		if !errors.Is(err, ErrConflict) {
			return err
		}
		if err := stepAside(ctx, lost); err != nil {
			return err
		}
	}
}

// Try is [Store.Atomically] without retries. It returns [ErrConflict] if another
// writer was faster.
func (s *Store) Try(ctx context.Context, change func(ctx context.Context) error) error {
	if s.transaction(ctx) != nil {
		return change(ctx)
	}
	tx := new(transaction)
	err := change(context.WithValue(ctx, transactionKey{s.lookup}, tx))
	tx.over = true
	if err := tx.finish(ctx, s.backend, err == nil); err != nil {
		return err
	}
	if err != nil {
		return err
	}
	for _, f := range tx.after {
		f()
	}
	return nil
}

// After runs f once the transaction of ctx is durable. If the transaction fails, or
// the answer to its commit is lost, f does not run. Outside of a transaction, f runs
// at once.
func (s *Store) After(ctx context.Context, f func()) {
	if tx := s.transaction(ctx); tx != nil {
		tx.after = append(tx.after, f)
		return
	}
	f()
}

// stepAside waits for a random time after a lost compare-and-set, so that many
// writers of one record do not collide again. It does not wait after the first one,
// since two writers often collide by chance. Then it waits for up to 1, 2, 4, 8,
// and at most 16 milliseconds.
func stepAside(ctx context.Context, lostBefore int) error {
	if lostBefore == 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(rand.N(time.Millisecond << min(lostBefore-1, 4))):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// read returns the entry of a key. It reads each key once.
func (tx *transaction) read(ctx context.Context, b Backend, s sealer, key string) (*entry, error) {
	for _, e := range tx.entries {
		if e.key == key {
			return e, nil
		}
	}
	stored, err := b.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	e := &entry{key: key, sealer: s, stored: stored}
	tx.entries = append(tx.entries, e)
	return e, nil
}

// finish commits the writes, if mayWrite is set and there are any. Otherwise it
// checks that all records are still as they were read: records read at different
// times may contradict each other. It returns [ErrConflict] if another writer was
// faster.
func (tx *transaction) finish(ctx context.Context, b Backend, mayWrite bool) error {
	if writes, changed := tx.writes(); mayWrite && changed {
		if err := ctx.Err(); err != nil {
			return err
		}
		// From here on the request may end, but not the commit: it could be durable all
		// the same, and what follows it, such as revoking tokens, would not happen.
		ok, err := b.Swap(context.WithoutCancel(ctx), writes...)
		if err == nil && !ok {
			return ErrConflict
		}
		return err
	}
	if len(tx.entries) < 2 {
		return nil
	}
	for _, e := range tx.entries {
		stored, err := b.Get(ctx, e.key)
		if err != nil {
			return err
		}
		if !bytes.Equal(stored, e.stored) {
			return ErrConflict
		}
	}
	return nil
}

// changed reports whether the record was written, and differs from the stored one.
func (e *entry) changed() bool {
	if !e.written {
		return false
	}
	before, _, _ := e.sealer.open(e.key, e.stored)
	return !bytes.Equal(before, e.now)
}

func (tx *transaction) writes() (writes []Write, changed bool) {
	for _, e := range tx.entries {
		w := Write{Key: e.key, Old: e.stored, Until: e.until, Keep: !e.changed()}
		if !w.Keep {
			changed = true
			if e.now != nil {
				w.New = e.sealer.seal(e.key, e.now)
			}
		}
		writes = append(writes, w)
	}
	return writes, changed
}
