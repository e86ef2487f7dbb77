// Package limit counts how often something happens and refuses when that is
// too often. The counters are records in the store, so a limit holds over all
// replicas and restarts (RFC 10027, section 6.1.11).
package limit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"changebank/internal/browser"
	"changebank/internal/store"
)

// A Rule allows N events in a Window: N at once, and then one each Window/N.
type Rule struct {
	Name   string // in words, for the log
	N      int
	Window time.Duration
}

// TooManyError says that a limit is reached.
type TooManyError struct {
	Rule string        // [Rule.Name]
	Wait time.Duration // until the next try may succeed
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("limit: too many %s; wait %v", e.Rule, e.Wait.Round(time.Second))
}

const (
	maxTries   = 5           // lost compare-and-sets that count as a refusal
	contention = time.Second // how long such a refusal lasts
)

// counter is a GCRA counter: the one time that tells how much of the limit is
// used up, because each event moves it by Window/N from the present on.
type counter struct {
	Full time.Time // when nothing of the limit is used any longer
}

// KeepUntil implements [store.Record].
func (c counter) KeepUntil() time.Time { return c.Full }

// Limiter counts events. Make one with [New].
type Limiter struct {
	counters *store.Table[counter]
}

// New returns a Limiter that counts in the store.
func New(s *store.Store) *Limiter {
	return &Limiter{store.NewTable[counter](s, "limits")}
}

// Allow counts one event of key under the rule, or returns a [*TooManyError].
// A refusal writes nothing. A key that very many count at the same moment is
// refused rather than retried, so that it cannot keep the store busy.
func (l *Limiter) Allow(ctx context.Context, rule Rule, key string) error {
	step := rule.Window / time.Duration(rule.N)
	id := rule.Name + "\x00" + key
	for range maxTries {
		now := time.Now()
		_, err := l.counters.TryUpdate(ctx, id, func(c *counter) error {
			full := later(c.Full, now).Add(step)
			if wait := full.Sub(now) - rule.Window; wait > 0 {
				return &TooManyError{rule.Name, wait}
			}
			c.Full = full
			return nil
		})
		if errors.Is(err, store.ErrNotFound) {
			err = l.counters.CreateAs(ctx, id, counter{now.Add(step)})
		}
		if !errors.Is(err, store.ErrConflict) && !errors.Is(err, store.ErrExists) {
			return err
		}
	}
	return &TooManyError{rule.Name, contention}
}

// Refund takes back one event that [Limiter.Allow] counted. An event that
// cannot be taken back counts.
func (l *Limiter) Refund(ctx context.Context, rule Rule, key string) {
	_, _ = l.counters.TryUpdate(ctx, rule.Name+"\x00"+key, func(c *counter) error {
		c.Full = c.Full.Add(-rule.Window / time.Duration(rule.N))
		return nil
	})
}

// AllowAddr counts one event for an IP address. An IPv6 address counts in its
// /64 (N), its /56 (4 N) and its /48 (64 N) together: the holder of a wide
// prefix can neither multiply the limit by its addresses, nor use up the share
// of everybody else. The widest is counted first and refunded if a narrower
// one refuses.
func (l *Limiter) AllowAddr(ctx context.Context, rule Rule, addr string) error {
	blocks := browser.Blocks(addr)
	for i, block := range blocks {
		if err := l.Allow(ctx, wider(rule, len(blocks)-1-i), block); err != nil {
			l.refundBlocks(ctx, rule, blocks, i)
			return err
		}
	}
	return nil
}

// RefundAddr takes back one event that [Limiter.AllowAddr] counted.
func (l *Limiter) RefundAddr(ctx context.Context, rule Rule, addr string) {
	blocks := browser.Blocks(addr)
	l.refundBlocks(ctx, rule, blocks, len(blocks))
}

// refundBlocks refunds the first n of blocks.
func (l *Limiter) refundBlocks(ctx context.Context, rule Rule, blocks []string, n int) {
	for i, block := range blocks[:n] {
		l.Refund(ctx, wider(rule, len(blocks)-1-i), block)
	}
}

// wider returns the rule for a block that contains a counted one: of the
// blocks in [browser.Blocks], the one that is so many places wider.
func wider(rule Rule, places int) Rule {
	rule.N *= []int{1, 4, 64}[places]
	return rule
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
