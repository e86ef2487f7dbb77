package idp_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// call is a method of the Client that sends one request, with the client's
// authentication.
type call struct {
	name, path string
	do         func(context.Context, *idp.Client) error
}

// calls returns all of them, and sets a good response to each.
func (p *provider) calls(t *testing.T) []call {
	t.Helper()
	p.on("/oauth2/token", respond(http.StatusOK, `{"access_token":"a","id_token":"`+p.idToken(t, nil)+`","expires_in":60}`))
	p.on("/oauth2/device_authorize", respond(http.StatusOK, deviceCode(``)))
	p.on("/oauth2/device/approve", respond(http.StatusOK, `{"deviceGrantStatus":"Approved"}`))
	p.on("/oauth2/revoke", respond(http.StatusOK, ``))
	return []call{
		{"Exchange", "/oauth2/token", func(ctx context.Context, c *idp.Client) error {
			_, err := c.Exchange(ctx, idp.Flow{Verifier: "v"}, url.Values{"code": {"c"}})
			return err
		}},
		{"PollDevice", "/oauth2/token", func(ctx context.Context, c *idp.Client) error {
			_, err := c.PollDevice(ctx, "d")
			return err
		}},
		{"Refresh", "/oauth2/token", func(ctx context.Context, c *idp.Client) error {
			_, err := c.Refresh(ctx, old, p.richard())
			return err
		}},
		{"StartDevice", "/oauth2/device_authorize", func(ctx context.Context, c *idp.Client) error {
			_, err := c.StartDevice(ctx)
			return err
		}},
		{"ApproveDevice", "/oauth2/device/approve", func(ctx context.Context, c *idp.Client) error {
			return c.ApproveDevice(ctx, "u", "a")
		}},
	}
}

// revocation is the call that runs in the background: this one waits for it.
func (p *provider) revocation(t *testing.T) call {
	return call{"Revoke", "/oauth2/revoke", func(_ context.Context, c *idp.Client) error {
		before := len(p.requests("/oauth2/revoke"))
		c.Revoke(old)
		await(t, "the revocation", func() bool { return len(p.requests("/oauth2/revoke")) > before })
		return nil
	}}
}

// A client that authenticates in two ways at once is rejected (RFC 6749,
// section 2.3). A client that does so at one endpoint only fails after the
// person has approved.
func TestClientAuthentication(t *testing.T) {
	const awkward = `a+b/c=d:e%f g%20&h`
	tests := []struct {
		name    string
		auth    idp.AuthMethod
		secret  string
		offered []string
		want    idp.AuthMethod
	}{
		{"post", idp.AuthPost, awkward, nil, idp.AuthPost},
		{"post, not offered", idp.AuthPost, awkward, []string{"client_secret_basic"}, idp.AuthPost},
		{"basic", idp.AuthBasic, awkward, nil, idp.AuthBasic},
		{"basic, not offered", idp.AuthBasic, awkward, []string{"client_secret_post"}, idp.AuthBasic},
		{"none", idp.AuthNone, "", nil, idp.AuthNone},
		{"none, with a secret", idp.AuthNone, awkward, nil, idp.AuthNone},
		{"none, with a secret, not offered", idp.AuthNone, awkward, []string{"client_secret_basic"}, idp.AuthNone},
		{"auto, nothing offered", idp.AuthAuto, awkward, nil, idp.AuthPost},
		{"auto, both offered", idp.AuthAuto, awkward, []string{"client_secret_basic", "client_secret_post"}, idp.AuthPost},
		{"auto, basic offered", idp.AuthAuto, awkward, []string{"client_secret_basic", "private_key_jwt"}, idp.AuthBasic},
		{"auto without a secret", idp.AuthAuto, "", []string{"client_secret_basic"}, idp.AuthNone},
		{"unset means auto", "", awkward, []string{"client_secret_basic"}, idp.AuthBasic},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProvider(t)
			if tt.offered != nil {
				p.set("token_endpoint_auth_methods_supported", tt.offered)
			}
			c := p.client(t, func(cfg *idp.Config) { cfg.Auth, cfg.ClientSecret = tt.auth, tt.secret })
			for _, call := range append(p.calls(t), p.revocation(t)) {
				before := len(p.requests(call.path))
				if err := call.do(t.Context(), c); err != nil {
					t.Errorf("%s: %v", call.name, err)
				}
				got := p.requests(call.path)[before:]
				if len(got) != 1 {
					t.Fatalf("%s: %d requests, want 1", call.name, len(got))
				}
				wantAuth(t, call.name, got[0], tt.want, tt.secret)
			}
		})
	}
}

