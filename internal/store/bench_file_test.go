package store

import (
	"errors"
	"fmt"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"
)

// BenchmarkFileAfterSweep measures a lone write when very many records have
// expired and left their pages free. It should not matter.
func BenchmarkFileAfterSweep(b *testing.B) {
	for _, expired := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("expired=%d", expired), func(b *testing.B) {
			f := openFile(b, newPath(b))
			fill(b, f, expired, time.Now().Add(time.Minute))
			err := f.db.Update(func(tx *bolt.Tx) error {
				return errors.Join(tx.DeleteBucket(bucketRecords), tx.DeleteBucket(bucketUntil), makeBuckets(tx))
			})
			if err != nil {
				b.Fatal(err)
			}
			value := make([]byte, 512)
			mustSwap(b, f, "key", nil, value, later())
			b.ReportAllocs()
			for b.Loop() {
				mustSwap(b, f, "key", value, value, later())
			}
		})
	}
}

// BenchmarkFileOpen measures a start with that many sessions.
func BenchmarkFileOpen(b *testing.B) {
	for _, n := range []int{1, 10_000, 100_000} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			path := newPath(b)
			f := openFile(b, path)
			fill(b, f, n, later())
			closeFile(b, f)
			b.ReportAllocs()
			for b.Loop() {
				f, err := OpenFile(path)
				if err != nil {
					b.Fatal(err)
				}
				closeFile(b, f)
			}
		})
	}
}
