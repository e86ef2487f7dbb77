package cookies

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Only what was sealed opens, as what it was, and only as its own kind.
func FuzzOpen(f *testing.F) {
	jar, err := New("https://bank.example", from("key"))
	if err != nil {
		f.Fatal(err)
	}
	kind, other := jar.Kind("state", time.Hour), jar.Kind("other", time.Hour)
	values := Values{"id": "1", "path": "/activate"}
	sealed, err := kind.Seal(values)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{"", "=", "MTY=", sealed, sealed[1:], sealed + "A", sealed[:len(sealed)-4], strings.ToLower(sealed)} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if opened := kind.Open(text); opened != nil && !maps.Equal(opened, values) {
			t.Errorf("%q opens as %v", text, opened)
		}
		if opened := other.Open(text); opened != nil {
			t.Errorf("%q opens as another kind: %v", text, opened)
		}
	})
}

// A Cookie header that we did not make holds nothing.
func FuzzCookieHeader(f *testing.F) {
	jar, err := New("https://bank.example", from("key"))
	if err != nil {
		f.Fatal(err)
	}
	kind := jar.Kind("login", time.Hour)
	f.Add("__Host-changebank-login-abc=x; __Host-changebank-login-=; __Host-changebank-login=y")
	f.Add(";;=;\x00=\xff")
	f.Fuzz(func(t *testing.T, header string) {
		r := &http.Request{Header: http.Header{"Cookie": {header}}}
		suffixes := kind.Suffixes(r)
		if len(suffixes) > 1+strings.Count(header, ";") {
			t.Errorf("%d suffixes in %q", len(suffixes), header)
		}
		for _, k := range append([]*Kind{kind}, kind.Named("abc")) {
			if values := k.Read(r); values != nil {
				t.Errorf("%q holds %v", header, values)
			}
		}
	})
}
