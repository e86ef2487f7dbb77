package idp

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"
)

const fuzzIssuer = "https://idp.example"

// answers is a provider that gives the same answer to everything.
type answers struct {
	status      int
	contentType string
	retryAfter  string
	body        []byte
}

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{
		StatusCode: a.status, Request: r, Body: io.NopCloser(strings.NewReader(string(a.body))),
		Header: http.Header{"Content-Type": {a.contentType}, "Retry-After": {a.retryAfter}},
	}, nil
}

// clientOf returns a Client whose provider gives these answers.
func clientOf(a http.RoundTripper) *Client {
	c := &Client{
		cfg:        Config{Issuer: fuzzIssuer, ClientID: "bank", ClientSecret: "secret", Auth: AuthPost, AppURL: "https://bank.example", Log: slog.New(slog.DiscardHandler)},
		http:       &http.Client{Transport: a, CheckRedirect: (&Client{}).newHTTPClient().CheckRedirect},
		discovered: make(chan struct{}),
	}
	c.provider = &provider{oauth: oauth2.Config{Endpoint: oauth2.Endpoint{TokenURL: fuzzIssuer + "/token", DeviceAuthURL: fuzzIssuer + "/device"}}}
	c.provider.scopes = c.scopeLists(nil, false)
	method := AuthPost
	c.provider.auth.Store(&method)
	close(c.discovered)
	return c
}

// wantShort checks that an error fits on one line of the log.
func wantShort(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); len(text) > 2000 || strings.ContainsAny(text, "\n\r\x1b") {
		t.Errorf("an error of %d bytes: %q", len(text), text)
	}
}

// Any answer of the token endpoint gives tokens that expire within a day, or an
// error that fits into the log.
func FuzzTokenAnswer(f *testing.F) {
	f.Add(200, "application/json", "", []byte(`{"access_token":"a","refresh_token":"r","id_token":"i","expires_in":"3600"}`))
	f.Add(200, "text/plain", "", []byte(`access_token=a&expires_in=5`))
	f.Add(400, "application/json", "", []byte(`{"error":"slow_down","interval":1e400}`))
	f.Add(429, "", "Fri, 31 Dec 9999 23:59:59 GMT", []byte(`{"error":"authorization_pending","interval":-5}`))
	f.Add(503, "text/html", "99999999999999999999", []byte("<html>\x1b[31m\n"))
	f.Add(200, "application/json", "", []byte(`{"access_token":"a","expires_in":NaN}`))
	f.Fuzz(func(t *testing.T, status int, contentType, retryAfter string, body []byte) {
		c := clientOf(answers{status, contentType, retryAfter, body})
		began := time.Now()
		tokens, err := c.PollDevice(t.Context(), "code")
		if refused, ok := errors.AsType[*Error](err); ok && (refused.Interval < 0 || refused.Interval > maxInterval) {
			t.Errorf("an interval of %v", refused.Interval)
		}
		switch {
		case err != nil:
			wantShort(t, err)
		case status/100 != 2:
			t.Errorf("tokens from an answer %d", status)
		case tokens.Access == "" || tokens.Expires.Before(began) || time.Until(tokens.Expires) > 24*time.Hour:
			t.Errorf("tokens %+v", tokens)
		}
	})
}

