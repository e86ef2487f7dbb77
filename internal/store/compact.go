package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	bolt "go.etcd.io/bbolt"
)

const (
	maxCompact  = 512 << 20 // bytes in use; to copy them takes some 3 seconds
	compactStep = 4 << 20   // bytes that are copied in one transaction
)

// compact rewrites a file if more than half of it is free, and returns it open.
// A file never shrinks otherwise, and deleted values stay readable in its free
// pages.
//
// The copy is complete and synced before it takes the file's place, so a crash
// leaves the one or the other. If the copy cannot be made, the file stays as it
// is. The caller holds the lock of [lockFile].
func compact(db *bolt.DB, log *slog.Logger) (*bolt.DB, error) {
	path := db.Path()
	temporary := path + ".compact"
	err := removeIfExists(temporary) // from a crash
	used, size := usage(db)
	if err == nil && used >= size/2 {
		return db, nil
	}
	if err == nil {
		err = copyTo(temporary, db, used)
	}
	if err != nil {
		_ = os.Remove(temporary) // or the next start does
		log.Warn("data file not compacted", "err", err)
		return db, nil
	}
	if err := db.Close(); err != nil { // Windows cannot replace an open file
		return nil, err
	}
	if err := os.Rename(temporary, path); err != nil {
		log.Warn("data file not compacted", "err", err)
	}
	return openWhole(path)
}

// usage returns how many bytes of a file are in use, and how many there are.
func usage(db *bolt.DB) (used, size int64) {
	stats := db.Stats()
	_ = db.View(func(tx *bolt.Tx) error { // fails only if the file is closed
		size = tx.Size()
		return nil
	})
	return size - int64(stats.FreePageN+stats.PendingPageN)*int64(db.Info().PageSize), size
}

// copyTo copies the buckets, without free pages, to a file at path and syncs it.
func copyTo(path string, db *bolt.DB, used int64) error {
	if used > maxCompact {
		return fmt.Errorf("%d MiB are in use, more than %d", used>>20, maxCompact>>20)
	}
	dst, err := bolt.Open(path, 0o600, &bolt.Options{NoSync: true})
	if err != nil {
		return err
	}
	err = bolt.Compact(dst, db, compactStep)
	if err == nil {
		err = dst.Sync()
	}
	return errors.Join(err, dst.Close())
}

func removeIfExists(path string) error {
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
