package cookies

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// from returns a derive function for keys that are made from these names.
func from(names ...string) func(string) [][]byte {
	return func(purpose string) (keys [][]byte) {
		for _, name := range names {
			key := sha256.Sum256([]byte(name + purpose))
			keys = append(keys, key[:])
		}
		return keys
	}
}

func newJar(t *testing.T, appURL string, keys ...string) *Jar {
	t.Helper()
	j, err := New(appURL, from(keys...))
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// written returns the cookies that write sets, and a request that sends them.
func written(t *testing.T, write func(w http.ResponseWriter, r *http.Request) error) ([]*http.Cookie, *http.Request) {
	t.Helper()
	r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	if err := write(w, r); err != nil {
		t.Fatal(err)
	}
	cookies := w.Result().Cookies()
	for _, cookie := range cookies {
		r.AddCookie(cookie)
	}
	return cookies, r
}

func write(k *Kind, values Values) func(w http.ResponseWriter, r *http.Request) error {
	return func(w http.ResponseWriter, r *http.Request) error { return k.Write(w, values) }
}

func TestCookieIsSealed(t *testing.T) {
	k := newJar(t, "https://bank.example", "a").Kind("", time.Hour)
	cookies, r := written(t, write(k, Values{"id": "SECRET"}))
	c := cookies[0]
	if c.Name != "__Host-changebank" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 3600 {
		t.Errorf("the cookie is %s", c)
	}
	if content := encoded(t, c.Value); strings.Contains(content, "SECRET") {
		t.Errorf("the cookie shows its content: %q", content)
	}
	if got := k.Read(r); !maps.Equal(got, Values{"id": "SECRET"}) {
		t.Errorf("Read: %v", got)
	}
	if got := newJar(t, "https://bank.example", "b", "a").Kind("", time.Hour).Read(r); got["id"] != "SECRET" {
		t.Errorf("with a new key first: %v", got)
	}
	if got := newJar(t, "https://bank.example", "b").Kind("", time.Hour).Read(r); got != nil {
		t.Errorf("with only another key: %v, want nil", got)
	}
}

// encoded returns what a cookie's value is the text of: securecookie encodes
// twice, around the time and the signature.
func encoded(t *testing.T, value string) string {
	t.Helper()
	signed, err := base64.URLEncoding.DecodeString(value)
	if err != nil {
		t.Fatal(err)
	}
	content, err := base64.URLEncoding.DecodeString(strings.Split(string(signed), "|")[1])
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// A cookie of one kind must not open as another, such as a QR cookie as a
// session.
func TestKindsAreSeparate(t *testing.T) {
	j := newJar(t, "https://bank.example", "a")
	qr, login := j.Kind("qr", time.Hour), j.Kind("login", time.Hour)
	cookies, _ := written(t, write(qr, Values{"id": "1"}))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: login.name, Value: cookies[0].Value})
	if got := login.Read(r); got != nil {
		t.Errorf("a QR cookie opens as a login cookie: %v", got)
	}
}

// Browsers may keep a cookie longer than they are told.
func TestCookieExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newJar(t, "https://bank.example", "a").Kind("", time.Minute)
		_, r := written(t, write(k, Values{"id": "1"}))
		text, err := k.Seal(Values{"path": "/devices"})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		if k.Read(r) == nil || k.Open(text)["path"] != "/devices" {
			t.Error("a value does not open before it expires")
		}
		time.Sleep(3 * time.Second)
		if k.Read(r) != nil || k.Open(text) != nil {
			t.Error("an expired value opens")
		}
	})
}

func TestCookieNames(t *testing.T) {
	for appURL, want := range map[string]string{
		"https://bank.example":      "__Host-changebank-qr",
		"https://bank.example:8443": "__Host-changebank-qr",
		"http://localhost:5000":     "changebank-5000-qr",
		"http://bank.internal":      "changebank-qr",
	} {
		cookies, _ := written(t, write(newJar(t, appURL, "a").Kind("qr", time.Hour), nil))
		if cookies[0].Name != want || cookies[0].Secure != strings.HasPrefix(appURL, "https") {
			t.Errorf("at %s the cookie is %s, want the name %s, and Secure with https", appURL, cookies[0], want)
		}
	}
}

func TestNamedCookies(t *testing.T) {
	k := newJar(t, "https://bank.example", "a").Kind("login", time.Hour)
	_, r := written(t, func(w http.ResponseWriter, r *http.Request) error {
		if err := k.Named("one").Write(w, Values{"n": "1"}); err != nil {
			return err
		}
		return k.Named("two").Write(w, Values{"n": "2"})
	})
	if got := k.Suffixes(r); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("Suffixes: %q", got)
	}
	if got := k.Named("two").Read(r)["n"]; got != "2" {
		t.Errorf("the second has the value %q, want 2", got)
	}
	w := httptest.NewRecorder()
	k.Named("one").Clear(w)
	if c := w.Result().Cookies()[0]; c.Name != "__Host-changebank-login-one" || c.MaxAge >= 0 {
		t.Errorf("Clear sends %s", c)
	}
}

// Browsers ignore a cookie that is too long: better an error than a login that
// fails later.
func TestCookieTooLong(t *testing.T) {
	k := newJar(t, "https://bank.example", "a").Kind("", time.Hour)
	w := httptest.NewRecorder()
	err := k.Write(w, Values{"path": strings.Repeat("x", 4096)})
	if err == nil || len(w.Result().Cookies()) != 0 {
		t.Errorf("Write: %v, with %d cookies; want an error and none", err, len(w.Result().Cookies()))
	}
}
