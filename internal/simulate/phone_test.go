package simulate

import (
	"context"
	"errors"
	"net/http"
	"time"

	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/session"
)

// phone is a person's browser that can approve.
type phone struct {
	*browser
	who     string // who holds it; a second tab is another
	w       *world
	account idp.Person // that its person logs in with
	opened  string     // the Ref of the attempt that it has opened
	stolen  bool       // its cookies are
}

func (w *world) newPhone(who, addr string, owner idp.Person) *phone {
	return &phone{
		browser: newBrowser(who, "Phone "+who, addr), who: who, w: w, account: owner,
	}
}

// another returns another tab of the same browser.
func (p *phone) another(who string) *phone {
	return &phone{browser: p.browser, who: who, w: p.w, account: p.owner()}
}

// steal returns a copy of a phone's cookies in another browser, elsewhere.
func (p *phone) steal(who, addr string) *phone {
	thief := p.w.newPhone(who, addr, p.account)
	thief.stolen = true
	thief.become(p.owner())
	thief.cookies = p.jar()
	return thief
}

var errLoggedOut = errors.New("simulated: not logged in")

// ask is one request with a session.
func (p *phone) ask(do func(r *replica, rw http.ResponseWriter, req *http.Request, s session.Session) error) error {
	return p.w.exchange(p.who, p.browser, func(r *replica, rw http.ResponseWriter, req *http.Request) error {
		began := time.Now()
		s, err := r.sessions.Load(req)
		if err != nil {
			return err
		}
		if !s.LoggedIn() {
			return errLoggedOut
		}
		p.w.model.loaded(p.browser, s, began)
		return do(r, rw, req, s)
	})
}

// logIn logs the phone's browser in at the provider.
func (p *phone) logIn(person idp.Person) bool {
	w := p.w
	for range 10 {
		tokens, _ := w.provider.logIn(person)
		var old session.Session
		began := time.Now()
		err := w.exchange(p.who, p.browser, func(r *replica, rw http.ResponseWriter, req *http.Request) error {
			var err error
			if old, err = r.sessions.Load(req); err != nil {
				return err
			}
			if old.LoggedIn() {
				w.model.loaded(p.browser, old, began)
				if !old.Person.Is(person) {
					defer w.model.disturbed(old.Person)
				}
			}
			err = r.sessions.LogIn(rw, req, person, tokens)
			if err == nil && old.LoggedIn() && !old.Person.Is(person) {
				w.model.ended(old.Ref)
			}
			return err
		})
		w.tell(p.who, "logs in as %s: %s", person.Subject, said(err))
		if err == nil {
			p.account = person
			p.become(person)
			return true
		}
		w.sleep(p.who, 3*time.Second)
	}
	return false
}

// approve scans the code of a login and says yes, until the phone's page says
// that nothing more is to be done.
func (p *phone) approve(l *login) {
	w, user := p.w, l.attempt.UserCode
	for range 25 {
		a, err := p.open(user)
		if errors.Is(err, errLoggedOut) {
			if p.stolen || !p.logIn(p.account) {
				break
			}
			continue
		}
		if finished(a, err) {
			return
		}
		w.sleep(p.who, w.upTo(p.who, 5*time.Second))
		if err == nil && a.State == devicegrant.Opened && a.Laptop.Agent != l.laptop.agent {
			p.no(user, a)
			return
		}
		if err == nil {
			a, err = p.yes(user, a)
		}
		if err == nil && a.FallbackURL != "" {
			w.tell(p.who, "approves %s at the provider's own page: %s", user, said(w.provider.approve(user, p.account)))
		}
		switch {
		case err == nil && a.State == devicegrant.Number && a.Approval.Answered():
			if p.readNumber(l, a) {
				return
			}
		case err == nil && a.State != devicegrant.Opened:
			return
		}
		w.sleep(p.who, time.Second)
	}
	w.model.excuse(user, p.who+" has given up")
}

// finished reports whether a phone's page asks for nothing more.
func finished(a devicegrant.Attempt, err error) bool {
	return errors.Is(err, devicegrant.ErrOtherPerson) || errors.Is(err, devicegrant.ErrTooLate) ||
		err == nil && (a.State.Ended() || a.State == devicegrant.Approved)
}

// open is the phone's page with the question.
func (p *phone) open(user string) (a devicegrant.Attempt, err error) {
	err = p.ask(func(r *replica, _ http.ResponseWriter, req *http.Request, s session.Session) error {
		a, err = r.grants.Open(req.Context(), p.visit(user, s))
		if err == nil {
			p.w.model.opened(user, s.Person, p.opened == a.Ref)
			p.opened = a.Ref
		}
		return err
	})
	p.w.tell(p.who, "opens %s: %s %s", user, a.State, said(err))
	return a, err
}

func (p *phone) visit(user string, s session.Session) devicegrant.Visit {
	return devicegrant.Visit{UserCode: user, Phone: p.seen(), Person: s.Person, Opened: p.opened}
}

// answerOf is what a request needs to answer the question a.
func (p *phone) answerOf(ctx context.Context, r *replica, s session.Session, user string, a devicegrant.Attempt) (devicegrant.Answer, error) {
	answer := devicegrant.Answer{Visit: p.visit(user, s), Fingerprint: a.Fingerprint()}
	var err error
	if answer.Access, err = r.sessions.Token(ctx, s); err != nil {
		if errors.Is(err, session.ErrLoginEnded) || errors.Is(err, session.ErrNoToken) {
			p.w.model.disturbed(s.Person)
			p.forget() // the page sends the person to log in again
		}
		return answer, err
	}
	asked := time.Now()
	answer.Voucher, err = r.sessions.Voucher(ctx, s)
	if err == nil {
		p.w.model.vouched(user, s, asked)
	}
	return answer, err
}

