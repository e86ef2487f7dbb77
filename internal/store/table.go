package store

import (
	"context"
	cryptorand "crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// A Record says when it expires.
type Record interface {
	KeepUntil() time.Time
}

// A Table holds the records of one type. A record is stored as JSON, sealed
// with AES-256-GCM under a key of its table's own and bound to its place. A
// thief of the store can neither read a record, nor put it in the place of
// another, nor compute an identifier from its name.
//
// T is a struct. A T with maps or pointers is decoded each time that it is read.
//
// A record that does not open, because its key was dropped or its bytes are
// damaged, counts as absent. The first one of a table is logged.
type Table[T Record] struct {
	store  *Store
	name   string
	prefix string // what a record's name is made from, before its identifier
	sealer sealer
	cache  cache[T]
	warn   sync.Once // about a record that does not open
}

// NewTable returns the table of that name in the Store's namespace.
func NewTable[T Record](s *Store, name string) *Table[T] {
	return &Table[T]{
		store:  s,
		name:   name,
		prefix: s.namespace + "\x00" + name + "\x00",
		sealer: s.sealer("table " + name),
		cache:  newCache[T](),
	}
}

// Create stores a record and returns its new identifier: at least 128 random
// bits, as text.
func (t *Table[T]) Create(ctx context.Context, record T) (id string, err error) {
	id = cryptorand.Text()
	return id, t.CreateAs(ctx, id, record)
}

// CreateAs stores a record under an identifier, or returns [ErrExists].
func (t *Table[T]) CreateAs(ctx context.Context, id string, record T) error {
	return t.store.Atomically(ctx, func(ctx context.Context) error {
		e, _, err := t.read(ctx, id)
		switch {
		case err == nil:
			return ErrExists
		case errors.Is(err, ErrNotFound):
			return t.write(e, record)
		}
		return err
	})
}

// Get returns a record, or [ErrNotFound]. Its slices may be shared with other
// callers and must not be changed.
func (t *Table[T]) Get(ctx context.Context, id string) (record T, err error) {
	if t.store.transaction(ctx) != nil {
		_, record, err = t.read(ctx, id)
		return record, err
	}
	key := t.key(id)
	stored, err := t.store.backend.Get(ctx, key)
	if err != nil {
		return record, err
	}
	return t.open(key, stored)
}

// Update changes a record and returns the result. A record that is gone stays
// gone: a slow writer gets [ErrNotFound] and revives nothing. If change returns
// an error, nothing is written and Update returns that error. change must have
// no other effects, since it runs again if another writer was faster.
func (t *Table[T]) Update(ctx context.Context, id string, change func(*T) error) (T, error) {
	return t.change(ctx, id, false, change)
}

// Upsert is [Table.Update] for a record that need not exist: change then gets the
// zero record.
func (t *Table[T]) Upsert(ctx context.Context, id string, change func(*T) error) (T, error) {
	return t.change(ctx, id, true, change)
}

func (t *Table[T]) change(ctx context.Context, id string, create bool, change func(*T) error) (record T, err error) {
	err = t.store.Atomically(ctx, func(ctx context.Context) error {
		var e *entry
		e, record, err = t.read(ctx, id)
		if err != nil && !(create && errors.Is(err, ErrNotFound)) {
			return err
		}
		if err := change(&record); err != nil {
			return err
		}
		return t.write(e, record)
	})
	if err != nil {
		var none T
		return none, err
	}
	return record, nil
}

// Delete removes a record and returns it, or [ErrNotFound]. If several callers
// delete the same record, one of them gets it.
func (t *Table[T]) Delete(ctx context.Context, id string) (record T, err error) {
	err = t.store.Atomically(ctx, func(ctx context.Context) error {
		var e *entry
		if e, record, err = t.read(ctx, id); err == nil {
			e.now, e.written = nil, true
		}
		return err
	})
	if err != nil {
		var none T
		return none, err
	}
	return record, nil
}

// Watch returns a channel that ticks when the record may have changed, as
// [Backend] describes.
func (t *Table[T]) Watch(ctx context.Context, id string) <-chan struct{} {
	return t.store.backend.Watch(ctx, t.key(id))
}

// read returns a record of a transaction, which nobody shares. The entry comes with
// [ErrNotFound] as well.
func (t *Table[T]) read(ctx context.Context, id string) (e *entry, record T, err error) {
	e, err = t.store.transaction(ctx).read(ctx, t.store.backend, t.sealer, t.key(id))
	if err != nil {
		return nil, record, err
	}
	if e.written {
		record, err = t.decode(e.now)
		return e, record, err
	}
	record, err = t.open(e.key, e.stored)
	return e, t.cache.copy(record), err
}

// open returns the record that was stored as these bytes, or [ErrNotFound]. It may be
// shared with other readers.
func (t *Table[T]) open(key string, stored []byte) (record T, err error) {
	if stored == nil {
		return record, ErrNotFound
	}
	if record, ok := t.cache.get(key, stored); ok {
		return record, nil
	}
	plain, _, ok := t.sealer.open(key, stored)
	if !ok {
		// Logged once: after a key was dropped there may be very many.
		t.warn.Do(func() {
			t.store.log.Warn("stored record does not open, so it counts as absent: it is damaged, or its key is no longer in APP_SECRET_KEY", "table", t.name)
		})
	}
	if record, err = t.decode(plain); err == nil {
		t.cache.put(key, stored, record)
	}
	return record, err
}

func (t *Table[T]) decode(plain []byte) (record T, err error) {
	if plain == nil {
		return record, ErrNotFound
	}
	if err := json.Unmarshal(plain, &record); err != nil {
		return record, fmt.Errorf("store: %s: %w", t.name, err)
	}
	return record, nil
}

func (t *Table[T]) write(e *entry, record T) error {
	plain, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("store: %s: %w", t.name, err)
	}
	e.now, e.until, e.written = plain, record.KeepUntil(), true
	return nil
}

// key returns the name of a record in the backend.
func (t *Table[T]) key(id string) string {
	return t.name + ":" + base64.RawURLEncoding.EncodeToString(t.store.lookup.mac(t.prefix+id))
}
