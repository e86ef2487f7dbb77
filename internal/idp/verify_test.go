package idp_test

import (
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

func TestVerify(t *testing.T) {
	now := time.Now()
	tests := []struct {
		name    string
		changed map[string]any
		nonce   string
	}{
		{"as usual", map[string]any{"nonce": nonce}, nonce},
		{"no nonce, in the device grant", nil, ""},
		{"a nonce that was not sent, in the device grant", map[string]any{"nonce": "x"}, ""},
		{"audience in a list", map[string]any{"aud": []string{clientID}}, ""},
		{"several audiences, azp ours", map[string]any{"aud": []string{clientID, "other"}, "azp": clientID}, ""},
		{"several audiences, no azp", map[string]any{"aud": []string{"other", clientID}}, ""},
		{"azp", map[string]any{"azp": clientID}, ""},
		{"at_hash", map[string]any{"at_hash": atHash("access")}, ""},
		// Two clocks never agree exactly.
		{"just expired", map[string]any{"exp": now.Add(-15 * time.Second).Unix()}, ""},
		{"issued a moment from now", map[string]any{"iat": now.Add(15 * time.Second).Unix()}, ""},
	}
	p, c := start(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tokens := idp.Tokens{Access: "access", ID: p.idToken(t, tt.changed)}
			got, err := c.Verify(t.Context(), tokens, tt.nonce)
			if err != nil {
				t.Fatalf("Verify: %v", err)
			}
			if want := p.richard(); got != want {
				t.Errorf("Verify: %#v, want %#v", got, want)
			}
		})
	}
	if n := len(p.requests("/oauth2/userinfo")); n != 0 {
		t.Errorf("%d requests to userinfo although there was an ID token, want 0", n)
	}
}

// A provider can be set to encrypt ID tokens. We have no key to read them with.
func TestEncryptedIDToken(t *testing.T) {
	_, c := start(t)
	_, err := c.Verify(t.Context(), idp.Tokens{Access: "access", ID: "eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d"}, "")
	wantFinal(t, err)
	if err == nil || !strings.Contains(err.Error(), "id_token_encrypted_response_alg") {
		t.Errorf("Verify: %v, want the setting", err)
	}
}

// Each of these is a token for someone or something else, or a forged one.
func TestVerifyFails(t *testing.T) {
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
		want    string // in the error: the right reason
	}{
		{"wrong nonce", map[string]any{"nonce": "another"}, nonce, signer{}, "nonce"},
		{"missing nonce", nil, nonce, signer{}, "nonce"},
		{"empty nonce", map[string]any{"nonce": ""}, nonce, signer{}, "nonce"},
		{"wrong audience", map[string]any{"aud": "another"}, "", signer{}, "audience"},
		{"no audience", map[string]any{"aud": nil}, "", signer{}, "audience"},
		{"our ID is a prefix of the audience", map[string]any{"aud": clientID + "2"}, "", signer{}, "audience"},
		{"several audiences, none ours", map[string]any{"aud": []string{"other", "another"}}, "", signer{}, "audience"},
		{"azp ours, audience of another", map[string]any{"aud": "other", "azp": clientID}, "", signer{}, "audience"},
		{"several audiences, azp of another", map[string]any{"aud": []string{clientID, "other"}, "azp": "other"}, "", signer{}, "another client"},
		{"azp of another", map[string]any{"azp": "other"}, "", signer{}, "another client"},
		{"wrong issuer", map[string]any{"iss": "https://evil.example"}, "", signer{}, "different provider"},
		{"no issuer", map[string]any{"iss": nil}, "", signer{}, "different provider"},
		{"expired", map[string]any{"exp": now.Add(-45 * time.Second).Unix()}, "", signer{}, "expired"},
		{"no expiry", map[string]any{"exp": nil}, "", signer{}, "expired"},
		{"issued in the future", map[string]any{"iat": now.Add(2 * time.Minute).Unix()}, "", signer{}, "future"},
		{"no time of issue", map[string]any{"iat": nil}, "", signer{}, "no time of issue"},
		{"not valid yet", map[string]any{"nbf": now.Add(time.Hour).Unix()}, "", signer{}, "nbf"},
		{"azp of another type", map[string]any{"azp": []string{clientID}}, "", signer{}, "cannot unmarshal"},
		{"wrong at_hash", map[string]any{"at_hash": atHash("another")}, "", signer{}, "access token hash"},
		{"empty subject", map[string]any{"sub": ""}, "", signer{}, "subject"},
		{"no subject", map[string]any{"sub": nil}, "", signer{}, "subject"},
		{"signed by a stranger", nil, "", signer{key: strangersKey()}, "signature"},
		{"signed by a stranger, unknown key ID", nil, "", signer{key: strangersKey(), kid: "k2"}, "signature"},
		{"HS256 with the client secret", nil, "", signer{alg: jose.HS256, key: []byte("secret-secret-secret-secret-secret")}, "RS256"},
		// The classic attack: the public key, used as an HMAC key.
		{"HS256 with the public key", nil, "", signer{alg: jose.HS256, key: publicKey}, "RS256"},
	}
	p, c := start(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tokens := idp.Tokens{Access: "access", ID: tt.by.sign(t, p.claims(tt.changed))}
			got, err := c.Verify(t.Context(), tokens, tt.nonce)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Verify: %v, want an error with %q", err, tt.want)
			}
			wantFinal(t, err)
			if got != (idp.Person{}) {
				t.Errorf("Verify: %+v beside the error, want nobody", got)
			}
		})
	}
}

