package handlers

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"changebank/internal/devicegrant"
	"changebank/internal/session"
)

// activatePath is the verification URI's path: what the QR code leads to.
const activatePath = "/activate"

// approvePage asks the person with the phone.
type approvePage struct {
	frame
	Problem       string
	Continue      string // the provider's own page, if the yes may not have got through
	State         devicegrant.State
	UserCode      string
	Shown         string // which question this is
	Browser, Addr string
	Ago           string
	Far           bool // not known to be in the same network
	Second        bool // somebody else has the code, too
	Switch        string
	Number        string // to be typed on the laptop at AppURL
	AppURL        string
	Watch         string // the page's own address, for the script that looks how the login goes
}

// answeredPage tells what has become of the attempt.
type answeredPage struct {
	frame
	Words words
	State devicegrant.State
	Watch string // as in approvePage; empty: nothing will change
	Done  bool   // the laptop is logged in
}

// activatePage is the form for typing a code.
type activatePage struct {
	frame
	AppHost, Code, Problem string
}

// activate is where the phone arrives.
func (s *Server) activate(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.cfg.Sessions.Load(r)
	if err != nil {
		return err
	}
	code := strings.TrimSpace(r.FormValue("user_code"))
	own, err := s.ownCode(r, sess, code)
	if err != nil {
		return err
	}
	if own {
		return s.render(w, "notice", notice{
			frame: frameOf(sess),
			Title: "This code is for another device",
			Text:  "It was made in this very browser, to be scanned by a phone that is logged in. To log in here, log in as usual.",
			Next:  link{"/login", "Log in here"},
		})
	}
	if !mayAnswer(sess) {
		return s.loginFirst(w, r, code)
	}
	if code == "" {
		return s.render(w, "activate", activatePage{frameOf(sess), s.host, "", ""})
	}
	a, err := s.cfg.Grants.Open(r.Context(), code, s.browserOf(r), *sess.Person)
	return s.showQuestion(w, r, sess, code, a, err)
}

// answer takes the person's yes or no.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.cfg.Sessions.Load(r)
	if err != nil {
		return err
	}
	code, shown := r.PostFormValue("user_code"), r.PostFormValue("attempt")
	if !mayAnswer(sess) {
		return s.loginFirst(w, r, code)
	}
	phone, answer := s.browserOf(r), r.PostFormValue("answer")
	var a devicegrant.Attempt
	switch answer {
	case "yes":
		access, tokenErr := s.cfg.Sessions.Token(r.Context(), sess)
		if tokenErr != nil {
			return s.noToken(w, r, code, tokenErr)
		}
		a, err = s.cfg.Grants.Yes(r.Context(), code, shown, phone, *sess.Person, access)
	case "no":
		a, err = s.cfg.Grants.No(r.Context(), code, shown, phone, *sess.Person)
	default:
		return &httpError{status: http.StatusBadRequest, text: "Please answer with one of the two buttons.", next: link{activateWith(code), "Back to the question"}}
	}
	if err == nil && a.State == devicegrant.Claimed && answer == "no" {
		return s.render(w, "notice", notice{
			frame: frameOf(sess),
			Title: "It is logged in already",
			Text:  "Your no came too late: the laptop had got through. If that was not you, end it in the list of your devices.",
			Next:  link{devicesPath, "Your devices"},
		})
	}
	if err == nil || errors.Is(err, devicegrant.ErrChanged) || errors.Is(err, devicegrant.ErrTheirPage) {
		return seeOther(w, r, activateWith(code)) // the page tells what has become of it
	}
	return s.showQuestion(w, r, sess, code, a, err)
}

// noToken says why a yes cannot be passed on to the provider yet.
func (s *Server) noToken(w http.ResponseWriter, r *http.Request, code string, err error) error {
	switch {
	case errors.Is(err, session.ErrNoToken):
		return s.loginFirst(w, r, code)
	case errors.Is(err, session.ErrEnded):
		return &httpError{
			status: http.StatusForbidden,
			title:  "Your login has ended",
			text:   "The login service has ended it. Log in again, and you are back at the question.",
			next:   link{loginPath(code), "Log in again"}, err: err,
		}
	}
	return &httpError{
		status: http.StatusBadGateway,
		text:   "It did not answer as it should, so nothing was done yet. Please say it again in a moment.",
		next:   link{activateWith(code), "Back to the question"}, err: err,
	}
}

