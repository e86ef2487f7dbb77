package store

import (
	"bytes"
	"errors"
	"time"

	bolt "go.etcd.io/bbolt"
)

const (
	sweepEvery = time.Minute // how often expired records are deleted
	maxSweep   = 1000        // records deleted in one commit
)

// sweep deletes a part of the expired records, so that no writer waits for all
// of them, and reports whether there may be more. What cannot be deleted now is
// tried again at the next tick.
func (f *File) sweep() bool {
	expired := f.expired(time.Now())
	if len(expired) == 0 {
		return false // without a commit: an idle file is left alone
	}
	err := f.update(func(tx *bolt.Tx) error {
		records, untils := tx.Bucket(bucketRecords), tx.Bucket(bucketUntil)
		for _, key := range expired {
			if err := errors.Join(untils.Delete(key), records.Delete(key[8:])); err != nil {
				return err
			}
		}
		return nil
	})
	return err == nil
}

// expired returns at most maxSweep keys in bucketUntil that have expired.
func (f *File) expired(now time.Time) (keys [][]byte) {
	_ = f.db.View(func(tx *bolt.Tx) error { // fails only if the file is closed
		cursor := tx.Bucket(bucketUntil).Cursor()
		for key, _ := cursor.First(); key != nil && len(keys) < maxSweep && live(key, now) == nil; key, _ = cursor.Next() {
			keys = append(keys, bytes.Clone(key))
		}
		return nil
	})
	return keys
}