func TestVerifyUnsigned(t *testing.T) {
	p, c := start(t)
	payload, err := json.Marshal(p.claims(nil))
	if err != nil {
		t.Fatal(err)
	}
	part := base64.RawURLEncoding.EncodeToString
	good := p.idToken(t, nil)
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
		if err := verify(t, c, id); !errors.Is(err, idp.ErrInvalidToken) {
			t.Errorf("%s: Verify: %v, want %v", name, err, idp.ErrInvalidToken)
		}
	}
}

// The claims of a signed token come from outside, too.
func TestVerifyFailsBriefly(t *testing.T) {
	p, c := start(t)
	long := strings.Repeat("x\n", 1<<14)
	for name, changed := range map[string]map[string]any{
		"issuer":   {"iss": long},
		"audience": {"aud": []string{long, long}},
	} {
		t.Run(name, func(t *testing.T) {
			err := verify(t, c, p.idToken(t, changed))
			wantFinal(t, err)
			wantShortLine(t, err)
		})
	}
}

// In the code flow the nonce binds the ID token to this browser. A response
// without an ID token must not fall back to the access token, which nothing
// binds: an attacker could inject a stolen code.
func TestVerifyWithoutIDToken(t *testing.T) {
	tests := []struct {
		name     string
		nonce    string
		userinfo http.HandlerFunc
		want     string                  // the subject; "" for an error
		check    func(*testing.T, error) // of the error
		requests int
	}{
		{"code flow", nonce, respond(200, `{"sub":"richard"}`), "", wantFinal, 0},
		{"device grant", "", respond(200, `{"sub":"richard","name":"Richard","email":"richard@example.com","email_verified":true}`), "richard", nil, 1},
		{"no subject", "", respond(200, `{"email":"richard@example.com"}`), "", wantFinal, 1},
		{"empty subject", "", respond(200, `{"sub":""}`), "", wantFinal, 1},
		{"refused", "", respond(401, `{"error":"invalid_token"}`), "", wantShortLine, 1},
		{"garbage", "", respond(200, `garbage`), "", wantFault, 1},
		{"unavailable", "", respond(503, `{}`), "", wantUnavailable, 1},
		{"a page", "", respondAs(502, "text/html", longPage), "", wantShortLine, 1},
		{"connection cut", "", cut, "", wantFault, -1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, c := start(t)
			p.on("/oauth2/userinfo", tt.userinfo)
			person, err := c.Verify(t.Context(), idp.Tokens{Access: "access"}, tt.nonce)
			if (err == nil) != (tt.want != "") || person.Subject != tt.want {
				t.Errorf("Verify: %+v, %v, want subject %q", person, err, tt.want)
			}
			if err == nil && person != p.richard() {
				t.Errorf("Verify: %+v, want %+v", person, p.richard())
			}
			if tt.check != nil {
				tt.check(t, err)
			}
			got := p.requests("/oauth2/userinfo")
			if len(got) != tt.requests && tt.requests >= 0 { // net/http may repeat a GET
				t.Fatalf("%d requests to userinfo, want %d", len(got), tt.requests)
			}
			if tt.requests == 1 && got[0].authorization != "Bearer access" {
				t.Errorf("Authorization %q, want the access token", got[0].authorization)
			}
		})
	}
}

func TestVerifyWithoutUserinfoEndpoint(t *testing.T) {
	p := newProvider(t)
	p.set("userinfo_endpoint", nil)
	if got, err := p.client(t).Verify(t.Context(), idp.Tokens{Access: "access"}, ""); err == nil {
		t.Errorf("Verify: %+v, want an error", got)
	}
}
