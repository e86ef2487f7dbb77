package store

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// A Store is a [Backend] and the keys that seal what is in it.
type Store struct {
	backend   Backend
	keys      [][]byte
	namespace string
}

// New returns a Store that seals new records with the first of keys and opens
// old ones with any of them, so that a key can be replaced without logging
// everybody out. Each key needs 16 bytes of randomness or more.
func New(_ context.Context, backend Backend, keys [][]byte) (*Store, error) {
	return &Store{backend: backend, keys: keys}, nil
}

// Namespace returns the part of the Store with that name. Records in another
// namespace do not exist there. The application's is named for its issuer,
// client and URL: a session from the demo provider does not exist once a real
// provider is configured.
func (s *Store) Namespace(name string) *Store {
	part := *s
	part.namespace = name
	return &part
}

// DeriveKeys returns a 32-byte key for one purpose from each of the Store's
// keys, in their order.
func (s *Store) DeriveKeys(purpose string) [][]byte {
	derived := make([][]byte, len(s.keys))
	for i, key := range s.keys {
		k, err := hkdf.Key(sha256.New, key, nil, "changebank "+purpose, 32)
		if err != nil {
			panic(err) // only for a length that SHA-256 cannot give
		}
		derived[i] = k
	}
	return derived
}

// A Record says how long it is worth keeping.
type Record interface {
	KeepUntil() time.Time
}

// A Table holds the records of one type. A record is stored as JSON, sealed
// with AES-256-GCM under a key of its table's own and bound to its place:
// whoever steals the store can neither read a record nor put it where another
// stood. Identifiers are stored as SHA-256 only.
//
// A record that does not open (its key was dropped, its bytes were damaged)
// counts as absent.
type Table[T Record] struct {
	backend Backend
	name    string
	prefix  []byte // of what is hashed
	seals   []cipher.AEAD
}

// NewTable returns the table of that name.
func NewTable[T Record](s *Store, name string) *Table[T] {
	t := &Table[T]{backend: s.backend, name: name, prefix: []byte(s.namespace + "\x00" + name + "\x00")}
	for _, key := range s.DeriveKeys("table " + name) {
		block, err := aes.NewCipher(key)
		if err != nil {
			panic(err) // 32 bytes are always a key
		}
		seal, err := cipher.NewGCMWithRandomNonce(block)
		if err != nil {
			panic(err)
		}
		t.seals = append(t.seals, seal)
	}
	return t
}

// Create stores a record and returns the identifier made for it: 128 random
// bits or more, as text.
func (t *Table[T]) Create(ctx context.Context, record T) (id string, err error) {
	id = rand.Text()
	return id, t.CreateAs(ctx, id, record)
}

// CreateAs stores a record under an identifier, or returns [ErrExists].
func (t *Table[T]) CreateAs(ctx context.Context, id string, record T) error {
	key := t.key(id)
	stored, err := t.backend.Get(ctx, key)
	if err != nil {
		return err
	}
	if _, ok := t.open(key, stored); ok {
		return ErrExists
	}
	plain, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("store: %s: %w", t.name, err)
	}
	ok, err := t.backend.Swap(ctx, key, stored, t.seal(key, plain), record.KeepUntil())
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

// Update changes a record and returns it as it then is. If the record is gone
// it stays gone: a slow writer gets [ErrNotFound] and revives nothing. An
// error of change is returned as it is, and nothing is written. change only
// computes: it runs again when somebody else was quicker.
func (t *Table[T]) Update(ctx context.Context, id string, change func(*T) error) (T, error) {
	for {
		record, err := t.TryUpdate(ctx, id, change)
		if !errors.Is(err, ErrConflict) {
			return record, err
		}
	}
}

// TryUpdate is Update that gives up with [ErrConflict] when somebody else
// changed the record at the same moment.
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
	switch ok, err := t.backend.Swap(ctx, key, stored, t.seal(key, after), record.KeepUntil()); {
	case err != nil:
		return none, err
	case !ok:
		return none, ErrConflict
	}
	return record, nil
}

// Delete removes a record and returns what it was, or [ErrNotFound]. Of
// several that delete the same record, one gets it.
func (t *Table[T]) Delete(ctx context.Context, id string) (T, error) {
	var none T
	key := t.key(id)
	for {
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
	}
}

// Watch returns a channel that ticks as [Backend].Watch says.
func (t *Table[T]) Watch(ctx context.Context, id string) <-chan struct{} {
	return t.backend.Watch(ctx, t.key(id))
}

func (t *Table[T]) read(ctx context.Context, key string) (stored, plain []byte, record T, err error) {
	stored, err = t.backend.Get(ctx, key)
	if err != nil {
		return nil, nil, record, err
	}
	plain, ok := t.open(key, stored)
	if !ok {
		return nil, nil, record, ErrNotFound
	}
	if err := json.Unmarshal(plain, &record); err != nil {
		return nil, nil, record, fmt.Errorf("store: %s: %w", t.name, err)
	}
	return stored, plain, record, nil
}

func (t *Table[T]) seal(key string, plain []byte) []byte {
	return t.seals[0].Seal(nil, nil, plain, []byte(key))
}

func (t *Table[T]) open(key string, stored []byte) ([]byte, bool) {
	for _, seal := range t.seals {
		if plain, err := seal.Open(nil, nil, stored, []byte(key)); err == nil {
			return plain, true
		}
	}
	return nil, false
}

func (t *Table[T]) key(id string) string {
	sum := sha256.Sum256(append(bytes.Clone(t.prefix), id...))
	return t.name + ":" + base64.RawURLEncoding.EncodeToString(sum[:])
}
