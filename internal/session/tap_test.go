package session_test

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"changebank/internal/store"
)

var errDown = errors.New("the store is down")

// tap stands between a Manager and its store. It counts what is read and written,
// and lets a test come in between.
type tap struct {
	store.Backend
	reads, writes atomic.Int64

	// If set, they are called before and after each operation. Their error
	// replaces its answer.
	before, after func(write bool) error
}

func (p *tap) Get(ctx context.Context, key string) (value []byte, err error) {
	p.reads.Add(1)
	err = p.around(ctx, false, func() error {
		value, err = p.Backend.Get(ctx, key)
		return err
	})
	return value, err
}

func (p *tap) Swap(ctx context.Context, writes ...store.Write) (ok bool, err error) {
	for _, w := range writes {
		if !w.Keep {
			p.writes.Add(1)
		}
	}
	err = p.around(ctx, true, func() error {
		ok, err = p.Backend.Swap(ctx, writes...)
		return err
	})
	return ok, err
}

func (p *tap) around(ctx context.Context, write bool, operation func() error) error {
	if err := ctx.Err(); err != nil {
		return err // as a store behind a network does
	}
	if p.before != nil {
		if err := p.before(write); err != nil {
			return err
		}
	}
	if err := operation(); err != nil {
		return err
	}
	if p.after != nil {
		return p.after(write)
	}
	return nil
}

// nextWrite has f run before the next write, once.
func (p *tap) nextWrite(f func()) {
	p.before = func(write bool) error {
		if write {
			p.before = nil
			f()
		}
		return nil
	}
}

// memory is a [store.Backend] without a file and without Watch, for tests that
// need very many stores.
type memory struct {
	store.Backend // none: it panics
	mu            sync.Mutex
	values        map[string]kept
}

type kept struct {
	value []byte
	until time.Time
}

func (b *memory) Get(_ context.Context, key string) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.live(key)), nil
}

func (b *memory) Swap(_ context.Context, writes ...store.Write) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range writes {
		if now := b.live(w.Key); (now == nil) != (w.Old == nil) || !bytes.Equal(now, w.Old) {
			return false, nil
		}
	}
	for _, w := range writes {
		if !w.Keep {
			b.values[w.Key] = kept{bytes.Clone(w.New), w.Until}
		}
	}
	return true, nil
}

func (b *memory) live(key string) []byte {
	if k := b.values[key]; time.Now().Before(k.until) {
		return k.value
	}
	return nil
}
