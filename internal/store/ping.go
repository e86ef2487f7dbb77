package store

import (
	"context"
	"time"

	bolt "go.etcd.io/bbolt"
)

const pingEvery = time.Second // how long the outcome of a commit answers pings

// bucketPing has the value that reserve writes, and one of Ping's.
var bucketPing = []byte("ping")

// Ping implements [Backend]. The outcome of the latest commit is the answer, if
// it is at most a second old. Otherwise Ping writes as if it added a record,
// which fails when the disk is read-only or almost full. That does not grow the
// file without bound: each ping reuses the pages of the one before the last.
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
		if err := f.reserve(tx); err != nil {
			return err
		}
		bucket, err := tx.CreateBucketIfNotExists(bucketPing)
		if err != nil {
			return err
		}
		return bucket.Put([]byte("last"), []byte(time.Now().String()))
	})
}
