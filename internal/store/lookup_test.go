package store

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"changebank/internal/testredis"
)

// openedStore returns the store of one more process on a Redis, and its log.
func openedStore(t *testing.T, url string, keys ...[]byte) (*Store, *lines) {
	t.Helper()
	log := new(lines)
	s, err := Open(t.Context(), url, "", keys, nil, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s, log
}

// shared returns an error unless each process finds what each other one writes.
func shared(t *testing.T, processes ...*Store) error {
	for _, writer := range processes {
		id, err := NewTable[note](writer, "notes").Create(t.Context(), note{Until: later()})
		if err != nil {
			return err
		}
		for _, reader := range processes {
			if _, err := NewTable[note](reader, "notes").Get(t.Context(), id); err != nil {
				return err
			}
		}
	}
	return nil
}

// A Redis without persistence that restarts has lost the lookup key as well. The
// processes that run, and one that starts later, must not hide each other's
// records.
func TestRedisRestartsEmpty(t *testing.T) {
	server := testredis.Start(t)
	one, log := openedStore(t, server.URL(), newKey)
	two, otherLog := openedStore(t, server.URL(), newKey)
	id := mustCreate(t, NewTable[note](one, "notes"), "lost")
	before := one.lookup.get()
	server.Kill()
	server.Restart()
	eventually(t, "a stored lookup key", func() error {
		if server.Do("EXISTS", redisPrefix+lookupName) != int64(1) {
			return errors.New("there is none")
		}
		return nil
	})
	three, _ := openedStore(t, server.URL(), newKey)
	eventually(t, "records of all", func() error { return shared(t, one, two, three) })
	if !bytes.Equal(one.lookup.get(), before) {
		t.Error("there is another lookup key, although nobody stored one")
	}
	wantNoNote(t, NewTable[note](two, "notes"), id)
	// The one that stored the lookup key again says so.
	if text := log.String() + otherLog.String(); !strings.Contains(text, "stored data lost; everyone must log in again") {
		t.Errorf("the logs do not say that data was lost:\n%s", text)
	}
}

// A process that starts on an emptied Redis may be quicker, and stores a lookup
// key of its own. The others take that over.
func TestRedisOtherLookupKey(t *testing.T) {
	server := testredis.Start(t)
	one, log := openedStore(t, server.URL(), newKey)
	table := NewTable[note](one, "notes") // made before
	before := one.lookup.get()
	// Both at once: after FLUSHALL, the first process might be the quicker one.
	other := one.sealer(lookupName).seal(lookupName, bytes.Repeat([]byte("k"), sha256.Size))
	mustSwap(t, one.backend, lookupName, mustGet(t, one.backend, lookupName), other, forever)
	two, _ := openedStore(t, server.URL(), newKey)
	eventually(t, "records of both", func() error { return shared(t, one, two) })
	if bytes.Equal(one.lookup.get(), before) {
		t.Error("the first process has kept its lookup key, want the stored one")
	}
	if _, err := NewTable[note](two, "notes").Get(t.Context(), mustCreate(t, table, "new")); err != nil {
		t.Errorf("the second process does not find the first one's record: %v", err)
	}
	if !strings.Contains(log.String(), "stored data lost") {
		t.Errorf("the log does not say that data was lost:\n%s", log)
	}
}

// A process whose APP_SECRET_KEY differs is noticed, and nothing is replaced.
func TestRedisOtherSecretKey(t *testing.T) {
	server := testredis.Start(t)
	one, _ := openedStore(t, server.URL(), newKey)
	if _, err := Open(t.Context(), server.URL(), "", [][]byte{oldKey}, nil, slog.New(slog.DiscardHandler)); !errors.Is(err, errWrongKeys) {
		t.Errorf("Open with another key: %v, want %v", err, errWrongKeys)
	}
	if err := one.Ping(t.Context()); err != nil {
		t.Errorf("Ping: %v", err)
	}
	server.Do("FLUSHALL")
	openedStore(t, server.URL(), oldKey)
	eventually(t, "Ping", func() error {
		if err := one.Ping(t.Context()); !errors.Is(err, errWrongKeys) {
			return err
		}
		return nil
	})
}
