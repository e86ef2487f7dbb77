package idp_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"changebank/internal/idp"
)

// The words of a provider, or of something in its place, reach the log: they
// must not fill it or forge its lines.
func TestErrorIsShort(t *testing.T) {
	for _, word := range []string{
		strings.Repeat("x", 1<<20),
		strings.Repeat("\U0010ffff", 1<<10),
		strings.Repeat("\xff", 1<<10),
		"a\nlevel=ERROR msg=forged",
		"a\r\n\x1b[2Jb\u2028c",
	} {
		err := fmt.Errorf("idp: poll: %w", &idp.Error{Status: 400, Code: word, Reason: word})
		if text := err.Error(); len(text) > 1500 || strings.ContainsAny(text, "\r\n\x1b\u2028") {
			t.Errorf("%.20q: a text of %d bytes: %.200q", word, len(text), text)
		}
	}
}

func TestErrorText(t *testing.T) {
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
			t.Errorf("%v cannot be unwrapped", tt.err)
		}
	}
}

// An error about the client is for the operator, one about the code for the
// person, and neither must be taken for the other.
func TestErrorIsAbout(t *testing.T) {
	for _, tt := range []struct {
		status         int
		code, reason   string
		client, device bool
	}{
		{400, "invalid_client", "", true, false},
		{400, "unauthorized_client", "grant_type_disabled", true, false},
		{400, "invalid_scope", "", true, false},
		{400, "unsupported_grant_type", "", true, false},
		{401, "", "", true, false},                      // a page, say
		{401, "Invalid client secret", "", true, false}, // Pocket ID
		{401, "access_denied", "", false, false},
		{401, "authorization_pending", "", false, false},
		{401, "slow_down", "", false, false},
		{401, "expired_token", "", false, false},
		{400, "invalid_grant", "", false, true},
		{400, "bad_verification_code", "", false, true},              // Entra
		{400, "invalid_request", "", false, true},                    // Dex, after a restart
		{400, "invalid_request", "invalid_device_code", false, true}, // FusionAuth
		{400, "invalid_request", "missing_device_code", false, false},
		{400, "access_denied", "", false, false},
		{400, "authorization_declined", "", false, false},
		{400, "server_error", "invalid_device_code", false, false},
		{400, "", "", false, false},
		{403, "", "", false, false},
		// Through the browser, about the request that it carried.
		{0, "invalid_request", "", true, false},
		{0, "unsupported_response_type", "", true, false},
		{0, "unauthorized_client", "", true, false},
		{0, "invalid_scope", "", true, false},
		{0, "server_error", "", false, false},
		{0, "access_denied", "", false, false},
	} {
		e := &idp.Error{Status: tt.status, Code: tt.code, Reason: tt.reason}
		if e.OfClient() != tt.client || e.OfCode() != tt.device {
			t.Errorf("%v: OfClient %v and OfCode %v, want %v and %v", e, e.OfClient(), e.OfCode(), tt.client, tt.device)
		}
	}
}
