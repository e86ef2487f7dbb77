package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"changebank/internal/testredis"
)

// BenchmarkFileSwap has each writer change a record of its own, alone and with
// many others: one commit then serves all that wait.
func BenchmarkFileSwap(b *testing.B) {
	value := make([]byte, 512)
	for _, writers := range []int{1, 16, 128, 512} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			f := openFile(b, newPath(b))
			runParallel(b, writers, func(n int) func() {
				key := fmt.Sprint("key ", n)
				mustSwap(b, f, key, nil, value, later())
				return func() { mustSwap(b, f, key, value, value, later()) }
			})
		})
	}
}

// onBoth runs a benchmark on each backend.
func onBoth(b *testing.B, bench func(b *testing.B, backend Backend)) {
	b.Run("file", func(b *testing.B) { bench(b, openFile(b, newPath(b))) })
	b.Run("redis", func(b *testing.B) {
		r, _ := openedRedis(b, testredis.Start(b).URL())
		bench(b, r)
	})
}

func BenchmarkTableGet(b *testing.B) {
	onBoth(b, func(b *testing.B, backend Backend) {
		table := newNotes(b, backend, "notes")
		id := mustCreate(b, table, strings.Repeat("x", 512))
		for b.Loop() {
			if _, err := table.Get(b.Context(), id); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkTableUpdate has each writer update a record of its own.
func BenchmarkTableUpdate(b *testing.B) {
	for _, writers := range []int{1, 128} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			onBoth(b, func(b *testing.B, backend Backend) {
				table := newNotes(b, backend, "notes")
				runParallel(b, writers, func(int) func() {
					id := mustCreate(b, table, strings.Repeat("x", 512))
					return func() { mustUpdate(b, table, id, func(n *note) { n.Count++ }) }
				})
			})
		})
	}
}

// runParallel measures that many writers at once. writer prepares the nth of
// them and returns what it repeats.
func runParallel(b *testing.B, writers int, writer func(n int) func()) {
	b.Helper()
	if writers == 1 {
		write := writer(0)
		for b.Loop() {
			write()
		}
		return
	}
	perCPU := (writers + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	ready := make(chan func(), perCPU*runtime.GOMAXPROCS(0))
	for n := range cap(ready) {
		ready <- writer(n)
	}
	b.SetParallelism(perCPU)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		write := <-ready
		for pb.Next() {
			write()
		}
	})
}

// fill writes records that are kept until then.
func fill(b *testing.B, f *File, n int, until time.Time) {
	b.Helper()
	value := make([]byte, 2048) // a session with its tokens
	for first := 0; first < n; first += 10_000 {
		err := f.db.Update(func(tx *bolt.Tx) error {
			for i := first; i < min(n, first+10_000); i++ {
				w := Write{Key: fmt.Sprintf("%x", sha256.Sum256([]byte(strconv.Itoa(i)))), New: value, Until: until}
				if err := w.apply(tx.Bucket(bucketRecords), tx.Bucket(bucketUntil), time.Now()); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

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
