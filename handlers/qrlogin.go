package handlers

import (
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"net/netip"
	"time"

	"changebank/internal/browser"
	"changebank/internal/cookies"
	"changebank/internal/devicegrant"
	"changebank/internal/session"
	"changebank/internal/words"
)

const (
	qrPath = "/logged-out-qr-login"

	// qrLifetime is at least an hour more than an attempt can last.
	qrLifetime    = 2 * time.Hour
	probeLifetime = 10 * time.Minute
)

// qrPage is the laptop's page.
type qrPage struct {
	frame
	Tab              string // the page's title
	Title, Text      string
	Note             string
	State            devicegrant.State
	Ref              string // which attempt it is
	Ended            bool
	Steps            []string
	Step             int           // which of them is next
	QR               template.HTML // empty when the code is no longer useful
	UserCode         string
	URI, URIComplete string
	Number           bool   // the number must be typed
	Public           bool   // the person said that this is a public computer
	Problem          string // with what was typed
	SecondsLeft      int    // until the attempt expires
	TimeLeft, Lasts  string // the time left for opening the code: as a clock, and in words for screen readers
}

// mine returns the ID of the attempt that this browser started, "" if none, and
// whether its person said that it is a public computer.
func (s *Server) mine(r *http.Request) (id string, public bool) {
	values := s.qr.Read(r)
	return values["attempt"], values["public"] != ""
}

// attemptID returns the ID of the attempt that this browser started, "" if none.
func (s *Server) attemptID(r *http.Request) string {
	id, _ := s.mine(r)
	return id
}

// qrCookie returns the values of the browser's QR cookie.
func qrCookie(attempt string, public bool) cookies.Values {
	values := cookies.Values{"attempt": attempt}
	if public {
		values["public"] = "1"
	}
	return values
}

// attempt returns the attempt that this browser started, without an ID if there
// is none, and whether it is on a public computer. laptop is this browser; coming
// from elsewhere than before may end the attempt
// ([devicegrant.Manager.CheckLaptop]).
func (s *Server) attempt(r *http.Request, laptop browser.Browser) (a devicegrant.Attempt, public bool, err error) {
	id, public := s.mine(r)
	if id == "" {
		return devicegrant.Attempt{}, public, nil
	}
	a, err = s.cfg.Grants.CheckLaptop(r.Context(), id, laptop)
	if errors.Is(err, devicegrant.ErrNone) {
		return devicegrant.Attempt{}, public, nil
	}
	return a, public, err
}

// laptop returns the browser that sent r, which wants to be logged in by a
// phone, or [errNotFromHere] if QR_ALLOW_FROM does not allow its address. Every
// page of the laptop but the cancellation calls it before it reads or changes
// the attempt, so that a cookie taken out of the allowed networks is useless
// there.
func (s *Server) laptop(r *http.Request) (browser.Browser, error) {
	b := s.browserOf(r)
	addr, _ := netip.ParseAddr(b.Addr) // an unknown one is in no network
	if len(s.cfg.QRAllowFrom) > 0 && (b.Relayed || !browser.Contain(s.cfg.QRAllowFrom, addr)) {
		s.log.Warn("qr login", "step", "refused", "rule", "QR_ALLOW_FROM", "laptop", b)
		s.cfg.Refused("QR_ALLOW_FROM")
		return b, errNotFromHere
	}
	return b, nil
}

// qrLogin shows this browser's code: the one it has, or a new one. A code that
// has ended stays on the page as ended until the person asks for another: with
// the page's button, or by coming from a link on another page. Those links have
// the query new=1, which a reload, a refresh and a redirect to the page do not
// have. It never replaces a code that can still be used, so another site gains
// nothing by leading a browser to it.
func (s *Server) qrLogin(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	if sess.LoggedIn() {
		return seeOther(w, r, "/account")
	}
	laptop, err := s.laptop(r)
	if err != nil {
		return err
	}
	a, public, err := s.attempt(r, laptop)
	if err != nil {
		return err
	}
	asksForNew := r.URL.Query().Get("new") == "1"
	switch {
	case a.ID != "" && !asksForNew:
		return s.showAttempt(w, r, a, public, "")
	case a.ID != "" && !a.State.Ended():
		return seeOther(w, r, qrPath) // without the query: a refresh must not ask again
	case r.Header.Get("X-Requested-With") == "qrlogin.js":
		// The script of a tab whose attempt is gone starts no code: usually,
		// another tab has logged in. An app's own browser on Android sends the
		// app's name here, and must not be redirected forever.
		return seeOther(w, r, qrPath)
	case s.keepsCookies(r):
	case r.URL.Query().Get("again") == "1":
		return errNoCookies
	default:
		return s.probeCookies(w, r)
	}
	if browser.IsPhone(r) {
		// Few people have a second phone to scan a phone's screen with.
		return s.render(w, "this-phone", frameOf(sess))
	}
	return s.startAttempt(w, r, laptop, public)
}

// keepsCookies reports whether the browser has shown that it keeps cookies.
// Browsers that keep none, such as crawlers, start no code at the provider.
func (s *Server) keepsCookies(r *http.Request) bool {
	return s.probe.Read(r) != nil || s.attemptID(r) != ""
}

