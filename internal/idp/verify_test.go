package idp_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"changebank/internal/idp"
)

const nonce = "the-nonce"

func atHash(access string) string {
	sum := sha256.Sum256([]byte(access))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func TestVerifyTakes(t *testing.T) {
	now := time.Now()
	tests := []struct {
		name    string
		changed map[string]any
		nonce   string
		by      signer
	}{
		{"the usual", map[string]any{"nonce": nonce}, nonce, signer{}},
		{"no nonce, in the device grant", nil, "", signer{}},
		{"a nonce nobody sent, in the device grant", map[string]any{"nonce": "x"}, "", signer{}},
		{"audience in a list", map[string]any{"aud": []string{clientID}}, "", signer{}},
		{"several audiences, issued to us", map[string]any{"aud": []string{clientID, "other"}, "azp": clientID}, "", signer{}},
		{"azp", map[string]any{"azp": clientID}, "", signer{}},
		{"at_hash", map[string]any{"at_hash": atHash("access")}, "", signer{}},
		// Two machines' clocks are never the same.
		{"expired by their clock", map[string]any{"exp": now.Add(-15 * time.Second).Unix()}, "", signer{}},
		{"issued later by their clock", map[string]any{"iat": now.Add(15 * time.Second).Unix()}, "", signer{}},
	}
	p := newScripted(t)
	c := p.client(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tokens := idp.Tokens{Access: "access", ID: tt.by.sign(t, p.claims(tt.changed))}
			got, err := c.Verify(t.Context(), tokens, tt.nonce)
			if err != nil {
				t.Fatalf("Verify: %v", err)
			}
			want := idp.Person{Issuer: p.url, Subject: "richard", Email: "richard@example.com", Name: "Richard"}
			if got != want {
				t.Errorf("Verify: %#v, want %#v", got, want)
			}
		})
	}
	if n := len(p.requests("/oauth2/userinfo")); n != 0 {
		t.Errorf("userinfo was asked %d times although there was an ID token, want 0", n)
	}
}

// Each of these is somebody else's token, or nobody's, in place of ours.
func TestVerifyRefuses(t *testing.T) {
	now := time.Now()
	publicKey, err := json.Marshal(signingKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		changed map[string]any
		nonce   string
		by      signer
		want    string // in the error: refused for this, and not for another reason
	}{
		{"wrong nonce", map[string]any{"nonce": "another"}, nonce, signer{}, "nonce"},
		{"missing nonce", nil, nonce, signer{}, "nonce"},
		{"empty nonce", map[string]any{"nonce": ""}, nonce, signer{}, "nonce"},
		{"wrong audience", map[string]any{"aud": "another"}, "", signer{}, "audience"},
		{"no audience", map[string]any{"aud": nil}, "", signer{}, "audience"},
		{"our audience is a prefix", map[string]any{"aud": clientID + "2"}, "", signer{}, "audience"},
		{"several audiences, no azp", map[string]any{"aud": []string{clientID, "other"}}, "", signer{}, "another party"},
		{"several audiences, azp of another", map[string]any{"aud": []string{clientID, "other"}, "azp": "other"}, "", signer{}, "another party"},
		{"azp of another", map[string]any{"azp": "other"}, "", signer{}, "another party"},
		{"wrong issuer", map[string]any{"iss": "https://evil.example"}, "", signer{}, "different provider"},
		{"no issuer", map[string]any{"iss": nil}, "", signer{}, "different provider"},
		{"expired", map[string]any{"exp": now.Add(-45 * time.Second).Unix()}, "", signer{}, "expired"},
		{"no expiry", map[string]any{"exp": nil}, "", signer{}, "expired"},
		{"issued in the future", map[string]any{"iat": now.Add(2 * time.Minute).Unix()}, "", signer{}, "future"},
		{"no time of issue", map[string]any{"iat": nil}, "", signer{}, "at no time"},
		{"not valid yet", map[string]any{"nbf": now.Add(time.Hour).Unix()}, "", signer{}, "nbf"},
		{"claims that are none", map[string]any{"email": []int{1}}, "", signer{}, "cannot unmarshal"},
		{"wrong at_hash", map[string]any{"at_hash": atHash("another")}, "", signer{}, "access token hash"},
		{"empty subject", map[string]any{"sub": ""}, "", signer{}, "subject"},
		{"no subject", map[string]any{"sub": nil}, "", signer{}, "subject"},
		{"signed by a stranger", nil, "", signer{key: strangersKey()}, "signature"},
		{"signed by a stranger, of an unknown name", nil, "", signer{key: strangersKey(), kid: "k2"}, "signature"},
		{"HS256 with the client secret", nil, "", signer{alg: jose.HS256, key: []byte("secret-secret-secret-secret-secret")}, "RS256"},
		// The classic: a verifier that takes the public key for an HMAC's.
		{"HS256 with the public key", nil, "", signer{alg: jose.HS256, key: publicKey}, "RS256"},
	}
	p := newScripted(t)
	c := p.client(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tokens := idp.Tokens{Access: "access", ID: tt.by.sign(t, p.claims(tt.changed))}
			got, err := c.Verify(t.Context(), tokens, tt.nonce)
			if err == nil {
				t.Fatalf("Verify: %+v, want an error with %q", got, tt.want)
			}
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Verify: %v, want an error with %q", err, tt.want)
			}
			final(t, err)
			if got != (idp.Person{}) {
				t.Errorf("Verify: %+v beside the error, want nobody", got)
			}
		})
	}
}

