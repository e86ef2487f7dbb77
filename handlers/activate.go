package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"changebank/internal/browser"
	"changebank/internal/cookies"
	"changebank/internal/devicegrant"
	"changebank/internal/limit"
	"changebank/internal/session"
	"changebank/internal/words"
)

// activatePath is the verification URI's path: where the QR code leads.
const activatePath = "/activate"

// approvePage asks the person with the phone.
type approvePage struct {
	frame
	Problem          string
	FallbackURL      string // the provider's own page, if the approval may not have got through
	State            devicegrant.State
	UserCode         string
	Fingerprint      string // which question this is
	Shown            string // when it was shown, sealed
	Browser, Addr    string
	Location         string // approximate; empty: unknown
	Requested        string
	DifferentNetwork bool
	OpenedByOthers   bool
	OpenedAs         string // who opened it in this browser, before an account switch
	Switch           string
	Number           string // to be typed on the laptop at AppURL
	AppURL           string
	Watch            string // the page's own address, for the script that looks for changes
}

// answeredPage shows the outcome of the attempt.
type answeredPage struct {
	frame
	Title, Text string
	State       devicegrant.State
	Watch       string // as in approvePage; empty: nothing will change
	Done        bool   // the laptop is logged in
}

// activatePage is the form for typing or scanning a code.
type activatePage struct {
	frame
	AppHost, Code, Problem string
}

// activate shows the phone's page.
func (s *Server) activate(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	code := devicegrant.CodeIn(r.FormValue("user_code"))
	own, err := s.cfg.Grants.Shows(r.Context(), s.attemptID(r), code)
	if err != nil {
		return err
	}
	if own {
		return s.render(w, "notice", notice{
			frame: frameOf(sess),
			Title: "This code is for another device",
			Text:  "This browser shows it, so that a phone where you're already logged in can scan it. To log in with this browser, log in here.",
			Next:  link{"/login", "Log in"},
		})
	}
	if !mayAnswer(sess) {
		return s.loginFirst(w, r, sess, activateWith(code))
	}
	if code == "" {
		return s.codeForm(w, http.StatusOK, sess, "", "")
	}
	visit := s.visit(r, sess, code)
	visit.Linked = browser.MayBeLinked(r, s.cfg.AppURL)
	a, err := s.cfg.Grants.Open(r.Context(), visit)
	if _, tooMany := errors.AsType[*limit.TooManyError](err); tooMany && visit.Linked {
		// A code that exists gets the same page as one that does not. The person
		// can continue with the form's button.
		return s.codeForm(w, http.StatusOK, sess, code, "")
	}
	if err := s.noteOpened(w, r, sess, a); err != nil {
		return err
	}
	return s.showQuestion(w, r, sess, code, a, err)
}

// codeForm shows the form for a code, the only page that may use the camera.
func (s *Server) codeForm(w http.ResponseWriter, status int, sess session.Session, code, problem string) error {
	w.Header().Set("Permissions-Policy", withCamera)
	return s.renderStatus(w, status, "activate", activatePage{frameOf(sess), s.host, code, problem})
}

// visit is the browser that sent r, showing a user code.
func (s *Server) visit(r *http.Request, sess session.Session, code string) devicegrant.Visit {
	return devicegrant.Visit{
		UserCode: code,
		Phone:    s.browserOf(r),
		Person:   sess.Person,
		Opened:   s.openedRef(r),
	}
}

// noteOpened has the browser remember that it opened the attempt, so that its
// person can switch accounts, or log out and in again, without being taken for a
// second person. Only a browser in which the first person to open the code is
// logged in gets this cookie. A phisher gets it for his own browser only: it is
// sealed, and with https no other site can plant it in the victim's.
func (s *Server) noteOpened(w http.ResponseWriter, r *http.Request, sess session.Session, a devicegrant.Attempt) error {
	if a.State != devicegrant.Opened || !a.Person.Is(sess.Person) || s.openedRef(r) == a.Ref {
		return nil
	}
	return s.opened.Write(w, r, cookies.Values{"attempt": a.Ref})
}

// openedRef returns the Ref of the attempt that this browser opened last, ""
// if none.
func (s *Server) openedRef(r *http.Request) string { return s.opened.Read(r)["attempt"] }

// answer takes the person's approval or denial.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	code, said := r.PostFormValue("user_code"), r.PostFormValue("answer")
	question := activateWith(code)
	if !mayAnswer(sess) {
		return s.loginFirst(w, r, sess, question)
	}
	answer := devicegrant.Answer{
		Visit:       s.visit(r, sess, code),
		Fingerprint: r.PostFormValue("attempt"),
	}
	var a devicegrant.Attempt
	var err error
	switch said {
	case "yes":
		if s.shown.TooSoon(r.PostFormValue("shown"), sess.Ref, answer.Fingerprint) {
			a, err = s.cfg.Grants.Open(r.Context(), answer.Visit)
			if err == nil && a.State == devicegrant.Opened {
				err = errTooSoon
			}
			return s.showQuestion(w, r, sess, code, a, err)
		}
		answer.Access, answer.Voucher, err = s.credentials(r.Context(), sess, question)
		if errors.Is(err, session.ErrNoToken) || errors.Is(err, session.ErrOver) {
			return s.loginFirst(w, r, sess, question)
		}
		if err != nil {
			return err
		}
		a, err = s.cfg.Grants.Yes(r.Context(), answer)
	case "no":
		a, err = s.cfg.Grants.No(r.Context(), answer)
	default:
		return withNext{errNoButton, link{question, "Back to the question"}}
	}
	if err == nil && a.State == devicegrant.Claimed && said == "no" {
		return s.render(w, "notice", notice{
			frame: frameOf(sess),
			Title: "Too late: the device is already logged in",
			Text:  "If that wasn't you, log it out in the list of your devices.",
			Next:  yourList,
		})
	}
	if err == nil || errors.Is(err, devicegrant.ErrChanged) || errors.Is(err, devicegrant.ErrProviderPage) {
		return seeOther(w, r, question) // which shows the outcome
	}
	return s.showQuestion(w, r, sess, code, a, err)
}

