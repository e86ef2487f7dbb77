package idp_test

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"changebank/internal/idp"
)

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// logoutClaims are those of a good logout token, with some changed; nil removes
// one.
func (p *provider) logoutClaims(changed map[string]any) map[string]any {
	now := time.Now()
	all := map[string]any{
		"iss": p.url, "aud": clientID, "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": "the-jti",
		"events": map[string]any{logoutEvent: map[string]any{}}, "sub": "richard", "sid": "the-sid",
	}
	maps.Copy(all, changed)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

func TestVerifyLogout(t *testing.T) {
	now := time.Now()
	p, c := start(t)
	richard := idp.Person{Issuer: p.url, Subject: "richard"}
	for name, tt := range map[string]struct {
		typ     string
		changed map[string]any
		person  idp.Person
		sid     string
	}{
		"sub and sid":            {"", nil, richard, "the-sid"},
		"sub":                    {"", map[string]any{"sid": nil}, richard, ""},
		"sid":                    {"", map[string]any{"sub": nil}, idp.Person{Issuer: p.url}, "the-sid"},
		"typ JWT":                {"JWT", nil, richard, "the-sid"},
		"typ with application/":  {"application/logout+jwt", nil, richard, "the-sid"},
		"audience in a list":     {"", map[string]any{"aud": []string{"other", clientID}}, richard, "the-sid"},
		"just expired":           {"", map[string]any{"exp": now.Add(-15 * time.Second).Unix()}, richard, "the-sid"},
		"issued in a moment":     {"", map[string]any{"iat": now.Add(15 * time.Second).Unix()}, richard, "the-sid"},
		"issued minutes ago":     {"", map[string]any{"iat": now.Add(-4 * time.Minute).Unix()}, richard, "the-sid"},
		"a time with a fraction": {"", map[string]any{"iat": float64(now.Unix()) + 0.5}, richard, "the-sid"},
	} {
		t.Run(name, func(t *testing.T) {
			claims := p.logoutClaims(tt.changed)
			got, err := c.VerifyLogout(t.Context(), signer{typ: cmp.Or(tt.typ, "logout+jwt")}.sign(t, claims))
			if err != nil || got.Person != tt.person || got.SID != tt.sid || got.TokenID != "the-jti" {
				t.Errorf("VerifyLogout = %+v, %v; want %v and %q", got, err, tt.person, tt.sid)
			}
			if left := time.Until(got.Until); left < time.Minute || left > 6*time.Minute {
				t.Errorf("the token is refused as too old in %v, want minutes", left)
			}
		})
	}
}

// Each of these would log somebody out whom the provider did not.
func TestVerifyLogoutFails(t *testing.T) {
	now := time.Now()
	publicKey, err := json.Marshal(signingKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	p, c := start(t)
	tests := map[string]struct {
		changed map[string]any
		by      signer
		want    string // in the error: the right reason
	}{
		"wrong audience":          {map[string]any{"aud": "another"}, signer{}, "audience"},
		"no audience":             {map[string]any{"aud": nil}, signer{}, "audience"},
		"prefix of the audience":  {map[string]any{"aud": clientID + "2"}, signer{}, "audience"},
		"wrong issuer":            {map[string]any{"iss": "https://evil.example"}, signer{}, "different provider"},
		"no issuer":               {map[string]any{"iss": nil}, signer{}, "different provider"},
		"a nonce: an ID token":    {map[string]any{"nonce": "x"}, signer{}, "nonce"},
		"an empty nonce":          {map[string]any{"nonce": ""}, signer{}, "nonce"},
		"no events":               {map[string]any{"events": nil}, signer{}, "event"},
		"another event":           {map[string]any{"events": map[string]any{"https://schemas.example/login": map[string]any{}}}, signer{}, "event"},
		"event null":              {map[string]any{"events": map[string]any{logoutEvent: nil}}, signer{}, "event"},
		"event true":              {map[string]any{"events": map[string]any{logoutEvent: true}}, signer{}, "event"},
		"events in a list":        {map[string]any{"events": []string{logoutEvent}}, signer{}, "events"},
		"neither sid nor sub":     {map[string]any{"sid": nil, "sub": nil}, signer{}, "'sub'"},
		"empty sid and sub":       {map[string]any{"sid": "", "sub": ""}, signer{}, "'sub'"},
		"sub of another type":     {map[string]any{"sub": 1}, signer{}, "cannot unmarshal"},
		"old":                     {map[string]any{"iat": now.Add(-6 * time.Minute).Unix()}, signer{}, "too long ago"},
		"in the future":           {map[string]any{"iat": now.Add(2 * time.Minute).Unix()}, signer{}, "future"},
		"no time of issue":        {map[string]any{"iat": nil}, signer{}, "no time of issue"},
		"time of issue as text":   {map[string]any{"iat": "now"}, signer{}, "iat"},
		"expired":                 {map[string]any{"exp": now.Add(-45 * time.Second).Unix()}, signer{}, "expired"},
		"no expiry":               {map[string]any{"exp": nil}, signer{}, "exp"},
		"no token ID":             {map[string]any{"jti": nil}, signer{}, "jti"},
		"an access token":         {nil, signer{typ: "at+jwt"}, "another type"},
		"signed by a stranger":    {nil, signer{key: strangersKey()}, "signature"},
		"stranger, unknown key":   {nil, signer{key: strangersKey(), kid: "k2"}, "signature"},
		"HS256, client secret":    {nil, signer{alg: jose.HS256, key: []byte("secret-secret-secret-secret-secret")}, "client secret"},
		"HS256, the public key":   {nil, signer{alg: jose.HS256, key: publicKey}, "client secret"},
		"an algorithm not listed": {nil, signer{alg: jose.PS256}, "malformed"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := c.VerifyLogout(t.Context(), tt.by.sign(t, p.logoutClaims(tt.changed)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("VerifyLogout: %v, want an error with %q", err, tt.want)
			}
			if !errors.Is(err, idp.ErrInvalidToken) || got != (idp.Logout{}) {
				t.Errorf("VerifyLogout = %+v, %v; want nothing and %v", got, err, idp.ErrInvalidToken)
			}
		})
	}
}

func TestVerifyLogoutUnsigned(t *testing.T) {
	p, c := start(t)
	payload, err := json.Marshal(p.logoutClaims(nil))
	if err != nil {
		t.Fatal(err)
	}
	forged, err := json.Marshal(p.logoutClaims(map[string]any{"sub": "erlich"}))
	if err != nil {
		t.Fatal(err)
	}
	part := base64.RawURLEncoding.EncodeToString
	header, rest, _ := strings.Cut(signer{}.sign(t, p.logoutClaims(nil)), ".")
	_, signature, _ := strings.Cut(rest, ".")
	for name, token := range map[string]string{
		"alg none":              part([]byte(`{"alg":"none"}`)) + "." + part(payload) + ".",
		"alg None":              part([]byte(`{"alg":"None"}`)) + "." + part(payload) + ".",
		"alg none, signature":   part([]byte(`{"alg":"none"}`)) + "." + part(payload) + "." + signature,
		"no alg":                part([]byte(`{}`)) + "." + part(payload) + ".",
		"changed after signing": header + "." + part(forged) + "." + signature,
		"signature cut off":     header + "." + part(payload) + ".",
		"an ID token":           p.idToken(t, nil),
		"encrypted":             "eyJhbGciOiJSU0EtT0FFUCJ9.a.b.c.d",
		"garbage":               "garbage",
		"nothing":               "",
	} {
		if got, err := c.VerifyLogout(t.Context(), token); !errors.Is(err, idp.ErrInvalidToken) || got != (idp.Logout{}) {
			t.Errorf("%s: VerifyLogout = %+v, %v; want nothing and %v", name, got, err, idp.ErrInvalidToken)
		}
	}
}

// Logout tokens come from anyone. Those with unknown key IDs neither flood the
// provider nor wait long, and those that are stale do not even cause a request.
func TestForgedLogouts(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		c := p.newClient(t)
		synctest.Wait()
		stranger := signer{key: strangersKey(), kid: "forged"}
		stale := stranger.sign(t, p.logoutClaims(map[string]any{"iat": time.Now().Add(-time.Hour).Unix()}))
		if _, err := c.VerifyLogout(t.Context(), stale); !errors.Is(err, idp.ErrInvalidToken) || len(p.requests("/jwks")) != 0 {
			t.Errorf("a stale token: %v and %d requests for the keys, want none", err, len(p.requests("/jwks")))
		}
		for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(time.Millisecond) {
			asked := time.Now()
			if _, err := c.VerifyLogout(t.Context(), stranger.sign(t, p.logoutClaims(nil))); err == nil || time.Since(asked) > 3*time.Second {
				t.Fatalf("a forged token: %v after %v, want an error within 3s", err, time.Since(asked))
			}
			asked = time.Now()
			good := signer{}.sign(t, p.logoutClaims(nil))
			if _, err := c.VerifyLogout(t.Context(), good); err != nil || time.Since(asked) > 0 {
				t.Fatalf("a good token: %v after %v, want it at once", err, time.Since(asked))
			}
		}
		if n := len(p.requests("/jwks")); n > 20 {
			t.Errorf("%d requests for the keys in a minute, want at most 20", n)
		}
	})
}

