package idp_test

import (
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// verify verifies an ID token and returns the error. Beside an error there must
// be nobody.
func verify(t *testing.T, c *idp.Client, idToken string) error {
	t.Helper()
	got, err := c.Verify(t.Context(), idp.Tokens{Access: "access", ID: idToken}, "")
	if err != nil && got != (idp.Person{}) {
		t.Errorf("Verify: %+v beside the error, want nobody", got)
	}
	return err
}

// A new key is good from its first token on. A key that the provider has
// withdrawn, because it was stolen perhaps, is not trusted for ever.
func TestKeysChange(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		c := p.newClient(t)
		synctest.Wait()
		if err := verify(t, c, p.idToken(t, nil)); err != nil {
			t.Fatalf("Verify: %v", err)
		}
		second := signer{key: strangersKey(), kid: "k2"}
		p.on("/jwks", respond(200, jwks("k2", strangersKey())))
		if err := verify(t, c, second.sign(t, p.claims(nil))); err != nil {
			t.Errorf("Verify with the new key: %v", err)
		}
		p.on("/jwks", respond(200, jwks("k1", signingKey())))
		time.Sleep(2 * time.Hour)
		wantFinal(t, verify(t, c, second.sign(t, p.claims(nil))))
		if err := verify(t, c, p.idToken(t, nil)); err != nil {
			t.Errorf("Verify with the present key: %v", err)
		}
	})
}

// Each token with an unknown key ID makes go-oidc fetch the keys: that must not
// flood the provider, and good tokens must not wait for it.
func TestForgedKeyIDs(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		c := p.newClient(t)
		synctest.Wait()
		good := p.idToken(t, nil)
		forged := signer{key: strangersKey(), kid: "forged"}.sign(t, p.claims(nil))
		began := time.Now()
		for time.Since(began) < time.Minute {
			wantFinal(t, verify(t, c, forged))
			asked := time.Now()
			if err := verify(t, c, good); err != nil || time.Since(asked) > 0 {
				t.Fatalf("Verify of a good token: %v after %v, want it at once", err, time.Since(asked))
			}
			time.Sleep(time.Millisecond)
		}
		if n := len(p.requests("/jwks")); n > 20 {
			t.Errorf("%d requests for the keys in a minute, want at most 20", n)
		}
	})
}

// A provider that restarts has no keys for a moment. That says nothing about a
// token, which is good at the next attempt.
func TestVerifyWithoutKeys(t *testing.T) {
	for name, response := range map[string]http.HandlerFunc{
		"503":             respond(503, `{}`),
		"a page":          respondAs(502, "text/html", longPage),
		"a page with 200": respondAs(200, "text/html", longPage),
		"half a set":      respond(200, `{"keys":[{"kty":"RSA"`),
		"connection cut":  cut,
		"redirect":        redirect("/keys"),
		"404":             http.NotFound,
	} {
		t.Run(name, func(t *testing.T) {
			p, c := start(t)
			keys := p.responses["/jwks"]
			p.on("/jwks", response)
			good := p.idToken(t, nil)
			err := verify(t, c, good)
			wantFault(t, err)
			wantShortLine(t, err)
			p.on("/jwks", keys)
			await(t, "the keys", func() bool { return verify(t, c, good) == nil })

			// A known key needs no request, and its tokens are judged.
			p.on("/jwks", response)
			if err := verify(t, c, good); err != nil {
				t.Errorf("Verify with a known key: %v", err)
			}
			wantFinal(t, verify(t, c, p.idToken(t, map[string]any{"aud": "another"})))
			// An unknown key may be a new one. (For an instant go-oidc still
			// counts the last response as the one to this call.)
			unknown := signer{key: strangersKey(), kid: "k2"}.sign(t, p.claims(nil))
			await(t, "a request for the keys", func() bool {
				err = verify(t, c, unknown)
				return !errors.Is(err, idp.ErrInvalidToken)
			})
			wantFault(t, err)
		})
	}
}
