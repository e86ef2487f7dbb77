package qrlogin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"time"

	"changebank/internal/browser"
	"changebank/internal/cookies"
	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/limit"
	"changebank/internal/words"
)

// Question is the content of the phone's page. Title, Text, Problem and Warnings
// must always be shown. At most one of Ask, TypeCode, Number and Continue is set.
type Question struct {
	Person      Person   // the person who is logged in on the phone
	Title, Text string   // the state of the login, and what to do next
	Problem     string   // why the last answer was rejected; may be empty
	Warnings    []string // reasons to be careful; may be empty

	// Ask reports whether the person must decide. Show the fields below, and a form
	// with method POST to this page, with Fields and two buttons named answer, with
	// the values yes and no.
	Ask           bool
	Fields        template.HTML // hidden inputs
	Device        string        // the browser and system of the laptop
	Addr          string        // its IP address
	Requested     string        // how long ago the login was requested
	UserCode      string        // the code, which the laptop must show too
	SwitchAccount string        // path of a login with another account

	TypeCode bool   // show a form with method GET to this page, with a field named user_code
	Number   string // the number to type on the laptop
	Continue string // URL of the provider's own page for approval
}

// approver is the person at the phone, with the session that approves.
type approver struct {
	session string
	login   Login
}

func (p approver) person() idp.Person { return idp.Person(p.login.Person) }

// stamp names the session in a stamp. It is a hash, because a session's ID can be too
// long for one.
func (p approver) stamp() string {
	sum := sha256.Sum256([]byte(p.session))
	return hex.EncodeToString(sum[:])
}

// approver returns the person who is logged in in the browser that sent r. It
// reports false if nobody is, or if the person must log in again first: a session
// that came from a phone cannot approve (chaining), and the provider needs an
// access token that has not expired.
func (h *Handler) approver(r *http.Request) (approver, bool, error) {
	session, login, err := h.cfg.Session(r)
	if err != nil || session == "" {
		return approver{}, false, err
	}
	if login.Issuer != h.cfg.Issuer || login.Subject == "" || login.AccessToken == "" {
		return approver{}, false, errors.New("qrlogin: Config.Session does not return what LogIn was given")
	}
	mayApprove := !login.ByPhone && (!h.provider.CanApprove() || time.Now().Before(login.Expires))
	return approver{session, login}, mayApprove, nil
}

// question shows the phone's page.
func (h *Handler) question(w http.ResponseWriter, r *http.Request) error {
	code := devicegrant.CodeIn(r.FormValue("user_code"))
	own, err := h.grants.Shows(r.Context(), h.attemptID(r), code)
	if err != nil {
		return err
	}
	by, ok, err := h.approver(r)
	switch {
	case err != nil:
		return err
	case own:
		h.cfg.ShowQuestion(w, r, Question{
			Person: by.login.Person,
			Title:  "This code is for another device",
			Text:   "This browser shows it, so that a phone where you're already logged in can scan it.",
		})
		return nil
	case !ok:
		return seeOther(w, r, h.loginPath(h.questionPath(code)))
	case code == "":
		return h.askForCode(w, r, by, "")
	}
	visit := h.visit(r, by, code)
	visit.Linked = browser.MayBeLinked(r, h.cfg.AppURL)
	a, err := h.grants.Open(r.Context(), visit)
	if _, tooMany := errors.AsType[*limit.TooManyError](err); tooMany && visit.Linked {
		return h.askForCode(w, r, by, "") // the person can type it
	}
	if err := h.noteOpened(w, r, by, a); err != nil {
		return err
	}
	return h.ask(w, r, by, a, err)
}

func (h *Handler) askForCode(w http.ResponseWriter, r *http.Request, by approver, problem string) error {
	h.cfg.ShowQuestion(w, r, Question{
		Person:   by.login.Person,
		Title:    "Log in another device",
		Text:     "Type the code that it shows.",
		Problem:  problem,
		TypeCode: true,
	})
	return nil
}

func (h *Handler) visit(r *http.Request, by approver, code string) devicegrant.Visit {
	return devicegrant.Visit{UserCode: code, Phone: h.browserOf(r), Person: by.person(), Opened: h.openedRef(r)}
}

// noteOpened has the browser remember that it opened the attempt, so that its
// person can switch accounts without being taken for a second person. Only a
// browser in which the first person to open the code is logged in gets this cookie.
func (h *Handler) noteOpened(w http.ResponseWriter, r *http.Request, by approver, a devicegrant.Attempt) error {
	if a.State != devicegrant.Opened || !a.Person.Is(by.person()) || h.openedRef(r) == a.Ref {
		return nil
	}
	return h.opened.Write(w, r, cookies.Values{"attempt": a.Ref})
}

func (h *Handler) openedRef(r *http.Request) string { return h.opened.Read(r)["attempt"] }

