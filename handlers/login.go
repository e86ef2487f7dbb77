package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"changebank/internal/flows"
	"changebank/internal/idp"
	"changebank/internal/limit"
	"changebank/internal/session"
)

// defaultPath is the return path of a login without one.
const defaultPath = "/account"

// login sends the browser to the provider. With switch=1 the provider asks for
// an account even if someone is logged in there.
func (s *Server) login(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	flow := idp.NewFlow()
	flow.Prompt = r.FormValue("switch") == "1"
	flow.Reauthenticate = s.mustProve(sess)
	if byPhone(sess) && !flow.Prompt {
		flow.Subject = sess.Person.Subject
	}
	return s.begin(w, r, flow, s.flows.OwnPath(r.FormValue("return_to")))
}

// begin sends the browser to the provider for a login that leads on to a page of
// ours.
func (s *Server) begin(w http.ResponseWriter, r *http.Request, flow idp.Flow, returnTo string) error {
	state, err := s.flows.NewState(returnTo)
	if err != nil {
		return err
	}
	target, err := s.cfg.Provider.AuthURL(r.Context(), state, flow)
	if errors.Is(err, idp.ErrNotReady) {
		return err
	}
	if err != nil {
		return withNext{fmt.Errorf("%w: %w", errUnfinished, err), link{loginTo(returnTo), "Log in again"}}
	}
	if err := s.flows.Begin(w, r, state, flow); err != nil {
		return err
	}
	return seeOther(w, r, target)
}

// callback is where the provider sends the browser back to.
func (s *Server) callback(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	query := r.URL.Query()
	id, returnTo := s.flows.ParseState(query.Get("state"))
	again := link{loginTo(returnTo), "Log in again"}
	if s.cfg.Provider.Ready() != nil {
		return idp.ErrNotReady // whose page tries again: the flow must not be used up
	}

	flow, err := s.flows.Take(w, r, id, s.browserOf(r).Addr)
	if errors.Is(err, flows.ErrNone) && sess.LoggedIn() {
		return seeOther(w, r, returnTo) // the page was opened again, or late
	}
	if tooMany, ok := errors.AsType[*limit.TooManyError](err); ok {
		s.log.Warn("login refused", "rule", tooMany.Rule, "browser", s.browserOf(r), "wait", tooMany.Wait)
		s.cfg.Refused(tooMany.Rule)
	}
	if err != nil {
		return withNext{err, again}
	}
	tokens, err := s.cfg.Provider.Exchange(r.Context(), flow, query)
	if err != nil {
		return s.notExchanged(w, r, flow, returnTo, err)
	}
	person, err := s.cfg.Provider.Verify(r.Context(), tokens, flow.Nonce)
	if err != nil {
		err = fmt.Errorf("%w: %w", errUnverified, err)
	} else {
		err = s.asRequired(flow, sess, person, tokens)
	}
	if err != nil {
		s.cfg.Provider.Revoke(tokens)
	}
	if errors.Is(err, errNotProved) {
		return err // whose page leads out: nobody goes round in circles
	}
	if err != nil {
		return withNext{err, again}
	}
	if err := s.cfg.Sessions.LogIn(w, r, person, tokens); err != nil {
		return err
	}
	attempt := s.attemptID(r)
	s.qr.Clear(w)
	if err := seeOther(w, r, returnTo); err != nil {
		return err
	}
	// The browser gets its new cookie first: another tab that learned of the
	// end right away would still ask with the old one.
	_ = http.NewResponseController(w).Flush() // otherwise it comes a little later
	// The QR code of this browser must not log it in as someone else afterwards.
	if err := s.cfg.Grants.Cancel(r.Context(), attempt); err != nil {
		s.log.Error("attempt not cancelled after another login; its browser can no longer claim it", "err", err)
	}
	return nil
}

// notExchanged is for a callback that brought no tokens. A login whose scopes were
// refused starts again with fewer.
func (s *Server) notExchanged(w http.ResponseWriter, r *http.Request, flow idp.Flow, returnTo string, err error) error {
	again := link{loginTo(returnTo), "Log in again"}
	refusal, refused := errors.AsType[*idp.Error](err)
	if refused && refusal.OfScopes() {
		if narrower, ok := s.cfg.Provider.Narrower(flow); ok {
			return s.begin(w, r, narrower, returnTo)
		}
	}
	switch {
	case refused && flow.Reauthenticate && refusal.NeedsLogin():
		return fmt.Errorf("%w: %v", errNotProved, err) // another try would end the same way
	case refused && (refusal.OfClient() || refusal.Status == 0):
		return withNext{err, again}
	}
	return withNext{fmt.Errorf("%w: %w", errUnfinished, err), again}
}

// asRequired refuses a login of another person than the one required, and one for
// which the provider did not ask the person again where it had to. It always has
// to for a browser that a phone logged in: a laptop that someone was tricked into
// logging in could otherwise approve the next (chaining).
func (s *Server) asRequired(flow idp.Flow, sess session.Session, person idp.Person, tokens idp.Tokens) error {
	switch {
	case flow.Subject != "" && person.Subject != flow.Subject:
		return errWrongAccount
	case (flow.Reauthenticate || s.mustProve(sess)) && !flow.Reauthenticated(tokens.ID):
		return errNotProved
	}
	return nil
}

// mustProve reports whether the browser's next login must be a fresh one: a phone
// logged it in, and it could approve other devices on our page. Where the
// provider's own page asks, nothing is approved here, and some providers could
// never prove a fresh login.
func (s *Server) mustProve(sess session.Session) bool {
	return byPhone(sess) && s.cfg.Provider.CanApprove()
}

// byPhone reports whether a phone logged the browser in.
func byPhone(sess session.Session) bool { return sess.LoggedIn() && sess.By == session.ByPhone }

// loginTo returns the path of the login page that leads on to a page of ours.
func loginTo(path string) string {
	if path == defaultPath {
		return "/login"
	}
	return "/login?return_to=" + url.QueryEscape(path)
}

// logoutQuestion asks first: a link that someone sent must not log anyone out.
func (s *Server) logoutQuestion(w http.ResponseWriter, _ *http.Request, sess session.Session) error {
	return s.render(w, "logout", struct {
		frame
		AtProvider bool // its session ends, too
	}{frameOf(sess), s.endSessionURL(sess) != ""})
}

// endSessionURL returns where the browser ends its session at the provider, or ""
// if it has none there: a phone made its session here. Pocket ID would keep such a
// browser on a page of its own, and Hydra would log out the phone.
func (s *Server) endSessionURL(sess session.Session) string {
	if byPhone(sess) {
		return ""
	}
	return s.cfg.Provider.LogoutURL(sess.Tokens.ID)
}

// logout ends the session here and revokes its tokens, then ends the one at the
// provider, which sends the browser back to the home page.
func (s *Server) logout(w http.ResponseWriter, r *http.Request, _ session.Session) error {
	// The attempt first: if the store fails, the person is still logged in and can
	// try again, and does not stay logged in at the provider.
	if err := s.cfg.Grants.Cancel(r.Context(), s.attemptID(r)); err != nil {
		return err
	}
	sess, err := s.cfg.Sessions.Logout(w, r)
	if err != nil {
		return err
	}
	s.qr.Clear(w)
	if !sess.LoggedIn() {
		return seeOther(w, r, "/")
	}
	s.log.Info("logout", "person", sess.Person, "how", sess.By, "ref", sess.Ref, "browser", s.browserOf(r))
	if target := s.endSessionURL(sess); target != "" {
		return s.leave(w, frame{}, "Logging out", target)
	}
	return seeOther(w, r, "/")
}
