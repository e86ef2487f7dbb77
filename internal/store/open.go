package store

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/gofrs/flock"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	// ErrLocked says that another process has the file open.
	ErrLocked = errors.New("store: another process has the file open")
	// ErrDamaged says that the file is incomplete, or not a store.
	ErrDamaged = errors.New("store: the file is damaged")
)

// lockWait is how long to wait for a process that is stopping.
const lockWait = time.Second

// OpenFile opens the file at path, or creates it. It returns [ErrLocked] if
// another process has it open, and [ErrDamaged] if it cannot be read to its end.
// [OpenDir] also takes care of the folder.
func OpenFile(path string) (*File, error) {
	lock, err := lockFile(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db, err := openWhole(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, errors.Join(err, lock.Close()))
	}
	return newFile(db, lock), nil
}

// lockFile locks the file at path for this process. The lock is on a second
// file, because bbolt's own lock is on the file that compaction replaces: a
// process that waits for that one gets it on the deleted file, and loses
// everything it writes. The second file is never deleted, for the same reason.
func lockFile(path string) (*flock.Flock, error) {
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	lock := flock.New(path + ".lock")
	switch ok, err := lock.TryLockContext(ctx, lockWait/20); {
	case ok:
		return lock, nil
	case ctx.Err() != nil:
		return nil, ErrLocked
	default:
		return nil, err
	}
}

// openWhole opens a file and reads all of it, so that damage shows now and not
// in the middle of a login.
func openWhole(path string) (db *bolt.DB, err error) {
	defer func() {
		// bbolt trusts its file. If that is damaged, bbolt panics, or reads
		// memory behind the end of the file.
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, fault)
		}
		if err != nil && db != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	size, err := readInOrder(path)
	if err == nil && size > 0 {
		// Opened twice, because closing it takes the pages that were read out of this
		// process's memory.
		if db, err = openBolt(path, bolt.Options{ReadOnly: true, PreLoadFreelist: true}); err == nil {
			err = errors.Join(readAll(db), db.Close())
		}
	}
	if err != nil {
		return nil, err
	}
	// Without NoFreelistSync, although commits would be cheaper while very many
	// pages are free: a file that has no list of them is checked by bbolt in a
	// goroutine of its own, whose panic about a damaged file ends the program.
	if db, err = openBolt(path, bolt.Options{}); err != nil {
		return nil, err
	}
	if !hasBuckets(db) { // otherwise nothing is written: a full disk is no reason not to start
		err = db.Update(makeBuckets)
	}
	if err == nil {
		err = syncDir(filepath.Dir(path))
	}
	return db, err
}

// readInOrder has the system read a file from its disk, and returns its size: 0 if
// there is none. bbolt's order is that of the keys, and it asks for no reading
// ahead, which takes ten times as long.
func readInOrder(path string) (size int, err error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	for part := make([]byte, 256<<10); err == nil; {
		n := 0
		n, err = file.Read(part)
		size += n
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return size, err
}

func openBolt(path string, options bolt.Options) (*bolt.DB, error) {
	options.Timeout = lockWait
	db, err := bolt.Open(path, 0o600, &options)
	_, system := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, ErrLocked
	case err != nil && !system:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return db, err
}

// hasBuckets reports whether the file needs no [makeBuckets].
func hasBuckets(db *bolt.DB) (all bool) {
	_ = db.View(func(tx *bolt.Tx) error { // fails only if the file is closed
		all = tx.Bucket(bucketRecords) != nil && tx.Bucket(bucketUntil) != nil
		return nil
	})
	return all
}

func makeBuckets(tx *bolt.Tx) error {
	_, err := tx.CreateBucketIfNotExists(bucketRecords)
	_, err2 := tx.CreateBucketIfNotExists(bucketUntil)
	return errors.Join(err, err2)
}

// readAll reads every byte that is in use.
func readAll(db *bolt.DB) error {
	return db.View(func(tx *bolt.Tx) error {
		return tx.ForEach(func(_ []byte, bucket *bolt.Bucket) error {
			return bucket.ForEach(func(key, value []byte) error {
				crc32.ChecksumIEEE(key)
				crc32.ChecksumIEEE(value)
				return nil
			})
		})
	})
}

// syncDir makes the names of the files in a folder durable, where the system
// can do that.
func syncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); !errors.Is(err, syscall.EINVAL) {
		return err
	}
	return nil // some file systems cannot
}
