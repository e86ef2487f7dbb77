package idp_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"changebank/internal/idp"
)

// old are the tokens of a session that has existed for some time.
var old = idp.Tokens{Access: "old-access", Refresh: "old-refresh", RefreshID: "old-refresh-id", ID: "old-id-token"}

// renewed is a response to a refresh with more fields at its end.
func renewed(more string) http.HandlerFunc {
	return respond(200, `{"access_token":"new-access","token_type":"Bearer","expires_in":60`+more+`}`)
}

// wantNotRefreshed refreshes Richard's session, which must fail without tokens,
// and returns the error.
func wantNotRefreshed(t *testing.T, c *idp.Client, person idp.Person) error {
	t.Helper()
	got, err := c.Refresh(t.Context(), old, person)
	if got != (idp.Tokens{}) {
		t.Errorf("Refresh: %+v beside the error, want nothing", got)
	}
	return err
}

func TestRefresh(t *testing.T) {
	p, c := start(t)
	id := p.idToken(t, nil)
	tests := []struct {
		name, more string
		want       idp.Tokens
	}{
		{
			"everything is new", `,"refresh_token":"new-refresh","refresh_token_id":"new-refresh-id","id_token":"` + id + `"`,
			idp.Tokens{Refresh: "new-refresh", RefreshID: "new-refresh-id", ID: id},
		},
		// Without a refresh token the session would end, and without its
		// identifier it could not be revoked.
		{"no refresh token", `,"id_token":"` + id + `"`, idp.Tokens{Refresh: old.Refresh, RefreshID: old.RefreshID, ID: id}},
		{"no refresh token, but an identifier", `,"refresh_token_id":"another"`, old},
		// The old identifier would have another token revoked.
		{"a new refresh token without an identifier", `,"refresh_token":"new-refresh"`, idp.Tokens{Refresh: "new-refresh", ID: old.ID}},
		{"no ID token", `,"refresh_token":"new-refresh","refresh_token_id":"new-refresh-id"`, idp.Tokens{Refresh: "new-refresh", RefreshID: "new-refresh-id", ID: old.ID}},
		{"an access token only", ``, old},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := len(p.requests("/oauth2/token"))
			p.on("/oauth2/token", renewed(tt.more))
			got, err := c.Refresh(t.Context(), old, p.richard())
			if err != nil {
				t.Fatalf("Refresh: %v", err)
			}
			wantIn(t, "Expires", got.Expires, time.Minute)
			got.Expires = time.Time{}
			tt.want.Access = "new-access"
			if got != tt.want {
				t.Errorf("Refresh: %+v, want %+v", got, tt.want)
			}
			// A refresh token may be good for one use: at a second one the
			// provider assumes theft and ends the grant.
			requests := p.requests("/oauth2/token")[before:]
			if len(requests) != 1 {
				t.Fatalf("%d requests, want 1", len(requests))
			}
			if form := requests[0].form; form.Get("grant_type") != "refresh_token" || form.Get("refresh_token") != old.Refresh {
				t.Errorf("form %v, want the old refresh token in it", form)
			}
		})
	}
	if n := len(p.requests("/oauth2/userinfo")); n != 0 {
		t.Errorf("%d requests to userinfo, want 0: nothing needs it", n)
	}
}

// No answer of the provider, or of something in its place, passes a session to
// another person (OpenID Connect Core, section 12.2).
func TestRefreshOfAnotherPerson(t *testing.T) {
	p, c := start(t)
	sameAddress := map[string]any{"sub": "mallory", "email": p.richard().Email}
	tests := []struct {
		name    string
		changed map[string]any
		by      signer
		person  idp.Person
	}{
		{"another person", map[string]any{"sub": "mallory"}, signer{}, p.richard()},
		{"another person with the same address", sameAddress, signer{}, p.richard()},
		{"a person at another provider", nil, signer{}, idp.Person{Issuer: "https://idp.example", Subject: "richard"}},
		{"nobody", nil, signer{}, idp.Person{}},
		{"another issuer", map[string]any{"iss": "https://evil.example"}, signer{}, p.richard()},
		{"another client", map[string]any{"aud": "another"}, signer{}, p.richard()},
		{"expired", map[string]any{"exp": time.Now().Add(-time.Hour).Unix()}, signer{}, p.richard()},
		{"another access token", map[string]any{"at_hash": atHash("another")}, signer{}, p.richard()},
		{"signed by a stranger", nil, signer{key: strangersKey()}, p.richard()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p.on("/oauth2/token", renewed(`,"refresh_token":"r","id_token":"`+tt.by.sign(t, p.claims(tt.changed))+`"`))
			err := wantNotRefreshed(t, c, tt.person)
			wantFinal(t, err)
			wantShortLine(t, err)
		})
	}
	t.Run("not a token", func(t *testing.T) {
		p.on("/oauth2/token", renewed(`,"id_token":"x"`))
		wantFinal(t, wantNotRefreshed(t, c, p.richard()))
	})
}

