package idp_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

func TestPollDevice(t *testing.T) {
	p, c := start(t)
	p.on("/oauth2/token", respond(200, `{"access_token":"a","refresh_token":"r","id_token":"i","expires_in":"600","userId":"u"}`))
	got, err := c.PollDevice(t.Context(), "the-device-code")
	if err != nil {
		t.Fatalf("PollDevice: %v", err)
	}
	wantIn(t, "Expires", got.Expires, 600*time.Second)
	got.Expires = time.Time{}
	if want := (idp.Tokens{Access: "a", Refresh: "r", ID: "i"}); got != want {
		t.Errorf("PollDevice: %+v, want %+v", got, want)
	}
	form := p.one(t, "/oauth2/token").form
	if grant := form.Get("grant_type"); grant != "urn:ietf:params:oauth:grant-type:device_code" {
		t.Errorf("grant_type %q", grant)
	}
	if code := form.Get("device_code"); code != "the-device-code" {
		t.Errorf("device_code %q, want the-device-code", code)
	}
}

// A fault that is taken for a decision ends a login that would have worked. A
// decision that is taken for a fault causes useless polls.
func TestPollDeviceErrors(t *testing.T) {
	tests := []struct {
		name     string
		response http.HandlerFunc
		status   int // 0: not an error response
		code     string
		final    bool
	}{
		{"pending", respond(400, `{"error":"authorization_pending"}`), 400, idp.CodePending, true},
		{"pending with 403", respond(403, `{"error":"authorization_pending"}`), 403, idp.CodePending, true},
		{"pending with 200", respond(200, `{"error":"authorization_pending"}`), 200, idp.CodePending, true},
		{"pending as text/plain", respondAs(200, "text/plain", `{"error":"authorization_pending"}`), 200, idp.CodePending, true},
		{"slow_down", respond(400, `{"error":"slow_down","interval":30}`), 400, idp.CodeSlowDown, true},
		{"slow_down with 429", respond(429, `{"error":"slow_down"}`), 429, idp.CodeSlowDown, true},
		{"denied", respond(400, `{"error":"access_denied"}`), 400, idp.CodeDenied, true},
		{"expired", respond(400, `{"error":"expired_token"}`), 400, idp.CodeExpired, true},
		{"invalid_client", respond(401, `{"error":"invalid_client"}`), 401, "invalid_client", true},
		{"an error and a token", respond(200, `{"error":"access_denied","access_token":"a"}`), 200, idp.CodeDenied, true},
		{"500 with a code", respond(500, `{"error":"server_error"}`), 500, "server_error", false},
		{"503 with a client's code", respond(503, `{"error":"invalid_grant"}`), 503, "invalid_grant", false},
		{"401 without a code", respond(401, `{}`), 401, "", true},
		{"401 page", respondAs(401, "text/html", `<html>`), 401, "", true},
		{"401 with a sentence for a code", respond(401, `{"error":"Invalid client secret"}`), 401, "Invalid client secret", true}, // Pocket ID
		{"pending with 401", respond(401, `{"error":"authorization_pending"}`), 401, idp.CodePending, true},
		{"429 with another code", respond(429, `{"error":"access_denied"}`), 429, idp.CodeDenied, false},
		{"429 with a sentence for a code", respond(429, `{"error":"Too many requests"}`), 429, "Too many requests", false},
		{"pending with 429", respond(429, `{"error":"authorization_pending"}`), 429, idp.CodePending, true},
		{"429 without a code", respond(429, `{}`), 429, "", false},
		{"429 page", respondAs(429, "text/html", `<html>slow down</html>`), 429, "", false},
		{"400 without a code", respond(400, `{"message":"no"}`), 400, "", false},
		{"400 with a code of another type", respond(400, `{"error":{"code":"x"}}`), 400, "", false},
		{"502 page", respondAs(502, "text/html", `<html>`), 502, "", false},
		{"redirect", redirect("/oauth2/elsewhere"), 307, "", false},
		{"no access token", respond(200, `{"id_token":"i"}`), 0, "", false},
		{"empty object", respond(200, `{}`), 0, "", false},
		{"array", respond(200, `["authorization_pending"]`), 0, "", false},
		{"garbage", respond(200, `<html>`), 0, "", false},
		{"connection cut", cut, 0, "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProvider(t)
			c := p.client(t, byPost)
			p.on("/oauth2/token", tt.response)
			got, err := c.PollDevice(t.Context(), "d")
			if got != (idp.Tokens{}) {
				t.Error("PollDevice: tokens beside the error, want none")
			}
			p.one(t, "/oauth2/token")
			if tt.status == 0 {
				wantFault(t, err)
				return
			}
			if refused := wantRefusal(t, err, tt.status, tt.code); refused.Final() != tt.final {
				t.Errorf("Final: %v, want %v", refused.Final(), tt.final)
			}
		})
	}
}

// In RFC 8628 slow_down means five seconds. Some providers give the interval
// they want, in the body or in a Retry-After header.
func TestSlowDownInterval(t *testing.T) {
	for _, tt := range []struct {
		more, after string
		want        time.Duration
	}{
		{``, "", 0},
		{`,"interval":30`, "", 30 * time.Second},
		{`,"interval":"30"`, "", 30 * time.Second},
		{`,"interval":0.5`, "", time.Second},
		{`,"interval":86400`, "", time.Minute},
		{`,"interval":1e300`, "", time.Minute},
		{`,"interval":-1`, "", 0},
		{`,"interval":"soon"`, "", 0},
		{`,"interval":null`, "", 0},
		{`,"interval":{"s":30}`, "", 0},
		{``, "20", 20 * time.Second},
		{`,"interval":30`, "20", 30 * time.Second},
		{`,"interval":10`, "20", 20 * time.Second},
		{``, "86400", time.Minute},
		{``, "9999999999", time.Minute},
		{``, "99999999999999999999", 0},
		{``, "Fri, 31 Dec 9999 23:59:59 GMT", time.Minute},
		{``, "Mon, 01 Jan 2001 00:00:00 GMT", 0},
		{``, "2999-01-01T00:00:00Z", 0},
		{``, "-1", 0},
		{``, "soon", 0},
	} {
		t.Run(tt.more+tt.after, func(t *testing.T) {
			p, c := start(t)
			p.on("/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", tt.after)
				respond(400, `{"error":"slow_down"`+tt.more+`}`)(w, r)
			})
			_, err := c.PollDevice(t.Context(), "d")
			if got := wantRefusal(t, err, 400, idp.CodeSlowDown).Interval; got != tt.want {
				t.Errorf("Interval %v, want %v", got, tt.want)
			}
		})
	}
}

// A Retry-After may be a date, too. Which way a clock is off does not matter: the
// wait is bounded.
func TestRetryAfterDate(t *testing.T) {
	inBubble(t, func(t *testing.T, p *provider) {
		c := p.newClient(t)
		synctest.Wait()
		for wait, want := range map[time.Duration]time.Duration{
			20 * time.Second: 20 * time.Second,
			-time.Minute:     0,
			time.Hour:        time.Minute,
		} {
			p.on("/oauth2/token", func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", time.Now().Add(wait).UTC().Format(http.TimeFormat))
				respond(429, `{"error":"rate_limited"}`)(w, r)
			})
			_, err := c.PollDevice(t.Context(), "d")
			if got := wantRefusal(t, err, 429, "rate_limited"); got.Interval != want || got.Final() {
				t.Errorf("%v from now: Interval %v, final %v, want %v and not final", wait, got.Interval, got.Final(), want)
			}
		}
	})
}
