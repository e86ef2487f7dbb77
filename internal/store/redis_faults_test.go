package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"changebank/internal/testredis"
)

// A Redis that is killed and comes back with its data: nothing is lost, each
// operation in between fails and says why, and watchers look again.
func TestRedisRestarts(t *testing.T) {
	server := testredis.Start(t, "--appendonly", "yes", "--appendfsync", "always")
	r, log := openedRedis(t, server.URL())
	mustSwap(t, r, "key", nil, []byte("v"), later())
	ch := r.Watch(t.Context(), "key")
	wantTick(t, ch, "at the start")
	for range 3 {
		server.Kill()
		for range 2 * redisPool { // more than the client keeps in mind
			wantFault(t, r, "connection refused", "EOF", "reset")
		}
		time.Sleep(pingEvery) // the latest answer
		if err := r.Ping(t.Context()); err == nil {
			t.Error("Ping while Redis is away: no error")
		}
		server.Restart()
		eventually(t, "Get after the restart", func() error {
			_, err := r.Get(t.Context(), "key")
			return err
		})
		wantValue(t, r, "key", []byte("v"))
		wantTick(t, ch, "after the restart")
		eventually(t, "Ping after the restart", func() error { return r.Ping(t.Context()) })
	}
	if got := strings.Count(log.String(), "connection to Redis lost"); got != 3 {
		t.Errorf("three restarts were logged %d times:\n%s", got, log)
	}
}

// wantFault wants Get and Swap to fail in time, with one of these reasons.
func wantFault(t *testing.T, r *Redis, reasons ...string) {
	t.Helper()
	began := time.Now()
	_, errGet := r.Get(t.Context(), "key")
	_, errSwap := swapOne(t.Context(), r, "other", nil, []byte("v"), later())
	for name, err := range map[string]error{"Get": errGet, "Swap": errSwap} {
		wantReason(t, name, err, reasons...)
	}
	if took := time.Since(began); took > 2*redisTimeout+time.Second {
		t.Errorf("Get and Swap took %v, want at most %v each", took, redisTimeout)
	}
}

func wantReason(t *testing.T, name string, err error, reasons ...string) {
	t.Helper()
	for _, reason := range reasons {
		if err != nil && strings.Contains(err.Error(), reason) {
			return
		}
	}
	t.Errorf("%s: %v, want an error with one of %q", name, err, reasons)
}

// A Redis that answers nothing must not hold up anyone for long, and leaves
// nothing behind in this process.
func TestRedisHangs(t *testing.T) {
	server := testredis.Start(t)
	r, log := openedRedis(t, server.URL())
	ch := r.Watch(t.Context(), "key")
	wantTick(t, ch, "at the start")
	goroutines := runtime.NumGoroutine()
	server.Pause()
	defer server.Resume()
	short, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := r.Get(short, "key"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get whose context ends: %v, want %v", err, context.DeadlineExceeded)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("Get took %v, although its context ended after 300ms", took)
	}
	began = time.Now()
	for i, err := range errorsOf(200, func(i int) error {
		if i == 0 {
			return r.Ping(t.Context())
		}
		_, err := r.Get(t.Context(), "key")
		return err
	}) {
		wantReason(t, fmt.Sprint("operation ", i), err, "no answer from Redis within 3s")
	}
	if took := time.Since(began); took > redisTimeout+3*time.Second {
		t.Errorf("the operations took %v, want at most %v", took, redisTimeout)
	}
	eventually(t, "log", func() error { // its subscription is silent
		if !strings.Contains(log.String(), "connection to Redis lost") {
			return errors.New("nothing was logged")
		}
		return nil
	})
	server.Resume()
	wantTick(t, ch, "after Redis answers again")
	eventually(t, "Get", func() error { _, err := r.Get(t.Context(), "key"); return err })
	eventually(t, "Ping", func() error { return r.Ping(t.Context()) })
	wantConnections(t, server)
	eventually(t, "goroutines", func() error {
		if n := runtime.NumGoroutine(); n > goroutines+2 { // the test's own Admin has some
			return fmt.Errorf("%d goroutines, before %d", n, goroutines)
		}
		return nil
	})
}

