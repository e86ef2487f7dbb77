// Package limit is the rate limiter. Its counters are records in the store, so
// a limit holds over all replicas and restarts (RFC 10027, section 6.1.11).
package limit

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"changebank/internal/browser"
	"changebank/internal/store"
)

// A Rule allows N events in a Window: N at once, and then one each Window/N.
type Rule struct {
	Name   string // of the events, in words, for the log
	N      int    // at least 1
	Window time.Duration
}

func (r Rule) step() time.Duration { return r.Window / time.Duration(r.N) }

// TooManyError says that a limit is reached.
type TooManyError struct {
	Rule string        // [Rule.Name]
	Wait time.Duration // until another event may be allowed
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("limit: too many %s; wait %v", e.Rule, e.Wait.Round(time.Second))
}

const (
	maxTries   = 5           // lost compare-and-sets that count as a refusal
	contention = time.Second // how long such a refusal lasts
)

// counter is a GCRA counter. Its one time tells how much of the limit is used:
// each event moves it forward by Window/N, starting from the present, and no
// further than two windows ahead.
type counter struct {
	Full time.Time // when all of the limit is available again
}

// KeepUntil implements [store.Record].
func (c counter) KeepUntil() time.Time { return c.Full }

// count counts one event, and returns by how much it exceeds the limit, if at
// all.
func (c *counter) count(rule Rule, now time.Time) (excess time.Duration) {
	if c.Full.After(now.Add(3 * rule.Window)) {
		// The clock was set back. Allow one event, which corrects the counter.
		// Otherwise events would be refused until the old time.
		c.Full = now.Add(rule.Window - rule.step())
	}
	if c.Full.Before(now) {
		c.Full = now
	}
	c.Full = c.Full.Add(rule.step())
	excess = max(c.Full.Sub(now)-rule.Window, 0)
	if most := now.Add(2 * rule.Window); c.Full.After(most) {
		c.Full = most
	}
	return excess
}

// add counts one event, or returns a [*TooManyError].
func (c *counter) add(rule Rule, now time.Time) error {
	counted := *c
	if wait := counted.count(rule, now); wait > 0 {
		return &TooManyError{rule.Name, wait}
	}
	*c = counted
	return nil
}

// Limiter counts events. Make one with [New].
type Limiter struct {
	store    *store.Store
	counters *store.Table[counter]
	// Events of one key wait for each other in this process, so that people behind
	// one address are not refused for arriving at the same time.
	mu    sync.Mutex
	turns map[string]*turn // of the keys that are being counted
}

// turn is held by the event that is being counted.
type turn struct {
	held chan struct{}
	n    int // events that hold it or wait for it
}

// New returns a Limiter with its counters in s.
func New(s *store.Store) *Limiter { return newLimiter(s, store.NewTable[counter](s, "limits")) }

func newLimiter(s *store.Store, counters *store.Table[counter]) *Limiter {
	return &Limiter{store: s, counters: counters, turns: make(map[string]*turn)}
}

