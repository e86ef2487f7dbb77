package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"changebank/internal/testredis"
)

// lines collects a log that several goroutines write.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// openedRedis returns a backend on a server that is running, and its log.
func openedRedis(t testing.TB, url string) (*Redis, *lines) {
	t.Helper()
	log := new(lines)
	r, err := openRedis(t.Context(), url, timeout, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatalf("openRedis: %v", err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return r, log
}

// eventually waits until check returns no error.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	deadline := time.Now().Add(4 * timeout) // longer than Redis may be missed
	for err := check(); err != nil; err = check() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestRedis(t *testing.T) {
	server := testredis.Start(t)
	testBackend(t, func(t *testing.T) Backend {
		server.Do("FLUSHALL")
		r, _ := openedRedis(t, server.URL())
		return r
	})
}

// What one process writes, another one reads and watches.
func TestRedisReplicas(t *testing.T) {
	server := testredis.Start(t)
	one, _ := openedRedis(t, server.URL())
	two, _ := openedRedis(t, "unix://"+server.Socket()) // the same Redis
	ch := two.Watch(t.Context(), "key")
	wantTick(t, ch, "at the start")
	mustSwap(t, one, "key", nil, []byte("v"), later())
	wantTick(t, ch, "after a change by the other")
	wantValue(t, two, "key", []byte("v"))
}

// Others may use the same Redis, and another database of it.
func TestRedisIsShared(t *testing.T) {
	server := testredis.Start(t)
	first, _ := openedRedis(t, server.URL())
	second, _ := openedRedis(t, server.URL()+"/1")
	ch := first.Watch(t.Context(), "key")
	wantTick(t, ch, "at the start")
	mustSwap(t, second, "key", nil, []byte("second"), later())
	settle(t, first)
	if n := ticks(ch); n != 0 {
		t.Errorf("%d ticks for a change in another database, want none", n)
	}
	wantValue(t, first, "key", nil)
	mustSwap(t, first, "key", nil, []byte("first"), later())
	for _, key := range server.Do("KEYS", "*").([]any) {
		if !strings.HasPrefix(key.(string), redisPrefix) {
			t.Errorf("a key is %q, want the prefix %q", key, redisPrefix)
		}
	}
	server.Do("SET", redisPrefix+"short", "v")
	if value, err := first.Get(t.Context(), "short"); err == nil {
		t.Errorf("Get of another program's value = %q, want an error", value)
	}
}

// How long a value has left is computed here, so that the clock of Redis, even
// one that is 90 seconds off, does not matter.
func TestRedisTimeLeft(t *testing.T) {
	now := time.Now()
	for until, want := range map[time.Time]int64{
		now.Add(time.Hour):                  3600_000,
		now.Add(time.Second + 1):            1001, // never early
		now.Add(1):                          1,
		now:                                 0,
		now.Add(-90 * time.Second):          0,
		{}:                                  0,
		forever.Add(-time.Nanosecond):       int64(forever.Sub(now)/time.Millisecond) + 1,
		forever:                             -1,
		forever.Add(50 * 365 * time.Hour):   -1,
		now.Add(time.Millisecond).Round(-1): 1,
	} {
		if got := milliseconds(now, until); got != want && got != want-1 || (got == 0) != (want == 0) {
			t.Errorf("milliseconds(%v) = %d, want %d", until.Sub(now), got, want)
		}
	}
	server := testredis.Start(t)
	r, _ := openedRedis(t, server.URL())
	mustSwap(t, r, "key", nil, []byte("v"), now.Add(time.Hour))
	if left := server.Do("PTTL", redisPrefix+"key").(int64); left > 3600_000 || left < 3590_000 {
		t.Errorf("after Swap for an hour, Redis keeps the value for %d ms", left)
	}
	mustNew(t, r, newKey)
	if left := server.Do("PTTL", redisPrefix+lookupName); left != int64(-1) {
		t.Errorf("Redis keeps the lookup key for %v ms, want -1: without end", left)
	}
}

func TestRedisClock(t *testing.T) {
	began := time.Now()
	ended := began.Add(time.Second)
	for offset, want := range map[time.Duration]string{
		-90 * time.Second:        "1m30s behind",
		-2001 * time.Millisecond: "2s behind",
		-2 * time.Second:         "",
		0:                        "",
		3 * time.Second:          "", // the answer may have taken the second
		3001 * time.Millisecond:  "2s ahead",
		91 * time.Second:         "1m30s ahead",
	} {
		err := checkClock(began.Add(offset), began, ended)
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("a clock of Redis that is %v off: %v, want %q", offset, err, want)
		}
	}
}

// 32 writers of one record all succeed.
func TestRedisHotRecord(t *testing.T) {
	server := testredis.Start(t)
	r, _ := openedRedis(t, server.URL())
	const writers, each = 32, 20
	backend := &counting{Backend: r}
	table := newNotes(t, backend, "notes")
	id := mustCreate(t, table, "")
	before := backend.swaps.Load()
	for _, err := range errorsOf(writers, func(int) error {
		for range each {
			if _, err := table.Update(t.Context(), id, func(n *note) error { n.Count++; return nil }); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("Update: %v", err)
		}
	}
	if got, err := table.Get(t.Context(), id); err != nil || got.Count != writers*each {
		t.Errorf("after %d updates, Get = %+v, %v", writers*each, got, err)
	}
	t.Logf("%.2f swaps for each update", float64(backend.swaps.Load()-before)/(writers*each))
}

// The number of connections is bounded, whatever the load.
func TestRedisConnections(t *testing.T) {
	server := testredis.Start(t)
	r, _ := openedRedis(t, server.URL())
	for _, err := range errorsOf(500, func(i int) error {
		_, err := swapOne(t.Context(), r, fmt.Sprint(i), nil, []byte("v"), later())
		return err
	}) {
		if err != nil {
			t.Errorf("Swap: %v", err)
		}
	}
	wantConnections(t, server)
}

// wantConnections waits, because a dial may end after another connection became
// free, and is then closed.
func wantConnections(t *testing.T, server *testredis.Server) {
	t.Helper()
	eventually(t, "connections", func() error {
		n := 0
		for line := range strings.Lines(server.Do("CLIENT", "LIST").(string)) {
			if !strings.Contains(line, "redis.sock") { // the test's own
				n++
			}
		}
		if n > redisPool+1 {
			return fmt.Errorf("the process has %d, want at most %d", n, redisPool+1)
		}
		return nil
	})
}

// A client that sends health checks without end costs one check each second.
func TestRedisPingIsCheap(t *testing.T) {
	server := testredis.Start(t)
	r, _ := openedRedis(t, server.URL())
	server.Do("CONFIG", "RESETSTAT")
	began := time.Now()
	for _, err := range errorsOf(1000, func(int) error { return r.Ping(t.Context()) }) {
		if err != nil {
			t.Errorf("Ping: %v", err)
		}
	}
	most := 2 * (1 + int(time.Since(began)/pingEvery)) // each check asks for two parts of it
	calls := infoField(server.Do("INFO", "commandstats").(string), "cmdstat_info")
	n := 0
	if _, err := fmt.Sscanf(calls, "calls=%d,", &n); err != nil || n < 1 || n > most {
		t.Errorf("1000 pings reached Redis %q times, want 1 to %d", calls, most)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	time.Sleep(pingEvery)
	if err := r.Ping(ended); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Ping whose context has ended: %v", err)
	}
	if err := r.Ping(t.Context()); err != nil {
		t.Errorf("Ping after one whose context has ended: %v", err)
	}
}

func TestRedisForgetsWatchers(t *testing.T) {
	r, _ := openedRedis(t, testredis.Start(t).URL())
	for i := range 50 {
		ctx, cancel := context.WithCancel(t.Context())
		ch := r.Watch(ctx, fmt.Sprint("key ", i%10))
		cancel()
		wantClosed(t, ch)
	}
	r.watchers.mu.Lock()
	defer r.watchers.mu.Unlock()
	if len(r.watchers.byKey) != 0 {
		t.Errorf("watchers that have left are kept: %v", r.watchers.byKey)
	}
}

func withUser(t *testing.T, server *testredis.Server, user, password string) string {
	t.Helper()
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, password)
	return u.String()
}

// A process whose clock is wrong must not take a lease that another one holds,
// nor write deadlines that others read wrongly: it writes nothing until its clock
// is right.
func TestRedisSkewedWriter(t *testing.T) {
	server := testredis.Start(t)
	r, _ := openedRedis(t, server.URL())
	ctx := t.Context()
	for offset, want := range map[time.Duration]bool{-90 * time.Second: false, -time.Second: true, time.Second: true, 90 * time.Second: false} {
		skewed, _ := openedRedis(t, server.URL())
		skewed.now = func() time.Time { return time.Now().Add(offset) }
		key := offset.String()
		mustSwap(t, r, key, nil, []byte("held"), time.Now().Add(time.Hour))
		ok, err := swapOne(ctx, skewed, key, []byte("held"), []byte("taken"), time.Now().Add(time.Hour))
		if ok != want || errors.Is(err, ErrUnavailable) == want {
			t.Errorf("a Swap by a clock that is %v off: %t, %v; want %t", offset, ok, err, want)
		}
		if err := skewed.Ping(ctx); (err == nil) != want {
			t.Errorf("Ping by a clock that is %v off: %v", offset, err)
		}
		value, err := r.Get(ctx, key)
		if err != nil || string(value) == "held" == want {
			t.Errorf("after a Swap by a clock that is %v off, the value is %q (%v)", offset, value, err)
		}
		skewed.now = time.Now
		if ok, err := swapOne(ctx, skewed, key, value, []byte("later"), time.Now().Add(time.Hour)); !ok || err != nil {
			t.Errorf("a Swap by a clock that is right again: %t, %v", ok, err)
		}
	}
}
