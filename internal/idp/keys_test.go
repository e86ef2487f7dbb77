package idp_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"changebank/internal/idp"
)

// publish has the provider show one key.
func (p *scripted) publish(t *testing.T, key any, kid string) {
	t.Helper()
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key, KeyID: kid, Algorithm: "RS256", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	p.on("/jwks", says(http.StatusOK, string(keys)))
}

// Keys change: a new one counts from its first token on, and one that was taken
// back, since somebody stole it perhaps, not for ever.
func TestKeysChange(t *testing.T) {
	inBubble(t, func(t *testing.T, p *scripted) {
		c := p.newClient(t)
		synctest.Wait()
		verify := func(s signer) error {
			_, err := c.Verify(t.Context(), idp.Tokens{Access: "access", ID: s.sign(t, p.claims(nil))}, "")
			return err
		}
		if err := verify(signer{}); err != nil {
			t.Fatalf("Verify: %v", err)
		}
		p.publish(t, strangersKey().Public(), "k2")
		if err := verify(signer{key: strangersKey(), kid: "k2"}); err != nil {
			t.Errorf("Verify by the new key: %v", err)
		}
		p.publish(t, signingKey().Public(), "k1")
		time.Sleep(2 * time.Hour)
		err := verify(signer{key: strangersKey(), kid: "k2"})
		final(t, err)
		if err := verify(signer{}); err != nil {
			t.Errorf("Verify by the key that is there: %v", err)
		}
	})
}

// Each token with a forged key ID asks for keys anew: the provider must not be
// hammered by that, and good tokens must not wait.
func TestForgedKeyIDs(t *testing.T) {
	inBubble(t, func(t *testing.T, p *scripted) {
		c := p.newClient(t)
		synctest.Wait()
		good := idp.Tokens{Access: "access", ID: signer{}.sign(t, p.claims(nil))}
		forged := idp.Tokens{Access: "access", ID: signer{key: strangersKey(), kid: "forged"}.sign(t, p.claims(nil))}
		began := time.Now()
		for time.Since(began) < time.Minute {
			if _, err := c.Verify(t.Context(), forged, ""); !errors.Is(err, idp.ErrInvalidToken) {
				t.Fatalf("Verify of a forged token: %v, want %v", err, idp.ErrInvalidToken)
			}
			asked := time.Now()
			if _, err := c.Verify(t.Context(), good, ""); err != nil || time.Since(asked) > 0 {
				t.Fatalf("Verify of a good token: %v after %v, want it at once", err, time.Since(asked))
			}
			time.Sleep(time.Millisecond)
		}
		if n := len(p.requests("/jwks")); n > 20 {
			t.Errorf("the provider was asked for its keys %d times in a minute", n)
		}
	})
}
