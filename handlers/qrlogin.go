package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"regexp"
	"strings"
	"time"

	"changebank/internal/browser"
	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/session"
)

const qrPath = "/logged-out-qr-login"

// qrPage is the laptop's page.
type qrPage struct {
	frame
	Tab              string // the page's title
	Words            words
	Note             string
	State            devicegrant.State
	Ref              string // which attempt it is
	Ended            bool
	Steps            []string
	Step             int           // which of them is next
	QR               template.HTML // empty where the code is of no use any more
	UserCode         string
	URI, URIComplete string
	Number           bool   // the number must be typed
	Problem          string // with what was typed
	SecondsLeft      int    // until the login is over
	TimeLeft, Lasts  string // of a code that nobody has opened, to look at and to hear; then there is no hurry
}

// qrLogin shows this browser's code: the one it has, or a new one if it has
// none. A code that has ended stays on the page as ended until the person asks
// for another.
func (s *Server) qrLogin(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.cfg.Sessions.Load(r)
	if err != nil {
		return err
	}
	if sess.LoggedIn() {
		return seeOther(w, r, "/account")
	}
	if sess.Attempt != "" {
		a, err := s.cfg.Grants.Look(r.Context(), sess.Attempt, s.browserOf(r))
		if !errors.Is(err, devicegrant.ErrNone) {
			if err != nil {
				return err
			}
			return s.showAttempt(w, r, a, "")
		}
	}
	// A browser shows that it keeps our cookie before the provider is asked
	// for a code: what keeps none, as crawlers do, starts nothing.
	sentBack := r.URL.Query().Get("again") == "1"
	switch {
	case sess.ID == "" && r.Header.Get("X-Requested-With") != "":
		// The script of a tab whose session is over, mostly since another tab
		// has logged in: its new cookie may be on the way right now, and one
		// from here would replace it. The script has the tab open the page anew.
		return seeOther(w, r, qrPath)
	case sess.ID == "" && !sentBack:
		if _, err := s.cfg.Sessions.Update(w, r, func(*session.Session) error { return nil }); err != nil {
			return err
		}
		return seeOther(w, r, qrPath+"?again=1")
	case sess.ID == "":
		return &httpError{
			status: http.StatusBadRequest,
			title:  "Your browser keeps no cookies",
			text:   "Changebank recognises this browser by a cookie. Please allow cookies for this site and try again.",
			next:   link{qrPath, "Try again"},
		}
	}
	if browser.IsPhone(r) {
		// A code on the phone that one would scan it with is of no use to most.
		return s.render(w, "this-phone", frameOf(sess))
	}
	return s.startAttempt(w, r, sess)
}

// showAttempt draws the laptop's page. problem says what was wrong with a
// number that was typed.
func (s *Server) showAttempt(w http.ResponseWriter, r *http.Request, a devicegrant.Attempt, problem string) error {
	if a.State == devicegrant.Approved || a.State == devicegrant.Claimed {
		return seeOther(w, r, "/reload")
	}
	left := max(0, time.Until(a.Expires).Round(time.Second))
	page := qrPage{
		Tab:         tabTitle(a),
		Words:       laptopWords(a),
		Note:        laptopNote(a),
		State:       a.State,
		Ref:         a.Ref,
		Ended:       a.State.Ended(),
		Steps:       steps,
		Step:        stepOf(a.State),
		UserCode:    a.UserCode,
		URI:         a.URI,
		URIComplete: a.URIComplete,
		Number:      a.State == devicegrant.Number,
		SecondsLeft: int(left.Seconds()),
	}
	if a.State == devicegrant.Waiting {
		page.TimeLeft = fmt.Sprintf("%d:%02d", int(left.Minutes()), int(left.Seconds())%60)
		page.Lasts = "about " + minutes(left)
	}
	if a.State == devicegrant.Waiting || a.State == devicegrant.Opened {
		var err error
		if page.QR, err = qrCode(a.URIComplete); err != nil {
			return fmt.Errorf("draw the QR code: %w", err)
		}
	}
	status := http.StatusOK
	if problem != "" && page.Number {
		page.Problem, status = problem, http.StatusUnprocessableEntity
	}
	return s.renderStatus(w, status, "qrlogin", page)
}

