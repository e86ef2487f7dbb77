package idp_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"changebank/internal/idp"
)

// A provider may reject a login for a scope that it does not know, and gives
// no refresh token unless it is asked for one.
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
		{"openid only", []string{"openid"}, []string{"openid"}},
		// Without openid there is no ID token, and so no login.
		{"no openid", []string{"email", "profile"}, []string{"openid", "profile", "email"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProvider(t)
			p.set("scopes_supported", tt.offered)
			p.set("device_authorization_endpoint", p.url+"/device") // not FusionAuth, which has them all
			c := p.client(t)
			page, err := c.AuthURL("state", idp.NewFlow(), false)
			if err != nil {
				t.Fatalf("AuthURL: %v", err)
			}
			u, err := url.Parse(page)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Fields(u.Query().Get("scope")); !slices.Equal(got, tt.want) {
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
