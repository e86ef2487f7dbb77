package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"changebank/internal/devicegrant"
	"changebank/internal/session"
)

// claim logs in the browser that started the attempt. It is the only page that
// logs a laptop in. A browser that started nothing gets no cookie here.
func (s *Server) claim(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	id, public := s.mine(r)
	switch {
	case sess.LoggedIn():
		return seeOther(w, r, "/account")
	case id == "":
		return seeOther(w, r, "/")
	}
	laptop, err := s.laptop(r)
	if err != nil {
		return err
	}
	// A claim that has begun is finished even if the browser leaves.
	sessionID, err := s.cfg.Grants.Claim(context.WithoutCancel(r.Context()), id, laptop)
	switch {
	case errors.Is(err, devicegrant.ErrNotApproved), errors.Is(err, devicegrant.ErrClaimed), errors.Is(err, devicegrant.ErrNone):
		return seeOther(w, r, qrPath) // which says what happened
	case err != nil:
		return err
	}
	if public { // before any browser has the session's cookie
		if err := s.cfg.Sessions.MakePublic(r.Context(), sessionID); err != nil {
			return err
		}
	}
	if err := s.cfg.Sessions.SetCookie(w, r, sessionID); err != nil {
		return err
	}
	s.qr.Clear(w)
	return seeOther(w, r, "/account")
}

// deviceGrantFinished answers in JSON as the Flask example does, for clients that
// were written for it. Our own pages use [Server.events].
func (s *Server) deviceGrantFinished(w http.ResponseWriter, r *http.Request, _ session.Session) error {
	laptop, err := s.laptop(r)
	if err != nil {
		return err
	}
	a, _, err := s.attempt(r, laptop)
	if err != nil {
		return err
	}
	answer := struct {
		Reload string `json:"reload,omitempty"`
	}{}
	if a.State == devicegrant.Approved {
		answer.Reload = "true"
	}
	w.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(w).Encode(answer)
}
