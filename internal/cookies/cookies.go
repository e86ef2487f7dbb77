// Package cookies keeps small values in the browser, in sealed cookies that
// expire soon, so that a visitor who has not logged in costs the store nothing.
// The cookies themselves are those of gorilla/sessions' CookieStore.
//
// A browser can send an old cookie again until it expires: a value that may be
// used only once needs a mark in the store.
package cookies

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
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
	return Named("changebank", appURL, derive)
}

// Named is [New] with another prefix for the cookies' names.
func Named(name, appURL string, derive func(purpose string) [][]byte) (*Jar, error) {
	u, err := url.Parse(appURL)
	if err != nil {
		return nil, err
	}
	j := &Jar{base: name, secure: u.Scheme == "https"}
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
	name  string
	store *sessions.CookieStore
}

// Kind returns the kind with that name ("" for the application's main cookie).
// Its cookies expire after lifetime, which is at least a second: the browser
// deletes them, and if it does not, they no longer open.
func (j *Jar) Kind(name string, lifetime time.Duration) *Kind {
	k := &Kind{name: j.base}
	if name != "" {
		k.name += "-" + name
	}
	k.store = sessions.NewCookieStore(j.keys...)
	for _, codec := range k.store.Codecs {
		codec.(*securecookie.SecureCookie).SetSerializer(serializer{})
	}
	k.store.MaxAge(int(lifetime.Seconds())) // of the cookies and of what they hold
	k.store.Options.Secure = j.secure
	k.store.Options.HttpOnly = true
	// Strict cookies are not sent after the redirect from the provider.
	k.store.Options.SameSite = http.SameSiteLaxMode
	return k
}

// Named returns the cookies of this kind with a suffix to their name, where a
// browser may have several of a kind.
func (k *Kind) Named(suffix string) *Kind { return &Kind{k.name + "-" + suffix, k.store} }

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
	// Get would replace *r by a copy, to keep a cache in its context.
	s, err := k.store.New(r, k.name)
	if err != nil || s.IsNew {
		return nil
	}
	return fromSession(s.Values)
}

// Write sets the browser's cookie. It returns an error if the sealed values are
// longer than 4096 bytes.
func (k *Kind) Write(w http.ResponseWriter, r *http.Request, values Values) error {
	return k.write(w, r, values, k.store.Options.MaxAge)
}

// WriteUntilClosed is [Kind.Write] for a cookie that the browser deletes when it is
// closed. A browser that restores its last session may keep the cookie.
func (k *Kind) WriteUntilClosed(w http.ResponseWriter, r *http.Request, values Values) error {
	return k.write(w, r, values, 0)
}

func (k *Kind) write(w http.ResponseWriter, r *http.Request, values Values, maxAge int) error {
	options := *k.store.Options
	options.MaxAge = maxAge
	s := sessions.NewSession(k.store, k.name)
	s.Options, s.Values = &options, toSession(values)
	return k.store.Save(r, w, s)
}

// Clear deletes the browser's cookie.
func (k *Kind) Clear(w http.ResponseWriter) {
	options := *k.store.Options
	options.MaxAge = -1
	http.SetCookie(w, sessions.NewCookie(k.name, "", &options))
}

// Seal returns values as text for elsewhere than a cookie, such as a URL. The
// text would also open as a cookie of this kind, so a kind is for text or for
// cookies, not for both.
func (k *Kind) Seal(values Values) (string, error) {
	return securecookie.EncodeMulti(k.name, toSession(values), k.store.Codecs...)
}

// Open returns the values in sealed text, nil if it was not sealed as this kind
// or has expired.
func (k *Kind) Open(text string) Values {
	opened := make(map[any]any)
	if securecookie.DecodeMulti(k.name, text, &opened, k.store.Codecs...) != nil {
		return nil
	}
	return fromSession(opened)
}

// serializer writes a session's values as JSON. securecookie's own JSON encoder
// cannot, because the keys of a session may have any type.
type serializer struct{}

// Serialize implements [securecookie.Serializer].
func (serializer) Serialize(src any) ([]byte, error) {
	return json.Marshal(fromSession(src.(map[any]any)))
}

// Deserialize implements [securecookie.Serializer].
func (serializer) Deserialize(text []byte, dst any) error {
	var values Values
	if err := json.Unmarshal(text, &values); err != nil {
		return err
	}
	*dst.(*map[any]any) = toSession(values)
	return nil
}

func toSession(values Values) map[any]any {
	m := make(map[any]any)
	for name, value := range values {
		m[name] = value
	}
	return m
}

func fromSession(m map[any]any) Values {
	values := make(Values)
	for name, value := range m {
		values[name.(string)] = value.(string)
	}
	return values
}