// loginFirst has the person log in, and then leads to the question. A scan is
// redirected; a form, and the redirect that answers one, must [Server.leave].
func (s *Server) loginFirst(w http.ResponseWriter, r *http.Request, sess session.Session, question string) error {
	if r.Method == http.MethodGet && !browser.FromSite(r, s.cfg.AppURL) {
		return seeOther(w, r, loginTo(question))
	}
	return s.leave(w, frameOf(sess), "Log in first", loginTo(question))
}

// credentials returns what the session's approval needs: an access token for the
// provider, and a voucher. [session.ErrNoToken] and [session.ErrOver] (logged out
// since the request began) mean that the person must log in first.
func (s *Server) credentials(ctx context.Context, sess session.Session, question string) (access, voucher string, err error) {
	access, err = s.cfg.Sessions.Token(ctx, sess)
	switch {
	case errors.Is(err, session.ErrNoToken):
		return "", "", err
	case errors.Is(err, session.ErrLoginEnded):
		return "", "", withNext{err, link{loginTo(question), "Log in again"}}
	case err != nil:
		return "", "", withNext{fmt.Errorf("%w: %w", errNoAccessToken, err), link{question, "Back to the question"}}
	}
	voucher, err = s.cfg.Sessions.Voucher(ctx, sess)
	return access, voucher, err
}

// showQuestion shows the next step on the phone: answer the question, answer it again
// after the provider did not respond, show the number, or approve on the provider's
// page too. If there is none, it shows the outcome.
func (s *Server) showQuestion(w http.ResponseWriter, r *http.Request, sess session.Session, code string, a devicegrant.Attempt, err error) error {
	page := s.questionPage(r, sess, code, a)
	status := http.StatusOK
	switch {
	case errors.Is(err, errTooSoon):
		status, page.Problem = http.StatusUnprocessableEntity, "That was very quick. Check which device is asking, then approve again."
	case errors.Is(err, devicegrant.ErrUnknownCode):
		return s.codeForm(w, http.StatusNotFound, sess, code, "We don't recognize this code. Check it, or show a new one.")
	case errors.Is(err, devicegrant.ErrProviderPage):
		return s.render(w, "notice", notice{
			frame: page.frame,
			Title: "Continue at the login service",
			Text:  "It asks about this code on a page of its own.",
			Next:  link{a.URIComplete, "Continue"},
		})
	case errors.Is(err, devicegrant.ErrNoAnswer):
		status, page.Problem = http.StatusBadGateway, "The login service did not answer. Approve again."
	case err != nil:
		return err
	}
	approved := a.State == devicegrant.Number || a.State == devicegrant.Yes
	switch {
	case a.State == devicegrant.Opened, approved && !a.Approval.Answered():
		if page.Shown, err = s.shown.Stamp(r.PostFormValue("shown"), sess.Ref, page.Fingerprint); err != nil {
			return err
		}
		return s.renderStatus(w, status, "approve", page)
	case a.State == devicegrant.Number:
		if page.Number, err = s.cfg.Grants.NumberFor(r.Context(), a.ID, sess.Person); err != nil {
			return err
		}
		return s.render(w, "number", page)
	case approved && a.FallbackURL != "":
		return s.render(w, "continue", page)
	}
	said := words.Phone(a)
	end := answeredPage{frame: page.frame, Title: said.Title, Text: said.Text, State: a.State, Done: a.State == devicegrant.Claimed}
	if !a.State.Ended() {
		end.Watch = page.Watch
	}
	return s.render(w, "answered", end)
}

// questionPage is the page that asks about the attempt.
func (s *Server) questionPage(r *http.Request, sess session.Session, code string, a devicegrant.Attempt) approvePage {
	page := approvePage{
		frame:            frameOf(sess),
		FallbackURL:      a.FallbackURL,
		State:            a.State,
		UserCode:         a.UserCode,
		Fingerprint:      a.Fingerprint(),
		Browser:          a.Laptop.Name(),
		Addr:             a.Laptop.Addr,
		Requested:        words.Ago(a.Started),
		Location:         s.cfg.GeoIP.Of(a.Laptop.Addr),
		DifferentNetwork: a.DifferentNetwork,
		OpenedByOthers:   a.OpenedByOthers,
		Switch:           loginTo(activateWith(code)) + "&switch=1",
		AppURL:           s.cfg.AppURL,
		Watch:            activateWith(code),
	}
	if a.State == devicegrant.Opened && !a.Person.Is(sess.Person) && s.openedRef(r) == a.Ref {
		page.OpenedAs = a.Person.String()
	}
	return page
}

// justLoggedIn is how old a session can be that comes straight from a login.
// Another login would bring no better access token.
const justLoggedIn = 30 * time.Second

// mayAnswer reports whether the person is logged in and can approve without
// another login. A session that came from a QR login cannot: one laptop that
// someone was tricked into logging in would log in the next (chaining).
func mayAnswer(sess session.Session) bool {
	return sess.LoggedIn() && !byPhone(sess) && (sess.CanAct() || time.Since(sess.Began) < justLoggedIn)
}

// activateWith returns the path of the phone's page for a code.
func activateWith(code string) string {
	if code == "" {
		return activatePath
	}
	return activatePath + "?user_code=" + url.QueryEscape(code)
}
