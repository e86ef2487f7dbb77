package store

import (
	"cmp"
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"log/slog"
)

// A Store is a [Backend] and the keys that protect what is in it.
type Store struct {
	backend   Backend
	keys      [][]byte
	lookup    *lookupKey // names the records
	namespace string
	log       *slog.Logger
	stop      context.CancelFunc // of [Open]; nil after New
}

// Open opens the store in the Redis at redisURL, or in the folder dir if that is
// empty. Without keys, a folder's own is used (see [File.SecretKey]); a Redis
// needs some. Everything in the Store goes through the backend that decorate
// returns, unless that is nil. Its errors are written for the operator.
func Open(ctx context.Context, redisURL, dir string, keys [][]byte, decorate func(Backend) Backend, log *slog.Logger) (s *Store, err error) {
	var backend Backend
	if redisURL != "" {
		backend, err = OpenRedis(ctx, redisURL, log)
	} else {
		backend, keys, err = openDirWithKeys(dir, keys, log)
	}
	if err != nil {
		return nil, err
	}
	if decorate != nil {
		backend = decorate(backend)
	}
	if s, err = New(ctx, backend, keys); err != nil {
		return nil, errors.Join(err, backend.Close())
	}
	var kept context.Context
	s.log = log
	kept, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	if redisURL != "" { // nobody else can change a file
		go s.keepLookup(kept, log)
	}
	return s, nil
}

func openDirWithKeys(dir string, keys [][]byte, log *slog.Logger) (Backend, [][]byte, error) {
	file, err := OpenDir(dir, log)
	if err != nil || len(keys) > 0 {
		return file, keys, err
	}
	key, err := file.SecretKey()
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	return file, [][]byte{key}, nil
}

// New returns a Store that seals records with the first of keys and opens them
// with any of them. Each key needs at least 16 bytes of randomness.
//
// To change keys while several replicas run, first add the new key last on each
// of them, and then put it first. A replica that starts in between finds a
// lookup key that it can open. Nobody is logged out.
func New(ctx context.Context, backend Backend, keys [][]byte) (*Store, error) {
	s := &Store{backend: backend, keys: keys, lookup: new(lookupKey), log: slog.New(slog.DiscardHandler)}
	if _, err := s.agreeOnLookup(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// Close closes the backend. Later calls return [ErrClosed].
func (s *Store) Close() error {
	if s.stop != nil {
		s.stop()
	}
	return s.backend.Close()
}

// Ping returns an error if the store cannot be read and written. It may be
// called at any rate.
func (s *Store) Ping(ctx context.Context) error {
	return cmp.Or(s.backend.Ping(ctx), s.lookup.err())
}

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
