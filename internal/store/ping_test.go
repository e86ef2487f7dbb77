package store

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

func mustPing(t *testing.T, f *File) {
	t.Helper()
	if err := f.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
}

// state returns the number of commits so far, and the size of what they use.
func state(t *testing.T, f *File) (commits int, size int64) {
	t.Helper()
	err := f.db.View(func(tx *bolt.Tx) error {
		commits, size = tx.ID(), tx.Size()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return commits, size
}

// A client that sends health checks without end costs one commit each second,
// and no disk.
func TestPingIsCheap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFile(t, newPath(t))
		mustPing(t, f)
		time.Sleep(pingEvery)
		mustPing(t, f)
		before, size := state(t, f)
		const seconds = 100
		for range seconds {
			for range 10 {
				mustPing(t, f)
			}
			time.Sleep(pingEvery)
		}
		after, grown := state(t, f)
		if n := after - before; n < seconds-1 || n > seconds {
			t.Errorf("in %d seconds, pings committed %d times, want once each second", seconds, n)
		}
		if grown != size {
			t.Errorf("pings have grown the file from %d to %d bytes", size, grown)
		}
	})
}

// A write that was just made shows that the file can be written.
func TestPingAfterWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFile(t, newPath(t))
		mustSwap(t, f, "key", nil, []byte("v"), later())
		before, _ := state(t, f)
		mustPing(t, f)
		if after, _ := state(t, f); after != before {
			t.Error("Ping has written, though a write was just made")
		}
	})
}

// As a disk fills up, pings fail before records do, and succeed again once
// there is room.
func TestPingFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := openFile(t, newPath(t))
		f.db.MaxSize = 1 << 20 // like a full disk, it refuses to grow the file
		record := make([]byte, 8<<10)
		for i := range 1000 {
			time.Sleep(pingEvery)
			err := f.Ping(t.Context())
			if errors.Is(err, bolterrors.ErrMaxSizeReached) {
				break
			}
			if err != nil || i == 999 {
				t.Fatalf("ping %d: %v, want %v at some time", i, err, bolterrors.ErrMaxSizeReached)
			}
			mustSwap(t, f, fmt.Sprint("record ", i), nil, record, later())
		}
		if err := f.Ping(t.Context()); !errors.Is(err, bolterrors.ErrMaxSizeReached) {
			t.Errorf("Ping, at once: %v, want the same answer as before", err)
		}
		f.db.MaxSize = 0
		time.Sleep(pingEvery)
		mustPing(t, f)
		wantValue(t, f, "record 0", record)
	})
}

// A failed write is an answer as well.
func TestPingAfterFailedWrite(t *testing.T) {
	f := openFile(t, newPath(t))
	f.db.MaxSize = 32 << 10
	if _, err := swapOne(t.Context(), f, "key", nil, make([]byte, 100<<10), later()); err == nil {
		t.Fatal("a write to a full disk: no error")
	}
	if err := f.Ping(t.Context()); !errors.Is(err, bolterrors.ErrMaxSizeReached) {
		t.Errorf("Ping: %v, want %v", err, bolterrors.ErrMaxSizeReached)
	}
}

// A disk that hangs must not hang the health check.
func TestPingHangingDisk(t *testing.T) {
	f := openFile(t, newPath(t))
	tx, err := f.db.Begin(true) // which the writer now waits for
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if err := f.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Ping: %v, want %v", err, context.DeadlineExceeded)
		}
		cancel()
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
}
