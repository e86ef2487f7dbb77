package store

import (
	"log/slog"
	"testing"

	"changebank/internal/testredis"
)

// openedRedis returns a backend on a server that is running.
func openedRedis(t testing.TB, url string) *Redis {
	t.Helper()
	r, err := openRedis(t.Context(), url, timeout, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("openRedis: %v", err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r
}

func TestRedis(t *testing.T) {
	server := testredis.Start(t)
	testBackend(t, func(t *testing.T) Backend {
		server.Do("FLUSHALL")
		return openedRedis(t, server.URL())
	})
}