// probeCookies gives the browser a cookie, and sends it back here with it.
func (s *Server) probeCookies(w http.ResponseWriter, r *http.Request) error {
	if err := s.probe.Write(w, r, nil); err != nil {
		return err
	}
	return seeOther(w, r, qrPath+"?again=1")
}

// startAttempt begins a QR login for the browser and shows it.
func (s *Server) startAttempt(w http.ResponseWriter, r *http.Request, laptop browser.Browser, public bool) error {
	a, err := s.cfg.Grants.Start(r.Context(), laptop)
	if err != nil {
		return withNext{err, logInHere}
	}
	if err := s.qr.Write(w, r, qrCookie(a.ID, public)); err != nil {
		return err
	}
	return seeOther(w, r, qrPath)
}

// showAttempt draws the laptop's page. problem says what was wrong with a
// number that was typed.
func (s *Server) showAttempt(w http.ResponseWriter, r *http.Request, a devicegrant.Attempt, public bool, problem string) error {
	if a.State == devicegrant.Approved {
		return seeOther(w, r, "/reload")
	}
	left := max(0, time.Until(a.Expires).Round(time.Second))
	said := words.Laptop(a)
	page := qrPage{
		Tab:         said.Tab,
		Title:       said.Title,
		Text:        said.Text,
		Note:        words.Note(a),
		State:       a.State,
		Ref:         a.Ref,
		Ended:       a.State.Ended(),
		Steps:       words.Steps,
		Step:        words.Step(a.State),
		UserCode:    a.UserCode,
		URI:         a.URI,
		URIComplete: a.URIComplete,
		Number:      a.State == devicegrant.Number,
		Public:      public,
		SecondsLeft: int(left.Seconds()),
	}
	if a.State == devicegrant.Waiting {
		page.TimeLeft = fmt.Sprintf("%d:%02d", int(left.Minutes()), int(left.Seconds())%60)
		page.Lasts = "about " + words.Minutes(left)
	}
	if a.State == devicegrant.Waiting || a.State == devicegrant.Opened {
		var err error
		if page.QR, err = s.qrCodes.Draw(a.URIComplete); err != nil {
			return fmt.Errorf("draw the QR code: %w", err)
		}
	}
	status := http.StatusOK
	if problem != "" && page.Number {
		page.Problem, status = problem, http.StatusUnprocessableEntity
	}
	return s.renderStatus(w, status, "qrlogin", page)
}

// qrLoginNew shows a new code in place of one that has ended.
func (s *Server) qrLoginNew(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	if sess.LoggedIn() || !s.keepsCookies(r) {
		return seeOther(w, r, qrPath)
	}
	laptop, err := s.laptop(r)
	if err != nil {
		return err
	}
	a, public, err := s.attempt(r, laptop)
	if err != nil {
		return err
	}
	if a.ID != "" && !a.State.Ended() {
		return seeOther(w, r, qrPath)
	}
	return s.startAttempt(w, r, laptop, public)
}

func (s *Server) qrLoginCancel(w http.ResponseWriter, r *http.Request, _ session.Session) error {
	id := s.attemptID(r)
	if id == "" {
		return seeOther(w, r, "/")
	}
	if err := s.cfg.Grants.Cancel(r.Context(), id); err != nil {
		return err
	}
	return seeOther(w, r, qrPath)
}

// qrLoginPublic notes that the laptop is a public computer, or that it is not. Until
// the claim, the choice is kept only in the browser's cookie, so it costs the store
// nothing and the code on the screen stays the same.
func (s *Server) qrLoginPublic(w http.ResponseWriter, r *http.Request, _ session.Session) error {
	if _, err := s.laptop(r); err != nil {
		return err
	}
	if id := s.attemptID(r); id != "" {
		if err := s.qr.Write(w, r, qrCookie(id, r.PostFormValue("public") == "yes")); err != nil {
			return err
		}
	}
	return seeOther(w, r, qrPath)
}

// qrLoginConfirm takes the number that the phone shows.
func (s *Server) qrLoginConfirm(w http.ResponseWriter, r *http.Request, _ session.Session) error {
	laptop, err := s.laptop(r)
	if err != nil {
		return err
	}
	if s.attemptID(r) == "" {
		return seeOther(w, r, "/")
	}
	a, public, err := s.attempt(r, laptop)
	if err != nil {
		return err
	}
	if a.ID == "" {
		return seeOther(w, r, qrPath)
	}
	number, ok := devicegrant.NumberIn(r.PostFormValue("number"))
	if !ok {
		return s.showAttempt(w, r, a, public, "Enter the four digits that your phone shows.")
	}
	a, err = s.cfg.Grants.Confirm(r.Context(), a.ID, number)
	if errors.Is(err, devicegrant.ErrWrongNumber) {
		left := "You have one more try."
		if n := s.cfg.Grants.TriesLeft(a); n > 1 {
			left = fmt.Sprintf("You have %d more tries.", n)
		}
		return s.showAttempt(w, r, a, public, "That is not the number on your phone. "+left)
	}
	if err != nil && !errors.Is(err, devicegrant.ErrNone) {
		return err
	}
	return seeOther(w, r, qrPath)
}

// events sends the laptop's page the state of its attempt.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	laptop, err := s.laptop(r)
	if err != nil {
		return err
	}
	return s.follow.Serve(w, r, s.attemptID(r), laptop)
}
