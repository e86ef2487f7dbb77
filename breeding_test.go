package main

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

// A laptop that was logged in by a phone cannot say yes for the next one: of one
// person who was tricked, there would be no end of laptops.
func TestLaptopsDoNotBreed(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	first, second, phone := b.browser(t), b.browser(t), b.browser(t)
	phone.logIn(richard)
	_, link := first.showCode()
	phone.answer(link, "yes")
	first.awaitReload()

	p, link := second.showCode()
	if got := first.get(link); got.find("form", "approve") != nil || "http://"+got.URL.Host != b.DemoURL {
		t.Errorf("a laptop that a phone has logged in sees %s at %s, want the provider's login page", got.text("main"), got.URL)
	}
	form := url.Values{"user_code": {p.text("user-code")}, "answer": {"yes"}}
	first.post("/activate", form)
	if got := second.get("/logged-out-qr-login").state(); got != "waiting" {
		t.Errorf("the second laptop's page is %q, want waiting", got)
	}
}

// The password is asked for although the provider knows the browser, and of
// nobody but the person that the phone logged in. Then the laptop is as good
// as any other.
func TestBredLaptopLogsInAfresh(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	first, second, phone := b.browser(t), b.browser(t), b.browser(t)
	phone.logIn(richard)
	first.logIn(richard) // so that the provider knows it
	first.setCookie("")  // and we do not
	first.claims(phone)
	_, link := second.showCode()

	p := first.atProvider(first.get(link), erlich)
	if p.Status != http.StatusForbidden || !strings.Contains(p.text("error"), "another person") || first.person() != richard {
		t.Errorf("as another person the login ends with %d: %s; the laptop is %q", p.Status, p.text("main"), first.person())
	}
	if got := first.get(link); got.find("form", "approve") != nil {
		t.Error("after another person's login the laptop may say yes")
	}
	question := first.atProvider(first.get(link), richard)
	if got := question.URL.String(); got != link {
		t.Fatalf("after the login the laptop is at %s, want %s: %s", got, link, question.text("main"))
	}
	first.submit(question, "approve", url.Values{"answer": {"yes"}})
	if got := second.awaitReload().text("account-email"); got != richard {
		t.Errorf("the second laptop is logged in as %q, want %s", got, richard)
	}
}

// Whoever sits at the tricked laptop can take prompt=login out of the address
// that it is sent to. So the provider's word counts, that somebody has typed a
// password since: without it, or with one that is too old, there is no yes.
func TestBredLaptopForgesTheRequest(t *testing.T) {
	t.Parallel()
	b := startRestartable(t, startBank)
	authTime := b.demo.forgeAuthTime(t)
	first, second, phone := b.browser(t), b.browser(t), b.browser(t)
	phone.logIn(richard)
	first.logIn(richard)
	first.setCookie("")
	first.claims(phone)
	_, link := second.showCode()
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
		"none":    nil,
		"0":       0,
		"a word":  "now",
		"too old": time.Now().Add(-time.Minute).Unix(),
	} {
		authTime.Store(&when)
		p := first.get(link)
		if p.Status != http.StatusForbidden || !strings.Contains(p.text("error"), "log in with a password") {
			t.Errorf("with the auth_time %s the login ends with %d: %s", name, p.Status, p.text("main"))
		}
		if p := first.get("/account"); p.text("account-email") != richard {
			t.Errorf("with the auth_time %s the laptop is %q, want as before", name, p.text("account-email"))
		}
	}
	if stripped != 4 {
		t.Errorf("the provider was asked for a password %d times, want 4", stripped)
	}
	if got := second.get("/logged-out-qr-login").state(); got != "waiting" {
		t.Errorf("the second laptop's page is %q, want waiting", got)
	}
	// With a new one it would have been in order.
	var now any = time.Now().Unix()
	authTime.Store(&now)
	if p := first.get(link); p.find("form", "approve") == nil {
		t.Errorf("with an auth_time of now the laptop sees %d: %s", p.Status, p.text("main"))
	}
}

// forgeAuthTime has the provider's ID tokens say another auth_time, or none if
// that is nil, signed with a key that is among the provider's.
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
	forge := func(answer map[string]any) {
		if keys, ok := answer["keys"].([]any); ok {
			answer["keys"] = append(keys, key.Public())
		}
		token, _ := answer["id_token"].(string)
		if token == "" || authTime.Load() == nil {
			return
		}
		signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
		if err != nil {
			t.Error(err)
			return
		}
		var claims map[string]any
		if err := json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims); err != nil {
			t.Error(err)
			return
		}
		delete(claims, "auth_time")
		if when := *authTime.Load(); when != nil {
			claims["auth_time"] = when
		}
		payload, err := json.Marshal(claims)
		if err != nil {
			t.Error(err)
			return
		}
		forged, err := signer.Sign(payload)
		if err != nil {
			t.Error(err)
			return
		}
		answer["id_token"], err = forged.CompactSerialize()
		if err != nil {
			t.Error(err)
		}
	}
	f.change.Store(&forge)
	return &authTime
}
