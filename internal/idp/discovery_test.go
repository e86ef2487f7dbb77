package idp_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// The provider may start after this program, as it does with docker compose.
func TestDiscoveryRetries(t *testing.T) {
	p := newProvider(t)
	document := p.responses[discoveryPath]
	c := p.unready(t)
	await(t, "a second attempt", func() bool { return len(p.requests(discoveryPath)) >= 2 })
	if err := c.Ready(); err == nil {
		t.Error("Ready: nil before discovery")
	}
	p.on(discoveryPath, document)
	await(t, "Ready() == nil", func() bool { return c.Ready() == nil })
	if _, err := c.AuthURL(t.Context(), "state", idp.NewFlow()); err != nil {
		t.Errorf("AuthURL: %v", err)
	}
}

// A provider that is starting is found soon, and one that is down for a night
// is not flooded with requests.
func TestDiscoveryBacksOff(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		document := p.responses[discoveryPath]
		c := p.unready(t)
		time.Sleep(time.Hour)
		synctest.Wait()
		got := p.requests(discoveryPath)
		if n := len(got); n < 300 || n > 400 {
			t.Fatalf("%d attempts in an hour, want about 360", n)
		}
		if first := got[1].at.Sub(got[0].at); first > time.Second {
			t.Errorf("the second attempt came after %v, want soon", first)
		}
		for i := 2; i < len(got); i++ {
			before, wait := got[i-1].at.Sub(got[i-2].at), got[i].at.Sub(got[i-1].at)
			if wait < before || wait > 10*time.Second {
				t.Fatalf("attempt %d came %v after the one before, and that %v after its own: want a growing wait up to 10s", i+1, wait, before)
			}
		}

		p.on(discoveryPath, document)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if err := c.Ready(); err != nil {
			t.Errorf("Ready: %v ten seconds after the provider came back", err)
		}
		attempts := len(p.requests(discoveryPath))
		time.Sleep(time.Hour)
		if n := len(p.requests(discoveryPath)) - attempts; n != 0 {
			t.Errorf("%d more attempts after discovery, want 0", n)
		}
	})
}

// A night without the provider must not fill the log.
func TestDiscoveryLogsAReasonOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		var l log
		p.on(discoveryPath, respond(503, `{}`))
		p.newClient(t, l.to)
		time.Sleep(time.Hour)
		l.wantWarnings(t, 1, "not found yet", "503")
		p.on(discoveryPath, respond(502, `{}`))
		time.Sleep(time.Hour)
		l.wantWarnings(t, 1, "not found yet", "502")
	})
}

func TestCloseEndsDiscovery(t *testing.T) {
	p := newProvider(t)
	arrived := make(chan struct{}, 1)
	p.on(discoveryPath, p.hang(arrived))
	c := p.newClient(t)
	<-arrived
	closed := make(chan struct{})
	go func() { c.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Error("Close waits for a provider that hangs")
	}
}

func TestCloseEndsBackoff(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		c := p.unready(t)
		time.Sleep(10 * time.Minute)
		start := time.Now()
		c.Close()
		if took := time.Since(start); took != 0 {
			t.Errorf("Close took %v", took)
		}
		if err := c.Ready(); err == nil || errors.Is(err, idp.ErrNotReady) {
			t.Errorf("Ready: %v, want the reason", err)
		}
	})
}

// reason waits for why the provider could not be discovered.
func reason(t *testing.T, c *idp.Client) error {
	t.Helper()
	await(t, "a reason", func() bool { return !errors.Is(c.Ready(), idp.ErrNotReady) })
	err := c.Ready()
	if err == nil {
		t.Fatal("Ready: nil, want an error")
	}
	return err
}

