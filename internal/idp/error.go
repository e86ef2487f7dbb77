package idp

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// ErrNotReady says that the provider has not been discovered yet.
var ErrNotReady = errors.New("idp: provider not discovered yet")

// ErrNoDeviceGrant says that the provider does not have RFC 8628.
var ErrNoDeviceGrant = errors.New("idp: the provider's discovery document has no device_authorization_endpoint; " +
	"enable its device authorization grant (RFC 8628)")

// ErrInvalidToken says that a token is invalid and always will be. After any
// other error of [Client.Verify] the same call may succeed later: the keys
// could not be fetched, for example.
var ErrInvalidToken = errors.New("idp: invalid token")

const codeInvalidScope = "invalid_scope" // RFC 6749, sections 4.1.2.1 and 5.2

// An Error is an error response of the provider.
type Error struct {
	Status   int           // HTTP status; 0 if the response came through the browser
	Code     string        // OAuth error code (RFC 6749, section 5.2), if any
	Reason   string        // FusionAuth's error_reason, if any
	Interval time.Duration // how long the provider asks us to wait before the next request; 0 if it does not say
}

func (e *Error) Error() string {
	text := "provider answered"
	if e.Status != 0 {
		text = fmt.Sprintf("provider answered %d", e.Status)
	}
	for _, word := range []string{e.Code, e.Reason} {
		if word != "" {
			text += fmt.Sprintf(" %.60q", word) // from outside: short, and on one line
		}
	}
	return text
}

// OfClient reports whether the provider rejects this application rather than a
// person or a code: the application's settings do not match the provider's.
func (e *Error) OfClient() bool {
	switch e.Code {
	case "invalid_client", "unauthorized_client", codeInvalidScope, "unsupported_grant_type":
		return true
	case "invalid_request", "unsupported_response_type": // of the authorization request, in which no code is sent
		return e.Status == 0
	}
	return e.ofSecret()
}

// ofSecret reports whether the client did not authenticate as the provider wants.
// With 401 any body says so, since not every provider has RFC 6749's code in it.
func (e *Error) ofSecret() bool {
	switch e.Code {
	case CodePending, CodeSlowDown, CodeDenied, CodeExpired:
		return false
	}
	return e.Status == http.StatusUnauthorized || e.Status == http.StatusBadRequest && e.Code == "invalid_client"
}

// NeedsLogin reports whether the provider refused a login because the person
// would have to log in there, and it did not ask (OpenID Connect Core, section
// 3.1.2.6).
func (e *Error) NeedsLogin() bool {
	return e.Code == "login_required" || e.Code == "interaction_required"
}

// OfScopes reports whether the provider refused the scopes. A login may succeed
// with fewer: see [Client.Narrower].
func (e *Error) OfScopes() bool { return e.Code == codeInvalidScope }

// OfCode reports whether the provider does not know the code (any longer). The
// error code for that is invalid_grant (RFC 6749, section 5.2). FusionAuth, and Dex
// after a restart, call such a code an invalid request; Entra has its own word.
func (e *Error) OfCode() bool {
	switch e.Code {
	case "invalid_grant", "bad_verification_code":
		return true
	}
	return e.Code == "invalid_request" && e.Status != 0 && (e.Reason == "" || e.Reason == "invalid_device_code")
}

// Final reports whether this is the provider's decision. If not, the provider
// or something on the way to it is failing, and the same request may succeed
// later. A provider that says 429 has only been asked too often.
func (e *Error) Final() bool {
	switch {
	case e.Status >= 500:
		return false
	case e.Status == http.StatusTooManyRequests:
		return e.Code == CodePending || e.Code == CodeSlowDown
	}
	return e.Code != "" || e.Status == http.StatusUnauthorized
}

// brief keeps an error's text on one line and short: go-oidc puts whole
// responses of the provider into its errors.
type brief struct{ error }

func (b brief) Error() string {
	const most = 300
	text := strings.Join(strings.Fields(b.error.Error()), " ")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return text
}

func (b brief) Unwrap() error { return b.error }