// A Redis that cannot be written says so in each write and in Ping. It can still
// be read, and works again without a restart.
func TestRedisNotWritable(t *testing.T) {
	blockDump := func(s *testredis.Server) {
		_ = os.MkdirAll(filepath.Join(s.Dir, "dump.rdb", "x"), 0o700) // a folder, where Redis wants a file
		s.Admin.BgSave(context.Background())
	}
	tests := []struct {
		name           string
		args           []string
		spoil, restore func(s *testredis.Server)
		reason         string
		deletes        bool // a value can be deleted, as a logout does
	}{
		{
			"read-only replica", nil,
			func(s *testredis.Server) { s.Do("REPLICAOF", "127.0.0.1", "1") },
			func(s *testredis.Server) { s.Do("REPLICAOF", "NO", "ONE") },
			"READONLY", false,
		}, {
			"out of memory", nil,
			func(s *testredis.Server) { s.Do("CONFIG", "SET", "maxmemory", "1") },
			func(s *testredis.Server) { s.Do("CONFIG", "SET", "maxmemory", "0") },
			"OOM", true,
		}, {
			"without its replicas", nil,
			func(s *testredis.Server) { s.Do("CONFIG", "SET", "min-replicas-to-write", "1") },
			func(s *testredis.Server) { s.Do("CONFIG", "SET", "min-replicas-to-write", "0") },
			"NOREPLICAS", false,
		}, {
			"with a disk that fails", []string{"--save", "3600 1"},
			func(s *testredis.Server) { blockDump(s) },
			func(s *testredis.Server) {
				_ = os.RemoveAll(filepath.Join(s.Dir, "dump.rdb"))
				s.Admin.BgSave(context.Background())
			},
			"MISCONF", false,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			server := testredis.Start(t, tt.args...)
			r, _ := openedRedis(t, server.URL())
			mustSwap(t, r, "key", nil, []byte("v"), later())
			ch := r.Watch(t.Context(), "key")
			wantTick(t, ch, "at the start")
			tt.spoil(server)
			eventually(t, "a failing Swap", func() error {
				if ok, err := swapOne(t.Context(), r, "key", []byte("v"), []byte("v"), later()); err == nil || !strings.Contains(err.Error(), tt.reason) {
					return fmt.Errorf("Swap = %t, %v; want %s", ok, err, tt.reason)
				}
				return nil
			})
			time.Sleep(pingEvery)
			wantReason(t, "Ping", r.Ping(t.Context()), tt.reason)
			wantValue(t, r, "key", []byte("v"))
			ok, err := swapOne(t.Context(), r, "key", []byte("v"), nil, time.Time{})
			if ok != tt.deletes {
				t.Errorf("deleting the value: %t, %v; want %t", ok, err, tt.deletes)
			}
			tt.restore(server)
			eventually(t, "Ping", func() error { return r.Ping(t.Context()) })
			if !tt.deletes {
				wantValue(t, r, "key", []byte("v"))
			}
		})
	}
}

// A change while the subscription is down is not published to this process, so
// its watchers look again when the subscription is back.
func TestRedisSubscriptionLost(t *testing.T) {
	server := testredis.Start(t)
	r, _ := openedRedis(t, server.URL())
	ch := r.Watch(t.Context(), "key")
	wantTick(t, ch, "at the start")
	server.Do("SET", redisPrefix+"key", "changed without a message")
	server.Do("CLIENT", "KILL", "TYPE", "pubsub")
	wantTick(t, ch, "after the subscription was lost")
	settle(t, r)
	wantConnections(t, server)
}

// Close ends everything, also while Redis is away.
func TestRedisClose(t *testing.T) {
	for name, spoil := range map[string]func(s *testredis.Server){
		"running": func(*testredis.Server) {},
		"hanging": (*testredis.Server).Pause,
		"away":    (*testredis.Server).Kill,
	} {
		t.Run(name, func(t *testing.T) {
			server := testredis.Start(t)
			goroutines := runtime.NumGoroutine()
			r, _ := openedRedis(t, server.URL())
			spoil(server)
			began := time.Now()
			for range 2 {
				if err := r.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			}
			if took := time.Since(began); took > redisTimeout+time.Second {
				t.Errorf("Close took %v", took)
			}
			if _, err := r.Get(t.Context(), "key"); !errors.Is(err, ErrClosed) {
				t.Errorf("Get after Close: %v, want %v", err, ErrClosed)
			}
			eventually(t, "goroutines", func() error {
				if n := runtime.NumGoroutine(); n > goroutines {
					return fmt.Errorf("%d goroutines, before %d", n, goroutines)
				}
				return nil
			})
		})
	}
}
