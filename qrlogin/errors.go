package qrlogin

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"changebank/internal/devicegrant"
	"changebank/internal/flows"
	"changebank/internal/idp"
	"changebank/internal/limit"
	"changebank/internal/store"
	"changebank/internal/words"
)

// Error is the content of an error page. Err is the cause. It has been logged
// already, and must not be shown.
type Error struct {
	Status      int           // HTTP status code
	Title, Text string        // safe to show
	RetryAfter  time.Duration // when to try again; 0: unknown. The Retry-After header is already set
	Err         error
}

// Error returns the text of Err.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

var (
	errCrossOrigin  = errors.New("POST from another origin")
	errNoCookies    = errors.New("the browser keeps no cookies")
	errNoButton     = errors.New("neither yes nor no")
	errTooSoon      = errors.New("approved too soon")
	errUnfinished   = errors.New("login not finished")
	errWrongAccount = errors.New("logged in as a different person")
	errNotProved    = errors.New("fresh login not proved: the ID token has no auth_time, or one before the request")
)

// errorPages are the pages for errors. The first match is used.
var errorPages = []struct {
	err error
	Error
}{
	{idp.ErrNotReady, Error{Status: 503, Title: "Login service unavailable", Text: "It is starting, or can't be reached. Try again in a moment.", RetryAfter: 5 * time.Second}},
	{store.ErrUnavailable, Error{Status: 503, Title: "Temporarily unavailable", Text: "Nothing was done. Try again in a moment.", RetryAfter: 5 * time.Second}},
	{errCrossOrigin, Error{Status: 403, Title: "Not allowed", Text: "This request came from another site, so nothing was done. Open the page here and use its button."}},
	{errNoCookies, Error{Status: 400, Title: "Cookies are off", Text: "Allow cookies for this site and try again."}},
	{errNoButton, Error{Status: 400, Title: "No answer", Text: "Go back and use one of the two buttons."}},
	{errWrongAccount, Error{Status: 403, Title: "Wrong account", Text: "This browser is logged in as someone else. Log in with that account, or log out first."}},
	{errNotProved, Error{Status: 403, Title: "Log in with your password", Text: "A phone logged this browser in, so it needs a login with a password before it may log in other devices. Log out, log in with your password, and try again."}},
	{flows.ErrNone, Error{Status: 400, Title: "Login not completed", Text: "It was started in another browser or too long ago, or it was used already. Log in again."}},
	{errUnfinished, Error{Status: 502, Title: "Login not completed", Text: "The login service did not finish your login. Try again."}},
	{idp.ErrNoDeviceGrant, Error{Status: 501, Title: "Phone login unavailable", Text: "The login service does not offer it."}},
	{devicegrant.ErrNoCode, Error{Status: 502, Title: "Login service unavailable", Text: "It gave an unexpected answer, so there is no code. Try again in a moment."}},
	{devicegrant.ErrNoNumber, Error{Status: 403, Title: "Phone login unavailable", Text: "A number from your phone is required, and this login service can't show one."}},
	{devicegrant.ErrStrayPage, Error{Status: 502, Title: "Phone login unavailable", Text: "The login service would send your phone to the wrong address, so no code is shown."}},
	{devicegrant.ErrOtherPerson, Error{Status: 403, Title: "Someone else is using this code", Text: "Another person answered this code, or opened it first, and only they can continue. If the other device is yours, cancel there and show a new code."}},
	{devicegrant.ErrTooLate, Error{Status: 403, Title: "This code has expired", Text: "If the other device is yours, show a new code there."}},
}

// errorOf returns the page for an error.
func errorOf(err error) *Error {
	if tooMany, ok := errors.AsType[*limit.TooManyError](err); ok {
		return &Error{http.StatusTooManyRequests, "Too many requests", "Wait " + words.Minutes(tooMany.Wait) + " and try again.", tooMany.Wait, err}
	}
	for _, page := range errorPages {
		if errors.Is(err, page.err) {
			e := page.Error
			e.Err = err
			return &e
		}
	}
	return &Error{http.StatusInternalServerError, "Something went wrong", "Try again. If it happens again, tell the site's administrator.", 0, err}
}

// showError logs an error and shows its page.
func (h *Handler) showError(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the visitor has left
	}
	e := errorOf(err)
	log := h.log.Info
	if e.Status >= 500 {
		log = h.log.Error
	}
	log("qr login page failed", "route", r.Pattern, "status", e.Status, "err", err) // never the URL, which contains codes
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((e.RetryAfter+time.Second-1)/time.Second)))
	}
	if h.cfg.ShowError != nil {
		h.cfg.ShowError(w, r, e)
		return
	}
	http.Error(w, e.Title+". "+e.Text, e.Status)
}
