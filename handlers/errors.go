package handlers

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"changebank/internal/devicegrant"
	"changebank/internal/flows"
	"changebank/internal/idp"
	"changebank/internal/limit"
	"changebank/internal/session"
	"changebank/internal/store"
	"changebank/internal/words"
)

// An errorPage is what a visitor is told about an error.
type errorPage struct {
	status      int
	title, text string
	next        link
	retry       time.Duration // after which another try may succeed; 0: unknown
	level       slog.Level    // of the log line; a 5xx is always an error
}

// Errors of this package, each with its page below. Most are wrapped around
// their cause.
var (
	errNotFound    = errors.New("no such page")
	errWrongMethod = errors.New("method not allowed")
	errWrongHost   = errors.New("not for APP_URL's host, and not redirected there")
	errLoop        = errors.New("redirects to APP_URL loop")
	errCrossOrigin = errors.New("a POST from another origin")

	errUnfinished   = errors.New("login not finished")
	errUnverified   = errors.New("login not verified")
	errWrongAccount = errors.New("another person logged in than the one who had to")
	errNotProved    = errors.New("the provider did not prove a fresh login: its ID token has no auth_time, or one before the request (it ignores prompt=login and max_age, or the clocks differ)")

	errNoCookies     = errors.New("the browser keeps no cookies")
	errNotFromHere   = errors.New("the address is not in QR_ALLOW_FROM")
	errTooSoon       = errors.New("approved too soon")
	errNoButton      = errors.New("neither yes nor no")
	errBadForm       = errors.New("the form is too long, or damaged")
	errNoAccessToken = errors.New("no access token for the approval")
)

var (
	home       = link{"/", "Home"}
	account    = link{"/account", "Your account"}
	logInHere  = link{"/login", "Log in here instead"}
	logInAgain = link{"/login", "Log in again"}
	yourList   = link{devicesPath, "Your devices"}
)

