package session

import (
	"net/http"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"
)

// cookie is a [sessions.Store] whose sessions are an identifier: signed in the
// cookie, and nothing on the server. The stores that come with gorilla/sessions
// put the values into the cookie or into files, and neither can replace an
// identifier or delete one for good.
type cookie struct {
	name    string
	codecs  []securecookie.Codec
	options sessions.Options
}

func newCookie(keys [][]byte, secure bool) *cookie {
	c := &cookie{
		name: "changebank",
		options: sessions.Options{
			Path:     "/",
			MaxAge:   int(lifetime.Seconds()),
			Secure:   secure,
			HttpOnly: true,
			SameSite: http.SameSiteLaxMode, // Strict would hide it from the redirect that comes back from the provider
		},
	}
	if secure {
		// The prefix makes browsers refuse this cookie from a sister domain.
		c.name = "__Host-" + c.name
	}
	for _, key := range keys {
		codec := securecookie.New(key, nil)
		codec.MaxAge(c.options.MaxAge)
		c.codecs = append(c.codecs, codec)
	}
	return c
}

// Get implements [sessions.Store].
func (c *cookie) Get(r *http.Request, name string) (*sessions.Session, error) {
	return sessions.GetRegistry(r).Get(c, name)
}

// New implements [sessions.Store]. A cookie that does not verify is no error
// but no session: after a change of keys everybody would get one.
func (c *cookie) New(r *http.Request, name string) (*sessions.Session, error) {
	s := sessions.NewSession(c, name)
	options := c.options
	s.Options = &options
	s.IsNew = true
	if sent, err := r.Cookie(name); err == nil {
		s.IsNew = securecookie.DecodeMulti(name, sent.Value, &s.ID, c.codecs...) != nil
	}
	if s.IsNew {
		s.ID = ""
	}
	return s, nil
}

// Save implements [sessions.Store].
func (c *cookie) Save(_ *http.Request, w http.ResponseWriter, s *sessions.Session) error {
	value := ""
	if s.Options.MaxAge >= 0 {
		var err error
		if value, err = securecookie.EncodeMulti(s.Name(), s.ID, c.codecs...); err != nil {
			return err
		}
	}
	http.SetCookie(w, sessions.NewCookie(s.Name(), value, s.Options))
	return nil
}

// id returns the identifier in the browser's cookie, "" if it has none of ours.
func (c *cookie) id(r *http.Request) string {
	s, _ := c.New(r, c.name) // never fails
	return s.ID
}

func (c *cookie) set(w http.ResponseWriter, r *http.Request, id string) error {
	s, _ := c.New(r, c.name)
	s.ID = id
	return c.Save(r, w, s)
}

func (c *cookie) clear(w http.ResponseWriter, r *http.Request) {
	s, _ := c.New(r, c.name)
	s.Options.MaxAge = -1
	_ = c.Save(r, w, s) // writing no identifier never fails
}
