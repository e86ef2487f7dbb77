package store

import (
	"context"
	"sync"
)

// watchers are the channels that [Backend].Watch has returned, by key. The zero
// value is empty.
type watchers struct {
	mu    sync.Mutex
	byKey map[string]map[chan struct{}]struct{}
}

// watch returns a channel as [Backend].Watch describes. It starts no goroutine
// that waits.
func (w *watchers) watch(ctx context.Context, key string) <-chan struct{} {
	ch := make(chan struct{}, 1)
	ch <- struct{}{}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.byKey == nil {
		w.byKey = make(map[string]map[chan struct{}]struct{})
	}
	if w.byKey[key] == nil {
		w.byKey[key] = make(map[chan struct{}]struct{})
	}
	w.byKey[key][ch] = struct{}{}
	context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.byKey[key], ch)
		if len(w.byKey[key]) == 0 {
			delete(w.byKey, key)
		}
		close(ch)
	})
	return ch
}

// tick tells those that watch a key which was written.
func (w *watchers) tick(writes []Write) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, write := range writes {
		if !write.Keep {
			tickEach(w.byKey[write.Key])
		}
	}
}

// tickAll tells everyone, when changes may have been missed.
func (w *watchers) tickAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, channels := range w.byKey {
		tickEach(channels)
	}
}

func tickEach(channels map[chan struct{}]struct{}) {
	for ch := range channels {
		select {
		case ch <- struct{}{}:
		default: // it has not received the previous tick yet
		}
	}
}