// errorPages has the page of each error that a visitor may meet. The first that
// matches counts.
var errorPages = []struct {
	err error
	errorPage
}{
	{idp.ErrNotReady, errorPage{status: 503, title: "Login service unavailable", text: "It is starting, or can't be reached. This page tries again automatically.", next: home, retry: 5 * time.Second}},
	{store.ErrUnavailable, errorPage{status: 503, title: "Temporarily unavailable", text: "Changebank can't reach its data, so nothing was done. Try again in a moment.", next: home, retry: 5 * time.Second}},

	{errNotFound, errorPage{status: 404, title: "Page not found", text: "Check the address, or start from the home page.", next: home}},
	{errWrongMethod, errorPage{status: 405, title: "Method not allowed", text: "This address does not accept that request, so nothing was done. Start from the home page.", next: home}},
	{errWrongHost, errorPage{status: 421, title: "Wrong address", text: "This page is at a different address. Go there and try again."}},
	{errLoop, errorPage{status: 421, title: "Too many redirects", text: "The proxy in front of Changebank doesn't pass on the address that you asked for. Its administrator can find the reason in the log.", next: link{"/", "Try again"}}},
	{errCrossOrigin, errorPage{status: 403, title: "Not allowed", text: "This request came from another site, so nothing was done. Open the page here and use its button.", next: home}},

	{flows.ErrNone, errorPage{status: 400, title: "Login not completed", text: "It was started in another browser or too long ago, it was used already, or this browser doesn't accept cookies. Log in again.", next: logInAgain}},
	{errUnfinished, errorPage{status: 502, title: "Login not completed", text: "The login service did not finish your login. Try again.", next: logInAgain}},
	{errUnverified, errorPage{status: 502, title: "Login not completed", text: "The login service's answer about you could not be verified, so you are not logged in. Try again.", next: logInAgain}},
	{errWrongAccount, errorPage{status: 403, title: "Wrong account", text: "This browser is logged in as someone else. Log in with that account, or log out first.", next: logInAgain}},
	{errNotProved, errorPage{status: 403, title: "Log in with your password", text: "A phone logged this browser in, so it needs a login with a password before it may log in other devices. The login service did not ask for one, or does not say that it did. Log out first, then log in with your password and try again.", next: link{"/logout", "Log out"}, level: slog.LevelWarn}},

	{errNoCookies, errorPage{status: 400, title: "Cookies are off", text: "Changebank uses a cookie to recognize this browser. Allow cookies for this site and try again.", next: link{qrPath, "Try again"}}},
	{errNotFromHere, errorPage{status: 403, title: "Not available on this network", text: "Phone login can be used only from certain networks, and this is not one of them.", next: logInHere}},
	{idp.ErrNoDeviceGrant, errorPage{status: 501, title: "Phone login unavailable", text: "The login service does not offer it. Its administrator can enable the device authorization grant.", next: logInHere}},
	{devicegrant.ErrNoCode, errorPage{status: 502, title: "Login service unavailable", text: "It gave an unexpected answer, so there is no code. Try again in a moment.", next: logInHere}},
	{devicegrant.ErrNoNumber, errorPage{status: 403, title: "Phone login unavailable", text: "Changebank requires a number from your phone, and this login service can't show one.", next: logInHere}},
	{devicegrant.ErrStrayPage, errorPage{status: 502, title: "Phone login unavailable", text: "The login service would send your phone to the wrong address, so no code is shown. Its administrator must set the verification URL to this site's address followed by " + activatePath + ".", next: logInHere}},
	{errBadForm, errorPage{status: 400, title: "Nothing was changed", text: "The form was too long, or did not arrive as a whole. Go back and try again.", next: yourList}},
	{errNoButton, errorPage{status: 400, title: "No answer", text: "Go back and use one of the two buttons.", next: account}},
	{devicegrant.ErrOtherPerson, errorPage{status: 403, title: "Someone else is using this code", text: "Another person answered this code, or opened it first, and only they can continue. If the other device is yours, cancel there and show a new code.", next: account}},
	{devicegrant.ErrTooLate, errorPage{status: 403, title: "This code has expired", text: "If the other device is yours, show a new code there.", next: account}},
	{session.ErrLoginEnded, errorPage{status: 403, title: "Your login has ended", text: "The login service ended it. Log in again to return to the question.", next: logInAgain}},
	{errNoAccessToken, errorPage{status: 502, title: "Login service unavailable", text: "It did not answer, so nothing was done. Try again in a moment.", next: account}},

	{session.ErrUnknown, errorPage{status: 404, title: "Device not found", text: "It isn't one of yours, or it was logged out long ago. See where you are logged in.", next: yourList}},
	{session.ErrUnconfirmed, errorPage{status: 403, title: "Answer on another device", text: "A phone logged this device in, and you have not confirmed that it was you. Answer on the phone, or log in here with your password.", next: yourList}},
}

// A withNext is an error whose page has another next link than usual.
type withNext struct {
	error
	next link
}

func (e withNext) Unwrap() error { return e.error }

// pageOf returns the page of an error.
func pageOf(err error) errorPage {
	page := lookUp(err)
	if e, ok := errors.AsType[withNext](err); ok {
		page.next = e.next
	}
	return page
}