// An operator reads the reason in the log and on the health page: it has to
// name what to change.
func TestDiscoveryFails(t *testing.T) {
	unset := func(names ...string) func(*provider) {
		return func(p *provider) {
			for _, name := range names {
				p.set(name, nil)
			}
		}
	}
	setTo := func(name string, value any) func(*provider) {
		return func(p *provider) { p.set(name, value) }
	}
	tests := []struct {
		name   string
		change func(*provider)
		want   []string // URL stands for the provider's
	}{
		{"issuer mismatch", setTo("issuer", "acme.com"), // FusionAuth's default
			[]string{`"acme.com"`, `"URL"`, "change ISSUER"}},
		{"issuer with a slash", func(p *provider) { p.set("issuer", p.url+"/") }, []string{`"URL/"`, `"URL"`}},
		{"no issuer", unset("issuer"), []string{`""`, `"URL"`}},
		{"no authorization endpoint", unset("authorization_endpoint"), []string{"URL", " authorization_endpoint"}},
		{"no token endpoint", unset("token_endpoint"), []string{"URL", "token_endpoint"}},
		{"PAR without an endpoint", setTo("require_pushed_authorization_requests", true), []string{"URL", "pushed_authorization_request_endpoint"}},
		{"no client secrets", setTo("token_endpoint_auth_methods_supported", []string{"private_key_jwt", "tls_client_auth"}),
			[]string{"URL", "private_key_jwt", "client_secret_basic", "CLIENT_AUTH"}},
		{"no keys", unset("jwks_uri"), []string{"URL", "jwks_uri"}},
		// All at once, and always in this order: a reason that changes is logged
		// at each attempt.
		{"nothing", unset("jwks_uri", "token_endpoint", "authorization_endpoint", "device_authorization_endpoint"),
			[]string{"URL has no authorization_endpoint and no token_endpoint and no jwks_uri"}},
		{"only algorithms that anyone with the client secret can sign with", setTo("id_token_signing_alg_values_supported", []string{"HS256", "none"}),
			[]string{"URL", "HS256", "sign with RS256"}},
		{"not found", func(p *provider) { p.on(discoveryPath, http.NotFound) }, []string{"404"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProvider(t)
			tt.change(p)
			err := reason(t, p.newClient(t))
			for _, want := range tt.want {
				if want := strings.ReplaceAll(want, "URL", p.url); !strings.Contains(err.Error(), want) {
					t.Errorf("Ready: %q, want %s in it", err, want)
				}
			}
		})
	}
}

// Something else at the provider's address may answer with whole pages.
func TestDiscoveryFailsBriefly(t *testing.T) {
	for name, change := range map[string]func(*provider){
		"a page":                    func(p *provider) { p.on(discoveryPath, respondAs(500, "text/html", longPage)) },
		"a page with 200":           func(p *provider) { p.on(discoveryPath, respondAs(200, "text/html", longPage)) },
		"a long issuer":             func(p *provider) { p.set("issuer", longPage) },
		"a field of another type":   func(p *provider) { p.set("jwks_uri", []string{longPage}) },
		"our field of another type": func(p *provider) { p.set("scopes_supported", longPage) },
		"a long algorithm":          func(p *provider) { p.set("id_token_signing_alg_values_supported", []string{"HS" + longPage}) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t)
			change(p)
			wantShortLine(t, reason(t, p.newClient(t)))
		})
	}
}

// Some providers and proxies send JSON as text/plain.
func TestDiscoveryAsText(t *testing.T) {
	p := newProvider(t)
	document, err := json.Marshal(p.document)
	if err != nil {
		t.Fatal(err)
	}
	p.on(discoveryPath, respondAs(200, "text/plain", string(document)))
	p.client(t)
}

// A host that the provider redirects to could pose as the provider.
func TestDiscoveryFollowsNoRedirect(t *testing.T) {
	other, p := newProvider(t), newProvider(t)
	other.set("issuer", p.url)
	p.on(discoveryPath, redirect(other.url+discoveryPath))
	_ = reason(t, p.newClient(t))
	if n := len(other.requests(discoveryPath)); n != 0 {
		t.Errorf("%d requests to the other host, want 0", n)
	}
}

// Without the device grant people can still log in at the provider's own pages.
func TestNoDeviceEndpoint(t *testing.T) {
	var l log
	p := newProvider(t)
	p.set("device_authorization_endpoint", nil)
	c := p.client(t, l.to)
	l.wantWarnings(t, 1, "device_authorization_endpoint", "RFC 8628")
	if _, err := c.AuthURL(t.Context(), "state", idp.NewFlow()); err != nil {
		t.Errorf("AuthURL: %v", err)
	}
	if _, err := c.StartDevice(t.Context()); !errors.Is(err, idp.ErrNoDeviceGrant) {
		t.Errorf("StartDevice: %v, want %v", err, idp.ErrNoDeviceGrant)
	}
	p.wantRequests(t, 0)
}

// An operator who knows better than the discovery document may say so.
func TestNoClientSecretsButSet(t *testing.T) {
	p := newProvider(t)
	p.set("token_endpoint_auth_methods_supported", []string{"private_key_jwt"})
	p.client(t, byPost)
	p.client(t, func(cfg *idp.Config) { cfg.Auth, cfg.ClientSecret = idp.AuthNone, "" })
}
