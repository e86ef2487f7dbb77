package testfusion

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"slices"
	"sync"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// A signingKey is one of FusionAuth's keys.
type signingKey struct {
	kid     string
	private *rsa.PrivateKey
}

// rsaKeys are shared by all servers, because making one is slow.
var rsaKeys = sync.OnceValue(func() chan *rsa.PrivateKey {
	keys := make(chan *rsa.PrivateKey, 2)
	for range cap(keys) {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys <- key
	}
	return keys
})

// newSigningKey returns a key with a new ID, and never the same one twice in a
// row.
func newSigningKey() *signingKey {
	keys := rsaKeys()
	private := <-keys
	keys <- private
	return &signingKey{rand.Text()[:10], private}
}

// sign returns claims as a JWT. An application without a key signs with HS256
// and a key made from its client secret, as at FusionAuth.
func (s *Server) sign(app *application, keyID string, grants []string, claims map[string]any) string {
	shadow := sha256.Sum256([]byte(app.OAuth.ClientSecret))
	signing := jose.SigningKey{Algorithm: jose.HS256, Key: shadow[:]}
	options := new(jose.SignerOptions).WithType("JWT").WithHeader("gty", grants)
	if key := s.setup.keys[keyID]; key != nil && !s.b.NoKeys {
		signing = jose.SigningKey{Algorithm: jose.RS256, Key: key.private}
		options.WithHeader("kid", key.kid)
	}
	signer, err := jose.NewSigner(signing, options)
	if err != nil {
		panic(err) // never: the key is ours
	}
	text, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		panic(err)
	}
	return text
}

// halfHash is the value of at_hash and c_hash (OpenID Connect Core, section
// 3.1.3.6).
func halfHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:len(sum)/2])
}

// jwks publishes the public keys. HS256 has none.
func (s *Server) jwks(*call) (answer, error) {
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, id := range slices.Sorted(maps.Keys(s.setup.keys)) {
		if key := s.setup.keys[id]; !s.b.NoKeys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: key.private.Public(), KeyID: key.kid, Algorithm: "RS256", Use: "sig"})
		}
	}
	return answer{body: set}, nil
}

// discovery builds the endpoints from the host that the client used, and repeats
// the tenant's issuer, right or wrong.
func (s *Server) discovery(c *call) (answer, error) {
	base := "http://" + c.Host
	algorithms := []string{"ES256", "ES384", "ES512", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512"}
	document := map[string]any{
		"issuer":                                s.setup.tenant.Issuer,
		"authorization_endpoint":                base + "/oauth2/authorize",
		"token_endpoint":                        base + "/oauth2/token",
		"userinfo_endpoint":                     base + "/oauth2/userinfo",
		"device_authorization_endpoint":         base + "/oauth2/device_authorize",
		"end_session_endpoint":                  base + "/oauth2/logout",
		"jwks_uri":                              base + "/.well-known/jwks.json",
		"grant_types_supported":                 []string{"authorization_code", "password", "implicit", "refresh_token", deviceGrant, "client_credentials"},
		"response_types_supported":              []string{"code", "id_token", "token id_token"},
		"response_modes_supported":              []string{"form_post", "fragment", "query"},
		"scopes_supported":                      scopes,
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": algorithms,
		"dpop_signing_alg_values_supported":     []string{"ES256", "ES384", "ES512", "RS256", "RS384", "RS512"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post", "none"},
		"code_challenge_methods_supported":      []string{"S256"},
		"frontchannel_logout_supported":         true,
		"backchannel_logout_supported":          false,
	}
	if s.b.NamesIssuer {
		document["authorization_response_iss_parameter_supported"] = true
	}
	if s.b.Discovery != nil {
		s.b.Discovery(document)
	}
	return answer{body: document}, nil
}
