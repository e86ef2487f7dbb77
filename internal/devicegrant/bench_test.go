package devicegrant_test

import (
	"fmt"
	"log/slog"
	"testing"

	"changebank/internal/devicegrant"
	"changebank/internal/store"
	"changebank/internal/testredis"
	"changebank/internal/teststore"
)

// BenchmarkLogin measures a whole login at a provider that answers at once.
func BenchmarkLogin(b *testing.B) {
	b.Run("file", func(b *testing.B) { benchLogin(b, teststore.File(b), 0) })
	b.Run("redis", func(b *testing.B) {
		r, err := store.OpenRedis(b.Context(), testredis.Start(b).URL(), slog.New(slog.DiscardHandler))
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = r.Close() })
		benchLogin(b, r, 0)
	})
}

// BenchmarkLoginAmong measures a login among that many other codes, each watched
// by its page. Cost must not grow with them.
func BenchmarkLoginAmong(b *testing.B) {
	for _, n := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("codes=%d", n), func(b *testing.B) { benchLogin(b, teststore.File(b), n) })
	}
}

// benchLogin measures a login while that many pages wait.
func benchLogin(b *testing.B, backend store.Backend, waiting int) {
	written := &writtenTables{Backend: backend}
	bank := newBank(b, written, devicegrant.NumberNever, false)
	teststore.Many(waiting, func(int) {
		a, err := bank.attempts.Start(b.Context(), theLaptop)
		if err != nil {
			b.Error(err)
		}
		bank.attempts.Watch(b.Context(), a.ID)
	})
	logins, writes := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		logins++
		answer := bank.answerOf(fmt.Sprint("person ", logins))
		written.take()
		b.StartTimer()
		bank.logIn(answer, func(string) { writes += len(written.take()) })
	}
	b.ReportMetric(float64(writes)/float64(logins), "writes/op")
}
