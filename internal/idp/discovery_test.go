package idp_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"changebank/internal/idp"
)

// The provider may start after us, as it does with docker compose: an
// application that asks once is down for good.
func TestDiscoveryIsRetried(t *testing.T) {
	p := newScripted(t)
	found := p.answers["/.well-known/openid-configuration"]
	p.on("/.well-known/openid-configuration", says(http.StatusBadGateway, `{}`))

	c := p.newClient(t)
	await(t, "a second try", func() bool { return len(p.requests("/.well-known/openid-configuration")) >= 2 })
	if err := c.Ready(); err == nil {
		t.Error("Ready: nil before the provider was found")
	}
	if _, _, err := c.AuthURL("/", false); !errors.Is(err, idp.ErrNotReady) {
		t.Errorf("AuthURL: %v, want %v", err, idp.ErrNotReady)
	}
	for _, call := range p.calls(t) {
		if err := call.do(t.Context(), c); !errors.Is(err, idp.ErrNotReady) {
			t.Errorf("%s: %v, want %v", call.name, err, idp.ErrNotReady)
		}
	}
	if _, err := c.Verify(t.Context(), idp.Tokens{}, ""); !errors.Is(err, idp.ErrNotReady) {
		t.Errorf("Verify: %v, want %v", err, idp.ErrNotReady)
	}
	if got := c.LogoutURL(""); got != "" {
		t.Errorf("LogoutURL: %q before the provider was found", got)
	}

	p.on("/.well-known/openid-configuration", found)
	await(t, "Ready() == nil", func() bool { return c.Ready() == nil })
	if _, _, err := c.AuthURL("/", false); err != nil {
		t.Errorf("AuthURL: %v", err)
	}
}

// Who sets up a provider reads the reason in the log and on the health page:
// it has to name what to change.
func TestNotReadySaysWhy(t *testing.T) {
	tests := []struct {
		name   string
		change func(*scripted)
		want   func(*scripted) []string
	}{
		{
			"issuer mismatch",
			func(p *scripted) { p.tell("issuer", "acme.com") }, // FusionAuth out of the box
			func(p *scripted) []string { return []string{`"acme.com"`, `"` + p.url + `"`, "change ISSUER"} },
		},
		{
			"a slash too many",
			func(p *scripted) { p.tell("issuer", p.url+"/") },
			func(p *scripted) []string { return []string{`"` + p.url + `/"`, `"` + p.url + `"`} },
		},
		{
			"no issuer",
			func(p *scripted) { p.tell("issuer", nil) },
			func(p *scripted) []string { return []string{`""`, `"` + p.url + `"`} },
		},
		{
			"no authorization endpoint",
			func(p *scripted) { p.tell("authorization_endpoint", nil) },
			func(p *scripted) []string { return []string{p.url, " authorization_endpoint"} },
		},
		{
			"no token endpoint",
			func(p *scripted) { p.tell("token_endpoint", nil) },
			func(p *scripted) []string { return []string{p.url, "token_endpoint"} },
		},
		{
			"no device endpoint",
			func(p *scripted) { p.tell("device_authorization_endpoint", nil) },
			func(p *scripted) []string { return []string{p.url, "device_authorization_endpoint"} },
		},
		{
			"no keys",
			func(p *scripted) { p.tell("jwks_uri", nil) },
			func(p *scripted) []string { return []string{p.url, "jwks_uri"} },
		},
		{
			// All at once, and always in this order: a reason that changes is
			// logged again at each try.
			"nothing at all",
			func(p *scripted) {
				for _, name := range []string{"authorization_endpoint", "token_endpoint", "device_authorization_endpoint", "jwks_uri"} {
					p.tell(name, nil)
				}
			},
			func(*scripted) []string {
				return []string{" has no authorization_endpoint and no token_endpoint and no device_authorization_endpoint and no jwks_uri"}
			},
		},
		{
			"keys that are no secret of the provider's alone",
			func(p *scripted) { p.tell("id_token_signing_alg_values_supported", []string{"HS256", "none"}) },
			func(p *scripted) []string { return []string{p.url, "HS256", "have it sign with RS256"} },
		},
		{
			"not found",
			func(p *scripted) { p.on("/.well-known/openid-configuration", http.NotFound) },
			func(*scripted) []string { return []string{"404"} },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newScripted(t)
			tt.change(p)
			c := p.newClient(t)
			await(t, "a reason", func() bool { return !errors.Is(c.Ready(), idp.ErrNotReady) })
			err := c.Ready()
			if err == nil {
				t.Fatal("Ready: nil")
			}
			for _, want := range tt.want(p) {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("Ready: %q, want %s named in it", err, want)
				}
			}
		})
	}
}

// What is there instead of a provider answers with pages.
func TestNotReadySaysItBriefly(t *testing.T) {
	page := strings.Repeat("<p>\r\nlevel=ERROR\tmsg=forged ü\u2028\xff\n", 1<<14)
	for name, answer := range map[string]http.HandlerFunc{
		"500":          saysStatus(500, "text/html", page),
		"200":          saysStatus(200, "text/html", page),
		"another name": says(200, `{"issuer":"`+strings.Repeat("x", 1<<18)+`"}`),
	} {
		t.Run(name, func(t *testing.T) {
			p := newScripted(t)
			p.on("/.well-known/openid-configuration", answer)
			c := p.newClient(t)
			await(t, "a reason", func() bool { return !errors.Is(c.Ready(), idp.ErrNotReady) })
			shortLine(t, c.Ready())
		})
	}
}

// A redirect is another host's chance to pose as the provider.
func TestDiscoveryFollowsNoRedirect(t *testing.T) {
	other := newScripted(t)
	p := newScripted(t)
	other.tell("issuer", p.url)
	p.on("/.well-known/openid-configuration", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.url+r.URL.Path, http.StatusFound)
	})
	c := p.newClient(t)
	await(t, "a reason", func() bool { return !errors.Is(c.Ready(), idp.ErrNotReady) })
	if err := c.Ready(); err == nil {
		t.Error("Ready: nil, by a document of another host")
	}
	if n := len(other.requests("/.well-known/openid-configuration")); n != 0 {
		t.Errorf("the other host was asked %d times, want 0", n)
	}
}

func TestOrigins(t *testing.T) {
	p := newScripted(t)
	p.tell("end_session_endpoint", "https://logout.example:8443/bye?x=1")
	if got, want := p.client(t).Origins(), []string{p.url, "https://logout.example:8443"}; !slices.Equal(got, want) {
		t.Errorf("Origins: %q, want %q", got, want)
	}
	p.tell("end_session_endpoint", nil)
	if got, want := p.client(t).Origins(), []string{p.url}; !slices.Equal(got, want) {
		t.Errorf("Origins: %q, want %q", got, want)
	}
}
