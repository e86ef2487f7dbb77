package handlers

import (
	"net/http"
	"time"

	"changebank/internal/session"
	"changebank/static"
)

func (s *Server) home(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	if sess.LoggedIn() {
		return seeOther(w, r, "/account")
	}
	ended, err := s.cfg.Sessions.WasEnded(r)
	if err != nil {
		return err
	}
	return s.render(w, "home", struct {
		frame
		People []string
		Ended  bool // from another device
	}{frameOf(sess), s.cfg.People, ended})
}

// greetFor is how long the account page says that a phone logged this browser
// in: another person's phone may have approved.
const greetFor = 5 * time.Minute

func (s *Server) account(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	toConfirm, err := s.cfg.Sessions.ToConfirm(r.Context(), sess)
	if err != nil {
		return err
	}
	return s.render(w, "account", struct {
		frame
		ByPhone bool
		New     []device
	}{frameOf(sess), byPhone(sess) && time.Since(sess.Began) < greetFor, devicesOf(sess, toConfirm)})
}

func (s *Server) static(w http.ResponseWriter, r *http.Request) error {
	file, ok := static.Lookup(r.PathValue("name"))
	if !ok {
		return errNotFound
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Type", file.Type)
	_, _ = w.Write(file.Content) // the visitor may have left
	return nil
}

func (s *Server) notFound(http.ResponseWriter, *http.Request) error { return errNotFound }

// healthz says that the process is alive.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) error {
	return text(w, http.StatusOK, "ok\n")
}

// readyz says whether people can log in.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Provider.Ready() != nil {
		return text(w, http.StatusServiceUnavailable, "identity provider not found yet\n")
	}
	if err := s.cfg.Store.Ping(r.Context()); err != nil {
		s.log.Error("store not ready", "err", err)
		return text(w, http.StatusServiceUnavailable, "store not ready\n")
	}
	return text(w, http.StatusOK, "ok\n")
}
