package store

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash"
	"log/slog"
	"sync"
	"time"
)

const (
	lookupName  = "lookup-key"     // no table's record has a name without a colon
	lookupEvery = 10 * time.Second // how often it is checked without an occasion
	lookupAgain = time.Second      // the pause after a failed check
)

// forever is when the lookup key expires: later than any program lives, and
// still a time that a [Backend] can hold.
var forever = time.Date(2200, time.January, 1, 0, 0, 0, 0, time.UTC)

var errWrongKeys = errors.New("the stored data was sealed with a different key; " +
	"set APP_SECRET_KEY to that key, or add it after the current one (if APP_SECRET_KEY was not set before, the key is in secret.key in DATA_DIR), " +
	"or delete the stored data to start over, which logs everyone out")

// A lookupKey names records by a keyed hash, because a plain hash of something
// as short as a user code can be reversed by trying all of them.
//
// It is random. The first process stores it, sealed like a record, and all
// others read it, so that names stay the same when APP_SECRET_KEY changes. A
// second lookup key would hide every record, so a stored one is never replaced:
// a process that cannot open it does not start.
//
// A Redis may lose its data while processes run. Then the first one that notices
// stores its lookup key again, unless a process that has just started was quicker
// and stored another. That one counts, and everyone takes it over. Records that
// were written in between are not found again.
type lookupKey struct {
	mu    sync.RWMutex
	key   []byte
	macs  *sync.Pool // of [hash.Hash] with key: making one costs as much as using it
	fault error      // of the latest check
}

// mac returns the keyed hash of a text.
func (l *lookupKey) mac(text string) []byte {
	l.mu.RLock()
	macs := l.macs
	l.mu.RUnlock()
	mac := macs.Get().(hash.Hash)
	defer macs.Put(mac)
	mac.Reset()
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

func (l *lookupKey) get() []byte {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.key
}

func (l *lookupKey) err() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.fault
}

// agreeOnLookup takes over the stored lookup key. If there is none, it stores its
// own, which it makes at first. It reports whether the one that it had is gone
// from the store.
func (s *Store) agreeOnLookup(ctx context.Context) (lost bool, err error) {
	key, stored, err := s.storedLookup(ctx)
	s.lookup.mu.Lock()
	defer s.lookup.mu.Unlock()
	s.lookup.fault = err
	if err != nil {
		return false, err
	}
	lost = s.lookup.key != nil && (stored || !bytes.Equal(s.lookup.key, key))
	if !bytes.Equal(s.lookup.key, key) {
		s.lookup.key = key
		s.lookup.macs = &sync.Pool{New: func() any { return hmac.New(sha256.New, key) }}
	}
	return lost, nil
}

// storedLookup returns the stored lookup key, and whether it was stored only now.
func (s *Store) storedLookup(ctx context.Context) (lookup []byte, missing bool, err error) {
	seals := s.sealer(lookupName)
	for {
		stored, err := s.backend.Get(ctx, lookupName)
		if err != nil {
			return nil, false, err
		}
		lookup, key, ok := seals.open(lookupName, stored)
		switch {
		case stored == nil:
			missing = true
			if lookup = s.lookup.get(); lookup == nil {
				lookup = make([]byte, sha256.Size)
				rand.Read(lookup)
			}
		case !ok:
			return nil, false, errWrongKeys
		case key == 0:
			return lookup, missing, nil
		}
		// It is missing, or sealed with an older key. If another process is
		// quicker to store it, that copy counts.
		if _, err := s.backend.Swap(ctx, Write{Key: lookupName, Old: stored, New: seals.seal(lookupName, lookup), Until: forever}); err != nil {
			return nil, false, err
		}
	}
}

// keepLookup checks the stored lookup key until ctx ends: when it may have
// changed, which includes each new connection to Redis, and now and then.
func (s *Store) keepLookup(ctx context.Context, log *slog.Logger) {
	ticks := s.backend.Watch(ctx, lookupName)
	pause := lookupEvery
	for {
		select {
		case <-ticks:
		case <-time.After(pause):
		}
		if ctx.Err() != nil {
			return
		}
		pause = lookupEvery
		switch lost, err := s.agreeOnLookup(ctx); {
		case err != nil:
			pause = lookupAgain // Ping says why
		case lost:
			log.Error("stored data lost; everyone must log in again")
		}
	}
}
