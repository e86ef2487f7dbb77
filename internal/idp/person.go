package idp

import "log/slog"

// Person is an account at the provider. Issuer and Subject identify it (OpenID
// Connect Core, section 2); the rest is for showing.
type Person struct {
	Issuer, Subject string
	Email, Name     string
}

// Is reports whether p and q are the same person. A Person without a Subject is
// nobody, and equals no one, not even itself.
func (p Person) Is(q Person) bool {
	return p.Subject != "" && p.Issuer == q.Issuer && p.Subject == q.Subject
}

// String returns what to call the person: the e-mail address, else the name,
// else the provider's identifier.
func (p Person) String() string {
	switch {
	case p.Email != "":
		return p.Email
	case p.Name != "":
		return p.Name
	}
	return p.Subject
}

// LogValue implements [slog.LogValuer] with what identifies the person.
func (p Person) LogValue() slog.Value {
	return slog.GroupValue(slog.String("issuer", p.Issuer), slog.String("subject", p.Subject))
}
