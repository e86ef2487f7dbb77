package store

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"changebank/internal/testredis"
)

// onBoth runs a benchmark on each backend.
func onBoth(b *testing.B, bench func(b *testing.B, backend Backend)) {
	b.Run("file", func(b *testing.B) { bench(b, openFile(b, newPath(b))) })
	b.Run("redis", func(b *testing.B) {
		r, _ := openedRedis(b, testredis.Start(b).URL())
		bench(b, r)
	})
}

// BenchmarkSwap has each writer change a record of its own, alone and with many
// others: one commit then serves all that wait.
func BenchmarkSwap(b *testing.B) {
	value := make([]byte, 512)
	for _, writers := range []int{1, 16, 128, 512} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			onBoth(b, func(b *testing.B, backend Backend) {
				runParallel(b, writers, func(n int) func() {
					key := fmt.Sprint("key ", n)
					mustSwap(b, backend, key, nil, value, later())
					return func() { mustSwap(b, backend, key, value, value, later()) }
				})
			})
		})
	}
}

// BenchmarkAmong reads and writes a record among that many. Cost must not grow
// with them.
func BenchmarkAmong(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("records=%d", n), func(b *testing.B) {
			onBoth(b, func(b *testing.B, backend Backend) {
				fill(b, backend, n, later())
				value := make([]byte, 512)
				mustSwap(b, backend, "key", nil, value, later())
				b.Run("get", func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						mustGet(b, backend, "key")
					}
				})
				b.Run("swap", func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						mustSwap(b, backend, "key", value, value, later())
					}
				})
			})
		})
	}
}

// BenchmarkTableGet measures a record that is decrypted and decoded already.
func BenchmarkTableGet(b *testing.B) {
	onBoth(b, func(b *testing.B, backend Backend) {
		table := newNotes(b, backend, "notes")
		id := mustCreate(b, table, strings.Repeat("x", 512))
		b.ReportAllocs()
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
	b.ReportAllocs()
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
func fill(b *testing.B, backend Backend, n int, until time.Time) {
	b.Helper()
	value := make([]byte, 2048) // a session with its tokens
	writes := make([]Write, n)
	for i := range writes {
		writes[i] = Write{Key: fmt.Sprintf("%x", sha256.Sum256([]byte(strconv.Itoa(i)))), New: value, Until: until}
	}
	for batch := range slices.Chunk(writes, 1000) {
		if ok, err := backend.Swap(b.Context(), batch...); !ok || err != nil {
			b.Fatalf("Swap = %t, %v", ok, err)
		}
	}
}
