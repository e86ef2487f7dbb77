package idp_test

import (
	"net/http"
	"testing"
)

const approvePath = "/oauth2/device/approve"

func TestApproveDevice(t *testing.T) {
	tests := []struct {
		name     string
		response http.HandlerFunc
		ok       bool
		status   int // of an error response; 0: a fault
		code     string
		reason   string
	}{
		{"approved", respond(200, `{"deviceGrantStatus":"Approved","userId":"u"}`), true, 0, "", ""},
		{"refused", respond(400, `{"error":"invalid_request","error_reason":"invalid_user_code"}`), false, 400, "invalid_request", "invalid_user_code"},
		{"no such call", http.NotFound, false, 404, "", ""},
		{"unavailable", respond(503, `{}`), false, 503, "", ""},
		{"too fast", respondAs(429, "text/html", `<html>`), false, 429, "", ""},
		{"redirect", redirect("/login"), false, 307, "", ""},
		// Not an approval, in spite of the 200.
		{"another status", respond(200, `{"deviceGrantStatus":"Pending"}`), false, 0, "", ""},
		{"no status", respond(200, `{}`), false, 0, "", ""},
		{"a page", respondAs(200, "text/html", `<html>log in first</html>`), false, 0, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, c := start(t)
			p.on(approvePath, tt.response)
			err := c.ApproveDevice(t.Context(), "wdjb-MJHT", "the-access-token")
			switch {
			case tt.ok:
				if err != nil {
					t.Errorf("ApproveDevice: %v", err)
				}
			case tt.status == 0:
				wantFault(t, err)
			default:
				if refused := wantRefusal(t, err, tt.status, tt.code); refused.Reason != tt.reason {
					t.Errorf("Reason %q, want %q", refused.Reason, tt.reason)
				}
			}
			// The user code is sent as it was issued.
			form := p.one(t, approvePath).form
			if code, token := form.Get("user_code"), form.Get("token"); code != "wdjb-MJHT" || token != "the-access-token" {
				t.Errorf("user_code %q and token %q, want wdjb-MJHT and the-access-token", code, token)
			}
		})
	}
}

// elsewhere returns providers that are not FusionAuth. Tokens must not be sent
// to a path that is only a guess.
func elsewhere(t *testing.T) map[string]*provider {
	t.Helper()
	all := make(map[string]*provider)
	for _, path := range []string{"/device/code", "/oauth2/device_authorization", "/device_authorize/x", "/oauth2/device_authorize/x"} {
		all[path] = newProvider(t)
		all[path].set("device_authorization_endpoint", all[path].url+path)
		all[path].set("revocation_endpoint", nil)
	}
	return all
}

func TestApproveDeviceElsewhere(t *testing.T) {
	for path, p := range elsewhere(t) {
		t.Run(path, func(t *testing.T) {
			wantRefusal(t, p.client(t).ApproveDevice(t.Context(), "u", "a"), 404, "")
			p.wantRequests(t, 0)
		})
	}
}

// Without a client_id the page is an error once the code has expired.
func TestDevicePage(t *testing.T) {
	p, c := start(t)
	inTenant := signer{}.sign(t, map[string]any{"tid": "d7d09513-a3f5-401c-9685-34ab6c552453"})
	page := p.url + "/oauth2/device?client_id=" + clientID
	for access, want := range map[string]string{
		inTenant:          page + "&tenantId=d7d09513-a3f5-401c-9685-34ab6c552453&user_code=AB%26C",
		p.idToken(t, nil): page + "&user_code=AB%26C",
		"opaque":          page + "&user_code=AB%26C",
		"a.b.c":           page + "&user_code=AB%26C",
	} {
		if got := c.DevicePage("AB&C", access); got != want {
			t.Errorf("DevicePage with %.20s…: %s, want %s", access, got, want)
		}
	}
	for path, p := range elsewhere(t) {
		if got := p.client(t).DevicePage("ABC", inTenant); got != "" {
			t.Errorf("DevicePage at %s: %s, want none", path, got)
		}
	}
}
