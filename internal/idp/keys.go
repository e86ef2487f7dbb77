package idp

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"
)

const (
	keysInterval = 5 * time.Second // between two requests for the provider's keys, in the long run
	keysBurst    = 5               // requests that need not wait: at the start, and for a key that soon follows another
	keysLifetime = time.Hour       // after which a key that the provider has withdrawn is forgotten
)

// keySet is the provider's signing keys. [oidc.RemoteKeySet] fetches them again
// when a token names a key that it does not know, and otherwise trusts them
// for ever.
type keySet struct {
	client *http.Client
	url    string

	mu      sync.Mutex
	current *oidc.RemoteKeySet
	made    time.Time
}

func (c *Client) newKeySet(url string) *keySet {
	client := *c.http
	client.Transport = throttled{client.Transport, rate.NewLimiter(rate.Every(keysInterval), keysBurst)}
	return &keySet{client: &client, url: url}
}

// keys returns the keys, starting over with none when they are too old.
func (k *keySet) keys() *oidc.RemoteKeySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.current == nil || time.Since(k.made) > keysLifetime {
		// The context only carries the HTTP client.
		k.current = oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), k.client), k.url)
		k.made = time.Now()
	}
	return k.current
}

// signatureCheck is the [oidc.KeySet] of one verification. It remembers whether
// the keys could not be fetched: in go-oidc's errors, that looks the same as a
// wrong signature.
type signatureCheck struct {
	keys       *oidc.RemoteKeySet
	fetchError error
}

// VerifySignature implements [oidc.KeySet].
func (s *signatureCheck) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := s.keys.VerifySignature(ctx, token)
	// Of the key set's errors, only the one about fetching wraps another.
	s.fetchError = errors.Unwrap(err)
	return payload, err
}

// throttled delays requests that come too fast. Each token with a forged key ID
// would otherwise cause a request to the provider.
type throttled struct {
	next  http.RoundTripper
	limit *rate.Limiter
}

// RoundTrip implements [http.RoundTripper].
func (t throttled) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := t.limit.Wait(r.Context()); err != nil {
		return nil, err
	}
	return t.next.RoundTrip(r)
}
