package store

import (
	"bytes"
	"sync"
)

// Bounds of each of the two generations of a cache.
const (
	cacheRecords = 1024
	cacheBytes   = 2 << 20 // as stored; decoded it is about as much again
)

// cache keeps decoded records by key, because decrypting and decoding is most of the
// cost of reading one. It is never stale: each read still gets the stored bytes from
// the backend, and an entry is used only if it was decoded from exactly these bytes.
// Each write has a new nonce, so its bytes differ.
//
// The slices and maps of a returned record are shared and must not be changed.
type cache[T any] struct {
	mu         sync.Mutex
	young, old map[string]decoded[T]
	bytes      int // of young
}

type decoded[T any] struct {
	stored []byte
	record T
}

// get returns the record that was decoded from stored.
func (c *cache[T]) get(key string, stored []byte) (record T, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.young[key]
	if !ok {
		if d, ok = c.old[key]; ok && bytes.Equal(d.stored, stored) {
			c.add(key, d) // still in use, so it moves to the young generation
		}
	}
	if !ok || !bytes.Equal(d.stored, stored) {
		return record, false
	}
	return d.record, true
}

func (c *cache[T]) put(key string, stored []byte, record T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(key, decoded[T]{stored, record})
}

// add adds an entry to the young generation. If that is full, it replaces the old
// generation.
func (c *cache[T]) add(key string, d decoded[T]) {
	if c.young == nil || len(c.young) >= cacheRecords || c.bytes >= cacheBytes {
		c.young, c.old, c.bytes = make(map[string]decoded[T]), c.young, 0
	}
	c.bytes += len(d.stored) - len(c.young[key].stored)
	c.young[key] = d
}
