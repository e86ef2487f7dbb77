package store

import (
	"context"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	pingEvery = time.Second // how long the outcome of a commit answers pings
	pingSize  = 16 << 10    // more than a record needs
)

// bucketPing has one value, which Ping overwrites.
var bucketPing = []byte("ping")

// Ping implements [Backend]. The latest commit is the answer, if it was made
// within the last second. Otherwise Ping writes as much as a large record, which
// fails on a disk that is full or read-only. The file does not grow with it:
// the pages of one ping are free for the next.
func (f *File) Ping(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case f.pings <- done:
	case <-f.stop:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done(): // the disk may hang
		return ctx.Err()
	}
}

// writable answers one ping.
func (f *File) writable() error {
	if time.Since(f.committed) < pingEvery {
		return f.fault
	}
	return f.update(func(tx *bolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists(bucketPing)
		if err != nil {
			return err
		}
		return bucket.Put(bucketPing, make([]byte, pingSize))
	})
}