func TestVerifyRefusesWhatIsNotSigned(t *testing.T) {
	p := newScripted(t)
	c := p.client(t)
	payload, err := json.Marshal(p.claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	part := base64.RawURLEncoding.EncodeToString
	good := signer{}.sign(t, p.claims(nil))
	header, rest, _ := strings.Cut(good, ".")
	_, signature, _ := strings.Cut(rest, ".")
	forged, err := json.Marshal(p.claims(map[string]any{"sub": "admin"}))
	if err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]string{
		"alg none":              part([]byte(`{"alg":"none"}`)) + "." + part(payload) + ".",
		"alg None":              part([]byte(`{"alg":"None"}`)) + "." + part(payload) + ".",
		"alg none, signature":   part([]byte(`{"alg":"none"}`)) + "." + part(payload) + "." + signature,
		"no alg":                part([]byte(`{}`)) + "." + part(payload) + ".",
		"changed after signing": header + "." + part(forged) + "." + signature,
		"signature cut off":     header + "." + part(payload) + ".",
		"garbage":               "garbage",
	} {
		got, err := c.Verify(t.Context(), idp.Tokens{Access: "access", ID: id}, "")
		if !errors.Is(err, idp.ErrInvalidToken) || got != (idp.Person{}) {
			t.Errorf("%s: Verify: %+v, %v, want %v", name, got, err, idp.ErrInvalidToken)
		}
	}
}

// A provider that is being restarted has no keys for a moment: that says
// nothing against a token, and the next try takes it.
func TestVerifyWithoutKeys(t *testing.T) {
	long := strings.Repeat("<p>\nlevel=ERROR msg=forged\xff", 1<<14)
	for name, answer := range map[string]http.HandlerFunc{
		"503":            says(503, `{}`),
		"a page":         saysStatus(502, "text/html", long),
		"a page by 200":  saysStatus(200, "text/html", long),
		"half a set":     says(200, `{"keys":[{"kty":"RSA"`),
		"connection cut": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirect":       redirectsTo("/keys"),
		"404":            http.NotFound,
	} {
		t.Run(name, func(t *testing.T) {
			p := newScripted(t)
			keys := p.answers["/jwks"]
			c := p.client(t)
			p.on("/jwks", answer)
			tokens := idp.Tokens{Access: "access", ID: signer{}.sign(t, p.claims(nil))}
			got, err := c.Verify(t.Context(), tokens, "")
			fault(t, err)
			shortLine(t, err)
			if got != (idp.Person{}) {
				t.Errorf("Verify: %+v beside the error, want nobody", got)
			}
			p.on("/jwks", keys)
			await(t, "the keys", func() bool {
				got, err = c.Verify(t.Context(), tokens, "")
				return err == nil
			})
			if got.Subject != "richard" {
				t.Errorf("Verify: %+v, want Richard", got)
			}

			// Known keys need no asking, and a token of theirs is judged.
			p.on("/jwks", answer)
			if _, err := c.Verify(t.Context(), tokens, ""); err != nil {
				t.Errorf("Verify by a known key: %v", err)
			}
			tokens.ID = signer{}.sign(t, p.claims(map[string]any{"aud": "another"}))
			_, err = c.Verify(t.Context(), tokens, "")
			final(t, err)
			// A key that is not known may be a new one. (For an instant go-oidc
			// still takes the last answer for one to this call.)
			tokens.ID = signer{key: strangersKey(), kid: "k2"}.sign(t, p.claims(nil))
			await(t, "the keys to be asked for", func() bool {
				_, err = c.Verify(t.Context(), tokens, "")
				return !errors.Is(err, idp.ErrInvalidToken)
			})
			fault(t, err)
		})
	}
}

