package idp_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
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
		{"wrong at_hash", map[string]any{"at_hash": atHash("another")}, "", signer{}, "access token hash"},
		{"empty subject", map[string]any{"sub": ""}, "", signer{}, "subject"},
		{"no subject", map[string]any{"sub": nil}, "", signer{}, "subject"},
		{"signed by a stranger", nil, "", signer{key: strangersKey()}, "signature"},
		{"signed by a stranger, of an unknown name", nil, "", signer{key: strangersKey(), kid: "k2"}, "signature"},
		{"HS256 with the client secret", nil, "", signer{alg: jose.HS256, key: []byte("secret-secret-secret-secret-secret")}, "malformed"},
		// The classic: a verifier that takes the public key for an HMAC's.
		{"HS256 with the public key", nil, "", signer{alg: jose.HS256, key: publicKey}, "malformed"},
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
		if got, err := c.Verify(t.Context(), idp.Tokens{Access: "access", ID: id}, ""); err == nil {
			t.Errorf("%s: Verify: %+v, want an error", name, got)
		}
	}
}

// In the code flow the nonce binds the ID token to this browser: an answer
// without one must not fall back on the access token, which nothing binds.
func TestVerifyWithoutIDToken(t *testing.T) {
	tests := []struct {
		name     string
		nonce    string
		userinfo http.HandlerFunc
		want     string // the subject; "" if it is refused
		asks     int
	}{
		{"code flow", nonce, says(200, `{"sub":"richard"}`), "", 0},
		{"device grant", "", says(200, `{"sub":"richard","name":"Richard","email":"richard@example.com"}`), "richard", 1},
		{"no subject", "", says(200, `{"email":"richard@example.com"}`), "", 1},
		{"empty subject", "", says(200, `{"sub":""}`), "", 1},
		{"refused", "", says(401, `{"error":"invalid_token"}`), "", 1},
		{"garbage", "", says(200, `garbage`), "", 1},
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
			asked := p.requests("/oauth2/userinfo")
			if len(asked) != tt.asks {
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