// errOtherTab says that another tab of this browser has started an attempt, or
// logged in.
var errOtherTab = errors.New("another tab was quicker")

// startAttempt begins a QR login for the browser and sends it to look at it.
func (s *Server) startAttempt(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	laptop := s.browserOf(r)
	if addr, _ := s.cfg.TrustedProxies.Addr(r); len(s.cfg.QRAllowFrom) > 0 && !browser.Contain(s.cfg.QRAllowFrom, addr) {
		s.log.Warn("qr login", "step", "refused", "rule", "QR_ALLOW_FROM", "laptop", laptop)
		return &httpError{
			status: http.StatusForbidden,
			title:  "Not from here",
			text:   "A login by phone can be started only from certain networks, and this one is not among them. Log in here instead.",
			next:   link{"/login", "Log in here"},
		}
	}
	a, err := s.cfg.Grants.Start(r.Context(), laptop, sess.ID)
	if tooMany, ok := errors.AsType[*devicegrant.TooManyError](err); ok {
		return &httpError{
			status: http.StatusTooManyRequests,
			title:  "Too many codes",
			text:   "Too many codes were asked for from here. Please wait " + minutes(tooMany.Wait) + ", or log in here instead.",
			next:   link{"/login", "Log in here"}, err: err, retry: tooMany.Wait,
		}
	}
	if errors.Is(err, devicegrant.ErrNoNumber) {
		return &httpError{
			status: http.StatusForbidden,
			title:  "Not by phone",
			text:   "Changebank is set to ask for a number that the phone shows, and this login service cannot show one. Log in here instead.",
			next:   link{"/login", "Log in here"}, err: err,
		}
	}
	if errors.Is(err, devicegrant.ErrStrayPage) {
		return &httpError{
			status: http.StatusBadGateway,
			text:   "It would send your phone to an address that is not ours, so no code is shown. Its verification URL must be " + s.cfg.AppURL + "/activate.",
			next:   link{"/login", "Log in here instead"},
			err:    err,
		}
	}
	if err != nil {
		return providerError(err)
	}
	_, err = s.cfg.Sessions.Update(w, r, func(now *session.Session) error {
		// A session that began since is a new one: another tab has logged in.
		if now.Attempt != sess.Attempt || !now.Began.Equal(sess.Began) {
			return errOtherTab
		}
		now.Attempt = a.ID
		return nil
	})
	if err != nil {
		if err := s.cfg.Grants.Cancel(r.Context(), a.ID); err != nil {
			return err
		}
		if !errors.Is(err, errOtherTab) {
			return err
		}
	}
	return seeOther(w, r, qrPath)
}

// qrLoginNew gives a new code in place of one that has ended.
func (s *Server) qrLoginNew(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.cfg.Sessions.Load(r)
	if err != nil {
		return err
	}
	if sess.ID == "" || sess.LoggedIn() {
		return seeOther(w, r, qrPath)
	}
	if sess.Attempt != "" {
		a, err := s.cfg.Grants.Get(r.Context(), sess.Attempt)
		if err != nil && !errors.Is(err, devicegrant.ErrNone) {
			return err
		}
		if err == nil && !a.State.Ended() {
			return seeOther(w, r, qrPath)
		}
	}
	return s.startAttempt(w, r, sess)
}

func (s *Server) qrLoginCancel(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.cfg.Sessions.Load(r)
	if err != nil {
		return err
	}
	if sess.Attempt == "" {
		return seeOther(w, r, "/")
	}
	if err := s.cfg.Grants.Cancel(r.Context(), sess.Attempt); err != nil {
		return err
	}
	return seeOther(w, r, qrPath)
}

