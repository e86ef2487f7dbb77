package idp_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"changebank/internal/idp"
)

// loginScopes returns the scopes that a login asks for.
func loginScopes(t *testing.T, c *idp.Client, flow idp.Flow) []string {
	t.Helper()
	page, err := c.AuthURL(t.Context(), "state", flow)
	if err != nil {
		t.Fatalf("AuthURL: %v", err)
	}
	u, err := url.Parse(page)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(u.Query().Get("scope"))
}

// A provider's list of scopes may leave out what it has, like Hydra's, whose
// accounts would then have no name. A scope that it does not know is refused.
func TestScopes(t *testing.T) {
	all := []string{"openid", "profile", "email", "offline_access"}
	tests := []struct {
		name    string
		offered any
		want    []string
	}{
		{"not listed", nil, all},
		{"an empty list", []string{}, all},
		{"all and more", []string{"address", "offline_access", "email", "profile", "openid"}, all},
		{"no offline_access", []string{"openid", "email", "profile"}, []string{"openid", "profile", "email"}},
		{"openid only", []string{"openid"}, []string{"openid", "profile", "email"}},
		{"Hydra's", []string{"offline_access", "offline", "openid"}, all},
		{"no openid", []string{"email", "profile"}, []string{"openid", "profile", "email"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProvider(t)
			p.set("scopes_supported", tt.offered)
			p.set("device_authorization_endpoint", p.url+"/device") // not FusionAuth, which has them all
			c := p.client(t)
			if got := loginScopes(t, c, idp.NewFlow()); !slices.Equal(got, tt.want) {
				t.Errorf("a login requests %q, want %q", got, tt.want)
			}
			p.on("/device", respond(200, deviceCode(``)))
			if _, err := c.StartDevice(t.Context()); err != nil {
				t.Fatalf("StartDevice: %v", err)
			}
			if got := strings.Fields(p.one(t, "/device").form.Get("scope")); !slices.Equal(got, tt.want) {
				t.Errorf("a device requests %q, want %q", got, tt.want)
			}
		})
	}
}

// allows is a device endpoint at which the client may ask for these scopes only.
func (p *provider) allows(path string, scopes ...string) {
	p.on(path, func(w http.ResponseWriter, r *http.Request) {
		for scope := range strings.FieldsSeq(r.PostFormValue("scope")) {
			if !slices.Contains(scopes, scope) {
				respond(400, `{"error":"invalid_scope"}`)(w, r)
				return
			}
		}
		respond(200, deviceCode(``))(w, r)
	})
}

// After invalid_scope fewer are asked for, as many as there may be, and from then
// on always. An operator is told once what to set.
func TestScopesRefused(t *testing.T) {
	for _, tt := range []struct {
		name    string
		offered any
		allowed []string
		want    []string // the scope parameters, one for each request
	}{
		{"all allowed", nil, []string{"openid", "profile", "email", "offline_access"}, []string{"openid profile email offline_access"}},
		{"no offline_access", nil, []string{"openid", "profile", "email"}, []string{"openid profile email offline_access", "openid profile email"}},
		{
			"what is listed", []string{"openid", "email", "offline_access"}, []string{"openid", "email", "offline_access"},
			[]string{"openid profile email offline_access", "openid email offline_access"},
		},
		{
			"openid only", []string{"openid", "email", "offline_access"}, []string{"openid"},
			[]string{"openid profile email offline_access", "openid email offline_access", "openid email", "openid"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l log
			p := newProvider(t)
			p.set("scopes_supported", tt.offered)
			p.set("device_authorization_endpoint", p.url+"/device")
			p.allows("/device", tt.allowed...)
			c := p.client(t, l.to)
			for range 2 {
				if _, err := c.StartDevice(t.Context()); err != nil {
					t.Fatalf("StartDevice: %v", err)
				}
			}
			last := tt.want[len(tt.want)-1]
			var got []string
			for _, r := range p.requests("/device") {
				got = append(got, r.form.Get("scope"))
			}
			if want := append(tt.want, last); !slices.Equal(got, want) {
				t.Errorf("asked for %q, want %q", got, want)
			}
			if got := strings.Join(loginScopes(t, c, idp.NewFlow()), " "); got != last {
				t.Errorf("a login asks for %q, want %q", got, last)
			}
			l.wantWarnings(t, len(tt.want)-1, "SCOPES")
		})
	}
}

// What the operator chose is neither changed nor left out.
func TestScopesSet(t *testing.T) {
	p := newProvider(t)
	p.set("scopes_supported", []string{"openid"})
	chosen := []string{"openid", "https://api.example/read"}
	c := p.client(t, func(cfg *idp.Config) { cfg.Scopes = chosen })
	if got := loginScopes(t, c, idp.NewFlow()); !slices.Equal(got, chosen) {
		t.Errorf("a login asks for %q, want %q", got, chosen)
	}
	p.allows(startPath, "openid")
	_, err := c.StartDevice(t.Context())
	if refused := wantRefusal(t, err, 400, "invalid_scope"); !refused.OfClient() || !refused.OfScopes() {
		t.Errorf("%v is not about the client and its scopes", refused)
	}
	p.one(t, startPath)
	if _, ok := c.Narrower(idp.NewFlow()); ok {
		t.Error("Narrower has fewer scopes than were chosen")
	}
}

// A login whose scopes are refused in the browser tries again with fewer, and
// ends. Anyone can forge such a refusal, so other logins go on as before.
func TestNarrower(t *testing.T) {
	var l log
	p := newProvider(t)
	c := p.client(t, l.to)
	flow := idp.NewFlow()
	flow.Prompt, flow.Reauthenticate, flow.Subject = true, true, "richard"
	tries := 0
	for next, ok := flow, true; ok; next, ok = c.Narrower(next) {
		got := loginScopes(t, c, next)
		want := [][]string{{"openid", "profile", "email", "offline_access"}, {"openid", "profile", "email"}, {"openid"}}[tries]
		if !slices.Equal(got, want) {
			t.Errorf("try %d asks for %q, want %q", tries+1, got, want)
		}
		if tries > 0 && (next.Nonce == flow.Nonce || next.Verifier == flow.Verifier) {
			t.Errorf("try %d uses the nonce or the verifier again", tries+1)
		}
		if !next.Prompt || !next.Reauthenticate || next.Subject != "richard" {
			t.Errorf("try %d forgets what the login must prove: %+v", tries+1, next)
		}
		tries++
	}
	if tries != 3 {
		t.Errorf("%d tries, want 3", tries)
	}
	if got := loginScopes(t, c, idp.NewFlow()); len(got) != 4 {
		t.Errorf("another login asks for %q, want all", got)
	}
	l.wantWarnings(t, 1, "SCOPES")
}
