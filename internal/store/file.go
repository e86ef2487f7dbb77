package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	// ErrLocked says that another process has the file open.
	ErrLocked = errors.New("store: another process has the file open")
	// ErrDamaged says that the file is not whole, or no such file at all.
	ErrDamaged = errors.New("store: the file is damaged")
)

const (
	maxBatch   = 256         // writes in one commit
	sweepEvery = time.Minute // how often what is past its time is deleted
	maxSweep   = 1000        // records deleted in one commit
)

// A value in bucketRecords is its "until" (8 bytes, Unix nanoseconds, big
// endian) and then the caller's bytes. bucketUntil has an empty value for each
// record under "until" and key, so that a sweep reads only what it deletes.
var (
	bucketRecords = []byte("records")
	bucketUntil   = []byte("until")
)

// File is a [Backend] in one file that survives restarts and kill -9. One
// process at a time may open it.
//
// All writes go through one goroutine, which commits whatever has queued up
// meanwhile in a single transaction: a lone write does not wait for company,
// and many at once share one fsync.
type File struct {
	db    *bolt.DB
	queue chan swap
	stop  chan struct{}
	wg    sync.WaitGroup
	once  sync.Once

	mu       sync.Mutex
	watchers map[string]map[chan struct{}]struct{}
}

type swap struct {
	key      string
	old, new []byte
	until    time.Time
	done     chan<- swapped
}

type swapped struct {
	ok  bool
	err error
}

