// Package cookies keeps small values in the browser, in sealed cookies that
// expire soon, so that a visitor who has not logged in costs the store nothing.
// gorilla/securecookie seals them.
//
// A browser can send an old cookie again until it expires: a value that may be
// used only once needs a mark in the store.
package cookies

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/securecookie"
)

// Values are the content of one cookie.
type Values map[string]string

// A Jar makes the application's kinds of cookies.
type Jar struct {
	base   string // beginning of every name
	secure bool
	keys   [][]byte // pairs for signing and encrypting, the newest first
}

// New returns the Jar of the application at appURL. derive returns 32-byte keys
// for one purpose, the newest first ([store.Store.DeriveKeys]). New cookies are
// sealed with the first key, and every key opens old ones.
func New(appURL string, derive func(purpose string) [][]byte) (*Jar, error) {
	u, err := url.Parse(appURL)
	if err != nil {
		return nil, err
	}
	j := &Jar{base: "changebank", secure: u.Scheme == "https"}
	signing, encrypting := derive("cookie signing"), derive("cookie encryption")
	for i := range signing {
		j.keys = append(j.keys, signing[i], encrypting[i])
	}
	switch {
	case j.secure:
		// Browsers refuse a cookie with this prefix from a sibling domain.
		j.base = "__Host-" + j.base
	case u.Port() != "":
		// Cookies ignore ports: two programs on localhost would otherwise
		// overwrite each other's.
		j.base += "-" + u.Port()
	}
	return j, nil
}

// A Kind is one kind of cookie. A cookie or sealed text of one kind does not
// open as another.
type Kind struct {
	name   string
	maxAge int // seconds
	secure bool
	codecs []securecookie.Codec
}

// Kind returns the kind with that name ("" for the application's main cookie).
// Its cookies expire after lifetime, which is at least a second: the browser
// deletes them, and if it does not, they no longer open.
func (j *Jar) Kind(name string, lifetime time.Duration) *Kind {
	k := &Kind{name: j.base, maxAge: int(lifetime.Seconds()), secure: j.secure, codecs: securecookie.CodecsFromPairs(j.keys...)}
	if name != "" {
		k.name += "-" + name
	}
	for _, codec := range k.codecs {
		codec.(*securecookie.SecureCookie).SetSerializer(securecookie.JSONEncoder{}).MaxAge(k.maxAge)
	}
	return k
}

// Named returns the cookies of this kind with a suffix to their name, where a
// browser may have several of a kind.
func (k *Kind) Named(suffix string) *Kind {
	named := *k
	named.name += "-" + suffix
	return &named
}

// Suffixes returns the suffixes of the cookies of this kind in r, whether they
// open or not.
func (k *Kind) Suffixes(r *http.Request) (suffixes []string) {
	for _, cookie := range r.Cookies() {
		if suffix, ok := strings.CutPrefix(cookie.Name, k.name+"-"); ok {
			suffixes = append(suffixes, suffix)
		}
	}
	return suffixes
}

// Read returns the values in the browser's cookie, nil if it has none, or one
// that does not open: after a change of keys, browsers still send their old ones.
func (k *Kind) Read(r *http.Request) Values {
	cookie, err := r.Cookie(k.name)
	if err != nil {
		return nil
	}
	return k.Open(cookie.Value)
}

// Write sets the browser's cookie. It returns an error if the sealed values are
// longer than 4096 bytes.
func (k *Kind) Write(w http.ResponseWriter, values Values) error {
	text, err := k.Seal(values)
	if err == nil {
		k.set(w, text, k.maxAge)
	}
	return err
}

// Clear deletes the browser's cookie.
func (k *Kind) Clear(w http.ResponseWriter) { k.set(w, "", -1) }

func (k *Kind) set(w http.ResponseWriter, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: k.name, Value: value, Path: "/", MaxAge: maxAge, Secure: k.secure, HttpOnly: true,
		SameSite: http.SameSiteLaxMode, // strict cookies are not sent after the redirect from the provider
	})
}

// Seal returns values as text for elsewhere than a cookie, such as a URL. The
// text would also open as a cookie of this kind, so a kind is for text or for
// cookies, not for both.
func (k *Kind) Seal(values Values) (string, error) {
	if values == nil {
		values = Values{} // null does not open
	}
	return securecookie.EncodeMulti(k.name, values, k.codecs...)
}

// Open returns the values in sealed text, nil if it was not sealed as this kind
// or has expired.
func (k *Kind) Open(text string) (values Values) {
	if securecookie.DecodeMulti(k.name, text, &values, k.codecs...) != nil {
		return nil
	}
	return values
}