// The old refresh token may be used up by now. A session that drops the new one
// because the keys cannot be fetched for a moment is lost.
func TestRefreshWithoutKeys(t *testing.T) {
	p, c := start(t)
	p.on("/jwks", respond(503, `{}`))
	p.on("/oauth2/token", renewed(`,"refresh_token":"new-refresh","refresh_token_id":"new-refresh-id","id_token":"`+p.idToken(t, nil)+`"`))
	got, err := c.Refresh(t.Context(), old, p.richard())
	if err != nil {
		t.Fatalf("Refresh: %v, want the tokens", err)
	}
	got.Expires = time.Time{}
	want := idp.Tokens{Access: "new-access", Refresh: "new-refresh", RefreshID: "new-refresh-id", ID: old.ID} // verified once
	if got != want {
		t.Errorf("Refresh: %+v, want %+v", got, want)
	}
	if len(p.requests("/jwks")) == 0 {
		t.Error("no request for the keys")
	}
}

// Only the provider's decision ends a session: an outage must not log everyone
// out.
func TestRefreshRefused(t *testing.T) {
	const revoked = `{"error":"invalid_grant","error_description":"gone"}`
	tests := []struct {
		name     string
		response http.HandlerFunc
		status   int
		code     string
		final    bool
	}{
		{"invalid_grant", respond(400, revoked), 400, "invalid_grant", true},
		{"invalid_grant as text/plain", respondAs(400, "text/plain", revoked), 400, "invalid_grant", true},
		{"invalid_grant with 200", respond(200, revoked), 200, "invalid_grant", true},
		{"invalid_client", respond(401, `{"error":"invalid_client"}`), 401, "invalid_client", true},
		{"503", respondAs(503, "text/html", `<html>`), 503, "", false},
		{"503 with a code", respond(503, revoked), 503, "invalid_grant", false},
		{"a proxy's 404", respondAs(404, "text/html", `<html>`), 404, "", false},
		{"429", respond(429, ``), 429, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProvider(t)
			c := p.client(t, byPost)
			p.on("/oauth2/token", tt.response)
			err := wantNotRefreshed(t, c, p.richard())
			if refused := wantRefusal(t, err, tt.status, tt.code); refused.Final() != tt.final {
				t.Errorf("Final: %v, want %v", refused.Final(), tt.final)
			}
			if errors.Is(err, idp.ErrInvalidToken) {
				t.Errorf("Refresh: %v, want no verdict on the tokens", err)
			}
			p.one(t, "/oauth2/token")
		})
	}
}

func TestRefreshFaults(t *testing.T) {
	for name, response := range map[string]http.HandlerFunc{
		"no access token": respond(200, `{"refresh_token":"new-refresh"}`),
		"empty":           respond(200, ``),
		"a page":          respondAs(200, "text/html", `<html>`),
		"connection cut":  cut,
	} {
		t.Run(name, func(t *testing.T) {
			p, c := start(t)
			p.on("/oauth2/token", response)
			err := wantNotRefreshed(t, c, p.richard())
			wantFault(t, err)
			wantShortLine(t, err)
			if text := fmt.Sprint(err); strings.Contains(text, old.Refresh) || strings.Contains(text, "new-refresh") {
				t.Errorf("Refresh: %s, want no token in it", text)
			}
		})
	}
}