// OpenFile opens the file at path and makes it if there is none. It returns
// [ErrLocked] if another process has it open, and [ErrDamaged] if it cannot be
// read to its end.
func OpenFile(path string) (*File, error) {
	db, err := openWhole(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	f := &File{
		db:       db,
		queue:    make(chan swap),
		stop:     make(chan struct{}),
		watchers: make(map[string]map[chan struct{}]struct{}),
	}
	f.wg.Go(f.write)
	return f, nil
}

// openWhole opens a file and reads all of it, so that damage shows now and not
// in the middle of somebody's login.
func openWhole(path string) (db *bolt.DB, err error) {
	defer func() {
		// bbolt trusts its file: at damage it panics, or reads memory that the
		// file does not fill.
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, fault)
		}
		if err != nil && db != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	db, err = bolt.Open(path, 0o600, &bolt.Options{Timeout: time.Second})
	_, system := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, ErrLocked
	case err != nil && system:
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	err = db.Update(func(tx *bolt.Tx) error {
		for _, name := range [][]byte{bucketRecords, bucketUntil} {
			bucket, err := tx.CreateBucketIfNotExists(name)
			if err != nil {
				return err
			}
			err = bucket.ForEach(func(key, value []byte) error {
				crc32.ChecksumIEEE(value) // touches every byte
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return db, err
}

// Get implements [Backend].
func (f *File) Get(_ context.Context, key string) (value []byte, err error) {
	err = f.db.View(func(tx *bolt.Tx) error {
		value = bytes.Clone(live(tx.Bucket(bucketRecords).Get([]byte(key)), time.Now()))
		return nil
	})
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		err = ErrClosed
	}
	return value, err
}

// Swap implements [Backend].
func (f *File) Swap(ctx context.Context, key string, old, new []byte, until time.Time) (bool, error) {
	done := make(chan swapped, 1)
	select {
	case f.queue <- swap{key, old, new, until, done}:
	case <-f.stop:
		return false, ErrClosed
	case <-ctx.Done():
		return false, ctx.Err()
	}
	result := <-done // the writer answers everything it took
	return result.ok, result.err
}

// Watch implements [Backend]. One process owns the file, so the watchers can
// live in memory.
func (f *File) Watch(ctx context.Context, key string) <-chan struct{} {
	ch := make(chan struct{}, 1)
	ch <- struct{}{}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers[key] == nil {
		f.watchers[key] = make(map[chan struct{}]struct{})
	}
	f.watchers[key][ch] = struct{}{}
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers[key], ch)
		if len(f.watchers[key]) == 0 {
			delete(f.watchers, key)
		}
		close(ch)
	})
	return ch
}

// Close implements [Backend].
func (f *File) Close() error {
	var err error
	f.once.Do(func() {
		close(f.stop)
		f.wg.Wait()
		err = f.db.Close()
	})
	return err
}

func (f *File) write() {
	sweep := time.NewTicker(sweepEvery)
	defer sweep.Stop()
	for {
		select {
		case first := <-f.queue:
			f.commit(f.waiting(first))
		case <-sweep.C:
			f.sweepAll()
		case <-f.stop:
			return
		}
	}
}

// waiting returns first and whatever else is queued at this moment.
func (f *File) waiting(first swap) []swap {
	batch := []swap{first}
	for len(batch) < maxBatch {
		select {
		case next := <-f.queue:
			batch = append(batch, next)
		default:
			return batch
		}
	}
	return batch
}

func (f *File) commit(batch []swap) {
	results := make([]swapped, len(batch))
	err := f.db.Update(func(tx *bolt.Tx) error {
		now := time.Now()
		for i, s := range batch {
			ok, err := s.apply(tx, now)
			if err != nil {
				return err
			}
			results[i].ok = ok
		}
		return nil
	})
	for i, s := range batch {
		if err != nil {
			results[i] = swapped{err: fmt.Errorf("store: write: %w", err)}
		}
		if results[i].ok {
			f.notify(s.key)
		}
		s.done <- results[i]
	}
}

func (s swap) apply(tx *bolt.Tx, now time.Time) (bool, error) {
	records, untils := tx.Bucket(bucketRecords), tx.Bucket(bucketUntil)
	key := []byte(s.key)
	stored := records.Get(key)
	present := live(stored, now)
	if (present == nil) != (s.old == nil) || !bytes.Equal(present, s.old) {
		return false, nil
	}
	if stored != nil {
		if err := untils.Delete(append(bytes.Clone(stored[:8]), key...)); err != nil {
			return false, err
		}
	}
	if s.new == nil {
		return true, records.Delete(key)
	}
	until := binary.BigEndian.AppendUint64(nil, uint64(s.until.UnixNano()))
	if err := untils.Put(append(bytes.Clone(until), key...), nil); err != nil {
		return false, err
	}
	return true, records.Put(key, append(until, s.new...))
}

// sweepAll deletes what is past its time, a part at a time so that no writer
// waits for all of it. What cannot be deleted now is still there a minute later.
func (f *File) sweepAll() {
	now := time.Now()
	for past := f.past(now); len(past) > 0; past = f.past(now) {
		err := f.db.Update(func(tx *bolt.Tx) error {
			records, untils := tx.Bucket(bucketRecords), tx.Bucket(bucketUntil)
			for _, key := range past {
				if err := errors.Join(untils.Delete(key), records.Delete(key[8:])); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return
		}
		select {
		case first := <-f.queue:
			f.commit(f.waiting(first))
		default:
		}
	}
}

// past returns some of the keys in bucketUntil whose time is over. Only
// reading, it leaves an idle file alone.
func (f *File) past(now time.Time) (keys [][]byte) {
	_ = f.db.View(func(tx *bolt.Tx) error { // nothing is nothing to delete
		cursor := tx.Bucket(bucketUntil).Cursor()
		for key, _ := cursor.First(); key != nil && len(keys) < maxSweep && live(key, now) == nil; key, _ = cursor.Next() {
			keys = append(keys, bytes.Clone(key))
		}
		return nil
	})
	return keys
}

func (f *File) notify(key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ch := range f.watchers[key] {
		select {
		case ch <- struct{}{}:
		default: // a tick is waiting already
		}
	}
}

// live returns what follows the 8 bytes of "until", nil if they are past.
func live(stored []byte, now time.Time) []byte {
	if len(stored) < 8 || int64(binary.BigEndian.Uint64(stored)) <= now.UnixNano() {
		return nil
	}
	return stored[8:]
}
