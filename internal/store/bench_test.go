package store

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

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
