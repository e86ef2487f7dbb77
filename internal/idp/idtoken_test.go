package idp_test

import (
	"cmp"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"changebank/internal/idp"
)

// signingKey is the provider's; strangersKey is not. RSA keys take long to make.
var (
	signingKey   = sync.OnceValue(newKey)
	strangersKey = sync.OnceValue(newKey)
)

func newKey() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
}

// jwks is a key set of one key.
func jwks(kid string, key *rsa.PrivateKey) string {
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: key.Public(), KeyID: kid, Algorithm: "RS256", Use: "sig"},
	}})
	if err != nil {
		panic(err)
	}
	return string(keys)
}

// richard is the person in a good ID token.
func (p *provider) richard() idp.Person {
	return idp.Person{Issuer: p.url, Subject: "richard", Email: "richard@example.com", Name: "Richard", EmailVerified: true}
}

// claims are those of a good ID token, with some changed; nil removes one.
func (p *provider) claims(changed map[string]any) map[string]any {
	now, richard := time.Now(), p.richard()
	all := map[string]any{
		"iss": p.url, "sub": richard.Subject, "aud": clientID, "email": richard.Email, "email_verified": true, "name": richard.Name,
		"iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(all, changed)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// idToken returns a good ID token with some claims changed.
func (p *provider) idToken(t *testing.T, changed map[string]any) string {
	t.Helper()
	return signer{}.sign(t, p.claims(changed))
}

// signer signs ID tokens: by default with RS256 and the provider's key.
type signer struct {
	alg jose.SignatureAlgorithm
	key any
	kid string
	typ string
}

func (s signer) sign(t *testing.T, claims map[string]any) string {
	t.Helper()
	key := jose.SigningKey{Algorithm: cmp.Or(s.alg, jose.RS256), Key: s.key}
	if s.key == nil {
		key.Key = signingKey()
	}
	opts := new(jose.SignerOptions).WithType(jose.ContentType(cmp.Or(s.typ, "JWT"))).WithHeader("kid", cmp.Or(s.kid, "k1"))
	signer, err := jose.NewSigner(key, opts)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// atHash is the at_hash claim for an access token.
func atHash(access string) string {
	sum := sha256.Sum256([]byte(access))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
