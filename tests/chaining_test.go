package tests

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// chained returns two laptops: a phone has logged in the first, on which the
// provider knows richard from an earlier login, and the second shows a code.
func (b *bank) chained(t *testing.T) (first, second *browser, link string) {
	t.Helper()
	first, phone := b.pair(t)
	first.logIn(richard)
	first.setCookies(nil) // forgotten by the bank, but not by the provider
	first.logInWith(phone)
	second = b.browser(t)
	return first, second, second.code()
}

// A laptop that a phone has logged in cannot approve the next one. Otherwise a
// person who was tricked once would log in any number of laptops.
func TestNoChaining(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	first, second, link := b.chained(t)
	code := second.get(qrPage).text("user-code")
	if p := first.get(link); p.find("form", "approve") != nil || "http://"+p.URL.Host != b.DemoURL {
		t.Errorf("the laptop is shown %v, want the provider's login page", p)
	}
	first.post("/activate", url.Values{"user_code": {code}, "answer": {"yes"}})
	second.wantState("waiting")
}

// The laptop may approve after a fresh login of the same person, although the
// provider knows the browser.
func TestChainingNeedsFreshLogin(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	first, second, link := b.chained(t)
	if p := first.atProvider(first.get(link), erlich); p.Status != http.StatusForbidden || !p.has("error") {
		t.Errorf("another person's login: %v, want 403", p)
	}
	first.wantPerson(richard)
	if p := first.get(link); p.find("form", "approve") != nil {
		t.Error("after another person's login the laptop may approve")
	}
	question := first.atProvider(first.get(link), richard)
	if got := question.URL.String(); got != link {
		t.Fatalf("after the login the laptop shows %v, want the question", question)
	}
	first.answer(question, "yes")
	second.claim(richard)
}

// The person at the laptop can remove prompt=login from the request to the
// provider. So the provider must say when the password was typed: without
// auth_time, or with an old one, the laptop may not approve.
func TestChainingNeedsAuthTime(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	authTime := b.demo.forgeAuthTime(t)
	first, second, link := b.chained(t)
	stripped := 0
	first.http.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if query := req.URL.Query(); query.Has("prompt") && query.Has("max_age") {
			query.Del("prompt")
			query.Del("max_age")
			req.URL.RawQuery = query.Encode()
			stripped++
		}
		return nil
	}
	for name, when := range map[string]any{
		"missing":    nil,
		"zero":       0,
		"not a time": "now",
		"too old":    time.Now().Add(-time.Minute).Unix(),
	} {
		authTime.Store(&when)
		if p := first.get(link); p.Status != http.StatusForbidden || !strings.Contains(p.text("error"), "password") {
			t.Errorf("auth_time %s: %v, want 403 and that a password is needed", name, p)
		} else if !p.links("/logout") || p.links("/login?return_to="+url.QueryEscape(strings.TrimPrefix(link, b.URL))) {
			t.Errorf("auth_time %s: %v has no way out, or leads round in circles", name, p)
		}
		first.wantPerson(richard)
	}
	if stripped != 4 {
		t.Errorf("the provider was asked for a fresh login %d times, want 4", stripped)
	}
	if n := strings.Count(b.log.String(), "no auth_time"); n != 4 {
		t.Errorf("the log says %d times what is missing, want 4", n)
	}
	second.wantState("waiting")

	var now any = time.Now().Unix()
	authTime.Store(&now)
	if p := first.get(link); p.find("form", "approve") == nil {
		t.Errorf("auth_time now: %v, want the question", p)
	}
}

// A provider that will not ask for a password again sends the browser back each
// time. The page leads out instead of round in circles.
func TestChainingRefused(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	first, _, _ := b.chained(t)
	for _, code := range []string{"login_required", "interaction_required"} {
		to, err := url.Parse(first.getOnce("/login?return_to=/activate").Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		p := first.get("/callback?error=" + code + "&state=" + url.QueryEscape(to.Query().Get("state")))
		if p.Status != http.StatusForbidden || !p.links("/logout") || p.links("/login?return_to=%2Factivate") {
			t.Errorf("%s: %v, want 403 and only the logout: %s", code, p, p.text("main"))
		}
	}
}

// forgeAuthTime has the provider's ID tokens carry another auth_time, none if
// it is nil, signed with a key that is published among the provider's.
func (f *front) forgeAuthTime(t *testing.T) *atomic.Pointer[any] {
	t.Helper()
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	key := jose.JSONWebKey{Key: private, KeyID: "forged", Algorithm: "RS256", Use: "sig"}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var authTime atomic.Pointer[any]
	f.changes(func(answer map[string]any) {
		if keys, ok := answer["keys"].([]any); ok {
			answer["keys"] = append(keys, key.Public())
		}
		token, _ := answer["id_token"].(string)
		if when := authTime.Load(); token != "" && when != nil {
			forged, err := withAuthTime(token, *when, signer)
			if err != nil {
				t.Error(err)
			}
			answer["id_token"] = forged
		}
	})
	return &authTime
}

// withAuthTime returns the token with another auth_time, signed by signer.
func withAuthTime(token string, when any, signer jose.Signer) (string, error) {
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		return "", err
	}
	var claims map[string]any
	if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims); err != nil {
		return "", err
	}
	delete(claims, "auth_time")
	if when != nil {
		claims["auth_time"] = when
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	forged, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return forged.CompactSerialize()
}