// The claims of a signed token are the provider's words too.
func TestVerifyRefusesBriefly(t *testing.T) {
	p := newScripted(t)
	c := p.client(t)
	long := strings.Repeat("x\n", 1<<14)
	for name, changed := range map[string]map[string]any{
		"issuer":   {"iss": long},
		"audience": {"aud": []string{long, long}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Verify(t.Context(), idp.Tokens{Access: "access", ID: signer{}.sign(t, p.claims(changed))}, "")
			final(t, err)
			shortLine(t, err)
		})
	}
}

// In the code flow the nonce binds the ID token to this browser: an answer
// without one must not fall back on the access token, which nothing binds.
func TestVerifyWithoutIDToken(t *testing.T) {
	tests := []struct {
		name     string
		nonce    string
		userinfo http.HandlerFunc
		want     string                  // the subject; "" if it is refused
		check    func(*testing.T, error) // of the refusal
		asks     int
	}{
		{"code flow", nonce, says(200, `{"sub":"richard"}`), "", final, 0},
		{"device grant", "", says(200, `{"sub":"richard","name":"Richard","email":"richard@example.com"}`), "richard", nil, 1},
		{"no subject", "", says(200, `{"email":"richard@example.com"}`), "", final, 1},
		{"empty subject", "", says(200, `{"sub":""}`), "", final, 1},
		{"refused", "", says(401, `{"error":"invalid_token"}`), "", shortLine, 1},
		{"garbage", "", says(200, `garbage`), "", fault, 1},
		{"in trouble", "", says(503, `{}`), "", fault, 1},
		{"a page", "", saysStatus(502, "text/html", strings.Repeat("<p>\nx", 1<<16)), "", shortLine, 1},
		{"connection cut", "", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "", fault, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newScripted(t)
			c := p.client(t)
			p.on("/oauth2/userinfo", tt.userinfo)
			got, err := c.Verify(t.Context(), idp.Tokens{Access: "access"}, tt.nonce)
			if (err == nil) != (tt.want != "") || got.Subject != tt.want {
				t.Errorf("Verify: %+v, %v, want subject %q", got, err, tt.want)
			}
			if err == nil && (got.Issuer != p.url || got.Email != "richard@example.com" || got.Name != "Richard") {
				t.Errorf("Verify: %+v, want issuer %s, and the name and address", got, p.url)
			}
			if tt.check != nil {
				tt.check(t, err)
			}
			asked := p.requests("/oauth2/userinfo")
			if len(asked) != tt.asks && tt.asks >= 0 { // net/http repeats a GET itself when it likes
				t.Fatalf("userinfo was asked %d times, want %d", len(asked), tt.asks)
			}
			if tt.asks == 1 && asked[0].authorization != "Bearer access" {
				t.Errorf("userinfo was asked with %q, want the access token", asked[0].authorization)
			}
		})
	}
}

func TestVerifyWithoutUserinfoEndpoint(t *testing.T) {
	p := newScripted(t)
	p.tell("userinfo_endpoint", nil)
	if got, err := p.client(t).Verify(t.Context(), idp.Tokens{Access: "access"}, ""); err == nil {
		t.Errorf("Verify: %+v, want an error", got)
	}
}
