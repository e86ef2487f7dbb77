package devicegrant

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/store"
)

// faultyBackend is a store's backend that can fail for a while.
type faultyBackend struct {
	store.Backend
	noReads, noWrites atomic.Bool
	readsFail         atomic.Int32 // so many more
	read, wrote       func()       // called, if set, after each read, and each write that was made
}

var errAway = errors.New("the store is away")

func (b *faultyBackend) Get(ctx context.Context, key string) ([]byte, error) {
	if b.noReads.Load() || b.readsFail.Load() > 0 && b.readsFail.Add(-1) >= 0 {
		return nil, errAway
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	value, err := b.Backend.Get(ctx, key)
	if b.read != nil {
		b.read()
	}
	return value, err
}

func (b *faultyBackend) Swap(ctx context.Context, writes ...store.Write) (bool, error) {
	if b.noWrites.Load() {
		return false, errAway
	}
	if err := ctx.Err(); err != nil {
		return false, err
	}
	ok, err := b.Backend.Swap(ctx, writes...)
	if ok && b.wrote != nil {
		b.wrote()
	}
	return ok, err
}

// A store that is away for a moment costs a delay. Nobody watches, so nobody
// else would try again.
func TestStoreIsAwayBetweenPolls(t *testing.T) {
	for name, away := range map[string]func(*faultyBackend) *atomic.Bool{
		"reads":  func(b *faultyBackend) *atomic.Bool { return &b.noReads },
		"writes": func(b *faultyBackend) *atomic.Bool { return &b.noWrites },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{err: pending}, {after: pollTime}}
				a := w.answered()
				time.Sleep(time.Second)
				away(w.backend).Store(true)
				time.Sleep(11 * time.Second)
				away(w.backend).Store(false)
				time.Sleep(10 * time.Second)
				w.wantPollTimes(0, pace+2*storeRetry) // tried at pace and 5 s later
				w.want(a, Approved)
			})
		})
	}
}

// The outcome of a poll could not be written. By the record, the poll is still
// under way until its lease runs out.
func TestStoreIsAwayAfterAPoll(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{after: 2 * time.Second, err: pending}, {after: pollTime}}
		a := w.answered()
		time.Sleep(time.Second)
		w.backend.noWrites.Store(true)
		time.Sleep(2 * time.Second)
		w.backend.noWrites.Store(false)
		time.Sleep(20 * time.Second)
		w.wantPollTimes(0, leaseDuration-approveTime)
		w.want(a, Approved)
	})
}

// The provider's answer to the approval could not be noted. The poll tells.
func TestStoreIsAwayAfterTheApproval(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.open(w.start())
		time.AfterFunc(approveTime/2, func() { w.backend.noWrites.Store(true) })
		if _, err := w.yes(a); err == nil {
			w.Error("Yes: no error, want the store's")
		}
		w.backend.noWrites.Store(false)
		time.Sleep(leaseDuration + time.Second)
		w.want(a, Approved)
		w.provider.wantPolls(1)
	})
}

// pollsInTwoSeconds are attempts whose first poll answers two seconds after
// they are returned, on both kinds of page.
var pollsInTwoSeconds = map[string]func(w *world) Attempt{
	"our page": func(w *world) Attempt {
		w.provider.polls = script{{after: 2*time.Second + pollQuickly}}
		a := w.answered()
		w.watch(w.m, a.ID)
		return a
	},
	"provider's page": func(w *world) Attempt {
		w.provider.polls = script{{after: 2 * time.Second}}
		a := w.onProviderPage()
		w.watch(w.m, a.ID)
		time.Sleep(pace)
		return a
	},
}

// Tokens are given once. Dropping them because the store is away for a moment
// would end the login with the provider's "already used".
func TestStoreIsAwayWhenTokensCome(t *testing.T) {
	for name, start := range pollsInTwoSeconds {
		t.Run("for a moment, "+name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := start(w)
				time.Sleep(time.Second)
				w.backend.noWrites.Store(true)
				time.Sleep(1500 * time.Millisecond)
				w.backend.noWrites.Store(false)
				time.Sleep(500 * time.Millisecond) // a second after they came
				synctest.Wait()
				if r := w.record(a); r.Tokens.Access != w.provider.first().Access {
					w.Error("the tokens are not stored a second after they came")
				}
				time.Sleep(time.Minute)
				w.wantClaim(w.m, a)
				w.provider.wantPolls(1)
			})
		})
		// Close does not drop them either.
		t.Run("for a moment, while we stop, "+name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := start(w)
				time.Sleep(time.Second)
				w.backend.noWrites.Store(true)
				time.AfterFunc(3500*time.Millisecond, func() { w.backend.noWrites.Store(false) })
				w.wantCloseTakes(4*time.Second + verifyTime)
				w.wantClaim(w.newManager(), a)
				w.provider.wantPolls(1)
			})
		})
		// Tokens that could not be stored are revoked.
		t.Run("for long, "+name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := start(w)
				polled := time.Now()
				time.Sleep(time.Second)
				w.backend.noWrites.Store(true)
				time.Sleep(time.Until(polled.Add(6*time.Second - time.Nanosecond)))
				synctest.Wait()
				w.provider.wantKept()
				time.Sleep(time.Second)
				synctest.Wait()
				w.provider.wantRevoked(1)
				w.backend.noWrites.Store(false)
				w.cancel(a)
				w.wantEnd(a, Cancelled, "")
				w.provider.wantVerdicts(0)
				w.provider.wantRevoked(1)
			})
		})
	}
}
