package idp

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/time/rate"
)

const (
	keysEvery = 5 * time.Second // between two requests for the provider's keys, in the long run
	keysBurst = 5               // requests that need not wait: at the start, and for a key that is new soon after
	keysFor   = time.Hour       // how long a key counts that the provider has taken back
)

// keySet is the provider's keys. It tells keys that could not be fetched from a
// signature that is wrong: go-oidc's verifier reports both as text.
type keySet struct {
	client *http.Client
	url    string

	mu     sync.Mutex
	remote *oidc.RemoteKeySet
	made   time.Time
}

func (c *Client) newKeySet(url string) *keySet {
	client := *c.http
	client.Transport = sparing{client.Transport, rate.NewLimiter(rate.Every(keysEvery), keysBurst)}
	return &keySet{client: &client, url: url}
}

// keys returns the keys to verify with. go-oidc asks for them anew when a token
// names one that it does not know, and otherwise trusts for ever what it has.
func (k *keySet) keys() *oidc.RemoteKeySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.remote == nil || time.Since(k.made) > keysFor {
		// The key set keeps the context for its requests, so none that ends.
		k.remote = oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), k.client), k.url)
		k.made = time.Now()
	}
	return k.remote
}

// noKeys is the context key of an *error for why there are no keys.
type noKeys struct{}

// VerifySignature implements [oidc.KeySet].
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	payload, err := k.keys().VerifySignature(ctx, token)
	// Only the error about fetching has a cause.
	if cause := errors.Unwrap(err); cause != nil {
		if report, ok := ctx.Value(noKeys{}).(*error); ok {
			*report = cause
		}
	}
	return payload, err
}

// sparing puts off requests that come too fast: every token with a forged key
// ID would otherwise be a request to the provider.
type sparing struct {
	next  http.RoundTripper
	limit *rate.Limiter
}

// RoundTrip implements [http.RoundTripper].
func (s sparing) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := s.limit.Wait(r.Context()); err != nil {
		return nil, err
	}
	return s.next.RoundTrip(r)
}

// algorithm returns what a JWT says it is signed with, "" if it says nothing.
func algorithm(token string) string {
	used, _ := part(token, 0)["alg"].(string)
	return used
}

// claim returns a claim of a JWT, at whose signature it does not look.
func claim[T any](token, name string) (value T, ok bool) {
	value, ok = part(token, 1)[name].(T)
	return value, ok
}

// part decodes a JWT's header, which is its part 0, or its claims, which are
// part 1. What is no JWT has nothing in it.
func part(token string, n int) map[string]any {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[n])
	if err != nil {
		return nil
	}
	var members map[string]any
	_ = json.Unmarshal(text, &members) // what is no JSON has no members
	return members
}
