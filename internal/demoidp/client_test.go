package demoidp

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Every endpoint for the application requires its secret, in the body or in the
// header, but not in the URL.
func TestClientAuthentication(t *testing.T) {
	w := start(t)
	person := w.logIn(richard)
	forms := map[string]func() url.Values{
		"/oauth2/token": func() url.Values {
			device := w.startDevice()
			w.approve(device, person)
			return url.Values{"grant_type": {deviceGrant}, "device_code": {device.text("device_code")}}
		},
		"/oauth2/token with a code": func() url.Values {
			return url.Values{"grant_type": {"authorization_code"}, "redirect_uri": {callback}, "code": {w.newCode(richard)}, "code_verifier": {verifier}}
		},
		"/oauth2/token with a refresh token": func() url.Values {
			return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {person.RefreshToken}}
		},
		"/oauth2/device_authorize": func() url.Values { return url.Values{"scope": {"openid"}} },
		"/oauth2/device/approve": func() url.Values {
			return url.Values{"token": {person.AccessToken}, "user_code": {w.startDevice().text("user_code")}}
		},
		"/oauth2/revoke": func() url.Values { return url.Values{"token": {"unknown"}} },
	}
	basic := func(id, secret string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret)) }
	}
	for _, tt := range []struct {
		name   string
		body   url.Values
		header func(*http.Request)
		status int
		code   string
	}{
		{"post", credentials(clientID, secret), nil, 200, ""},
		{"basic", nil, basic(clientID, secret), 200, ""},
		{"basic, id in body", url.Values{"client_id": {clientID}}, basic(clientID, secret), 200, ""},
		{"basic, other id in body", url.Values{"client_id": {"other"}}, basic(clientID, secret), 401, "invalid_client"},
		{"none", url.Values{"client_id": {clientID}}, nil, 401, "invalid_client"},
		{"nothing", nil, nil, 401, "invalid_client"},
		{"wrong post", credentials(clientID, "wrong"), nil, 401, "invalid_client"},
		{"wrong basic", nil, basic(clientID, "wrong"), 401, "invalid_client"},
		{"unknown post", credentials("unknown", secret), nil, 401, "invalid_client"},
		{"unknown basic", nil, basic("unknown", secret), 401, "invalid_client"},
		{"basic not encoded", nil, func(r *http.Request) { r.SetBasicAuth(clientID, "%") }, 401, "invalid_client"},
		{"both", credentials(clientID, secret), basic(clientID, secret), 400, "invalid_request"},
		{"in the URL", nil, func(r *http.Request) { r.URL.RawQuery = credentials(clientID, secret).Encode() }, 401, "invalid_client"},
	} {
		for endpoint, form := range forms {
			t.Run(tt.name+endpoint, func(t *testing.T) {
				path, _, _ := strings.Cut(endpoint, " ")
				a := w.post(path, merge(form(), tt.body), tt.header)
				if a.status != tt.status || a.text("error") != tt.code {
					t.Errorf("got %d %v, want %d %s", a.status, a.body, tt.status, tt.code)
				}
				if challenge := a.header.Get("WWW-Authenticate"); (a.status == 401) != (challenge != "") {
					t.Errorf("%d with WWW-Authenticate %q", a.status, challenge)
				}
			})
		}
	}
}