func wantAuth(t *testing.T, name string, r request, want idp.AuthMethod, secret string) {
	t.Helper()
	if id := r.form["client_id"]; len(id) != 1 || id[0] != clientID {
		t.Errorf("%s: client_id %q in the body, want %q once", name, id, clientID)
	}
	inBody, isInBody := r.form["client_secret"]
	if want == idp.AuthPost {
		if len(inBody) != 1 || inBody[0] != secret {
			t.Errorf("%s: client_secret %q in the body, want %q once", name, inBody, secret)
		}
	} else if isInBody {
		t.Errorf("%s: client_secret in the body, want none", name)
	}
	if want != idp.AuthBasic {
		if r.authorization != "" {
			t.Errorf("%s: Authorization %q, want none", name, r.authorization)
		}
		return
	}
	// What a provider does according to RFC 6749, section 2.3.1.
	id, idErr := url.QueryUnescape(r.user)
	pass, passErr := url.QueryUnescape(r.pass)
	if !r.basic || idErr != nil || passErr != nil || id != clientID || pass != secret {
		t.Errorf("%s: Authorization %q, want the client and secret %q, escaped", name, r.authorization, secret)
	}
}

// The device grant redeems its code with the client secret: it must not reach
// another host.
func TestSecretStaysAtTheProvider(t *testing.T) {
	other := newProvider(t)
	p, c := start(t)
	for _, call := range append(p.calls(t), p.revocation(t)) {
		p.on(call.path, redirect(other.url+"/caught"))
		if err := call.do(t.Context(), c); call.name != "Revoke" {
			wantRefusal(t, err, http.StatusTemporaryRedirect, "")
		}
	}
	c.Close()
	other.wantRequests(t, 0)
}

// A person who closes the page, or an operator who stops the program, is not
// kept waiting by a provider that hangs.
func TestCallsEndWithTheirContext(t *testing.T) {
	p, c := start(t)
	calls := append(p.calls(t),
		call{"Verify, userinfo", "/oauth2/userinfo", func(ctx context.Context, c *idp.Client) error {
			_, err := c.Verify(ctx, idp.Tokens{Access: "a"}, "")
			return err
		}},
		call{"Verify, keys", "/jwks", func(ctx context.Context, c *idp.Client) error {
			_, err := c.Verify(ctx, idp.Tokens{Access: "a", ID: p.idToken(t, nil)}, "")
			return err
		}},
	)
	for _, call := range calls {
		t.Run(call.name, func(t *testing.T) {
			arrived := make(chan struct{}, 1)
			p.on(call.path, p.hang(arrived))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			got := make(chan error, 1)
			go func() { got <- call.do(ctx, c) }()
			<-arrived
			cancel()
			select {
			case err := <-got:
				wantFault(t, err)
			case <-time.After(5 * time.Second): // half of the client's own time-out
				t.Error("still waiting after its context has ended")
			}
		})
	}
}

// A request must end before the lease of a poller, which lasts 15 seconds. Two
// pollers could redeem a code twice, and that ends the login.
func TestCallsTimeOut(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		arrived := make(chan struct{}, 100)
		c := p.newClient(t)
		synctest.Wait()
		for _, call := range p.calls(t) {
			p.on(call.path, p.hang(arrived))
			start := time.Now()
			err := call.do(t.Context(), c)
			wantFault(t, err)
			if took := time.Since(start); took == 0 || took > 12*time.Second {
				t.Errorf("%s gave up after %v (%v), want about 10s", call.name, took, err)
			}
		}
	})
}

func TestCallsBeforeDiscovery(t *testing.T) {
	p := newProvider(t)
	c := p.unready(t)
	calls := append(p.calls(t),
		call{"AuthURL", "", func(ctx context.Context, c *idp.Client) error {
			_, err := c.AuthURL(ctx, "state", idp.NewFlow())
			return err
		}},
		call{"Verify", "", func(ctx context.Context, c *idp.Client) error {
			_, err := c.Verify(ctx, idp.Tokens{}, "")
			return err
		}},
	)
	for _, call := range calls {
		if err := call.do(t.Context(), c); !errors.Is(err, idp.ErrNotReady) {
			t.Errorf("%s: %v, want %v", call.name, err, idp.ErrNotReady)
		}
	}
	if got := c.LogoutURL(""); got != "" {
		t.Errorf("LogoutURL: %q, want none", got)
	}
	if got := c.DevicePage("u", "a"); got != "" {
		t.Errorf("DevicePage: %q, want none", got)
	}
	if got := c.Origins(); got != nil {
		t.Errorf("Origins: %q, want nil", got)
	}
	p.wantRequests(t, 0)
}
