package idp_test

import (
	"net/http"
	"strings"
	"testing"

	"changebank/internal/idp"
)

const revokePath = "/oauth2/revoke"

// revoke revokes tokens, waits for that, and checks that the log has one line
// with failure in it, or none if failure is empty.
func revoke(t *testing.T, p *provider, tokens idp.Tokens, failure string, change ...func(*idp.Config)) {
	t.Helper()
	var l log
	c := p.client(t, append(change, l.to)...)
	c.Revoke(tokens)
	c.Close()
	want := 1
	if failure == "" {
		want = 0
	}
	for _, line := range l.wantWarnings(t, want, "token revocation failed", failure) {
		line = strings.ReplaceAll(line, old.RefreshID, "") // not a secret
		for _, secret := range []string{old.Access, old.Refresh, old.ID, "PRIVATE"} {
			if strings.Contains(line, secret) {
				t.Errorf("log %q, want no %s in it", line, secret)
			}
		}
		if len(line) > 600 {
			t.Errorf("a log line of %d bytes", len(line))
		}
	}
}

// A refresh token's end is the grant's (RFC 7009, section 2.1). Without the hint
// some providers take a refresh token for an access token.
func TestRevoke(t *testing.T) {
	tests := []struct {
		name        string
		tokens      idp.Tokens
		token, hint string
	}{
		{"all of them", old, old.Refresh, "refresh_token"},
		{"an access token only", idp.Tokens{Access: "a", ID: "i"}, "a", "access_token"},
		{"a refresh token only", idp.Tokens{Refresh: "r"}, "r", "refresh_token"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProvider(t)
			p.on(revokePath, respond(200, ``))
			revoke(t, p, tt.tokens, "")
			p.wantRequests(t, 1)
			got := p.one(t, revokePath)
			if got.method != http.MethodPost || got.uri != revokePath {
				t.Errorf("%s %s, want POST %s", got.method, got.uri, revokePath)
			}
			if token, hint := got.form.Get("token"), got.form.Get("token_type_hint"); token != tt.token || hint != tt.hint {
				t.Errorf("token %q with the hint %q, want %q and %q", token, hint, tt.token, tt.hint)
			}
		})
	}
	for name, none := range map[string]idp.Tokens{"no tokens": {}, "an ID token only": {ID: "i"}} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			revoke(t, p, none, "")
			p.wantRequests(t, 0)
		})
	}
}

func TestRevokeFails(t *testing.T) {
	access := idp.Tokens{Access: "old-access"}
	const unsupported = `{"error":"unsupported_token_type"}`
	tests := []struct {
		name     string
		tokens   idp.Tokens
		response http.HandlerFunc
		want     string // in the log
	}{
		{"unavailable", access, respond(503, `{}`), "503"},
		{"invalid_client", old, respond(401, `{"error":"invalid_client","error_description":"PRIVATE"}`), "invalid_client"},
		{"a page", old, respondAs(502, "text/html", longPage+"PRIVATE"), "502"},
		{"redirect", old, redirect("/elsewhere"), "307"},
		{"connection cut", old, cut, "EOF"},
		// RFC 7009, section 2.2.1: an access token may be irrevocable. A refresh
		// token must not be (section 2): a provider that says so still accepts it.
		{"irrevocable access token", access, respond(400, unsupported), ""},
		{"irrevocable refresh token", old, respond(400, unsupported), "unsupported_token_type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProvider(t)
			p.on(revokePath, tt.response)
			revoke(t, p, tt.tokens, tt.want)
		})
	}
}

// FusionAuth has no revocation endpoint. Its own call takes the refresh token's
// identifier. The token itself must not be in a URL, which is logged.
func TestRevokeAtFusionAuth(t *testing.T) {
	const base = "/api/jwt/refresh"
	tests := []struct {
		name      string
		refreshID string
		path, uri string
		token     string // in the body
	}{
		{"with an identifier", old.RefreshID, base + "/old-refresh-id", base + "/old-refresh-id", ""},
		{"with an identifier like a path", "../x?y#z", base + "/../x?y#z", base + "/..%2Fx%3Fy%23z", ""},
		{"without an identifier", "", base, base, old.Refresh},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProvider(t)
			p.set("revocation_endpoint", nil)
			p.on(tt.path, respond(200, ``))
			revoke(t, p, idp.Tokens{Access: old.Access, Refresh: old.Refresh, RefreshID: tt.refreshID}, "",
				func(cfg *idp.Config) { cfg.Auth = idp.AuthBasic })
			p.wantRequests(t, 1)
			got := p.one(t, tt.path)
			if got.method != http.MethodDelete || got.uri != tt.uri {
				t.Errorf("%s %s, want DELETE %s", got.method, got.uri, tt.uri)
			}
			if got.authorization != "Bearer "+old.Access {
				t.Errorf("Authorization %q, want the person's access token", got.authorization)
			}
			if token := got.form.Get("token"); token != tt.token {
				t.Errorf("token %q in the body, want %q", token, tt.token)
			}
			if got.form.Has("client_secret") {
				t.Error("the client's secret is in the body, beside the person's token")
			}
		})
	}
}

// A refresh token outlives the access token that authorizes its revocation.
func TestRevokeAtFusionAuthWithAnExpiredAccessToken(t *testing.T) {
	p := newProvider(t)
	p.set("revocation_endpoint", nil)
	p.on("/api/jwt/refresh/old-refresh-id", respond(401, ``))
	p.on("/api/jwt/refresh/new-refresh-id", respond(200, ``))
	p.on("/oauth2/token", renewed(`,"refresh_token":"new-refresh","refresh_token_id":"new-refresh-id"`))
	revoke(t, p, old, "")
	if got := p.one(t, "/oauth2/token").form.Get("refresh_token"); got != old.Refresh {
		t.Errorf("refresh_token %q, want the old one", got)
	}
	if got := p.one(t, "/api/jwt/refresh/new-refresh-id").authorization; got != "Bearer new-access" {
		t.Errorf("Authorization %q, want the new access token", got)
	}
	p.wantRequests(t, 3)
}

func TestRevokeAtFusionAuthFails(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		p := newProvider(t)
		p.set("revocation_endpoint", nil)
		p.on("/api/jwt/refresh/old-refresh-id", respond(401, ``))
		revoke(t, p, old, "401")
	})
	// An access token can do what its person can: it must not reach another host.
	t.Run("redirected", func(t *testing.T) {
		other, p := newProvider(t), newProvider(t)
		p.set("revocation_endpoint", nil)
		p.on("/api/jwt/refresh/old-refresh-id", redirect(other.url+"/caught"))
		revoke(t, p, old, "307")
		other.wantRequests(t, 0)
	})
	t.Run("without a refresh token", func(t *testing.T) {
		p := newProvider(t)
		p.set("revocation_endpoint", nil)
		revoke(t, p, idp.Tokens{Access: old.Access}, "")
		p.wantRequests(t, 0)
	})
}

func TestRevokeWithoutEndpoint(t *testing.T) {
	for path, p := range elsewhere(t) {
		t.Run(path, func(t *testing.T) {
			revoke(t, p, old, "")
			p.wantRequests(t, 0)
		})
	}
}
