package store

import (
	"bytes"
	"context"
	"crypto/hmac"
	cryptorand "crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
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
// A record that does not open, because its key was dropped or its bytes are
// damaged, counts as absent.
type Table[T Record] struct {
	backend Backend
	name    string
	prefix  string // what a record's name is made from, before its identifier
	lookup  *lookupKey
	sealer  sealer
}

// NewTable returns the table of that name in the Store's namespace.
func NewTable[T Record](s *Store, name string) *Table[T] {
	return &Table[T]{
		backend: s.backend,
		name:    name,
		prefix:  s.namespace + "\x00" + name + "\x00",
		lookup:  s.lookup,
		sealer:  s.sealer("table " + name),
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
	key := t.key(id)
	stored, err := t.backend.Get(ctx, key)
	if err != nil {
		return err
	}
	if _, _, ok := t.sealer.open(key, stored); ok {
		return ErrExists
	}
	plain, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("store: %s: %w", t.name, err)
	}
	ok, err := t.backend.Swap(ctx, key, stored, t.sealer.seal(key, plain), record.KeepUntil())
	if err == nil && !ok {
		return ErrExists
	}
	return err
}

// Get returns a record, or [ErrNotFound].
func (t *Table[T]) Get(ctx context.Context, id string) (T, error) {
	_, _, record, err := t.read(ctx, t.key(id))
	return record, err
}

// Update changes a record and returns the result. A record that is gone stays
// gone: a slow writer gets [ErrNotFound] and revives nothing. If change returns
// an error, nothing is written and Update returns that error. change must only
// compute: it runs again if another writer was quicker.
func (t *Table[T]) Update(ctx context.Context, id string, change func(*T) error) (T, error) {
	for lost := 0; ; lost++ {
		record, err := t.TryUpdate(ctx, id, change)
		if !errors.Is(err, ErrConflict) {
			return record, err
		}
		if err := stepAside(ctx, lost); err != nil {
			return record, err
		}
	}
}

// Upsert is [Table.Update] for a record that need not exist: change then gets the
// zero record.
func (t *Table[T]) Upsert(ctx context.Context, id string, change func(*T) error) (T, error) {
	for {
		record, err := t.Update(ctx, id, change)
		if !errors.Is(err, ErrNotFound) {
			return record, err
		}
		var none, made T
		if err := change(&made); err != nil {
			return none, err
		}
		if err := t.CreateAs(ctx, id, made); !errors.Is(err, ErrExists) {
			return made, err
		}
	}
}

// stepAside waits for a random time after a compare-and-set lost, so that many
// writers of one record do not meet again. It does not wait for the first that
// lost, as when two writers happen to meet, and then up to 1, 2, 4, 8 and at last
// 16 milliseconds.
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

// TryUpdate is [Table.Update] without retries: it returns [ErrConflict] if
// another writer was quicker.
func (t *Table[T]) TryUpdate(ctx context.Context, id string, change func(*T) error) (T, error) {
	var none T
	key := t.key(id)
	stored, before, record, err := t.read(ctx, key)
	if err != nil {
		return none, err
	}
	if err := change(&record); err != nil {
		return none, err
	}
	after, err := json.Marshal(record)
	if err != nil {
		return none, fmt.Errorf("store: %s: %w", t.name, err)
	}
	if bytes.Equal(before, after) {
		return record, nil
	}
	switch ok, err := t.backend.Swap(ctx, key, stored, t.sealer.seal(key, after), record.KeepUntil()); {
	case err != nil:
		return none, err
	case !ok:
		return none, ErrConflict
	}
	return record, nil
}

// Delete removes a record and returns it, or [ErrNotFound]. If several callers
// delete the same record, one of them gets it.
func (t *Table[T]) Delete(ctx context.Context, id string) (T, error) {
	var none T
	key := t.key(id)
	for lost := 0; ; lost++ {
		stored, _, record, err := t.read(ctx, key)
		if err != nil {
			return none, err
		}
		ok, err := t.backend.Swap(ctx, key, stored, nil, time.Time{})
		if err != nil {
			return none, err
		}
		if ok {
			return record, nil
		}
		if err := stepAside(ctx, lost); err != nil {
			return none, err
		}
	}
}

// Watch returns a channel that ticks when the record may have changed, as
// [Backend] describes.
func (t *Table[T]) Watch(ctx context.Context, id string) <-chan struct{} {
	return t.backend.Watch(ctx, t.key(id))
}

func (t *Table[T]) read(ctx context.Context, key string) (stored, plain []byte, record T, err error) {
	stored, err = t.backend.Get(ctx, key)
	if err != nil {
		return nil, nil, record, err
	}
	plain, _, ok := t.sealer.open(key, stored)
	if !ok {
		return nil, nil, record, ErrNotFound
	}
	if err := json.Unmarshal(plain, &record); err != nil {
		return nil, nil, record, fmt.Errorf("store: %s: %w", t.name, err)
	}
	return stored, plain, record, nil
}

// key returns the name of a record in the backend.
func (t *Table[T]) key(id string) string {
	mac := hmac.New(sha256.New, t.lookup.get())
	mac.Write([]byte(t.prefix + id))
	return t.name + ":" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
