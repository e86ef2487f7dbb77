package store

import (
	"context"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"time"
)

// A Store is a [Backend] and the keys that protect what is in it.
type Store struct {
	backend   Backend
	keys      [][]byte
	lookup    []byte // names the records
	namespace string
}

const lookupName = "lookup-key" // no table's record has a name without a colon

// forever is when the lookup key expires: later than any program lives, and
// still a time that a [Backend] can hold.
var forever = time.Date(2200, time.January, 1, 0, 0, 0, 0, time.UTC)

var errWrongKeys = errors.New("the stored data was sealed with a different key; " +
	"set APP_SECRET_KEY to that key, or add it after the current one (if APP_SECRET_KEY was not set before, the key is in secret.key in DATA_DIR), " +
	"or delete the stored data to start over, which logs everyone out")

// New returns a Store that seals records with the first of keys and opens them
// with any of them. Each key needs at least 16 bytes of randomness.
//
// Records are named by a keyed hash, because a plain hash of something as short
// as a user code can be reversed by trying all of them. The lookup key is
// random. The first New on a backend stores it, sealed like a record, and later
// ones read it, so that names stay the same when keys change. If none of keys
// opens it, New fails: a second lookup key would hide every record.
//
// To change keys while several replicas run, first add the new key last on each
// of them, and then put it first. A replica that starts in between finds a
// lookup key that it can open. Nobody is logged out.
func New(ctx context.Context, backend Backend, keys [][]byte) (*Store, error) {
	s := &Store{backend: backend, keys: keys}
	seals := s.sealer(lookupName)
	for {
		stored, err := backend.Get(ctx, lookupName)
		if err != nil {
			return nil, err
		}
		lookup, key, ok := seals.open(lookupName, stored)
		switch {
		case stored == nil:
			lookup = make([]byte, sha256.Size)
			rand.Read(lookup)
		case !ok:
			return nil, errWrongKeys
		case key == 0:
			s.lookup = lookup
			return s, nil
		}
		// It is missing, or sealed with an older key. If another process is
		// quicker to store it, that copy counts.
		if _, err := backend.Swap(ctx, lookupName, stored, seals.seal(lookupName, lookup), forever); err != nil {
			return nil, err
		}
	}
}

// Ping returns an error if the store cannot be read and written.
func (s *Store) Ping(ctx context.Context) error { return s.backend.Ping(ctx) }

// Namespace returns the part of the Store with that name. Records of other
// namespaces do not exist in it. The application's namespace is named for its
// issuer, client and URL: a session from the demo provider does not exist once
// a real provider is configured.
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