// Without the provider's keys a token is neither good nor bad.
func TestVerifyLogoutWithoutKeys(t *testing.T) {
	p, c := start(t)
	p.on("/jwks", respond(503, `{}`))
	_, err := c.VerifyLogout(t.Context(), signer{}.sign(t, p.logoutClaims(nil)))
	wantFault(t, err)
	if _, err := p.unready(t).VerifyLogout(t.Context(), "x"); !errors.Is(err, idp.ErrNotReady) {
		t.Errorf("before discovery: %v, want %v", err, idp.ErrNotReady)
	}
}

// The session at the provider is remembered only where a logout token may name
// it.
func TestSIDOfTokens(t *testing.T) {
	for name, tt := range map[string]struct {
		supported any
		sid       any
		want      string
	}{
		"supported":             {true, "the-sid", "the-sid"},
		"not said":              {nil, "the-sid", ""},
		"not supported":         {false, "the-sid", ""},
		"without a sid":         {true, nil, ""},
		"a sid of another type": {true, 7, ""},
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			p.set("backchannel_logout_supported", tt.supported)
			c := p.client(t, byPost)
			id := p.idToken(t, map[string]any{"sid": tt.sid})
			p.on("/oauth2/token", respond(200, `{"access_token":"a","token_type":"Bearer","id_token":"`+id+`"}`))
			tokens, err := c.Refresh(t.Context(), idp.Tokens{Refresh: "r"}, p.richard())
			if err != nil || tokens.SID != tt.want {
				t.Errorf("SID = %q, %v; want %q", tokens.SID, err, tt.want)
			}
		})
	}
}