// Any answer of the device authorization endpoint gives a code with bounded times
// and an address that may be shown, or an error.
func FuzzDeviceAnswer(f *testing.F) {
	f.Add(200, []byte(`{"device_code":"d","user_code":"U","verification_uri":"https://bank.example/activate","expires_in":600,"interval":5}`))
	f.Add(200, []byte(`{"device_code":"d","user_code":"U","verification_url":"https://idp.example/d","verification_uri_complete":"https://idp.example/d?c=U"}`))
	f.Add(200, []byte(`{"device_code":"d","user_code":"U&x=y","verification_uri":"https://idp.example/d?a=b#c","verification_uri_complete":"https://x@idp.example/d"}`))
	f.Add(200, []byte(`{"device_code":"d","user_code":"U","verification_uri":"javascript:alert(1)","expires_in":1e99}`))
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		c := clientOf(answers{status: status, body: body})
		code, err := c.StartDevice(t.Context())
		if err != nil {
			wantShort(t, err)
			return
		}
		if left := time.Until(code.Expires); left > maxExpiry || left < 0 || code.Interval < minInterval || code.Interval > maxInterval {
			t.Errorf("expires in %v, interval %v", left, code.Interval)
		}
		if code.Device == "" || code.User == "" {
			t.Error("a code is empty")
		}
		page, err := url.Parse(code.URI)
		if err != nil || page.Scheme != "https" || page.Host == "" || page.User != nil {
			t.Errorf("the verification URI is %q", code.URI)
		}
		complete, err := url.Parse(code.URIComplete)
		if err != nil || complete.Scheme != page.Scheme || complete.Host != page.Host || complete.Path != page.Path || complete.User != nil {
			t.Errorf("the QR code leads to %q, the verification URI is %q", code.URIComplete, code.URI)
		}
	})
}

// A discovery document is used only if it is this issuer's, and all its endpoints
// are https, as the issuer is.
func FuzzDiscovery(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://idp.example","authorization_endpoint":"https://idp.example/a","token_endpoint":"https://idp.example/t","jwks_uri":"https://idp.example/k","device_authorization_endpoint":"https://idp.example/oauth2/device_authorize","end_session_endpoint":"http://idp.example/l"}`))
	f.Add([]byte(`{"issuer":"https://evil.example"}`))
	f.Add([]byte(`{"issuer":"https://idp.example","scopes_supported":[null],"id_token_signing_alg_values_supported":["none","RS256"]}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		c := clientOf(answers{status: 200, contentType: "application/json", body: body})
		p, err := c.discover(t.Context())
		if err != nil {
			wantShort(t, err)
			return
		}
		for _, endpoint := range []string{p.oauth.Endpoint.AuthURL, p.oauth.Endpoint.TokenURL, p.oauth.Endpoint.DeviceAuthURL, p.keys.url, p.endSession, p.revocation, p.pushed, p.approve} {
			if u, err := url.Parse(endpoint); endpoint != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
				t.Errorf("the endpoint %q is used", endpoint)
			}
		}
		if p.oauth.Endpoint.AuthURL == "" || p.oauth.Endpoint.TokenURL == "" || p.keys.url == "" {
			t.Error("an endpoint is missing")
		}
		for _, algorithm := range p.claims.SupportedSigningAlgs {
			if algorithm == "none" || strings.HasPrefix(algorithm, "HS") {
				t.Errorf("signatures by %q are accepted", algorithm)
			}
		}
	})
}

// fuzzKey is the provider's signing key.
var fuzzKey = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

// withKeys returns a Client that knows fuzzKey.
func withKeys(t testing.TB) *Client {
	t.Helper()
	keys, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: fuzzKey.Public(), KeyID: "k", Algorithm: "EdDSA", Use: "sig"}}})
	if err != nil {
		t.Fatal(err)
	}
	discovery := `{"issuer":"https://idp.example","authorization_endpoint":"https://idp.example/a","token_endpoint":"https://idp.example/t","jwks_uri":"https://idp.example/k","id_token_signing_alg_values_supported":["EdDSA"]}`
	c := clientOf(byPath{"/.well-known/openid-configuration": discovery, "/k": string(keys)})
	if c.provider, err = c.discover(context.Background()); err != nil {
		t.Fatal(err)
	}
	return c
}

// byPath is a provider with an answer for each path.
type byPath map[string]string

func (p byPath) RoundTrip(r *http.Request) (*http.Response, error) {
	return answers{status: 200, contentType: "application/json", body: []byte(p[r.URL.Path])}.RoundTrip(r)
}

func signed(t testing.TB, claims string) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: fuzzKey, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	object, err := signer.Sign([]byte(claims))
	if err != nil {
		t.Fatal(err)
	}
	token, err := object.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

const fuzzClaims = `{"iss":"https://idp.example","sub":"s","aud":"bank","exp":4102444800,"iat":1500000000,"nonce":"n","email":"a@b.example","email_verified":true}`

// An ID token of the provider logs in a person only if it is for us and for this
// login, with any other claims. The text that is shown of the person is short.
func FuzzIDTokenClaims(f *testing.F) {
	c := withKeys(f)
	f.Add(fuzzClaims)
	f.Add(`{"iss":"https://idp.example","sub":"s","aud":["x","bank"],"exp":1e99,"iat":"now","nonce":"n","azp":null}`)
	f.Add(`{"iss":"https://idp.example","sub":1,"aud":{},"exp":4102444800.5,"iat":1500000000,"nonce":"n","email":{"a":1},"name":["\u202e"]}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		tokens := Tokens{Access: "access", ID: signed(t, text)}
		person, err := c.Verify(t.Context(), tokens, "n")
		if err != nil {
			wantShort(t, err)
			if person != (Person{}) {
				t.Errorf("a person beside the error: %+v", person)
			}
			return
		}
		var claims struct{ Iss, Sub, Nonce string }
		if err := json.Unmarshal([]byte(text), &claims); err != nil || claims.Iss != fuzzIssuer || claims.Nonce != "n" || claims.Sub == "" || claims.Sub != person.Subject {
			t.Errorf("%s logs in %+v", text, person)
		}
		if shown := person.String(); len([]rune(shown)) > maxShown+50 || strings.ContainsAny(shown, "\n\r\x1b\u202e") {
			t.Errorf("the person is shown as %q", shown)
		}
	})
}

