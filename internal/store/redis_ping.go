package store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	maxSkew     = 2 * time.Second
	oldestRedis = 6 // 5 and older have no users
)

// A redisPing answers all calls of Ping within a second.
type redisPing struct {
	began time.Time
	done  chan struct{}
	err   error // once done is closed
}

// Ping implements [Backend]. It checks what the start checks as well: a Redis
// that took over from another may be set up differently. At most one check a
// second reaches Redis.
func (r *Redis) Ping(ctx context.Context) error {
	if r.ctx.Err() != nil {
		return ErrClosed
	}
	r.mu.Lock()
	p := r.ping
	if p == nil || p.finished() && time.Since(p.began) >= pingEvery {
		p = &redisPing{began: time.Now(), done: make(chan struct{})}
		r.ping = p
		// It does not end with the caller, whose absence says nothing to others.
		go func() {
			defer close(p.done)
			p.err = r.check()
		}()
	}
	r.mu.Unlock()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *redisPing) finished() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// check returns what is wrong with Redis: its version, settings, clock, or that
// this user cannot read and write records.
func (r *Redis) check() error {
	ctx, cancel := context.WithTimeout(r.ctx, redisTimeout)
	defer cancel()
	// One after the other: the client opens more connections for pipelines.
	began := r.now()
	clock, err := r.client.Time(ctx).Result()
	ended := r.now()
	if err == nil {
		err = r.client.Ping(ctx).Err()
	}
	var server, memory string
	if err == nil {
		server, err = r.client.Info(ctx, "server").Result()
	}
	if err == nil {
		memory, err = r.client.Info(ctx, "memory").Result()
	}
	if err != nil {
		return r.fault(r.ctx, err)
	}
	if err := checkInfo(server + memory); err != nil {
		return err
	}
	if err := checkClock(clock, began, ended); err != nil {
		return err
	}
	// Every right that a record needs is used. The key is new, so that no conflict
	// can prevent the write.
	key, value := "ping:"+rand.Text(), []byte("ping")
	if _, err := r.Swap(ctx, Write{Key: key, New: value, Until: r.now().Add(time.Minute)}); err != nil {
		return err
	}
	if _, err := r.Get(ctx, key); err != nil {
		return err
	}
	_, err = r.Swap(ctx, Write{Key: key, Old: value})
	return err
}

// errSetup says that Redis is not set up for Changebank, and that waiting does
// not help.
type errSetup struct{ error }

func checkInfo(info string) error {
	version := infoField(info, "redis_version")
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < oldestRedis {
		return errSetup{fmt.Errorf("Redis has version %s; version %d is the oldest that Changebank can use", version, oldestRedis)}
	}
	if infoField(info, "redis_mode") == "cluster" {
		return errSetup{errors.New("Redis runs as a cluster, which Changebank cannot use; use a single Redis, or one with replicas")}
	}
	// Without a marker that a code was used, it can be used again. Without their
	// counters, rate limits do not hold.
	if policy := infoField(info, "maxmemory_policy"); policy != "" && policy != "noeviction" {
		return errSetup{fmt.Errorf("Redis has the maxmemory-policy %s and may delete sessions and rate limits; set it to noeviction", policy)}
	}
	return nil
}

// checkClock compares the clock of Redis, which was read between began and
// ended, with this process's.
func checkClock(clock, began, ended time.Time) error {
	switch {
	case clock.Before(began.Add(-maxSkew)):
		return fmt.Errorf("the clock of Redis is %v behind this machine's; synchronize both", began.Sub(clock).Round(100*time.Millisecond))
	case clock.After(ended.Add(maxSkew)):
		return fmt.Errorf("the clock of Redis is %v ahead of this machine's; synchronize both", clock.Sub(ended).Round(100*time.Millisecond))
	}
	return nil
}
