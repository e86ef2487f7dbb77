package cookies

import (
	"crypto/sha256"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// from returns a derive function for the keys made of these names.
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

// written returns the cookies that write sets, and a request that has them.
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
	return func(w http.ResponseWriter, r *http.Request) error { return k.Write(w, r, values) }
}

func TestCookieIsSealed(t *testing.T) {
	k := newJar(t, "https://bank.example", "a").Kind("", time.Hour)
	cookies, r := written(t, write(k, Values{"id": "SECRET"}))
	c := cookies[0]
	if c.Name != "__Host-changebank" || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 3600 {
		t.Errorf("the cookie is %s", c)
	}
	if strings.Contains(c.Value, "SECRET") {
		t.Error("the cookie shows what it holds")
	}
	if got := k.Read(r); !maps.Equal(got, Values{"id": "SECRET"}) {
		t.Errorf("Read: %v", got)
	}
	if got := newJar(t, "https://bank.example", "b", "a").Kind("", time.Hour).Read(r); got["id"] != "SECRET" {
		t.Errorf("after a new key was put first: %v", got)
	}
	if got := newJar(t, "https://bank.example", "b").Kind("", time.Hour).Read(r); got != nil {
		t.Errorf("after the key was dropped: %v", got)
	}
}

// A cookie of one kind is not one of another.
func TestKindsAreApart(t *testing.T) {
	j := newJar(t, "https://bank.example", "a")
	qr, login := j.Kind("qr", time.Hour), j.Kind("login", time.Hour)
	cookies, _ := written(t, write(qr, Values{"id": "1"}))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.AddCookie(&http.Cookie{Name: login.name, Value: cookies[0].Value})
	if got := login.Read(r); got != nil {
		t.Errorf("a QR cookie is read as a login's: %v", got)
	}
}

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
			t.Error("nothing opens before its time is over")
		}
		time.Sleep(3 * time.Second)
		if k.Read(r) != nil || k.Open(text) != nil {
			t.Error("something opens after its time: browsers may keep cookies longer than they are told")
		}
	})
}

func TestNames(t *testing.T) {
	for appURL, want := range map[string]string{
		"https://bank.example":      "__Host-changebank-qr",
		"https://bank.example:8443": "__Host-changebank-qr",
		"http://localhost:5000":     "changebank-5000-qr",
		"http://bank.internal":      "changebank-qr",
	} {
		cookies, _ := written(t, write(newJar(t, appURL, "a").Kind("qr", time.Hour), nil))
		if cookies[0].Name != want || cookies[0].Secure != strings.HasPrefix(appURL, "https") {
			t.Errorf("at %s the cookie is %s, want the name %s", appURL, cookies[0], want)
		}
	}
}

func TestSeveralOfOneKind(t *testing.T) {
	k := newJar(t, "https://bank.example", "a").Kind("login", time.Hour)
	_, r := written(t, func(w http.ResponseWriter, r *http.Request) error {
		if err := k.Named("one").Write(w, r, Values{"n": "1"}); err != nil {
			return err
		}
		return k.Named("two").Write(w, r, Values{"n": "2"})
	})
	if got := k.Suffixes(r); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("Suffixes: %q", got)
	}
	if got := k.Named("two").Read(r)["n"]; got != "2" {
		t.Errorf("the second holds %q", got)
	}
	w := httptest.NewRecorder()
	k.Named("one").Clear(w)
	if c := w.Result().Cookies()[0]; c.Name != "__Host-changebank-login-one" || c.MaxAge >= 0 {
		t.Errorf("Clear sends %s", c)
	}
}