// showQuestion asks the person, or says what has become of the attempt.
func (s *Server) showQuestion(w http.ResponseWriter, r *http.Request, sess session.Session, code string, a devicegrant.Attempt, err error) error {
	status, problem := http.StatusOK, ""
	tooMany, isTooMany := errors.AsType[*devicegrant.TooManyError](err)
	switch {
	case errors.Is(err, devicegrant.ErrUnknownCode):
		return s.renderStatus(w, http.StatusNotFound, "activate", activatePage{
			frameOf(sess), s.host, code,
			"No device of ours shows this code. It may be mistyped, or too old: compare it with the screen, and if in doubt have a new one shown.",
		})
	case isTooMany:
		return &httpError{
			status: http.StatusTooManyRequests,
			text:   "You have tried too many codes that do not exist. Please wait " + minutes(tooMany.Wait) + ".",
			next:   link{"/account", "Your account"}, err: err, retry: tooMany.Wait,
		}
	case errors.Is(err, devicegrant.ErrTheirPage):
		return s.render(w, "notice", notice{
			frame: frameOf(sess),
			Title: "Go on at the login service",
			Text:  "It asks about this code on a page of its own.",
			Next:  link{a.URIComplete, "Go there"},
		})
	case errors.Is(err, devicegrant.ErrOtherPerson):
		return &httpError{
			status: http.StatusForbidden,
			title:  "Somebody else is at it",
			text:   "Another person has answered this code, or was first to open it, and only they can go on. If the laptop is yours, cancel there and have a new code shown.",
			next:   link{"/account", "Your account"}, err: err,
		}
	case errors.Is(err, devicegrant.ErrSilent):
		status, problem = http.StatusBadGateway, "The login service did not answer. Please say it again."
	case err != nil:
		return err
	}
	page := approvePage{
		frame:    frameOf(sess),
		Problem:  problem,
		Continue: a.Continue,
		State:    a.State,
		UserCode: a.UserCode,
		Shown:    a.Shown(),
		Browser:  a.Laptop.Name(),
		Addr:     a.Laptop.Addr,
		Ago:      ago(a.Started),
		Far:      a.Far,
		Second:   a.Second,
		Switch:   loginPath(code) + "&switch=1",
		AppURL:   s.cfg.AppURL,
		Watch:    activateWith(code),
	}
	saidYes := a.State == devicegrant.Number || a.State == devicegrant.Yes
	switch {
	case a.State == devicegrant.Opened, saidYes && !a.Heard:
		// A yes that the provider has not heard can be said again.
		return s.renderStatus(w, status, "approve", page)
	case a.State == devicegrant.Number:
		if page.Number, err = s.cfg.Grants.NumberFor(r.Context(), a.ID, *sess.Person); err != nil {
			return err
		}
		return s.render(w, "number", page)
	case saidYes && a.Continue != "":
		return s.render(w, "continue", page)
	}
	end := answeredPage{frame: frameOf(sess), Words: phoneWords(a), State: a.State, Done: a.State == devicegrant.Claimed}
	if !a.State.Ended() {
		end.Watch = page.Watch
	}
	return s.render(w, "answered", end)
}

// ownCode reports whether the code is the one that this browser shows itself.
func (s *Server) ownCode(r *http.Request, sess session.Session, code string) (bool, error) {
	if code == "" || sess.Attempt == "" {
		return false, nil
	}
	a, err := s.cfg.Grants.Get(r.Context(), sess.Attempt)
	if errors.Is(err, devicegrant.ErrNone) {
		return false, nil
	}
	return err == nil && !a.State.Ended() && devicegrant.Fold(a.UserCode) == devicegrant.Fold(code), err
}

// fresh is how young a session is that has just come from a login: another
// login would bring no better access token.
const fresh = 30 * time.Second

// mayAnswer reports whether the person is logged in and can say yes without
// another login. A session that came of a QR login cannot: one laptop that
// somebody was tricked into logging in would breed more.
func mayAnswer(sess session.Session) bool {
	return sess.By != session.ByPhone && (sess.CanAct() || sess.LoggedIn() && time.Since(sess.Began) < fresh)
}

// loginFirst has the person log in and brings them back to this very question.
func (s *Server) loginFirst(w http.ResponseWriter, r *http.Request, code string) error {
	return seeOther(w, r, loginPath(code))
}

func loginPath(code string) string {
	return "/login?return_to=" + url.QueryEscape(activateWith(code))
}

func activateWith(code string) string {
	if code == "" {
		return activatePath
	}
	return activatePath + "?user_code=" + url.QueryEscape(code)
}
