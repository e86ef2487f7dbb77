package store

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"
)

// Expired records do not stay in the file. A sweep must not delete a record
// that was extended, or that took the place of an expired one.
func TestSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFile(t, newPath(t))
		soon := time.Now().Add(10 * time.Second)
		v, w := []byte("v"), []byte("w")
		for i := range 20 {
			mustSwap(t, f, fmt.Sprint("expires ", i), nil, v, soon.Add(time.Duration(i)))
		}
		mustSwap(t, f, "stays", nil, v, later())
		mustSwap(t, f, "deleted", nil, v, soon)
		mustSwap(t, f, "deleted", v, nil, time.Time{})
		mustSwap(t, f, "extended", nil, v, soon)
		mustSwap(t, f, "extended", v, w, later())
		mustSwap(t, f, "shortened", nil, v, later())
		mustSwap(t, f, "shortened", v, w, soon)
		mustSwap(t, f, "never valid", nil, v, time.Time{})
		mustSwap(t, f, "replaced", nil, v, soon)
		time.Sleep(11 * time.Second)
		mustSwap(t, f, "replaced", nil, w, later())

		time.Sleep(sweepEvery)
		synctest.Wait()
		wantHeld(t, f, "extended", "replaced", "stays")
		wantValue(t, f, "stays", v)
		wantValue(t, f, "extended", w)
		wantValue(t, f, "replaced", w)

		time.Sleep(time.Hour)
		synctest.Wait()
		wantHeld(t, f)
	})
}

// One sweep deletes everything that has expired. With a fixed number for each,
// a client that creates more than that would let the file grow without bound.
func TestSweepKeepsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFile(t, newPath(t))
		soon := time.Now().Add(10 * time.Second)
		var wg sync.WaitGroup
		for i := range 2*maxSweep + 500 {
			wg.Go(func() { mustSwap(t, f, fmt.Sprint("expires ", i), nil, []byte("v"), soon) })
		}
		wg.Wait()
		mustSwap(t, f, "stays", nil, []byte("v"), later())
		time.Sleep(sweepEvery + time.Second)
		synctest.Wait()
		wantHeld(t, f, "stays")
		wantValue(t, f, "stays", []byte("v"))
	})
}

// A commit without a change would keep disks awake and wear out an SD card.
func TestIdleSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := newPath(t)
		f := openFile(t, path)
		mustSwap(t, f, "key", nil, []byte("v"), later())
		before := mustRead(t, path)
		time.Sleep(10 * sweepEvery)
		synctest.Wait()
		if !bytes.Equal(mustRead(t, path), before) {
			t.Error("a sweep without expired records has written to the file")
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if bytes.Equal(mustRead(t, path), before) {
			t.Error("the sweep of a record has not written to the file: this test would find nothing")
		}
	})
}

// wantHeld checks what the file really holds, in both of its buckets.
func wantHeld(t *testing.T, f *File, want ...string) {
	t.Helper()
	var records, untils []string
	err := f.db.View(func(tx *bolt.Tx) error {
		return errors.Join(
			tx.Bucket(bucketRecords).ForEach(func(key, _ []byte) error {
				records = append(records, string(key))
				return nil
			}),
			tx.Bucket(bucketUntil).ForEach(func(key, _ []byte) error {
				untils = append(untils, string(key[8:]))
				return nil
			}),
		)
	})
	if err != nil {
		t.Fatalf("reading the file: %v", err)
	}
	slices.Sort(untils)
	if !slices.Equal(records, want) || !slices.Equal(untils, want) {
		t.Errorf("the file has %d records %.200q and %d times %.200q, want %q", len(records), records, len(untils), untils, want)
	}
}