// No ID token counts that the provider has not signed.
func FuzzForgedIDToken(f *testing.F) {
	c := withKeys(f)
	real := signed(f, fuzzClaims)
	head, rest, _ := strings.Cut(real, ".")
	f.Add(head + "." + rest[1:])
	f.Add("eyJhbGciOiJub25lIn0." + rest)
	f.Add("eyJhbGciOiJFZERTQSJ9." + rest)
	f.Add(real + ".")
	f.Add(real + "A")
	f.Add("....")
	f.Fuzz(func(t *testing.T, token string) {
		person, err := c.Verify(t.Context(), Tokens{Access: "access", ID: token}, "n")
		if err == nil && token != real {
			t.Errorf("%q logs in %+v", token, person)
		}
		if err != nil {
			wantShort(t, err)
		}
	})
}

// A logout token ends sessions only if it is for us, says whose, can be told from
// others, and is new. NOW in the input is the time.
func FuzzLogoutClaims(f *testing.F) {
	c := withKeys(f)
	const event = `"events":{"http://schemas.openid.net/event/backchannel-logout":{}}`
	f.Add(`{"iss":"https://idp.example","aud":"bank","iat":NOW,"exp":4102444800,"jti":"1","sub":"s","sid":"a",` + event + `}`)
	f.Add(`{"iss":"https://idp.example","aud":["x","bank"],"iat":NOW.5,"exp":4102444800,"jti":"1","sid":"a","nonce":"",` + event + `}`)
	f.Add(`{"iss":"https://idp.example","aud":"bank","iat":1e300,"jti":1,"sub":"s","events":{"http://schemas.openid.net/event/backchannel-logout":[]}}`)
	f.Add(`{"iss":"https://idp.example","aud":"bank","iat":-1e300,"exp":"NOW","events":"http://schemas.openid.net/event/backchannel-logout"}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, text string) {
		now := time.Now()
		text = strings.ReplaceAll(text, "NOW", strconv.FormatInt(now.Unix(), 10))
		ended, err := c.VerifyLogout(t.Context(), signed(t, text))
		if err != nil {
			wantShort(t, err)
			if ended != (Logout{}) {
				t.Errorf("a logout beside the error: %+v", ended)
			}
			return
		}
		var claims map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &claims); err != nil || claims["nonce"] != nil {
			t.Errorf("%s is accepted: %v", text, err)
		}
		old := ended.Until.Before(now) || ended.Until.After(now.Add(maxLogoutAge+2*clockSkew+time.Minute))
		if ended.Person.Issuer != fuzzIssuer || ended.Person.Subject == "" && ended.SID == "" || ended.TokenID == "" || old {
			t.Errorf("%s logs out %+v", text, ended)
		}
	})
}
