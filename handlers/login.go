package handlers

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"changebank/internal/idp"
	"changebank/internal/session"
)

// login sends the browser to the provider.
func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	target, flow, err := s.cfg.Provider.AuthURL(ownPath(r.FormValue("return_to")))
	if err != nil {
		return providerError(err)
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
		return &httpError{http.StatusBadRequest, "", "This login was begun in another browser, too long ago, or has been used already.", again, err}
	case err != nil:
		return err
	}
	again.Path += "?return_to=" + url.QueryEscape(flow.ReturnTo)

	tokens, err := s.cfg.Provider.Exchange(r.Context(), flow, r.URL.Query())
	if refused, ok := errors.AsType[*idp.Error](err); ok && refused.Status == 0 {
		return &httpError{http.StatusForbidden, "You are not logged in", "The login service did not let you in, or you turned back.", again, err}
	}
	if err != nil {
		return &httpError{http.StatusBadGateway, "", "It did not finish your login. Please try again.", again, err}
	}
	person, err := s.cfg.Provider.Verify(r.Context(), tokens, flow.Nonce)
	if err != nil {
		return &httpError{http.StatusBadGateway, "", "What it says about you could not be verified, so you are not logged in.", again, err}
	}
	id, err := s.cfg.Sessions.Create(r, person, tokens, session.ByProvider)
	if err != nil {
		return err
	}
	old, err := s.cfg.Sessions.Enter(w, r, id)
	if err != nil {
		return err
	}
	s.revoke(r.Context(), old.Tokens)
	// One browser, one way in: its QR code must not log it in as somebody
	// else afterwards.
	if err := s.cfg.Grants.Cancel(r.Context(), old.Attempt); err != nil {
		return err
	}
	return seeOther(w, r, flow.ReturnTo)
}

// logoutQuestion asks: a link that somebody sent must not log anybody out.
func (s *Server) logoutQuestion(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.cfg.Sessions.Load(r)
	if err != nil {
		return err
	}
	if !sess.LoggedIn() {
		return seeOther(w, r, "/")
	}
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
		return &httpError{http.StatusServiceUnavailable, "", "It is starting, or cannot be reached. Please try again in a moment.", link{"/", "Home"}, err}
	}
	return &httpError{http.StatusBadGateway, "", "It did not answer as it should. Please try again in a moment.", link{"/", "Home"}, err}
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
