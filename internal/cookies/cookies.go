// Package cookies keeps small values in the browser: sealed, short-lived
// cookies, so that a visitor who has not logged in costs the store nothing.
// The cookies themselves are gorilla/sessions' CookieStore.
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

// Values are what one cookie holds.
type Values map[string]string

// A Jar makes the application's kinds of cookies.
type Jar struct {
	base   string // of every name
	secure bool
	keys   [][]byte // pairs for signing and encrypting, the newest first
}

// New returns the Jar of the application at appURL. derive returns 32-byte keys
// for one purpose, the newest first: new cookies are sealed with the first, and
// all of them open old ones ([store.Store.DeriveKeys]).
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
		// The prefix makes browsers refuse the cookie from a sister domain.
		j.base = "__Host-" + j.base
	case u.Port() != "":
		// Cookies ignore ports: two programs on localhost would otherwise end
		// each other's sessions.
		j.base += "-" + u.Port()
	}
	return j, nil
}

// A Kind is one kind of cookie.
type Kind struct {
	name  string
	store *sessions.CookieStore
}

// Kind returns the kind with that name ("" for the application's main cookie),
// whose cookies are good for lifetime: in the browser, and by their seal.
func (j *Jar) Kind(name string, lifetime time.Duration) *Kind {
	k := &Kind{name: j.base}
	if name != "" {
		k.name += "-" + name
	}
	k.store = sessions.NewCookieStore(j.keys...)
	for _, codec := range k.store.Codecs {
		codec.(*securecookie.SecureCookie).SetSerializer(serializer{})
	}
	k.store.MaxAge(int(lifetime.Seconds())) // of the codecs, too
	k.store.Options.Secure = j.secure
	k.store.Options.HttpOnly = true
	// Strict would hide it from the redirect that comes back from the provider.
	k.store.Options.SameSite = http.SameSiteLaxMode
	return k
}

// Named returns the cookies of this kind with a suffix to their name, for a
// kind of which a browser may have several.
func (k *Kind) Named(suffix string) *Kind { return &Kind{k.name + "-" + suffix, k.store} }

// Suffixes returns the suffixes of the cookies of this kind that r has.
func (k *Kind) Suffixes(r *http.Request) (suffixes []string) {
	for _, cookie := range r.Cookies() {
		if suffix, ok := strings.CutPrefix(cookie.Name, k.name+"-"); ok {
			suffixes = append(suffixes, suffix)
		}
	}
	return suffixes
}

// Read returns what the browser's cookie holds, nil if it has none that opens:
// after a change of keys every browser sends one that does not.
func (k *Kind) Read(r *http.Request) Values {
	// Not Get, which puts a cache into the request's context by replacing *r.
	s, err := k.store.New(r, k.name)
	if err != nil || s.IsNew {
		return nil
	}
	return fromSession(s.Values)
}

// Write gives the browser the cookie.
func (k *Kind) Write(w http.ResponseWriter, r *http.Request, values Values) error {
	s := sessions.NewSession(k.store, k.name)
	s.Options, s.Values = k.store.Options, toSession(values)
	return k.store.Save(r, w, s)
}

// Clear takes the cookie from the browser.
func (k *Kind) Clear(w http.ResponseWriter) {
	options := *k.store.Options
	options.MaxAge = -1
	http.SetCookie(w, sessions.NewCookie(k.name, "", &options))
}

// Seal returns values as text that this kind alone can open: a cookie's value
// that travels another way.
func (k *Kind) Seal(values Values) (string, error) {
	return securecookie.EncodeMulti(k.name, toSession(values), k.store.Codecs...)
}

// Open returns the values in sealed text, nil if it is not ours or too old.
func (k *Kind) Open(text string) Values {
	opened := make(map[any]any)
	if securecookie.DecodeMulti(k.name, text, &opened, k.store.Codecs...) != nil {
		return nil
	}
	return fromSession(opened)
}

// serializer writes a session's values as JSON. securecookie's own JSON encoder
// cannot: a session's keys are of any type.
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
