package idp_test

import (
	"slices"
	"strings"
	"testing"

	"changebank/internal/idp"
)

func TestOrigins(t *testing.T) {
	for _, tt := range []struct {
		endSession any
		want       []string
	}{
		{"https://logout.example:8443/bye?x=1", []string{"URL", "https://logout.example:8443"}},
		{"URL/oauth2/logout", []string{"URL"}},
		{nil, []string{"URL"}},
	} {
		p := newProvider(t)
		if at, ok := tt.endSession.(string); ok {
			tt.endSession = strings.ReplaceAll(at, "URL", p.url)
		}
		p.set("end_session_endpoint", tt.endSession)
		tt.want[0] = p.url
		if got := p.client(t).Origins(); !slices.Equal(got, tt.want) {
			t.Errorf("Origins with %v: %q, want %q", tt.endSession, got, tt.want)
		}
	}
}

// wantOwns checks [idp.Client.Owns] for each URI.
func wantOwns(t *testing.T, c *idp.Client, want bool, uris ...string) {
	t.Helper()
	for _, uri := range uris {
		if got := c.Owns(uri); got != want {
			t.Errorf("Owns(%q): %v, want %v", uri, got, want)
		}
	}
}

// People enter their passwords on the provider's pages: no other host may pass
// for it.
func TestOwns(t *testing.T) {
	p := newProvider(t)
	p.set("authorization_endpoint", "https://login.example:8443/authorize")
	host := strings.TrimPrefix(p.url, "http://")
	c := p.client(t)
	wantOwns(t, c, true, p.url+"/device", p.url, "https://login.example:8443/device")
	wantOwns(t, c, false,
		"https://login.example/device",
		"http://login.example:8443/device",
		"https://"+host+"/device",
		p.url+"0/device",
		p.url+".evil.example/device",
		p.url+"@evil.example/device",
		"https://evil.example/"+p.url+"/device",
		"https://evil.example/?x="+p.url+"/",
		"https://evil.example#"+p.url+"/",
		"https://login.example:8443@evil.example/x",
		"https://login.example:8443.evil.example/x",
		"//"+host+"/device",
		"/device",
		"",
		"javascript://login.example:8443/%0aalert()",
	)
}

func TestOwnsBeforeDiscovery(t *testing.T) {
	p := newProvider(t)
	c := p.unready(t)
	wantOwns(t, c, true, p.url+"/device")
	wantOwns(t, c, false, "https://login.example/", "")
}
