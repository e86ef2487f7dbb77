package idp

import (
	"encoding/json"
	"fmt"
	"log/slog"

	"changebank/internal/typed"
)

// Person is an account at the provider. Issuer and Subject identify it (OpenID
// Connect Core, section 2); the rest is for showing.
type Person struct {
	Issuer, Subject string
	Email, Name     string
	EmailVerified   bool // the provider says that the address is the person's own
}

// Is reports whether p and q are the same person. A Person without a Subject is
// nobody, and equals no one, not even itself.
func (p Person) Is(q Person) bool {
	return p.Subject != "" && p.Issuer == q.Issuer && p.Subject == q.Subject
}

// String returns what to call the person: the e-mail address, else the name,
// else the provider's identifier. People decide by it whose login they approve.
// Only a verified address stands alone: anyone may give someone else's address
// as their own, or as their name. The quotes show where a name ends.
func (p Person) String() string {
	email, name := typed.Line(p.Email), typed.Line(p.Name)
	switch {
	// Without its invisible characters, an address may read as another person's.
	case email != "" && p.EmailVerified && email == p.Email:
		return short(email)
	case email != "":
		return short(email) + " (unverified)"
	case name != "":
		return fmt.Sprintf("%q (unverified name)", short(name))
	}
	return fmt.Sprintf("%q (account ID)", short(p.Subject))
}

// LogValue implements [slog.LogValuer] with what identifies the person.
func (p Person) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", p.Issuer), slog.String("subject", p.Subject))
}

const maxShown = 100 // characters of a text from the provider

// short returns the beginning of a long text.
func short(text string) string {
	if letters := []rune(text); len(letters) > maxShown {
		return string(letters[:maxShown-1]) + "…"
	}
	return text
}

// profile is what an ID token or the userinfo endpoint says about a person
// (OpenID Connect Core, section 5.1). All but the subject is for showing, so a
// value of another type is the same as none, and does not prevent a login.
type profile struct {
	Subject       string   `json:"sub"`
	Email         caption  `json:"email"`
	EmailVerified verified `json:"email_verified"`
	Name          caption  `json:"name"`
}

func (p profile) person(issuer string) Person {
	return Person{
		Issuer: issuer, Subject: p.Subject, Name: string(p.Name),
		Email: string(p.Email), EmailVerified: p.Email != "" && bool(p.EmailVerified),
	}
}

type caption string

// UnmarshalJSON implements [json.Unmarshaler].
func (c *caption) UnmarshalJSON(text []byte) error {
	_ = json.Unmarshal(text, (*string)(c))
	return nil
}

type verified bool

// UnmarshalJSON implements [json.Unmarshaler]. Some providers write "true".
func (v *verified) UnmarshalJSON(text []byte) error {
	*v = string(text) == "true" || string(text) == `"true"`
	return nil
}
