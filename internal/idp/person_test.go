package idp_test

import (
	"net/http"
	"testing"

	"changebank/internal/idp"
)

// Is decides whether approval and tokens belong to the same person.
func TestPersonIs(t *testing.T) {
	richard := idp.Person{Issuer: "https://idp.example", Subject: "1", Email: "richard@example.com", Name: "Richard"}
	tests := []struct {
		name string
		p, q idp.Person
		want bool
	}{
		{"the same", richard, richard, true},
		{"the same, with a new address and name", richard, idp.Person{Issuer: richard.Issuer, Subject: "1", Email: "r@example.com"}, true},
		// Addresses pass from one person to another.
		{"someone else with the same address", richard, idp.Person{Issuer: richard.Issuer, Subject: "2", Email: richard.Email, Name: richard.Name}, false},
		{"another issuer's", richard, idp.Person{Issuer: "https://evil.example", Subject: "1", Email: richard.Email}, false},
		{"someone and nobody", richard, idp.Person{Issuer: richard.Issuer}, false},
		{"nobody and nobody", idp.Person{Issuer: richard.Issuer}, idp.Person{Issuer: richard.Issuer}, false},
		{"zero", idp.Person{}, idp.Person{}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.p.Is(tt.q); got != tt.want {
				t.Errorf("%+v is %+v: %v, want %v", tt.p, tt.q, got, tt.want)
			}
			if got := tt.q.Is(tt.p); got != tt.want {
				t.Errorf("%+v is %+v: %v, want %v", tt.q, tt.p, got, tt.want)
			}
		})
	}
}

func TestPersonString(t *testing.T) {
	for want, p := range map[string]idp.Person{
		"r@example.com": {Subject: "1", Email: "r@example.com", Name: "Richard"},
		"Richard":       {Subject: "1", Name: "Richard"},
		"1":             {Subject: "1"},
	} {
		if got := p.String(); got != want {
			t.Errorf("%+v.String: %q, want %q", p, got, want)
		}
	}
}

// Many providers give the e-mail address and the name at the userinfo endpoint
// only. Those of another subject must not be shown as this person's, and a
// login needs neither.
func TestPersonFromUserinfo(t *testing.T) {
	for _, tt := range []struct {
		name        string
		userinfo    http.HandlerFunc
		email, call string
	}{
		{"this person's", respond(200, `{"sub":"richard","email":"richard@example.com","name":"Richard"}`), "richard@example.com", "Richard"},
		{"another's", respond(200, `{"sub":"erlich","email":"erlich@example.com","name":"Erlich"}`), "", ""},
		{"nobody's", respond(200, `{"email":"erlich@example.com"}`), "", ""},
		{"down", respond(503, `{}`), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, c := start(t)
			p.on("/oauth2/userinfo", tt.userinfo)
			id := p.idToken(t, map[string]any{"email": nil, "name": nil})
			got, err := c.Verify(t.Context(), idp.Tokens{Access: "access", ID: id}, "")
			want := idp.Person{Issuer: p.url, Subject: "richard", Email: tt.email, Name: tt.call}
			if err != nil || got != want {
				t.Errorf("Verify: %+v, %v; want %+v", got, err, want)
			}
		})
	}
}
