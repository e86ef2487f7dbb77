package handlers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"changebank/internal/idp"
	"changebank/internal/session"
)

// login sends the browser to the provider. With switch=1 the provider asks who
// it is, even if it knows.
func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.cfg.Sessions.Load(r)
	if err != nil {
		return err
	}
	again := r.FormValue("switch") == "1"
	byPhone := sess.LoggedIn() && sess.By == session.ByPhone
	target, flow, err := s.cfg.Provider.AuthURL(ownPath(r.FormValue("return_to")), again || byPhone)
	if err != nil {
		return providerError(err)
	}
	flow.Afresh = byPhone
	if byPhone && !again {
		flow.Subject = sess.Person.Subject
	}
	_, err = s.cfg.Sessions.Update(w, r, func(sess *session.Session) error {
		sess.AddFlow(flow)
		return nil
	})
	if err != nil {
		return err
	}
	return seeOther(w, r, target)
}

// errNoFlow says that this browser has no such login on its way.
var errNoFlow = errors.New("no login with this state is on its way in this browser")

// callback is where the provider sends the browser back to.
func (s *Server) callback(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.cfg.Sessions.Load(r)
	if err != nil {
		return err
	}
	again := link{"/login", "Log in again"}
	var flow idp.Flow
	err = errNoFlow
	if sess.ID != "" {
		_, err = s.cfg.Sessions.Update(w, r, func(sess *session.Session) error {
			var ok bool
			if flow, ok = sess.TakeFlow(r.URL.Query().Get("state")); !ok {
				return errNoFlow
			}
			return nil
		})
	}
	switch {
	case errors.Is(err, errNoFlow) && sess.LoggedIn():
		return seeOther(w, r, "/account") // the page was opened again
	case errors.Is(err, errNoFlow):
		// Also what stops login CSRF: somebody else's answer, sent as a link.
		return &httpError{status: http.StatusBadRequest, text: "This login was begun in another browser, too long ago, or has been used already.", next: again, err: err}
	case err != nil:
		return err
	}
	again.Path += "?return_to=" + url.QueryEscape(flow.ReturnTo)

	tokens, err := s.cfg.Provider.Exchange(r.Context(), flow, r.URL.Query())
	switch refused, ok := errors.AsType[*idp.Error](err); {
	case ok && refused.OfClient():
		return providerError(err)
	case ok && refused.Status == 0:
		return &httpError{status: http.StatusForbidden, title: "You are not logged in", text: refusalWords(refused), next: again, err: err}
	case err != nil:
		return &httpError{status: http.StatusBadGateway, text: "It did not finish your login. Please try again.", next: again, err: err}
	}
	person, err := s.cfg.Provider.Verify(r.Context(), tokens, flow.Nonce)
	if err != nil {
		s.revoke(r.Context(), tokens)
		return &httpError{status: http.StatusBadGateway, text: "What it says about you could not be verified, so you are not logged in.", next: again, err: err}
	}
	if err := asAsked(flow, person, tokens, again); err != nil {
		s.revoke(r.Context(), tokens)
		return err
	}
	id, err := s.cfg.Sessions.Create(r, person, tokens, session.ByProvider)
	if err != nil {
		return err
	}
	old, err := s.cfg.Sessions.Enter(w, r, id)
	if err != nil {
		return err
	}
	// One browser, one way in: its QR code must not log it in as somebody else
	// afterwards. The browser gets its new cookie first: another tab that hears
	// of the end at once would ask with the old one, and be given a third.
	http.Redirect(w, r, flow.ReturnTo, http.StatusSeeOther)
	_ = http.NewResponseController(w).Flush() // else it comes a little later
	ctx := context.WithoutCancel(r.Context())
	if err := s.cfg.Grants.Cancel(ctx, old.Attempt); err != nil {
		s.log.Error("the attempt of a browser that logged in another way is not cancelled; nobody can claim it", "err", err)
	}
	s.revoke(ctx, old.Tokens)
	return nil
}

