package store

import (
	"bytes"
	"sync"
)

// How much a cache holds at most, twice: in each of its two generations.
const (
	cacheRecords = 1024
	cacheBytes   = 2 << 20 // as stored; decoded it is about as much again
)

// cache keeps decoded records by key. Most of what it costs to read a record is to
// decrypt and decode it. The backend is asked every time nevertheless, and an entry
// counts only for the very bytes that it was decoded from: each write encrypts
// under a new nonce. So a cache is never behind another process.
//
// What it returns shares its slices and maps with other readers, so nobody may
// change them.
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
			c.add(key, d) // it is used, so it outlives its generation
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

// add puts an entry into the young generation. If that is full, it becomes the
// old one, and what was in that is forgotten.
func (c *cache[T]) add(key string, d decoded[T]) {
	if c.young == nil || len(c.young) >= cacheRecords || c.bytes >= cacheBytes {
		c.young, c.old, c.bytes = make(map[string]decoded[T]), c.young, 0
	}
	c.bytes += len(d.stored) - len(c.young[key].stored)
	c.young[key] = d
}
