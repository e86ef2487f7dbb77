// Package store keeps small records that are forgotten in time: sessions,
// login attempts, and whatever else must survive a restart.
//
// A [Backend] moves opaque bytes; a [Table] makes typed, sealed records of
// them. What a record means, and when it has expired, is for its owner to say.
package store

import (
	"context"
	"errors"
	"time"
)

var (
	// ErrNotFound says that there is no such record, or none any more.
	ErrNotFound = errors.New("store: no such record")
	// ErrExists says that the identifier is taken.
	ErrExists = errors.New("store: the record exists")
	// ErrConflict says that somebody else changed the record at the same moment.
	ErrConflict = errors.New("store: the record was changed at the same moment")
	// ErrClosed says that the store was closed.
	ErrClosed = errors.New("store: closed")
)

// A Backend keeps values by key. All methods may be called from any goroutine.
type Backend interface {
	// Get returns the value of key, nil if it has none.
	Get(ctx context.Context, key string) ([]byte, error)

	// Swap gives key a new value if its present one is old, and reports
	// whether it did. It is atomic, and what it reports is durable. A nil old
	// stands for "no value"; a nil new deletes. The value is forgotten after
	// until.
	Swap(ctx context.Context, key string, old, new []byte, until time.Time) (bool, error)

	// Watch returns a channel that ticks once at the start, after each change
	// of key, and whenever a change may have been missed. Ticks that nobody
	// has taken yet are merged into one. The channel is closed when ctx ends.
	Watch(ctx context.Context, key string) <-chan struct{}

	// Close releases what the Backend holds. Later calls return [ErrClosed].
	Close() error
}