// yes approves the question a.
func (p *phone) yes(user string, a devicegrant.Attempt) (now devicegrant.Attempt, err error) {
	err = p.ask(func(r *replica, _ http.ResponseWriter, req *http.Request, s session.Session) error {
		answer, err := p.answerOf(req.Context(), r, s, user, a)
		if err != nil {
			return err
		}
		said := &yes{person: s.Person, ref: s.Ref, vouched: time.Now(), began: time.Now(), phone: p.seen(), asked: a.Laptop}
		p.w.model.with(user, func(known *attempt) { known.yeses = append(known.yeses, said) })
		now, err = r.grants.Yes(req.Context(), answer)
		p.w.model.with(user, func(*attempt) { said.ended = time.Now() })
		return err
	})
	p.w.tell(p.who, "says yes to %s: %s %s %s", user, now.State, now.Approval, said(err))
	return now, err
}

// no denies the question a.
func (p *phone) no(user string, a devicegrant.Attempt) {
	p.w.model.excuse(user, "denied")
	p.w.model.with(user, func(a *attempt) { a.denies = true })
	var now devicegrant.Attempt
	err := p.ask(func(r *replica, _ http.ResponseWriter, req *http.Request, s session.Session) (err error) {
		answer := devicegrant.Answer{Visit: p.visit(user, s), Fingerprint: a.Fingerprint()}
		now, err = r.grants.No(req.Context(), answer)
		if err == nil && now.State == devicegrant.Denied {
			p.w.model.with(user, func(a *attempt) { a.stopped = time.Now() })
		}
		if err == nil && !now.State.Ended() {
			p.w.violated("%s was denied, and is %s", user, now.State)
		}
		return err
	})
	p.w.tell(p.who, "says no to %s: %s %s", user, now.State, said(err))
}

// readNumber has the phone show the number, and its person type it on the laptop.
func (p *phone) readNumber(l *login, a devicegrant.Attempt) bool {
	number := ""
	err := p.ask(func(r *replica, _ http.ResponseWriter, req *http.Request, s session.Session) (err error) {
		number, err = r.grants.NumberFor(req.Context(), l.attempt.ID, s.Person)
		return err
	})
	p.w.tell(p.who, "reads the number: %s", said(err))
	if err != nil {
		return false
	}
	p.w.model.secret(number)
	if number != "" {
		l.number <- number
	}
	return true
}

// logOut logs the phone out.
func (p *phone) logOut() {
	w := p.w
	err := p.ask(func(r *replica, rw http.ResponseWriter, req *http.Request, s session.Session) error {
		defer w.model.disturbed(s.Person)
		ended, err := r.sessions.Logout(rw, req)
		// Otherwise another request was quicker: it ended the session, or put one
		// that has its Ref in its place.
		if err == nil && ended.LoggedIn() {
			w.model.ended(s.Ref)
		}
		if err == nil && ended.LoggedIn() && !r.isDead() && !w.provider.hasEnded(ended.Tokens) {
			w.violated("%s has logged out, and the tokens are not revoked", p.who)
		}
		return err
	})
	w.tell(p.who, "logs out: %s", said(err))
}

// endOthers logs out all other sessions of the phone's person.
func (p *phone) endOthers() {
	w, began := p.w, time.Now()
	err := p.ask(func(r *replica, _ http.ResponseWriter, req *http.Request, s session.Session) error {
		defer w.model.disturbed(s.Person)
		began = time.Now()
		_, err := r.sessions.EndOthers(req.Context(), s)
		if err == nil {
			w.model.mayEnd(s)
			w.model.raised(s.Person, s.Ref, began)
		}
		return err
	})
	w.tell(p.who, "logs out all others: %s", said(err))
	for range 10 {
		if err != nil {
			return
		}
		w.checkWaiting(p.owner(), began)
		w.sleep(p.who, 2*time.Second)
	}
}

// endNewest logs out the newest of the other sessions of the phone's person,
// pending ones included.
func (p *phone) endNewest() {
	w := p.w
	err := p.ask(func(r *replica, _ http.ResponseWriter, req *http.Request, s session.Session) error {
		defer w.model.disturbed(s.Person)
		listed, err := r.sessions.Of(req.Context(), s.Person)
		if err != nil {
			return err
		}
		for _, other := range listed {
			if other.Ref != s.Ref {
				if _, err = r.sessions.End(req.Context(), s, other.Ref); err == nil || errors.Is(err, session.ErrOver) {
					w.model.mayEnd(s)
					w.model.ended(other.Ref)
				}
				return err
			}
		}
		return nil
	})
	w.tell(p.who, "logs out the newest other: %s", said(err))
}

// confirmNewest has the phone's person confirm the newest session that came by
// phone.
func (p *phone) confirmNewest() {
	w := p.w
	err := p.ask(func(r *replica, _ http.ResponseWriter, req *http.Request, s session.Session) error {
		unconfirmed, err := r.sessions.ToConfirm(req.Context(), s)
		if err != nil || len(unconfirmed) == 0 {
			return err
		}
		w.model.confirms(unconfirmed[0].Ref)
		return r.sessions.Confirm(req.Context(), s, unconfirmed[0].Ref)
	})
	w.tell(p.who, "confirms the newest session: %s", said(err))
}
