package qrlogin

import (
	"context"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"changebank/internal/browser"
	"changebank/internal/cookies"
	"changebank/internal/devicegrant"
	"changebank/internal/words"
)

// Code is the content of the laptop's page. The page has up to three forms, all
// with method POST: to Path for a new code, to Path/cancel, and to Path/number with
// a field named number.
type Code struct {
	// State is waiting, opened, number, yes, claimed, denied, expired, cancelled or
	// failed.
	State       string
	Ended       bool   // the login has ended; offer a new code
	Title, Text string // the state of the login, and what to do next
	Note        string // further information; may be empty

	QR       template.HTML // the QR code as an SVG; empty once it has been approved or has ended
	UserCode string        // the user code, for people who cannot scan
	URI      string        // the verification URI, where the user code can be typed
	Link     string        // the verification URI with the user code, as in the QR code
	Expires  time.Time     // when the code expires

	NeedsNumber bool   // show the form for the number on the phone
	Problem     string // why the number was rejected; may be empty

	// Follow keeps the page up to date. Put it first in the page's head. It is a
	// script of this package, and a refresh for browsers without scripts.
	Follow template.HTML
}

// attemptID returns the ID of the attempt that this browser started, "" if none.
func (h *Handler) attemptID(r *http.Request) string { return h.qr.Read(r)["attempt"] }

// attempt returns the attempt that this browser started. If there is none, its ID
// is empty.
func (h *Handler) attempt(r *http.Request, laptop browser.Browser) (devicegrant.Attempt, error) {
	id := h.attemptID(r)
	if id == "" {
		return devicegrant.Attempt{}, nil
	}
	a, err := h.grants.CheckLaptop(r.Context(), id, laptop)
	if errors.Is(err, devicegrant.ErrNone) {
		return devicegrant.Attempt{}, nil
	}
	return a, err
}

// laptop shows this browser's code: the one it has, or a new one. A code that has
// ended stays on the page until the person asks for another. Once the code is
// approved, the page logs the browser in.
func (h *Handler) laptop(w http.ResponseWriter, r *http.Request) error {
	session, _, err := h.cfg.Session(r)
	if err != nil {
		return err
	}
	if session != "" {
		return h.arrived(w, r)
	}
	laptop := h.browserOf(r)
	a, err := h.attempt(r, laptop)
	switch {
	case err != nil:
		return err
	case a.State == devicegrant.Approved, a.State == devicegrant.Claimed && h.qr.Read(r)["result"] == "":
		return h.claim(w, r, a, laptop)
	case a.ID != "":
		return h.show(w, r, a, "")
	case h.keepsCookies(r):
		return h.start(w, r, laptop)
	case r.URL.Query().Get("again") == "1":
		return errNoCookies
	}
	if err := h.probe.Write(w, r, nil); err != nil {
		return err
	}
	return seeOther(w, r, h.cfg.Path+"?again=1")
}

// keepsCookies reports whether the browser has shown that it keeps cookies.
// Browsers that keep none, such as crawlers, start no code at the provider.
func (h *Handler) keepsCookies(r *http.Request) bool {
	return h.probe.Read(r) != nil || h.attemptID(r) != ""
}

func (h *Handler) start(w http.ResponseWriter, r *http.Request, laptop browser.Browser) error {
	a, err := h.grants.Start(r.Context(), laptop)
	if err != nil {
		return err
	}
	if err := h.qr.Write(w, r, cookies.Values{"attempt": a.ID}); err != nil {
		return err
	}
	return seeOther(w, r, h.cfg.Path)
}

// claim logs the browser in. If the response with the application's cookie is lost,
// the browser can repeat the claim for a minute.
func (h *Handler) claim(w http.ResponseWriter, r *http.Request, a devicegrant.Attempt, laptop browser.Browser) error {
	ctx := context.WithoutCancel(r.Context()) // finished even if the browser leaves
	id, err := h.grants.Claim(ctx, a.ID, laptop)
	switch {
	case errors.Is(err, devicegrant.ErrNotApproved), errors.Is(err, devicegrant.ErrClaimed):
		if a, err = h.attempt(r, laptop); err != nil {
			return err
		}
		return h.show(w, r, a, "")
	case err != nil:
		return err
	}
	result, err := h.results.table.Get(ctx, id)
	if err != nil {
		return err
	}
	session, err := h.logIn(w, r, loginOf(result.Person, result.Tokens, true))
	if err != nil {
		return err
	}
	if err := h.results.noteSession(ctx, id, session); err != nil {
		return err
	}
	// The same response sets this cookie and the application's, so a browser that
	// sends one has both.
	if err := h.qr.Write(w, r, cookies.Values{"attempt": a.ID, "result": id}); err != nil {
		return err
	}
	return seeOther(w, r, h.cfg.Path) // continues in arrived
}

