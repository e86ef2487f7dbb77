package session_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"changebank/internal/cookies"
	"changebank/internal/session"
)

func TestCookie(t *testing.T) {
	tests := []struct {
		name, address, want string
		secure              bool
	}{
		{"http", "http://localhost:5000", "changebank-5000", false},
		{"https", "https://bank.example.com", "__Host-changebank", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newBank(t).at("test", tt.address, key)
			laptop := browserAt(t, tt.address)
			loggedIn := laptop.logIn(m, richard)
			laptop.wantPerson(m, richard, "after LogIn")
			id := laptop.pend(m, richard)
			laptop.activate(m, id, true)
			claimed := laptop.setCookie(m, id)
			if s := laptop.wantPerson(m, richard, "after SetCookie"); s.ID != id {
				t.Errorf("after SetCookie the session is %q, want %q", s.ID, id)
			}
			for when, c := range map[string]*http.Cookie{"LogIn": loggedIn, "SetCookie": claimed} {
				wantCookie(t, when, c, tt.want, tt.secure)
				if c.MaxAge != 7*24*60*60 {
					t.Errorf("%s sets a cookie for %d s, want 7 days", when, c.MaxAge)
				}
			}
			_, cleared := laptop.logOut(m)
			wantCookie(t, "Logout", cleared, tt.want, tt.secure)
			if cleared.MaxAge >= 0 || cleared.Value != "" {
				t.Errorf("Logout sets the cookie %v, want one that removes it", cleared)
			}
			if left := laptop.jar.Cookies(laptop.url); len(left) != 0 {
				t.Errorf("after Logout the browser still has %v", left)
			}
		})
	}
}

// wantCookie: HttpOnly keeps the cookie from scripts, Lax from other sites'
// forms, Secure from the wire, and __Host- (which needs the path / and no
// domain) from sister domains that plant one.
func wantCookie(t *testing.T, when string, c *http.Cookie, name string, secure bool) {
	t.Helper()
	if c.Name != name || c.Path != "/" || c.Domain != "" || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Secure != secure {
		t.Errorf("%s sets the cookie\n%v, want\n%s with Path=/, no Domain, HttpOnly, SameSite=Lax, Secure: %t", when, c, name, secure)
	}
}

// TestForgedCookies: none of them opens a session, and none of them is an
// error, or everyone would see an error page on the day the keys change.
func TestForgedCookies(t *testing.T) {
	b := newBank(t)
	real := newBrowser(t)
	real.logIn(b.Manager, richard)
	id := real.wantPerson(b.Manager, richard, "with the real cookie").ID
	value, name := real.cookie().Value, real.cookie().Name

	forged := map[string]string{
		"empty":          "",
		"garbage":        "garbage",
		"the identifier": id,
		"base64 of it":   base64.URLEncoding.EncodeToString([]byte(id)),
		"shortened":      value[:len(value)/2],
		"twice as long":  value + value,
		"very long":      strings.Repeat("A", 5000),
	}
	for i := range len(value) - 4 { // the last ones have bits that base64 ignores
		changed := []byte(value)
		changed[i] = map[bool]byte{true: 'B', false: 'A'}[changed[i] == 'A']
		forged[fmt.Sprintf("with character %d of %d changed", i, len(value))] = string(changed)
	}
	forged["of another key"] = sealedByOther(t, id)
	secure := browserAt(t, "https://localhost:5000")
	secure.logIn(b.at("test", "https://localhost:5000", key), richard)
	forged["of another name"] = secure.cookie().Value

	for when, value := range forged {
		if s, err := b.Load(newBrowser(t).has(name, value).request()); err != nil || s != (session.Session{}) {
			t.Errorf("cookie %s: Load = %+v, %v; want the zero Session", when, s, err)
		}
	}

	// Such a browser can log in.
	b1 := newBrowser(t).has(name, "garbage")
	b1.logIn(b.Manager, richard)
	b1.wantPerson(b.Manager, richard, "after a garbage cookie and a login")

	// The prefix is useless if the cookie without it counts as well.
	for when, value := range map[string]string{
		"the plain cookie at the secure bank":           value,
		"the secure cookie's value in the plain cookie": secure.cookie().Value,
	} {
		browserAt(t, "https://localhost:5000").has(name, value).wantNone(b.at("test", "https://localhost:5000", key), when)
	}
}

// sealedByOther returns a cookie for the session that another program made.
func sealedByOther(t *testing.T, id string) string {
	t.Helper()
	jar, err := cookies.New(appURL, func(string) [][]byte { return [][]byte{bytes.Repeat([]byte("k"), 32)} })
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	if err := jar.Kind("", time.Hour).Write(w, cookies.Values{"id": id}); err != nil {
		t.Fatal(err)
	}
	return w.Result().Cookies()[0].Value
}

// TestOtherNamespace: the demo provider's sessions must not survive the switch
// to a real one, though the key of the cookies is the same.
func TestOtherNamespace(t *testing.T) {
	b := newBank(t)
	laptop := newBrowser(t)
	id := laptop.claim(b.Manager, richard)
	real := b.at("a real provider", appURL, key)
	laptop.wantNone(real, "with another provider")
	laptop.activate(real, id, false)
	if got, err := real.Of(t.Context(), richard); err != nil || len(got) != 0 {
		t.Errorf("Of with another provider = %+v, %v; want none", got, err)
	}
	laptop.activate(b.Manager, id, true)
	laptop.wantPerson(b.Manager, richard, "with the same provider")
}

func TestKeyRotation(t *testing.T) {
	b := newBank(t, otherKey)
	before := b.Manager
	during := b.at("test", appURL, key, otherKey)
	after := b.at("test", appURL, key)

	old, renewed, made := newBrowser(t), newBrowser(t), newBrowser(t)
	old.logIn(before, richard)
	old.wantPerson(during, richard, "an old cookie, with both keys")
	renewed.logIn(before, richard)
	renewed.logIn(during, richard)
	made.logIn(during, richard)

	renewed.wantPerson(after, richard, "a cookie that was renewed, with the new key only")
	made.wantPerson(after, richard, "a new cookie, with the new key only")
	made.wantNone(before, "a new cookie, with the old key only")
	old.wantNone(after, "an old cookie, with the new key only")
	old.logIn(after, richard)
	old.wantPerson(after, richard, "after another login")
}

// TestIDNotInRecord: the store must not hold what the cookie holds.
func TestIDNotInRecord(t *testing.T) {
	text, err := json.Marshal(session.Session{ID: "SECRET"})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "SECRET") {
		t.Errorf("the record has the identifier: %s", text)
	}
}
