package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gofrs/flock"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

const maxBatch = 256 // swaps in one commit

// A value in bucketRecords is its "until" (8 bytes, Unix nanoseconds, big
// endian), followed by the caller's bytes. bucketUntil has an empty value for
// each record under "until" and key, so that a sweep reads only what it deletes.
var (
	bucketRecords = []byte("records")
	bucketUntil   = []byte("until")
)

// File is a [Backend] in one file that survives restarts and kill -9. One
// process at a time may open it.
//
// All writes go through one goroutine, which commits everything that is queued
// in a single transaction: a lone write does not wait for others, and many at
// once share one fsync.
type File struct {
	db    *bolt.DB
	lock  *flock.Flock
	queue chan swap
	pings chan chan<- error
	stop  chan struct{}
	wg    sync.WaitGroup
	once  sync.Once

	// The latest commit, for Ping. Only the writer's goroutine uses them.
	committed time.Time
	fault     error

	watchers watchers
}

type swap struct {
	writes []Write
	done   chan<- swapped
}

type swapped struct {
	ok  bool
	err error
}

// newFile starts the writer of an open file, and owns its lock from then on.
func newFile(db *bolt.DB, lock *flock.Flock) *File {
	f := &File{
		db:    db,
		lock:  lock,
		queue: make(chan swap),
		pings: make(chan chan<- error),
		stop:  make(chan struct{}),
	}
	f.wg.Go(f.write)
	return f
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
func (f *File) Swap(ctx context.Context, writes ...Write) (bool, error) {
	done := make(chan swapped, 1)
	select {
	case f.queue <- swap{writes, done}:
	case <-f.stop:
		return false, ErrClosed
	case <-ctx.Done():
		return false, ctx.Err()
	}
	result := <-done // the writer answers everything that it has received
	return result.ok, result.err
}

// Watch implements [Backend]. One process owns the file, so the watchers can
// live in memory.
func (f *File) Watch(ctx context.Context, key string) <-chan struct{} {
	return f.watchers.watch(ctx, key)
}

// Close implements [Backend].
func (f *File) Close() error {
	var err error
	f.once.Do(func() {
		close(f.stop)
		f.wg.Wait()
		err = errors.Join(f.db.Close(), f.lock.Close())
	})
	return err
}

// write is the goroutine through which all writes go.
func (f *File) write() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	var sweep <-chan struct{} // always ready while expired records are left
	ready := make(chan struct{})
	close(ready)
	for {
		select {
		case first := <-f.queue:
			f.commit(f.queued(first))
		case done := <-f.pings:
			done <- f.writable()
		case <-tick.C:
			sweep = ready
		case <-sweep:
			if !f.sweep() {
				sweep = nil
			}
		case <-f.stop:
			return
		}
	}
}

// queued returns first and everything else that is in the queue now.
func (f *File) queued(first swap) []swap {
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
	results := f.try(batch)
	if err := results[0].err; err != nil {
		results = f.rescue(batch, err)
	}
	for i, s := range batch {
		if results[i].ok {
			f.watchers.tick(s.writes)
		}
		s.done <- results[i]
	}
}

// try commits a batch in one transaction. If that fails, every result has the
// error.
func (f *File) try(batch []swap) []swapped {
	results := make([]swapped, len(batch))
	err := f.update(func(tx *bolt.Tx) error {
		now := time.Now()
		for i, s := range batch {
			if s.adds() {
				if err := f.reserve(tx); err != nil {
					return err
				}
			}
			ok, err := s.apply(tx, now)
			if err != nil {
				return err
			}
			results[i].ok = ok
		}
		return nil
	})
	for i := range results {
		if err != nil {
			results[i] = swapped{err: err}
		}
	}
	return results
}

// update commits a change of the file.
func (f *File) update(change func(*bolt.Tx) error) error {
	err := f.db.Update(change)
	if err != nil {
		err = fmt.Errorf("%w: write: %w", ErrUnavailable, err)
	}
	f.committed, f.fault = time.Now(), err
	return err
}

// adds reports whether a record is new.
func (s swap) adds() bool {
	return slices.ContainsFunc(s.writes, func(w Write) bool { return w.Old == nil && !w.Keep })
}

func (s swap) apply(tx *bolt.Tx, now time.Time) (bool, error) {
	records := tx.Bucket(bucketRecords)
	for _, w := range s.writes {
		current := live(records.Get([]byte(w.Key)), now)
		if (current == nil) != (w.Old == nil) || !bytes.Equal(current, w.Old) {
			return false, nil
		}
	}
	for _, w := range s.writes {
		if w.Keep {
			continue
		}
		if err := w.apply(records, tx.Bucket(bucketUntil), now); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (w Write) apply(records, untils *bolt.Bucket, now time.Time) error {
	key := []byte(w.Key)
	if stored := records.Get(key); stored != nil {
		if err := untils.Delete(append(bytes.Clone(stored[:8]), key...)); err != nil {
			return err
		}
	}
	if w.New == nil || !w.Until.After(now) {
		return records.Delete(key)
	}
	until := binary.BigEndian.AppendUint64(nil, uint64(w.Until.UnixNano()))
	if err := untils.Put(append(bytes.Clone(until), key...), nil); err != nil {
		return err
	}
	return records.Put(key, append(until, w.New...))
}

// live returns what follows the 8 bytes of "until", nil if that has passed.
func live(stored []byte, now time.Time) []byte {
	if len(stored) < 8 || int64(binary.BigEndian.Uint64(stored)) <= now.UnixNano() {
		return nil
	}
	return stored[8:]
}