// wait waits until no other event of the key is being counted here.
func (l *Limiter) wait(ctx context.Context, id string) (done func(), err error) {
	l.mu.Lock()
	t := l.turns[id]
	if t == nil {
		t = &turn{held: make(chan struct{}, 1)}
		l.turns[id] = t
	}
	t.n++
	l.mu.Unlock()
	leave := func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if t.n--; t.n == 0 {
			delete(l.turns, id)
		}
	}
	select {
	case t.held <- struct{}{}:
		return func() { <-t.held; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}

// event is one event that counts under one key.
type event struct {
	rule Rule
	key  string
}

// Allow counts one event of key under the rule, or returns a [*TooManyError].
// A refusal writes nothing. An event that loses too many compare-and-sets to
// other processes is refused rather than retried, so that a flood of one key
// cannot keep the store busy.
func (l *Limiter) Allow(ctx context.Context, rule Rule, key string) error {
	return l.allow(ctx, []event{{rule, key}}, nil)
}

// allow counts events together, the widest first, or none of them.
func (l *Limiter) allow(ctx context.Context, events []event, also func(context.Context) error) error {
	widest := events[0]
	done, err := l.wait(ctx, widest.id())
	if err != nil {
		return err
	}
	defer done()
	for range maxTries {
		err := l.store.Try(ctx, func(ctx context.Context) error {
			now := time.Now()
			for _, e := range events {
				_, err := l.counters.Upsert(ctx, e.id(), func(c *counter) error { return c.add(e.rule, now) })
				if err != nil {
					return err
				}
			}
			if also == nil {
				return nil
			}
			return also(ctx)
		})
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return &TooManyError{widest.rule.Name, contention}
}

// AllowTry runs try, and counts one event of key if it failed. If the limit of
// the rule is reached, it runs nothing and returns a [*TooManyError]. Otherwise it
// returns try's error, or the store's if the event could not be counted. Only a
// failed try writes. It counts even if ctx has ended: a client must not get more
// tries by disconnecting.
//
// The tries of a key in one process wait for each other, so that many at once
// are no more than the limit. Other processes are not waited for: when one event
// is left, each of them may run a try. If these fail too, they get a
// [*TooManyError], and are counted beyond the limit, which makes the wait longer.
// So N processes run at most N-1 more at once, and no more over time.
//
// try must not use the Limiter.
func (l *Limiter) AllowTry(ctx context.Context, rule Rule, key string, try func() (failed bool, err error)) error {
	done, err := l.wait(ctx, recordID(rule, key))
	if err != nil {
		return err
	}
	defer done()
	if err := l.check(ctx, rule, key); err != nil {
		return err
	}
	failed, err := try()
	if failed {
		if err := l.countFailed(context.WithoutCancel(ctx), rule, key); err != nil {
			return err
		}
	}
	return err
}

// countFailed counts one event that has happened, in any case. It returns a
// [*TooManyError] if the limit was reached before.
func (l *Limiter) countFailed(ctx context.Context, rule Rule, key string) error {
	var excess time.Duration
	_, err := l.counters.Upsert(ctx, recordID(rule, key), func(c *counter) error {
		excess = c.count(rule, time.Now())
		return nil
	})
	if err == nil && excess > 0 {
		return &TooManyError{rule.Name, excess + rule.step()}
	}
	return err
}

// Refund takes back one event that [Limiter.Allow] counted. It does so even if
// ctx has ended: a client that disconnects must not use up a limit that it
// shares with others. An event that cannot be taken back stays counted.
func (l *Limiter) Refund(ctx context.Context, rule Rule, key string) {
	l.refund(ctx, []event{{rule, key}})
}

func (l *Limiter) refund(ctx context.Context, events []event) {
	ctx = context.WithoutCancel(ctx)
	done, err := l.wait(ctx, events[0].id())
	if err != nil {
		return
	}
	defer done()
	for range maxTries {
		err := l.store.Try(ctx, func(ctx context.Context) error {
			for _, e := range events {
				_, err := l.counters.Update(ctx, e.id(), func(c *counter) error {
					c.Full = c.Full.Add(-e.rule.step())
					return nil
				})
				if err != nil && !errors.Is(err, store.ErrNotFound) {
					return err
				}
			}
			return nil
		})
		if !errors.Is(err, store.ErrConflict) {
			return
		}
	}
}

// AllowAddr counts one event of an IP address. An IPv6 address counts in its
// /64 (N), its /56 (4 N) and its /48 (64 N) together, so that the holder of a
// wide prefix cannot multiply the limit by its addresses. A refusal in one of
// them counts in none, so that a client which is refused cannot use up the
// limit of its neighbors. What also does with its context, if it is not nil, is
// stored together with the counters; if it returns an error, nothing is.
func (l *Limiter) AllowAddr(ctx context.Context, rule Rule, addr string, also func(context.Context) error) error {
	return l.allow(ctx, eventsOf(rule, addr), also)
}

// RefundAddr takes back one event that [Limiter.AllowAddr] counted.
func (l *Limiter) RefundAddr(ctx context.Context, rule Rule, addr string) {
	l.refund(ctx, eventsOf(rule, addr))
}

// check returns what Allow would, and counts nothing.
func (l *Limiter) check(ctx context.Context, rule Rule, key string) error {
	c, err := l.counters.Get(ctx, recordID(rule, key))
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return c.add(rule, time.Now())
}

// eventsOf returns the events that one event of an address counts as, one for each
// of its blocks. The last block is the narrowest, with the rule's own limit
// ([browser.Blocks]).
func eventsOf(rule Rule, addr string) (events []event) {
	blocks := browser.Blocks(addr)
	for i, block := range blocks {
		wider := rule
		wider.N *= []int{1, 4, 64}[len(blocks)-1-i]
		events = append(events, event{wider, block})
	}
	return events
}

func (e event) id() string { return recordID(e.rule, e.key) }

func recordID(rule Rule, key string) string { return rule.Name + "\x00" + key }
