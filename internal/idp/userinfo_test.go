package idp_test

import (
	"net/http"
	"testing"

	"changebank/internal/idp"
)

// Many providers tell the e-mail address and the name at the userinfo endpoint
// only. What another subject is called there must not be taken for this
// person's, and a login does not need either.
func TestWhatThePersonIsCalled(t *testing.T) {
	for _, tt := range []struct {
		name        string
		userinfo    http.HandlerFunc
		email, call string
	}{
		{"userinfo knows", says(200, `{"sub":"richard","email":"richard@example.com","name":"Richard"}`), "richard@example.com", "Richard"},
		{"another's", says(200, `{"sub":"erlich","email":"erlich@example.com","name":"Erlich"}`), "", ""},
		{"nobody's", says(200, `{"email":"erlich@example.com"}`), "", ""},
		{"it is down", says(503, `{}`), "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newScripted(t)
			p.on("/oauth2/userinfo", tt.userinfo)
			c := p.client(t)
			id := signer{}.sign(t, p.claims(map[string]any{"email": nil, "name": nil}))
			got, err := c.Verify(t.Context(), idp.Tokens{Access: "access", ID: id}, "")
			want := idp.Person{Issuer: p.url, Subject: "richard", Email: tt.email, Name: tt.call}
			if err != nil || got != want {
				t.Errorf("Verify = %+v, %v; want %+v", got, err, want)
			}
		})
	}
}