// asAsked refuses a login that had to be a new one, or a certain person's, and
// is not. A laptop that somebody was tricked into logging in could otherwise say
// yes for the next one, with nobody having typed a password there.
func asAsked(flow idp.Flow, person idp.Person, tokens idp.Tokens, again link) error {
	switch {
	case flow.Subject != "" && person.Subject != flow.Subject:
		return &httpError{
			status: http.StatusForbidden, title: "That was somebody else",
			text: "This browser is logged in as another person. Log in as that one, or log out first.",
			next: again, err: errors.New("another person logged in than the one who had to"),
		}
	case flow.Afresh && !flow.Fresh(tokens.ID):
		return &httpError{
			status: http.StatusForbidden, title: "Your password is needed",
			text: "This browser was logged in by a phone, so it has to log in with a password before it may let others in. The login service did not ask for it, or does not say so.",
			next: again, err: errors.New("no auth_time, or one before the request"),
		}
	}
	return nil
}

// logoutQuestion asks: a link that somebody sent must not log anybody out.
func (s *Server) logoutQuestion(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	return s.render(w, "logout", frameOf(sess))
}

// logout ends the session here, then at the provider, which sends the browser
// back to the home page.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.cfg.Sessions.Logout(w, r)
	if err != nil {
		return err
	}
	if err := s.cfg.Grants.Cancel(r.Context(), sess.Attempt); err != nil {
		return err
	}
	if !sess.LoggedIn() {
		return seeOther(w, r, "/")
	}
	s.log.Info("logged out", "person", *sess.Person)
	s.revoke(r.Context(), sess.Tokens)
	if target := s.cfg.Provider.LogoutURL(sess.Tokens.ID); target != "" {
		return seeOther(w, r, target)
	}
	return seeOther(w, r, "/")
}

// revokeTimeout is how long a person waits for tokens to be revoked.
const revokeTimeout = 2 * time.Second

// revoke ends the tokens of a session that is over, as well as it can: without
// our secret and the store nobody could use them anyway.
func (s *Server) revoke(ctx context.Context, tokens idp.Tokens) {
	if tokens.Access == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, revokeTimeout)
	defer cancel()
	if err := s.cfg.Provider.Revoke(ctx, tokens); err != nil {
		s.log.Warn("the tokens of a session that is over could not be revoked", "err", err)
	}
}

// providerError gives a fault of the provider its words.
func providerError(err error) error {
	if errors.Is(err, idp.ErrNotReady) {
		return &httpError{
			status: http.StatusServiceUnavailable,
			text:   "It is starting, or cannot be reached. This page tries again by itself.",
			next:   link{"/", "Home"}, err: err, retry: 5 * time.Second,
		}
	}
	if refused, ok := errors.AsType[*idp.Error](err); ok && refused.OfClient() {
		return &httpError{
			status: http.StatusBadGateway,
			title:  "The login service does not accept Changebank",
			text:   "Nobody can log in until whoever runs Changebank has set it right. Its log says what is wrong.",
			next:   link{"/", "Home"}, err: fmt.Errorf("%w; do CLIENT_ID, CLIENT_SECRET and CLIENT_AUTH fit, and may this application use the grant?", err),
		}
	}
	return &httpError{status: http.StatusBadGateway, text: "It did not answer as it should. Please try again in a moment.", next: link{"/", "Home"}, err: err}
}

// ownPath returns path if it is one of ours, else the account's: a link to our
// login must not end on another site (open redirect).
func ownPath(path string) string {
	const home = "/account"
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, "/") {
		return home
	}
	// Browsers take a backslash for a slash and skip control characters.
	if strings.HasPrefix(path, "//") || strings.ContainsFunc(path, func(c rune) bool { return c == '\\' || c <= ' ' || c == 0x7f }) {
		return home
	}
	return path
}
