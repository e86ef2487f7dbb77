package idp_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// refusals are how providers answer a client that authenticates in another way
// than it is registered for, or with a wrong secret.
var refusals = map[string]http.HandlerFunc{
	"401":                  respond(401, `{"error":"invalid_client"}`),
	"400":                  respond(400, `{"error":"invalid_client"}`), // allowed for a secret in the body (RFC 6749, section 5.2)
	"401 without a code":   respond(401, `{"error":"Invalid client secret"}`),
	"unauthorized, a page": respondAs(401, "text/html", `<html>`),
}

// authOf returns how a request authenticates the client.
func authOf(r request) idp.AuthMethod {
	switch {
	case r.basic && r.form.Has("client_secret"):
		return "both"
	case r.basic:
		return idp.AuthBasic
	case r.form.Has("client_secret"):
		return idp.AuthPost
	}
	return idp.AuthNone
}

// registered is an endpoint for a client that must authenticate in one way.
func registered(want idp.AuthMethod, refuse, accept http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		got := idp.AuthPost
		if _, _, ok := r.BasicAuth(); ok {
			got = idp.AuthBasic
		}
		if got != want {
			accept = refuse
		}
		accept(w, r)
	}
}

// wantAuths checks how the client authenticated at a path, request by request.
func (p *provider) wantAuths(t *testing.T, path string, want ...idp.AuthMethod) {
	t.Helper()
	var got []idp.AuthMethod
	for _, r := range p.requests(path) {
		got = append(got, authOf(r))
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s was asked with %q, want %q", path, got, want)
	}
}

// Which method a client is registered for is not in the discovery document. The
// first refusal costs one more request, and the log says what to set.
func TestAuthAuto(t *testing.T) {
	const post, basic = idp.AuthPost, idp.AuthBasic
	for name, refuse := range refusals {
		for _, tt := range []struct {
			name    string
			offered any
			want    idp.AuthMethod   // by the provider
			first   []idp.AuthMethod // at the device endpoint
		}{
			{"both, basic", []string{"client_secret_basic", "client_secret_post"}, basic, []idp.AuthMethod{post, basic}},
			{"both, post", []string{"client_secret_basic", "client_secret_post"}, post, []idp.AuthMethod{post}},
			{"a missing list means basic", nil, basic, []idp.AuthMethod{basic}},
			{"a missing list, post", nil, post, []idp.AuthMethod{basic, post}},
			{"a list that is wrong", []string{"client_secret_basic"}, post, []idp.AuthMethod{basic, post}},
		} {
			t.Run(name+", "+tt.name, func(t *testing.T) {
				var l log
				p := newProvider(t)
				p.set("device_authorization_endpoint", p.url+"/device")
				p.set("token_endpoint_auth_methods_supported", tt.offered)
				p.on("/device", func(w http.ResponseWriter, r *http.Request) {
					registered(tt.want, refuse, respond(200, deviceCode(``)))(w, r)
				})
				p.on("/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
					registered(tt.want, refuse, respond(400, `{"error":"authorization_pending"}`))(w, r)
				})
				c := p.client(t, l.to)
				for range 2 {
					if _, err := c.StartDevice(t.Context()); err != nil {
						t.Errorf("StartDevice: %v", err)
					}
					_, err := c.PollDevice(t.Context(), "d")
					wantRefusal(t, err, 400, idp.CodePending)
				}
				p.wantAuths(t, "/device", append(tt.first, tt.want)...)
				p.wantAuths(t, "/oauth2/token", tt.want, tt.want)
				if said := l.has("accepted=" + string(tt.want)); said != (len(tt.first) > 1) {
					t.Errorf("the log says what was accepted: %v, want %v", said, len(tt.first) > 1)
				}
			})
		}
	}
}

// A wrong secret is found out before a code is shown, in two requests.
func TestAuthAutoWrongSecret(t *testing.T) {
	for name, refuse := range refusals {
		t.Run(name, func(t *testing.T) {
			p, c := start(t)
			p.on(startPath, refuse)
			_, err := c.StartDevice(t.Context())
			if refused := wantClientRefused(t, err); !refused.Final() {
				t.Errorf("%v is not final", refused)
			}
			p.wantAuths(t, startPath, idp.AuthPost, idp.AuthBasic)
		})
	}
}

// What the operator has set is not changed.
func TestAuthSet(t *testing.T) {
	for _, auth := range []idp.AuthMethod{idp.AuthPost, idp.AuthBasic} {
		p := newProvider(t)
		c := p.client(t, func(cfg *idp.Config) { cfg.Auth = auth })
		p.on(startPath, refusals["401"])
		_, err := c.StartDevice(t.Context())
		wantClientRefused(t, err)
		p.wantAuths(t, startPath, auth)
	}
}

// Dex's device endpoint accepts any secret, so the method shows at the token
// endpoint only. Once that has given tokens, no other is tried.
func TestAuthAutoSettles(t *testing.T) {
	p, c := start(t)
	p.on(startPath, respond(200, deviceCode(``)))
	tokens := respond(200, `{"access_token":"a","id_token":"i"}`)
	p.on("/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
		registered(idp.AuthBasic, refusals["401"], tokens)(w, r)
	})
	if _, err := c.StartDevice(t.Context()); err != nil {
		t.Fatalf("StartDevice: %v", err)
	}
	if _, err := c.PollDevice(t.Context(), "d"); err != nil {
		t.Fatalf("PollDevice: %v", err)
	}
	p.on("/oauth2/token", refusals["401"])
	_, err := c.PollDevice(t.Context(), "d")
	wantClientRefused(t, err)
	p.wantAuths(t, "/oauth2/token", idp.AuthPost, idp.AuthBasic, idp.AuthBasic)
}

// A provider that fails between the two tries has decided nothing.
func TestAuthAutoInTrouble(t *testing.T) {
	p, c := start(t)
	p.on(startPath, func(w http.ResponseWriter, r *http.Request) {
		registered(idp.AuthPost, respond(503, `{}`), refusals["401"])(w, r)
	})
	_, err := c.StartDevice(t.Context())
	wantUnavailable(t, err)
	p.on(startPath, respond(200, deviceCode(``)))
	if _, err := c.StartDevice(t.Context()); err != nil {
		t.Errorf("StartDevice: %v", err)
	}
	p.wantAuths(t, startPath, idp.AuthPost, idp.AuthBasic, idp.AuthPost)
}

// wantClientRefused checks that err is about this application.
func wantClientRefused(t *testing.T, err error) *idp.Error {
	t.Helper()
	refused, ok := errors.AsType[*idp.Error](err)
	if !ok || !refused.OfClient() {
		t.Fatalf("error %v, want one about the client", err)
	}
	return refused
}

// Both tries together end before the lease of a poller, like one.
func TestAuthAutoTimesOut(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		c := p.newClient(t)
		synctest.Wait()
		hang := p.hang(make(chan struct{}, 1))
		p.on("/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(9 * time.Second)
			registered(idp.AuthBasic, refusals["401"], hang)(w, r)
		})
		start := time.Now()
		_, err := c.PollDevice(t.Context(), "d")
		wantFault(t, err)
		if took := time.Since(start); took > 12*time.Second {
			t.Errorf("gave up after %v, want about 10s", took)
		}
		time.Sleep(time.Minute) // until the provider notices
	})
}
