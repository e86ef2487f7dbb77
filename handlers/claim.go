package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"changebank/internal/devicegrant"
	"changebank/internal/session"
)

// reload claims the login for the browser that started it. It is the only page
// that logs a laptop in. A browser that started nothing gets no cookie here.
func (s *Server) reload(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	id := s.attempt(r)
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
	claimed, err := s.cfg.Grants.Claim(context.WithoutCancel(r.Context()), id, laptop)
	switch {
	case errors.Is(err, devicegrant.ErrNotApproved), errors.Is(err, devicegrant.ErrClaimed), errors.Is(err, devicegrant.ErrNone):
		return seeOther(w, r, qrPath) // which says how it stands
	case err != nil:
		return err
	}
	if err := s.cfg.Sessions.SetCookie(w, r, claimed); err != nil {
		return err
	}
	s.qr.Clear(w)
	return seeOther(w, r, "/account")
}

// deviceGrantFinished is the Flask example's own JSON, for clients written
// against it.
func (s *Server) deviceGrantFinished(w http.ResponseWriter, r *http.Request, _ session.Session) error {
	laptop, err := s.laptop(r)
	if err != nil {
		return err
	}
	a, err := s.cfg.Grants.CheckLaptop(r.Context(), s.attempt(r), laptop)
	if err != nil && !errors.Is(err, devicegrant.ErrNone) {
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