// arrived sends a browser that has a session on to the home page. Its login can no
// longer be claimed again, for example by a thief of the cookie.
func (h *Handler) arrived(w http.ResponseWriter, r *http.Request) error {
	values := h.qr.Read(r)
	if id := values["result"]; id != "" {
		if _, err := h.results.end(context.WithoutCancel(r.Context()), id); err != nil {
			return err
		}
	} else if id := values["attempt"]; id != "" { // logged in another way
		if err := h.grants.Cancel(r.Context(), id); err != nil {
			return err
		}
	}
	if values != nil {
		h.qr.Clear(w)
	}
	return seeOther(w, r, h.cfg.HomePath)
}

// show writes the laptop's page. problem says why a typed number was rejected; it
// may be empty.
func (h *Handler) show(w http.ResponseWriter, r *http.Request, a devicegrant.Attempt, problem string) error {
	said := words.Laptop(a)
	code := Code{
		State:       string(a.State),
		Ended:       a.State.Ended(),
		Title:       said.Title,
		Text:        said.Text,
		Note:        words.Note(a),
		UserCode:    a.UserCode,
		URI:         a.URI,
		Link:        a.URIComplete,
		Expires:     a.Expires,
		NeedsNumber: a.State == devicegrant.Number,
		Problem:     problem,
		Follow:      h.followTag(a),
	}
	if a.State == devicegrant.Waiting || a.State == devicegrant.Opened {
		var err error
		if code.QR, err = h.qrCodes.Draw(a.URIComplete); err != nil {
			return fmt.Errorf("draw the QR code: %w", err)
		}
	}
	h.cfg.ShowCode(w, r, code)
	return nil
}

// followTag returns [Code.Follow]. The page does not refresh while a number is typed.
func (h *Handler) followTag(a devicegrant.Attempt) template.HTML {
	if a.State.Ended() {
		return ""
	}
	attributes, refresh := "defer", ""
	if a.State != devicegrant.Number {
		attributes, refresh = "data-refresh", fmt.Sprintf(`<meta http-equiv="refresh" content="5; url=%s"></template>`, h.cfg.Path)
	}
	// Safe as HTML: Path matches plainPath, Ref is random letters and digits, and
	// State is a constant.
	return template.HTML(fmt.Sprintf(`<script src="%[1]s/follow.js" data-page="%[1]s" data-attempt="%[2]s" data-state="%[3]s" %[4]s></script>%[5]s`,
		template.HTMLEscapeString(h.cfg.Path), a.Ref, a.State, attributes, refresh))
}

// newCode shows a new code in place of one that has ended.
func (h *Handler) newCode(w http.ResponseWriter, r *http.Request) error {
	session, _, err := h.cfg.Session(r)
	if err != nil {
		return err
	}
	if session != "" || !h.keepsCookies(r) {
		return seeOther(w, r, h.cfg.Path)
	}
	laptop := h.browserOf(r)
	a, err := h.attempt(r, laptop)
	if err != nil {
		return err
	}
	if a.ID != "" && !a.State.Ended() {
		return seeOther(w, r, h.cfg.Path)
	}
	return h.start(w, r, laptop)
}

func (h *Handler) cancel(w http.ResponseWriter, r *http.Request) error {
	if id := h.attemptID(r); id != "" {
		if err := h.grants.Cancel(r.Context(), id); err != nil {
			return err
		}
	}
	return seeOther(w, r, h.cfg.Path)
}

// number takes the number that the phone shows.
func (h *Handler) number(w http.ResponseWriter, r *http.Request) error {
	a, err := h.attempt(r, h.browserOf(r))
	if err != nil {
		return err
	}
	if a.State != devicegrant.Number {
		return seeOther(w, r, h.cfg.Path)
	}
	number, ok := devicegrant.NumberIn(r.PostFormValue("number"))
	if !ok {
		return h.show(w, r, a, "Enter the four digits that your phone shows.")
	}
	a, err = h.grants.Confirm(r.Context(), a.ID, number)
	if errors.Is(err, devicegrant.ErrWrongNumber) {
		return h.show(w, r, a, fmt.Sprintf("That is not the number on your phone. Tries left: %d.", h.grants.TriesLeft(a)))
	}
	if err != nil && !errors.Is(err, devicegrant.ErrNone) {
		return err
	}
	return seeOther(w, r, h.cfg.Path)
}

// events sends the laptop's page the state of its attempt.
func (h *Handler) events(w http.ResponseWriter, r *http.Request) error {
	id := h.attemptID(r)
	if id == "" {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return h.follow.Serve(w, r, id, h.browserOf(r))
}