// qrLoginConfirm takes the number that the phone shows.
func (s *Server) qrLoginConfirm(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.cfg.Sessions.Load(r)
	if err != nil {
		return err
	}
	if sess.Attempt == "" {
		return seeOther(w, r, "/")
	}
	a, err := s.cfg.Grants.Look(r.Context(), sess.Attempt, s.browserOf(r))
	if errors.Is(err, devicegrant.ErrNone) {
		return seeOther(w, r, qrPath)
	}
	if err != nil {
		return err
	}
	number := strings.Join(strings.Fields(r.PostFormValue("number")), "")
	if !fourDigits.MatchString(number) { // a slip, and no try
		return s.showAttempt(w, r, a, "It is four digits, as your phone shows them.")
	}
	a, err = s.cfg.Grants.Confirm(r.Context(), sess.Attempt, number)
	if errors.Is(err, devicegrant.ErrWrongNumber) {
		left := "There is one more try."
		if n := s.cfg.Grants.TriesLeft(a); n > 1 {
			left = fmt.Sprintf("There are %d more tries.", n)
		}
		return s.showAttempt(w, r, a, "That is not the number on your phone. "+left)
	}
	if err != nil && !errors.Is(err, devicegrant.ErrNone) {
		return err
	}
	return seeOther(w, r, qrPath)
}

var fourDigits = regexp.MustCompile(`^[0-9]{4}$`)

// deviceGrantFinished is the example's own JSON, for clients written against it.
func (s *Server) deviceGrantFinished(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.cfg.Sessions.Load(r)
	if err != nil {
		return err
	}
	answer := struct {
		Reload string `json:"reload,omitempty"`
	}{}
	a, err := s.cfg.Grants.Get(r.Context(), sess.Attempt)
	if err != nil && !errors.Is(err, devicegrant.ErrNone) {
		return err
	}
	if a.State == devicegrant.Approved {
		answer.Reload = "true"
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(answer)
}

// reload claims the login for the browser that started it. It is the only page
// that logs a laptop in; a browser that started nothing gets no cookie here.
func (s *Server) reload(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.cfg.Sessions.Load(r)
	if err != nil {
		return err
	}
	switch {
	case sess.LoggedIn():
		return seeOther(w, r, "/account")
	case sess.ID == "":
		// The answer to an earlier claim may have been lost on its way.
		again, err := s.cfg.Sessions.Reenter(w, r)
		if err != nil {
			return err
		}
		if again {
			return seeOther(w, r, "/account")
		}
		return seeOther(w, r, "/")
	case sess.Attempt == "":
		return seeOther(w, r, qrPath)
	}
	if _, err := s.cfg.Grants.Look(r.Context(), sess.Attempt, s.browserOf(r)); err != nil && !errors.Is(err, devicegrant.ErrNone) {
		return err
	}
	// What is begun here is brought to its end, even if the browser leaves: two
	// sessions of one set of tokens would be the alternative.
	r = r.WithContext(context.WithoutCancel(r.Context()))
	made := ""
	id, claimed, err := s.cfg.Grants.Claim(r.Context(), sess.Attempt, func(person idp.Person, tokens idp.Tokens) (string, error) {
		var err error
		made, err = s.cfg.Sessions.Create(r, person, tokens, session.ByPhone)
		return made, err
	})
	if made != "" && !claimed {
		if err := s.cfg.Sessions.Discard(r.Context(), made); err != nil {
			return err
		}
	}
	if errors.Is(err, devicegrant.ErrNotApproved) || errors.Is(err, devicegrant.ErrNone) {
		return seeOther(w, r, qrPath)
	}
	if err != nil {
		return err
	}
	if !claimed {
		// Another tab claimed it, or this one did and did not hear of it: good
		// for as long as nobody has used the session.
		unused, err := s.cfg.Sessions.Unused(r, id)
		if err != nil {
			return err
		}
		if !unused {
			return seeOther(w, r, "/")
		}
	}
	if err := s.cfg.Sessions.EnterClaimed(w, r, id); err != nil {
		return err
	}
	return seeOther(w, r, "/account")
}
