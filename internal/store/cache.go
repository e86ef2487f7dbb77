package store

import (
	"bytes"
	"reflect"
	"sync"
	"time"
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
// The slices of a record that get returns are shared. They may be changed only in a
// copy. Records with other references, such as maps or pointers, are not kept.
type cache[T any] struct {
	slices [][]int // where a T has slices, for [reflect.Value.FieldByIndex]
	off    bool    // a T has other references

	mu         sync.Mutex
	young, old map[string]decoded[T]
	bytes      int // of young
}

type decoded[T any] struct {
	stored []byte
	record T
}

func newCache[T any]() cache[T] {
	slices, ok := slicesIn(reflect.TypeFor[T]())
	return cache[T]{slices: slices, off: !ok}
}

// slicesIn finds the slices in a struct. It reports false if they are not the only
// references in it, or if one cannot be set.
func slicesIn(t reflect.Type) (slices [][]int, ok bool) {
	switch kind := t.Kind(); {
	case t == reflect.TypeFor[time.Time]():
		return nil, true // nothing changes the location that it refers to
	case kind == reflect.Struct:
		for field := range t.Fields() {
			inner, ok := slicesIn(field.Type)
			if !ok || len(inner) > 0 && !field.IsExported() {
				return nil, false
			}
			for _, index := range inner {
				slices = append(slices, append(field.Index[:1:1], index...))
			}
		}
		return slices, true
	case kind == reflect.Slice:
		inner, ok := slicesIn(t.Elem())
		return [][]int{nil}, ok && len(inner) == 0
	default:
		return nil, kind <= reflect.Complex128 || kind == reflect.String // booleans, numbers and text
	}
}

// copy returns a copy of a record, with slices of its own.
func (c *cache[T]) copy(record T) T {
	for _, index := range c.slices {
		slice := reflect.ValueOf(&record).Elem().FieldByIndex(index)
		if !slice.IsNil() { // nil stays nil, which is null in JSON
			slice.Set(reflect.AppendSlice(reflect.MakeSlice(slice.Type(), 0, slice.Len()), slice))
		}
	}
	return record
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
	if c.off {
		return
	}
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
