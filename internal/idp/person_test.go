package idp_test

import (
	"encoding/json"
	"net/http"
	"strings"
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

// The person whose login is approved must not look like another one.
func TestPersonString(t *testing.T) {
	const richard = "richard@example.com"
	long := strings.Repeat("W", 300)
	for _, tt := range []struct {
		what string
		p    idp.Person
		want string
	}{
		{"a verified address", idp.Person{Email: richard, EmailVerified: true, Name: "Richard"}, richard},
		{"an unverified address", idp.Person{Email: richard, Name: "Richard"}, richard + " (unverified)"},
		{"a name", idp.Person{Name: "Richard  Hendricks"}, `"Richard Hendricks" (unverified name)`},
		{"a name, the address not given but verified", idp.Person{Name: richard, EmailVerified: true}, `"` + richard + `" (unverified name)`},
		{"a name that ends its quotes", idp.Person{Name: `me" ` + richard + ` "`}, `"me\" ` + richard + ` \"" (unverified name)`},
		{"nothing", idp.Person{}, `"1" (account ID)`},

		{"reversed", idp.Person{Name: "\u202emoc.elpmaxe@drahcir\u2066\u200f"}, `"moc.elpmaxe@drahcir" (unverified name)`},
		{"invisible", idp.Person{Email: " \u200b\u2060\ufeff\u00ad", Name: "\u3164\u115f\u2800\ufe0f\U000e0041\u034f"}, `"1" (account ID)`},
		{"a verified address with an invisible character", idp.Person{Email: "rich\u200bard@example.com", EmailVerified: true}, richard + " (unverified)"},
		{"control characters", idp.Person{Name: "Richard\x00\x1b[31m\n\u0085\u2028 \u3000Hendricks"}, `"Richard[31m Hendricks" (unverified name)`},
		{"a tower of accents", idp.Person{Name: "R" + strings.Repeat("\u0301", 50)}, "\"R\u0301\u0301\u0301\" (unverified name)"},
		{"long", idp.Person{Name: long}, `"` + long[:99] + `…" (unverified name)`},
		{"long and unverified", idp.Person{Email: long + "@example.com"}, long[:99] + "… (unverified)"},
		{"other scripts", idp.Person{Name: "Ρίτσαρντ 理查德 ริชาร์ด"}, `"Ρίτσαρντ 理查德 ริชาร์ด" (unverified name)`},
	} {
		tt.p.Subject = "1"
		if got := tt.p.String(); got != tt.want {
			t.Errorf("%s: %+q, want %+q", tt.what, got, tt.want)
		}
	}
	if got, want := (idp.Person{Subject: "\u202e1"}).String(), `"\u202e1" (account ID)`; got != want {
		t.Errorf("a subject with an invisible character: %+q, want %+q", got, want)
	}
}

// What is only shown does not decide a login, in the ID token or at the
// userinfo endpoint.
func TestClaimsForShowing(t *testing.T) {
	for name, tt := range map[string]struct {
		changed map[string]any
		want    idp.Person // without issuer and subject
	}{
		"email a list":                {map[string]any{"email": []string{"richard@example.com"}}, idp.Person{Name: "Richard"}},
		"email false":                 {map[string]any{"email": false}, idp.Person{Name: "Richard"}},
		"name a number":               {map[string]any{"name": 7}, idp.Person{Email: "richard@example.com", EmailVerified: true}},
		"name an object":              {map[string]any{"name": map[string]any{"en": "Richard"}}, idp.Person{Email: "richard@example.com", EmailVerified: true}},
		"email_verified as a string":  {map[string]any{"email_verified": "true"}, idp.Person{Email: "richard@example.com", Name: "Richard", EmailVerified: true}},
		"email_verified false":        {map[string]any{"email_verified": false}, idp.Person{Email: "richard@example.com", Name: "Richard"}},
		"email_verified missing":      {map[string]any{"email_verified": nil}, idp.Person{Email: "richard@example.com", Name: "Richard"}},
		"email_verified another word": {map[string]any{"email_verified": "yes"}, idp.Person{Email: "richard@example.com", Name: "Richard"}},
		"email_verified a number":     {map[string]any{"email_verified": 1}, idp.Person{Email: "richard@example.com", Name: "Richard"}},
		"email_verified a list":       {map[string]any{"email_verified": []bool{true}}, idp.Person{Email: "richard@example.com", Name: "Richard"}},
	} {
		t.Run(name, func(t *testing.T) {
			p, c := start(t)
			tt.want.Issuer, tt.want.Subject = p.url, "richard"
			claims, err := json.Marshal(p.claims(tt.changed))
			if err != nil {
				t.Fatal(err)
			}
			p.on("/oauth2/userinfo", respond(200, string(claims)))
			for source, tokens := range map[string]idp.Tokens{
				"ID token": {Access: "access", ID: p.idToken(t, tt.changed)},
				"userinfo": {Access: "access"},
			} {
				if got, err := c.Verify(t.Context(), tokens, ""); err != nil || got != tt.want {
					t.Errorf("%s: %#v, %v; want %#v", source, got, err, tt.want)
				}
			}
		})
	}
}

// Many providers give the e-mail address and the name at the userinfo endpoint
// only. Those of another subject must not be shown as this person's, and a
// login needs neither.
func TestPersonFromUserinfo(t *testing.T) {
	for _, tt := range []struct {
		name        string
		inToken     any // the name in the ID token
		userinfo    http.HandlerFunc
		email, call string
	}{
		{"this person's", nil, respond(200, `{"sub":"richard","email":"richard@example.com","name":"Richard"}`), "richard@example.com", "Richard"},
		{"only the name in the token", "Dick", respond(200, `{"sub":"richard","email":"richard@example.com"}`), "richard@example.com", "Dick"},
		{"another's", nil, respond(200, `{"sub":"erlich","email":"erlich@example.com","name":"Erlich"}`), "", ""},
		{"another's, a name in the token", "Dick", respond(200, `{"sub":"erlich","email":"erlich@example.com","name":"Erlich"}`), "", "Dick"},
		{"nobody's", nil, respond(200, `{"email":"erlich@example.com"}`), "", ""},
		{"down", nil, respond(503, `{}`), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, c := start(t)
			p.on("/oauth2/userinfo", tt.userinfo)
			id := p.idToken(t, map[string]any{"email": nil, "name": tt.inToken})
			got, err := c.Verify(t.Context(), idp.Tokens{Access: "access", ID: id}, "")
			want := idp.Person{Issuer: p.url, Subject: "richard", Email: tt.email, Name: tt.call}
			if err != nil || got != want {
				t.Errorf("Verify: %+v, %v; want %+v", got, err, want)
			}
		})
	}
}

// Without an ID token only userinfo says whose login it is. A provider without
// it will never say.
func TestNoUserinfo(t *testing.T) {
	p := newProvider(t)
	p.set("userinfo_endpoint", nil)
	c := p.client(t)
	_, err := c.Verify(t.Context(), idp.Tokens{Access: "access"}, "")
	wantFinal(t, err)
	id := p.idToken(t, map[string]any{"email": nil})
	if _, err := c.Verify(t.Context(), idp.Tokens{Access: "access", ID: id}, ""); err != nil {
		t.Errorf("Verify with an ID token: %v", err)
	}
}
