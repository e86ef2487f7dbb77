package demoidp

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"changebank/internal/store"
)

// A signingKey is the RSA key that signs all tokens.
type signingKey struct{ jose.JSONWebKey }

// KeepUntil is far in the future. The store's clock ends in 2262.
func (signingKey) KeepUntil() time.Time { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) }

func (k signingKey) ID() string                                  { return k.KeyID }
func (k signingKey) Key() any                                    { return k.JSONWebKey.Key }
func (k signingKey) SignatureAlgorithm() jose.SignatureAlgorithm { return jose.RS256 }

func newKeyTable(s *store.Store) *store.Table[signingKey] {
	return store.NewTable[signingKey](s, "demo signing key")
}

const keyID = "key" // the only one in its table

// signingKeys is the signing key once it is there.
type signingKeys struct {
	store *store.Store

	mu  sync.Mutex
	key signingKey
}

// get returns the signing key, and loads or makes it first if need be. If that
// fails, the next call tries again.
func (k *signingKeys) get(ctx context.Context) (signingKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.key.KeyID == "" {
		key, err := loadKey(ctx, k.store)
		if err != nil {
			return key, err
		}
		k.key = key
	}
	return k.key, nil
}

// prepare loads the signing key. The first start makes it in the background: that
// may take a second, nobody needs the key before the first login, and a request
// that does waits for it.
func (k *signingKeys) prepare(ctx context.Context, log *slog.Logger) error {
	_, err := newKeyTable(k.store).Get(ctx, keyID)
	if !errors.Is(err, store.ErrNotFound) {
		return err
	}
	log.Info("demo provider: making its signing key; the first login may wait for it")
	go func() {
		switch _, err := k.get(ctx); {
		case err == nil:
			log.Info("demo provider: signing key made")
		case ctx.Err() == nil:
			log.Error("demo provider: signing key not stored, trying again when it is needed", "err", err)
		}
	}()
	return nil
}

// loadKey returns the stored signing key. The first start makes it. Processes that
// start at once all use the one that is stored first.
func loadKey(ctx context.Context, s *store.Store) (signingKey, error) {
	table := newKeyTable(s)
	key, err := table.Get(ctx, keyID)
	if errors.Is(err, store.ErrNotFound) {
		if key, err = newKey(); err != nil {
			return key, err
		}
		if err = table.CreateAs(ctx, keyID, key); errors.Is(err, store.ErrExists) {
			key, err = table.Get(ctx, keyID)
		}
	}
	if err != nil {
		return key, fmt.Errorf("load the signing key: %w", err)
	}
	return key, nil
}

func newKey() (signingKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return signingKey{}, fmt.Errorf("make a signing key: %w", err)
	}
	return signingKey{jose.JSONWebKey{Key: key, KeyID: rand.Text(), Algorithm: "RS256", Use: "sig"}}, nil
}
