package idp_test

import (
	"testing"

	"changebank/internal/idp"
)

// Whose yes and whose tokens is decided by this.
func TestPersonIs(t *testing.T) {
	richard := idp.Person{Issuer: "https://idp.example", Subject: "1", Email: "richard@example.com", Name: "Richard"}
	tests := []struct {
		name string
		p, q idp.Person
		want bool
	}{
		{"the same", richard, richard, true},
		{"the same, with a new address and name", richard, idp.Person{Issuer: richard.Issuer, Subject: "1", Email: "r@example.com"}, true},
		// Addresses are given away and taken over.
		{"another, with the same address", richard, idp.Person{Issuer: richard.Issuer, Subject: "2", Email: richard.Email, Name: richard.Name}, false},
		{"of another issuer", richard, idp.Person{Issuer: "https://evil.example", Subject: "1", Email: richard.Email}, false},
		{"somebody and nobody", richard, idp.Person{Issuer: richard.Issuer}, false},
		{"nobody and nobody", idp.Person{Issuer: richard.Issuer}, idp.Person{Issuer: richard.Issuer}, false},
		{"nobody at all", idp.Person{}, idp.Person{}, false},
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
