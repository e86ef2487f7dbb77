package idp_test

import (
	"net/url"
	"testing"

	"changebank/internal/idp"
)

// A client that shows its secret in two ways at once is refused (RFC 6749,
// section 2.3), and one that is asked for it everywhere but sends it at one
// endpoint only fails when the person has said yes already.
func TestClientAuthIsTheSameEverywhere(t *testing.T) {
	const awkward = `a+b/c=d:e%f g%20&h`
	tests := []struct {
		name    string
		auth    idp.AuthMethod
		secret  string
		offered []string
		want    idp.AuthMethod
	}{
		{"post", idp.AuthPost, awkward, nil, idp.AuthPost},
		{"post, whatever is offered", idp.AuthPost, awkward, []string{"client_secret_basic"}, idp.AuthPost},
		{"basic", idp.AuthBasic, awkward, nil, idp.AuthBasic},
		{"basic, whatever is offered", idp.AuthBasic, awkward, []string{"client_secret_post"}, idp.AuthBasic},
		{"none", idp.AuthNone, "", nil, idp.AuthNone},
		{"none, with a secret", idp.AuthNone, awkward, nil, idp.AuthNone},
		{"none, with a secret, whatever is offered", idp.AuthNone, awkward, []string{"client_secret_basic"}, idp.AuthNone},
		{"auto, nothing offered", idp.AuthAuto, awkward, nil, idp.AuthPost},
		{"auto, both offered", idp.AuthAuto, awkward, []string{"client_secret_basic", "client_secret_post"}, idp.AuthPost},
		{"auto, basic offered", idp.AuthAuto, awkward, []string{"client_secret_basic", "private_key_jwt"}, idp.AuthBasic},
		{"auto without a secret", idp.AuthAuto, "", []string{"client_secret_basic"}, idp.AuthNone},
		{"unset means auto", "", awkward, []string{"client_secret_basic"}, idp.AuthBasic},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newScripted(t)
			if tt.offered != nil {
				p.tell("token_endpoint_auth_methods_supported", tt.offered)
			}
			c := p.client(t, func(cfg *idp.Config) { cfg.Auth, cfg.ClientSecret = tt.auth, tt.secret })
			for _, call := range p.calls(t) {
				before := len(p.requests(call.path))
				if err := call.do(t.Context(), c); err != nil {
					t.Errorf("%s: %v", call.name, err)
				}
				asked := p.requests(call.path)[before:]
				if len(asked) != 1 {
					t.Fatalf("%s: %d requests, want 1", call.name, len(asked))
				}
				wantAuth(t, call.name, asked[0], tt.want, tt.secret)
			}
		})
	}
}

func wantAuth(t *testing.T, name string, r request, want idp.AuthMethod, secret string) {
	t.Helper()
	inBody, isInBody := r.form["client_secret"]
	switch want {
	case idp.AuthBasic:
		// What RFC 6749, section 2.3.1 has the provider do.
		id, idErr := url.QueryUnescape(r.user)
		pass, passErr := url.QueryUnescape(r.pass)
		if !r.basic || idErr != nil || passErr != nil || id != clientID || pass != secret {
			t.Errorf("%s: header %q, want the client and secret %q escaped in it", name, r.authorization, secret)
		}
		if isInBody {
			t.Errorf("%s: the secret is in the body too", name)
		}
	case idp.AuthPost:
		if len(inBody) != 1 || inBody[0] != secret {
			t.Errorf("%s: client_secret %q in the body, want %q once", name, inBody, secret)
		}
		fallthrough
	case idp.AuthNone:
		if r.authorization != "" {
			t.Errorf("%s: header %q, want none", name, r.authorization)
		}
		if got := r.form["client_id"]; len(got) != 1 || got[0] != clientID {
			t.Errorf("%s: client_id %q in the body, want %q once", name, got, clientID)
		}
		if want == idp.AuthNone && isInBody {
			t.Errorf("%s: client_secret in the body, want none", name)
		}
	}
}

// Who may fetch tokens with a device code is whoever started it: the secret
// goes to the endpoints and to nobody else's.
func TestSecretIsNotCarriedAlongARedirect(t *testing.T) {
	other := newScripted(t)
	for _, call := range newScripted(t).calls(t) {
		t.Run(call.name, func(t *testing.T) {
			p := newScripted(t)
			c := p.client(t)
			p.on(call.path, redirectsTo(other.url+"/caught"))
			refusal(t, call.do(t.Context(), c), 307, "")
			if n := len(other.requests("/caught")); n != 0 {
				t.Errorf("%d requests followed the redirect, want 0", n)
			}
		})
	}
}
