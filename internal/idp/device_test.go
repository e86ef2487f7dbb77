package idp_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"changebank/internal/idp"
)

func redirectsTo(url string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, url, http.StatusTemporaryRedirect) }
}

func saysAs(contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(w, body)
	}
}

// device is an answer of the device endpoint with more members at its end.
func device(more string) string {
	return `{"device_code":"the-device-code","user_code":"WDJB-MJHT","verification_uri":"` + verifyURI + `"` + more + `}`
}

func TestStartDevice(t *testing.T) {
	const complete = verifyURI + "?user_code=WDJB-MJHT"
	tests := []struct {
		name             string
		answer           http.HandlerFunc
		expires          time.Duration
		interval         time.Duration
		complete, device string
	}{
		{"the usual", says(200, device(`,"verification_uri_complete":"`+complete+`&x=1","expires_in":600,"interval":7`)), 600 * time.Second, 7 * time.Second, complete + "&x=1", ""},
		{"as strings", says(200, device(`,"expires_in":"600","interval":"7"`)), 600 * time.Second, 7 * time.Second, complete, ""},
		{"as floats", says(200, device(`,"expires_in":600.0,"interval":5.0`)), 600 * time.Second, 5 * time.Second, complete, ""},
		{"as small numbers", says(200, device(`,"expires_in":6e2,"interval":0.25`)), 600 * time.Second, time.Second, complete, ""},
		{"missing", says(200, device(``)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"null", says(200, device(`,"expires_in":null,"interval":null`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"zero", says(200, device(`,"expires_in":0,"interval":0`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		// A ticker of such an interval takes the whole process down.
		{"negative", says(200, device(`,"expires_in":-1,"interval":-5`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"huge", says(200, device(`,"expires_in":1e300,"interval":99999999999999999999`)), 30 * time.Minute, time.Minute, complete, ""},
		{"past all numbers", says(200, device(`,"expires_in":1e999,"interval":"Inf"`)), 5 * time.Minute, time.Minute, complete, ""},
		{"no numbers", says(200, device(`,"expires_in":"soon","interval":"NaN"`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"no scalars", says(200, device(`,"expires_in":{"s":1},"interval":[1]`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"as text/plain", saysAs("text/plain", device(`,"expires_in":600,"interval":7`)), 600 * time.Second, 7 * time.Second, complete, ""},
		// The QR code is what people scan: it leads to our page only.
		{"complete URI on another host", says(200, device(`,"verification_uri_complete":"https://evil.example/activate?user_code=WDJB-MJHT"`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"complete URI by http", says(200, device(`,"verification_uri_complete":"http://bank.example/activate?user_code=WDJB-MJHT"`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"complete URI on another port", says(200, device(`,"verification_uri_complete":"https://bank.example:8443/activate?user_code=WDJB-MJHT"`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"complete URI on another path", says(200, device(`,"verification_uri_complete":"https://bank.example/logout?user_code=WDJB-MJHT"`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"complete URI below our page", says(200, device(`,"verification_uri_complete":"https://bank.example/activate/../logout?user_code=WDJB-MJHT"`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"complete URI with another's name before ours", says(200, device(`,"verification_uri_complete":"https://evil.example@bank.example/activate?user_code=WDJB-MJHT"`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"complete URI with our name before another's", says(200, device(`,"verification_uri_complete":"https://bank.example@evil.example/activate?user_code=WDJB-MJHT"`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"complete URI without a host", says(200, device(`,"verification_uri_complete":"/activate?user_code=WDJB-MJHT"`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"complete URI without slashes", says(200, device(`,"verification_uri_complete":"https:bank.example/activate?user_code=WDJB-MJHT"`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"complete URI that is a script", says(200, device(`,"verification_uri_complete":"javascript:alert(1)"`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"complete URI that is none", says(200, device(`,"verification_uri_complete":"https://["`)), 5 * time.Minute, 5 * time.Second, complete, ""},
		{"complete URI with a query of its own", says(200, `{"device_code":"the-device-code","user_code":"A+B C","verification_uri":"https://bank.example/activate?tenant=t"}`), 5 * time.Minute, 5 * time.Second, "https://bank.example/activate?tenant=t&user_code=A%2BB+C", "A+B C"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newScripted(t)
			c := p.client(t)
			p.on("/oauth2/device_authorize", tt.answer)
			got, err := c.StartDevice(t.Context())
			if err != nil {
				t.Fatalf("StartDevice: %v", err)
			}
			user := "WDJB-MJHT"
			if tt.device != "" {
				user = tt.device
			}
			if got.Device != "the-device-code" || got.User != user {
				t.Errorf("codes %q and %q, want the-device-code and %s", got.Device, got.User, user)
			}
			if got.URIComplete != tt.complete || !strings.HasPrefix(got.URI, verifyURI) {
				t.Errorf("URIs %s and %s, want %s and %s", got.URI, got.URIComplete, verifyURI, tt.complete)
			}
			if got.Interval != tt.interval {
				t.Errorf("interval %v, want %v", got.Interval, tt.interval)
			}
			wantIn(t, "Expires", time.Until(got.Expires), tt.expires)
			asked := p.requests("/oauth2/device_authorize")
			if len(asked) != 1 || asked[0].form.Get("scope") != "openid profile email offline_access" {
				t.Errorf("asked %d times, with the form %v, want once, with our scopes", len(asked), asked[0].form)
			}
		})
	}
}

func TestStartDeviceFaults(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"empty object", says(200, `{}`)},
		{"nothing", says(200, ``)},
		{"null", says(200, `null`)},
		{"array", says(200, `[{"device_code":"d"}]`)},
		{"garbage", says(200, `<html>`)},
		{"half an answer", says(200, device(``)[:60])},
		{"half an answer, by length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "500")
			_, _ = io.WriteString(w, device(``))
		}},
		{"connection cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{"no device code", says(200, strings.Replace(device(``), "device_code", "x", 1))},
		{"no user code", says(200, strings.Replace(device(``), "user_code", "x", 1))},
		{"no URI", says(200, strings.Replace(device(``), "verification_uri", "x", 1))},
		{"a URI without a host", says(200, strings.Replace(device(``), verifyURI, "/activate", 1))},
		{"a URI that is none", says(200, strings.Replace(device(``), verifyURI, "https://[", 1))},
		{"2 MB", func(w http.ResponseWriter, r *http.Request) {
			says(200, strings.Replace(device(``), "the-device-code", strings.Repeat("x", 2<<20), 1))(w, r)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newScripted(t)
			c := p.client(t)
			p.on("/oauth2/device_authorize", tt.answer)
			got, err := c.StartDevice(t.Context())
			fault(t, err)
			if got != (idp.DeviceCode{}) {
				t.Errorf("StartDevice: %+v beside the error, want nothing", got)
			}
			if err != nil && len(err.Error()) > 1000 {
				t.Errorf("the error has %d bytes, want a sentence", len(err.Error()))
			}
		})
	}
}

func TestPollDevice(t *testing.T) {
	p := newScripted(t)
	c := p.client(t)
	p.on("/oauth2/token", says(200, `{"access_token":"a","refresh_token":"r","id_token":"i","expires_in":"600","userId":"u"}`))
	got, err := c.PollDevice(t.Context(), "the-device-code")
	if err != nil {
		t.Fatalf("PollDevice: %v", err)
	}
	if got.Access != "a" || got.Refresh != "r" || got.ID != "i" {
		t.Errorf("PollDevice: %+v, want tokens a, r and i", got)
	}
	wantIn(t, "Expires", time.Until(got.Expires), 600*time.Second)
	asked := p.requests("/oauth2/token")
	if len(asked) != 1 {
		t.Fatalf("%d requests, want 1", len(asked))
	}
	if grant := asked[0].form.Get("grant_type"); grant != "urn:ietf:params:oauth:grant-type:device_code" {
		t.Errorf("grant_type %q", grant)
	}
	if code := asked[0].form.Get("device_code"); code != "the-device-code" {
		t.Errorf("device_code %q, want the-device-code", code)
	}
}

// Who takes trouble for an answer ends a login that would have worked; who
// takes an answer for trouble goes on asking.
func TestPollDeviceWithoutTokens(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		status int // 0: not the provider's word
		code   string
		final  bool
	}{
		{"pending", says(400, `{"error":"authorization_pending"}`), 400, idp.CodePending, true},
		{"pending at 403", says(403, `{"error":"authorization_pending"}`), 403, idp.CodePending, true},
		{"pending at 200", says(200, `{"error":"authorization_pending"}`), 200, idp.CodePending, true},
		{"pending as text/plain", saysAs("text/plain", `{"error":"authorization_pending"}`), 200, idp.CodePending, true},
		{"slow_down", says(400, `{"error":"slow_down","interval":30}`), 400, idp.CodeSlowDown, true},
		{"slow_down at 429", says(429, `{"error":"slow_down"}`), 429, idp.CodeSlowDown, true},
		{"denied", says(400, `{"error":"access_denied"}`), 400, idp.CodeDenied, true},
		{"expired", says(400, `{"error":"expired_token"}`), 400, idp.CodeExpired, true},
		{"invalid_client", says(401, `{"error":"invalid_client"}`), 401, "invalid_client", true},
		{"an error and a token", says(200, `{"error":"access_denied","access_token":"a"}`), 200, idp.CodeDenied, true},
		{"500 with a code", says(500, `{"error":"server_error"}`), 500, "server_error", false},
		{"503 with a client's code", says(503, `{"error":"invalid_grant"}`), 503, "invalid_grant", false},
		{"429 without a code", says(429, `{}`), 429, "", false},
		{"429 page", saysStatus(429, "text/html", `<html>slow down</html>`), 429, "", false},
		{"400 without a code", says(400, `{"message":"no"}`), 400, "", false},
		{"400 with a code that is none", says(400, `{"error":{"code":"x"}}`), 400, "", false},
		{"502 page", saysStatus(502, "text/html", `<html>`), 502, "", false},
		{"redirect", redirectsTo("/oauth2/elsewhere"), 307, "", false},
		{"no access token", says(200, `{"id_token":"i"}`), 0, "", false},
		{"empty object", says(200, `{}`), 0, "", false},
		{"array", says(200, `["authorization_pending"]`), 0, "", false},
		{"garbage", says(200, `<html>`), 0, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newScripted(t)
			c := p.client(t)
			p.on("/oauth2/token", tt.answer)
			got, err := c.PollDevice(t.Context(), "d")
			if got != (idp.Tokens{}) {
				t.Errorf("PollDevice: tokens beside the error, want none")
			}
			if n := len(p.requests("/oauth2/token")); n != 1 {
				t.Errorf("%d requests, want 1", n)
			}
			if tt.status == 0 {
				fault(t, err)
				return
			}
			if refused := refusal(t, err, tt.status, tt.code); refused.Final() != tt.final {
				t.Errorf("Final: %v, want %v", refused.Final(), tt.final)
			}
		})
	}
}

// RFC 8628 has slow_down mean five seconds; some providers say how far apart
// they want the polls.
func TestSlowDownSaysHowMuch(t *testing.T) {
	for _, tt := range []struct {
		more string
		want time.Duration
	}{
		{``, 0},
		{`,"interval":30`, 30 * time.Second},
		{`,"interval":"30"`, 30 * time.Second},
		{`,"interval":0.5`, time.Second},
		{`,"interval":86400`, time.Minute},
		{`,"interval":1e300`, time.Minute},
		{`,"interval":-1`, 0},
		{`,"interval":"soon"`, 0},
		{`,"interval":null`, 0},
		{`,"interval":{"s":30}`, 0},
	} {
		t.Run(tt.more, func(t *testing.T) {
			p := newScripted(t)
			c := p.client(t)
			p.on("/oauth2/token", says(400, `{"error":"slow_down"`+tt.more+`}`))
			_, err := c.PollDevice(t.Context(), "d")
			if got := refusal(t, err, 400, idp.CodeSlowDown).Interval; got != tt.want {
				t.Errorf("Interval %v, want %v", got, tt.want)
			}
		})
	}
}

func saysStatus(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestApproveDevice(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		ok     bool
		status int // of a refusal; 0: a fault
		code   string
		reason string
	}{
		{"ok", says(200, `{"deviceGrantStatus":"Approved","userId":"u"}`), true, 0, "", ""},
		{"refused", says(400, `{"error":"invalid_request","error_reason":"invalid_user_code"}`), false, 400, "invalid_request", "invalid_user_code"},
		{"no such call", http.NotFound, false, 404, "", ""},
		{"in trouble", says(503, `{}`), false, 503, "", ""},
		{"too fast", saysStatus(429, "text/html", `<html>`), false, 429, "", ""},
		{"redirect", redirectsTo("/login"), false, 307, "", ""},
		// Not a yes, whatever the status says.
		{"another word", says(200, `{"deviceGrantStatus":"Pending"}`), false, 0, "", ""},
		{"no word", says(200, `{}`), false, 0, "", ""},
		{"a page", saysAs("text/html", `<html>log in first</html>`), false, 0, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newScripted(t)
			c := p.client(t)
			p.on("/oauth2/device/approve", tt.answer)
			err := c.ApproveDevice(t.Context(), "wdjb-MJHT", "the-access-token")
			switch {
			case tt.ok:
				if err != nil {
					t.Errorf("ApproveDevice: %v", err)
				}
			case tt.status == 0:
				fault(t, err)
			default:
				if refused := refusal(t, err, tt.status, tt.code); refused.Reason != tt.reason {
					t.Errorf("Reason %q, want %q", refused.Reason, tt.reason)
				}
			}
			asked := p.requests("/oauth2/device/approve")
			if len(asked) != 1 {
				t.Fatalf("%d requests, want 1", len(asked))
			}
			// The user code goes as the provider wrote it.
			if code, token := asked[0].form.Get("user_code"), asked[0].form.Get("token"); code != "wdjb-MJHT" || token != "the-access-token" {
				t.Errorf("user_code %q and token %q, want wdjb-MJHT and the-access-token", code, token)
			}
		})
	}
}

// A guess at another provider's paths would send a person's access token there.
func TestApproveDeviceOnlyWhereItIsKnown(t *testing.T) {
	for _, path := range []string{"/device/code", "/oauth2/device_authorization", "/device_authorize/x"} {
		p := newScripted(t)
		p.tell("device_authorization_endpoint", p.url+path)
		c := p.client(t)
		refusal(t, c.ApproveDevice(t.Context(), "u", "a"), 404, "")
		p.mu.Lock()
		for _, r := range p.asked {
			if r.form.Get("token") != "" {
				t.Errorf("%s: the access token went to %s", path, r.path)
			}
		}
		p.mu.Unlock()
	}
}

// A link without client_id shows an error as soon as the code is dead.
func TestDevicePage(t *testing.T) {
	p := newScripted(t)
	c := p.client(t)
	inTenant := signer{}.sign(t, map[string]any{"tid": "d7d09513-a3f5-401c-9685-34ab6c552453"})
	want := p.url + "/oauth2/device?client_id=" + clientID
	for access, want := range map[string]string{
		inTenant:                        want + "&tenantId=d7d09513-a3f5-401c-9685-34ab6c552453&user_code=AB%26C",
		signer{}.sign(t, p.claims(nil)): want + "&user_code=AB%26C",
		"opaque":                        want + "&user_code=AB%26C",
		"a.b.c":                         want + "&user_code=AB%26C",
	} {
		if got := c.DevicePage("AB&C", access); got != want {
			t.Errorf("DevicePage with %.20s…: %s, want %s", access, got, want)
		}
	}
	elsewhere := newScripted(t)
	elsewhere.tell("device_authorization_endpoint", elsewhere.url+"/device/auth")
	if got := elsewhere.client(t).DevicePage("ABC", inTenant); got != "" {
		t.Errorf("DevicePage at another provider: %s, want none", got)
	}
}

func TestRevoke(t *testing.T) {
	tests := []struct {
		name   string
		tokens idp.Tokens
		want   string
	}{
		{"the refresh token, which ends the grant", idp.Tokens{Access: "a", Refresh: "r", ID: "i"}, "r"},
		{"no refresh token", idp.Tokens{Access: "a"}, "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newScripted(t)
			c := p.client(t)
			p.on("/oauth2/revoke", says(200, ``))
			if err := c.Revoke(t.Context(), tt.tokens); err != nil {
				t.Errorf("Revoke: %v", err)
			}
			asked := p.requests("/oauth2/revoke")
			if len(asked) != 1 || asked[0].form.Get("token") != tt.want {
				t.Errorf("asked %+v, want once, to revoke %q", asked, tt.want)
			}
		})
	}
}

func TestRevokeRefused(t *testing.T) {
	p := newScripted(t)
	c := p.client(t)
	p.on("/oauth2/revoke", says(503, `{}`))
	refusal(t, c.Revoke(t.Context(), idp.Tokens{Access: "a"}), 503, "")
	p.on("/oauth2/revoke", says(401, `{"error":"invalid_client"}`))
	refusal(t, c.Revoke(t.Context(), idp.Tokens{Access: "a"}), 401, "invalid_client")
	// RFC 7009, section 2.2.1: access tokens of this provider end by themselves.
	p.on("/oauth2/revoke", says(400, `{"error":"unsupported_token_type"}`))
	if err := c.Revoke(t.Context(), idp.Tokens{Access: "a"}); err != nil {
		t.Errorf("Revoke: %v, want nil where access tokens cannot be revoked", err)
	}
}

func TestRevokeWithoutEndpoint(t *testing.T) {
	p := newScripted(t)
	p.tell("revocation_endpoint", nil)
	if err := p.client(t).Revoke(t.Context(), idp.Tokens{Access: "a"}); err != nil {
		t.Errorf("Revoke: %v, want nil where there is no endpoint", err)
	}
	if n := len(p.requests("/oauth2/revoke")); n != 0 {
		t.Errorf("%d requests, want 0", n)
	}
}

// What a provider, or something in its place, says ends up in our log: it must
// neither fill it nor write lines of its own.
func TestErrorIsOneShortLine(t *testing.T) {
	hostile := []string{
		strings.Repeat("x", 1<<20),
		strings.Repeat("\U0010ffff", 1<<10),
		strings.Repeat("\xff", 1<<10),
		"a\nlevel=ERROR msg=forged",
		"a\r\n\x1b[2Jb\u2028c",
	}
	for _, word := range hostile {
		err := fmt.Errorf("idp: poll: %w", &idp.Error{Status: 400, Code: word, Reason: word})
		if text := err.Error(); len(text) > 1500 || strings.ContainsAny(text, "\r\n\x1b\u2028") {
			t.Errorf("%.20q: a text of %d bytes: %.200q", word, len(text), text)
		}
	}
	for _, tt := range []struct {
		err  *idp.Error
		want string
	}{
		{&idp.Error{Status: 400, Code: "invalid_request", Reason: "invalid_user_code"}, `provider answered 400 "invalid_request" "invalid_user_code"`},
		{&idp.Error{Status: 502}, `provider answered 502`},
		{&idp.Error{Code: "access_denied"}, `provider answered "access_denied"`},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("Error: %s, want %s", got, tt.want)
		}
		if _, ok := errors.AsType[*idp.Error](fmt.Errorf("idp: %w", tt.err)); !ok {
			t.Errorf("%v is lost in another", tt.err)
		}
	}
}
