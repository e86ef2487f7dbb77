package handlers

import (
	"net/http"

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

func (s *Server) account(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	devices, err := s.devicesOf(r, sess)
	if err != nil {
		return err
	}
	page := struct {
		frame
		ByPhone bool // shown once: another person's phone may have approved
		New     []device
	}{frame: frameOf(sess), New: newOnes(sess, devices)}
	if byPhone(sess) && !sess.Greeted {
		if page.ByPhone, err = s.cfg.Sessions.Greet(r); err != nil {
			return err
		}
	}
	return s.render(w, "account", page)
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

// readyz says whether people can log in here: a load balancer should send
// requests only to replicas that are ready.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	if s.draining() {
		return text(w, http.StatusServiceUnavailable, "stopping\n")
	}
	if s.cfg.Provider.Ready() != nil {
		return text(w, http.StatusServiceUnavailable, "identity provider not found yet\n")
	}
	if err := s.cfg.Store.Ping(r.Context()); err != nil {
		if !s.storeDown.Swap(true) { // health checks come every few seconds
			s.log.Error("store not ready", "err", err)
		}
		return text(w, http.StatusServiceUnavailable, "store not ready\n")
	}
	if s.storeDown.Swap(false) {
		s.log.Info("store ready again")
	}
	return text(w, http.StatusOK, "ok\n")
}