func lookUp(err error) errorPage {
	if tooMany, ok := errors.AsType[*limit.TooManyError](err); ok {
		return errorPage{
			status: http.StatusTooManyRequests,
			title:  "Too many requests",
			text:   "There were too many " + tooMany.Rule + ". Wait " + words.Minutes(tooMany.Wait) + " and try again.",
			next:   home, retry: tooMany.Wait,
		}
	}
	if e, ok := errors.AsType[*idp.URLError](err); ok {
		return errorPage{
			status: http.StatusBadGateway, title: "Phone login unavailable",
			text: "The login service gave an unsafe address, so no code is shown: " + e.Error() + ". Its administrator must correct that.", next: logInHere,
		}
	}
	refusal, ok := errors.AsType[*idp.Error](err)
	switch {
	case ok && refusal.OfClient():
		return errorPage{
			status: http.StatusBadGateway, title: "The login service doesn't accept this application",
			text: "Nobody can log in until its administrator corrects the settings. The log says what is wrong.", next: home,
		}
	case ok && refusal.Status == 0: // it came through the browser: about this person
		return errorPage{
			status: http.StatusForbidden, title: "You are not logged in", text: refusalText(refusal), next: logInAgain,
			level: refusalLevel(refusal),
		}
	}
	for _, known := range errorPages {
		if errors.Is(err, known.err) {
			return known.errorPage
		}
	}
	return errorPage{status: http.StatusInternalServerError, title: "Something went wrong", text: "It is not your fault. Try again in a moment.", next: home}
}

// hints say for OAuth's error codes which settings to look at (RFC 6749, sections
// 4.1.2.1 and 5.2).
var hints = map[string]string{
	"invalid_scope":             "check SCOPES, and which scopes the provider allows this application",
	"invalid_request":           "check that APP_URL/callback is registered at the provider, and what it requires of this application's requests",
	"unsupported_response_type": "check that the provider allows this application the response type code",
	"unsupported_grant_type":    "check that the provider allows this application the grant",
	"server_error":              "the provider's own log says more",
}

// explain adds to a refusal of this application, or to a fault of the provider,
// where to look.
func explain(err error) error {
	refusal, ok := errors.AsType[*idp.Error](err)
	if !ok || !refusal.OfClient() && refusal.Code != "server_error" {
		return err
	}
	hint := cmp.Or(hints[refusal.Code], "check CLIENT_ID, CLIENT_SECRET and CLIENT_AUTH, and that the provider allows this application the grant")
	return fmt.Errorf("%w; %s", err, hint)
}

// refusalLevel returns the log level of a refusal that came through the browser.
// People cancel all the time. What is neither about the person nor about this
// application should not happen.
func refusalLevel(e *idp.Error) slog.Level {
	switch e.Code {
	case "server_error":
		return slog.LevelError
	case idp.CodeDenied, "login_required", "interaction_required", "consent_required", "account_selection_required":
		return slog.LevelInfo
	}
	if refusalTexts[e.Reason] != "" {
		return slog.LevelInfo
	}
	return slog.LevelWarn
}

// refusalTexts say why a provider did not log somebody in: for OAuth's error
// codes (RFC 6749, section 4.1.2.1, and OpenID Connect Core, section 3.1.2.6)
// and for FusionAuth's reasons, which say more.
var refusalTexts = map[string]string{
	"access_denied":                      "The login service did not log you in, or you cancelled.",
	"login_required":                     "The login service needs you to log in again.",
	"interaction_required":               "The login service needs an answer from you. Log in again.",
	"consent_required":                   "The login service needs your consent. Log in again.",
	"account_selection_required":         "The login service needs to know which account to use. Log in again.",
	"server_error":                       "The login service has a problem. Try again in a moment.",
	"temporarily_unavailable":            "The login service is busy. Try again in a moment.",
	"change_password_required":           "The login service needs you to choose a new password. Log in again and follow its page.",
	"two_factor_required":                "The login service needs a second factor. Log in again and follow its page.",
	"registration_required":              "You don't have an account at Changebank yet. Log in again and create one.",
	"registration_verification_required": "Your account at Changebank is not confirmed yet. Look for an e-mail from the login service.",
	"email_verification_required":        "Your e-mail address is not confirmed yet. Look for an e-mail from the login service.",
	"user_locked":                        "Your account is locked at the login service. Contact its administrator.",
	"user_expired":                       "Your account at the login service has expired. Contact its administrator.",
	"login_prevented":                    "The login service does not allow you to log in at the moment. Contact its administrator.",
}

func refusalText(e *idp.Error) string {
	return cmp.Or(refusalTexts[e.Reason], refusalTexts[e.Code], refusalTexts["access_denied"])
}