// answer takes the person's approval or denial.
func (h *Handler) answer(w http.ResponseWriter, r *http.Request) error {
	code, said := r.PostFormValue("user_code"), r.PostFormValue("answer")
	by, ok, err := h.approver(r)
	if err != nil {
		return err
	}
	if !ok {
		return onward(w, h.loginPath(h.questionPath(code)))
	}
	answer := devicegrant.Answer{
		Visit:       h.visit(r, by, code),
		Fingerprint: r.PostFormValue("attempt"),
		Voucher:     by.session,
		Access:      by.login.AccessToken,
	}
	var a devicegrant.Attempt
	switch said {
	case "yes":
		if h.shown.TooSoon(r.PostFormValue("shown"), by.stamp(), answer.Fingerprint) {
			a, err = h.grants.Open(r.Context(), answer.Visit)
			if err == nil && a.State == devicegrant.Opened {
				err = errTooSoon
			}
			return h.ask(w, r, by, a, err)
		}
		a, err = h.grants.Yes(r.Context(), answer)
	case "no":
		a, err = h.grants.No(r.Context(), answer)
	default:
		return errNoButton
	}
	if err == nil && a.State == devicegrant.Claimed && said == "no" {
		h.cfg.ShowQuestion(w, r, Question{
			Person: by.login.Person,
			Title:  "Too late: the device is already logged in",
			Text:   "If that wasn't you, log out all your devices.",
		})
		return nil
	}
	if err == nil || errors.Is(err, devicegrant.ErrChanged) || errors.Is(err, devicegrant.ErrProviderPage) {
		return seeOther(w, r, h.questionPath(code)) // which shows the outcome
	}
	return h.ask(w, r, by, a, err)
}

// ask shows the next step on the phone: answer the question, answer it again after
// the provider did not respond, show the number, or approve on the provider's page
// too. If there is none, it shows the outcome.
func (h *Handler) ask(w http.ResponseWriter, r *http.Request, by approver, a devicegrant.Attempt, err error) error {
	q := Question{Person: by.login.Person}
	approved := a.State == devicegrant.Number || a.State == devicegrant.Yes
	switch {
	case errors.Is(err, devicegrant.ErrUnknownCode):
		return h.askForCode(w, r, by, "We don't recognize this code. Check it, or show a new one.")
	case errors.Is(err, devicegrant.ErrProviderPage):
		q.Title, q.Text, q.Continue = "Continue at the login service", "It asks about this code on a page of its own.", a.URIComplete
		h.cfg.ShowQuestion(w, r, q)
		return nil
	case errors.Is(err, errTooSoon):
		q.Problem = "That was very quick. Check which device is asking, then approve again."
	case errors.Is(err, devicegrant.ErrNoAnswer):
		q.Problem = "The login service did not answer. Approve again."
	case err != nil:
		return err
	}
	switch {
	case a.State == devicegrant.Opened, approved && !a.Approval.Answered():
		if err := h.fill(&q, r, by, a); err != nil {
			return err
		}
	case a.State == devicegrant.Number:
		if q.Number, err = h.grants.NumberFor(r.Context(), a.ID, by.person()); err != nil {
			return err
		}
		q.Title, q.Text = "Type this number on the other device", "Type it only on the device in front of you, at "+h.cfg.AppURL+". Never tell it to anyone."
	case approved && a.FallbackURL != "":
		q.Title, q.Text, q.Continue = "Approve once more", "The login service asks on a page of its own.", a.FallbackURL
	default:
		said := words.Phone(a)
		q.Title, q.Text = said.Title, said.Text
	}
	h.cfg.ShowQuestion(w, r, q)
	return nil
}

// fill makes q ask whether to approve.
func (h *Handler) fill(q *Question, r *http.Request, by approver, a devicegrant.Attempt) error {
	fingerprint := a.Fingerprint()
	stamp, err := h.shown.Stamp(r.PostFormValue("shown"), by.stamp(), fingerprint)
	if err != nil {
		return err
	}
	for _, field := range [][2]string{{"user_code", a.UserCode}, {"attempt", fingerprint}, {"shown", stamp}} {
		q.Fields += template.HTML(fmt.Sprintf(`<input type="hidden" name="%s" value="%s">`, field[0], template.HTMLEscapeString(field[1])))
	}
	q.Ask = true
	q.Title = "Log in another device?"
	q.Text = "You are logged in as " + by.login.Person.String() + "."
	q.Device, q.Addr, q.Requested, q.UserCode = a.Laptop.Name(), a.Laptop.Addr, words.Ago(a.Started), a.UserCode
	q.SwitchAccount = h.loginPath(h.questionPath(a.UserCode)) + "&switch=1"
	if a.State == devicegrant.Opened && !a.Person.Is(by.person()) && h.openedRef(r) == a.Ref {
		q.Text = "You opened this code as " + a.Person.String() + ". Now you are " + by.login.Person.String() + "."
	}
	if a.OpenedByOthers {
		q.Warnings = append(q.Warnings, "Someone else has opened this code too. If you don't know who, choose No.")
	}
	if a.DifferentNetwork {
		q.Warnings = append(q.Warnings, "The other device seems to be on a different network, perhaps somewhere else.")
	}
	q.Warnings = append(q.Warnings, "Only approve if that device is in front of you and shows this code. If someone sent you the code, choose No: they would be logged in as you.")
	return nil
}
