package simulate

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"changebank/internal/store"
)

// disk is the store that the replicas share.
type disk struct {
	w *world

	mu       sync.Mutex
	values   map[string]value
	names    map[string]string // of keys, for dice and stories: their table and a number
	kinds    map[string]int
	watchers []*watcher
}

type value struct {
	bytes []byte
	until time.Time
}

type watcher struct {
	link   *link
	key    string
	who    string
	ch     chan struct{}
	missed bool
	closed bool
}

// name returns a key's name, which does not depend on random identifiers.
func (d *disk) name(key string) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	name, ok := d.names[key]
	if !ok {
		kind, _, _ := strings.Cut(key, ":")
		d.kinds[kind]++
		name = fmt.Sprint(kind, " ", d.kinds[kind])
		d.names[key] = name
	}
	return name
}

func (d *disk) get(key string) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return bytes.Clone(d.live(key))
}

func (d *disk) live(key string) []byte {
	if v, ok := d.values[key]; ok && time.Now().Before(v.until) {
		return v.bytes
	}
	return nil
}

func (d *disk) swap(writes []store.Write) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range writes {
		if now := d.live(w.Key); (now == nil) != (w.Old == nil) || !bytes.Equal(now, w.Old) {
			return false
		}
	}
	for _, w := range writes {
		if w.Keep {
			continue
		}
		delete(d.values, w.Key)
		if w.New != nil {
			d.values[w.Key] = value{bytes.Clone(w.New), w.Until}
		}
		for _, watcher := range d.watchers {
			if watcher.key == w.Key {
				d.tickLater(watcher)
			}
		}
	}
	return true
}

// tickLater has a watcher hear of a change, unless its connection is lost: then
// it hears that it may have missed one when there is a connection again.
func (d *disk) tickLater(to *watcher) {
	if to.link.deaf.Load() {
		to.missed = true
		return
	}
	delay := time.Duration(0)
	if d.w.chance(to.who, d.w.now().store) {
		delay = d.w.upTo(to.who, 2*time.Second)
	}
	time.AfterFunc(time.Until(d.w.instant(to.who, delay)), func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if !to.closed {
			to.tick()
		}
	})
}

func (to *watcher) tick() {
	select {
	case to.ch <- struct{}{}:
	default:
	}
}

// reconnect lets the watchers of a link hear again.
func (d *disk) reconnect(l *link) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l.deaf.Store(false)
	for _, watcher := range d.watchers {
		if watcher.link == l && watcher.missed {
			watcher.missed = false
			d.tickLater(watcher)
		}
	}
}

// observer reads the store without delays and faults, and writes nothing.
const observer = "observer"

// link is one replica's connection to the store. It implements [store.Backend].
type link struct {
	d       *disk
	replica *replica    // nil while it starts: nothing fails yet
	deaf    atomic.Bool // changes are not heard of
	down    atomic.Bool // nothing gets through
	dead    chan struct{}
	fault   latest // when an operation of this replica failed
}

// who names the dice of an operation.
func (l *link) who(ctx context.Context, keys ...string) string {
	var who strings.Builder
	who.WriteString(whoIn(ctx) + " " + l.replica.name)
	for _, key := range keys {
		who.WriteString(" " + l.d.name(key))
	}
	return who.String()
}

// trip waits for one way of an operation. It may fail, or kill the replica.
func (l *link) trip(ctx context.Context, who string) error {
	w, now := l.d.w, l.d.w.now()
	switch {
	case l.replica.isDead():
		return errKilled
	case ctx.Err() != nil: // of two cases that are ready, select would take any
		return ctx.Err()
	}
	delay := time.Duration(0)
	if w.chance(who, 150) {
		delay = w.upTo(who, 300*time.Millisecond)
	}
	if w.chance(who, now.store) {
		delay = w.upTo(who, storeLimit/2-2*slot)
	}
	fails := w.chance(who, now.store/2) || l.down.Load()
	kills, freezes := w.chance(who, now.kill), w.chance(who, now.freeze)
	select {
	case <-time.After(time.Until(w.instant(who, delay))):
	case <-ctx.Done():
		return ctx.Err()
	case <-l.dead:
		return errKilled
	}
	if freezes {
		l.replica.freeze(who)
	}
	if l.replica.waitForThaw(who); l.replica.isDead() {
		return errKilled
	}
	if kills {
		l.replica.kill("in " + who)
		return errKilled
	}
	if fails || l.down.Load() {
		l.fault.set()
		return fmt.Errorf("%w: simulated", store.ErrUnavailable)
	}
	return nil
}

func (l *link) Get(ctx context.Context, key string) ([]byte, error) {
	if l.replica != nil && l.replica.name != observer {
		if err := l.trip(ctx, l.who(ctx, key)); err != nil {
			return nil, err
		}
	}
	return l.d.get(key), nil
}

func (l *link) Swap(ctx context.Context, writes ...store.Write) (bool, error) {
	if l.replica == nil {
		return l.d.swap(writes), nil
	}
	if l.replica.name == observer {
		return true, nil // and writes nothing
	}
	var keys []string
	for _, w := range writes {
		if !w.Keep {
			keys = append(keys, w.Key)
		}
	}
	who := l.who(ctx, keys...)
	if err := l.trip(ctx, who); err != nil {
		return false, err
	}
	ok := l.d.swap(writes)
	if err := l.trip(ctx, who); err != nil { // the answer is lost
		return false, err
	}
	return ok, nil
}

func (l *link) Watch(ctx context.Context, key string) <-chan struct{} {
	mine := &watcher{link: l, key: key, who: "watch " + l.who(ctx, key), ch: make(chan struct{}, 1)}
	mine.ch <- struct{}{}
	l.d.mu.Lock()
	l.d.watchers = append(l.d.watchers, mine)
	l.d.mu.Unlock()
	context.AfterFunc(ctx, func() {
		l.d.mu.Lock()
		defer l.d.mu.Unlock()
		l.d.watchers = slices.DeleteFunc(l.d.watchers, func(other *watcher) bool { return other == mine })
		mine.closed = true
		close(mine.ch)
	})
	return mine.ch
}

func (l *link) Ping(context.Context) error { return nil }
func (l *link) Close() error               { return nil }
