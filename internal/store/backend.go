// Package store keeps small records that expire: sessions, login attempts, and
// everything else that must survive a restart.
//
// A [Backend] stores opaque bytes. A [Table] makes typed, sealed records of
// them. What a record means, and how long it is kept, is up to its owner.
package store

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrNotFound says that the record does not exist, or has expired.
	ErrNotFound = errors.New("store: no such record")
	// ErrExists says that the identifier is taken.
	ErrExists = errors.New("store: record exists")
	// ErrConflict says that another writer changed the record at the same time.
	ErrConflict = errors.New("store: record changed by another writer")
	// ErrUnavailable says that the store cannot be read or written at present.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store: closed")
)

// A Backend keeps values by key. All methods may be called from any goroutine.
type Backend interface {
	// Get returns the value of key, nil if it has none.
	Get(ctx context.Context, key string) ([]byte, error)

	// Swap makes all the writes if the current value of each key is its Old,
	// otherwise none of them, and reports whether it did. It is atomic, and what
	// it reports is durable. The keys must differ.
	Swap(ctx context.Context, writes ...Write) (bool, error)

	// Watch returns a channel that ticks once at the start, after each change
	// of key, and whenever a change may have been missed. Ticks that were not
	// received yet are merged into one. The channel is closed when ctx ends.
	Watch(ctx context.Context, key string) <-chan struct{}

	// Ping returns an error if the Backend cannot be written. It may be called
	// at any rate, because health checks are open to everyone.
	Ping(ctx context.Context) error

	// Close releases what the Backend holds. Later calls return [ErrClosed].
	Close() error
}

// A Write is one key's part of a [Backend.Swap].
type Write struct {
	Key      string
	Old, New []byte    // nil: no value
	Until    time.Time // when New expires: before the year 2262
	Keep     bool      // only compare with Old, and ignore New and Until
}
