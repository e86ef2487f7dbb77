package handlers

import (
	"errors"
	"net/http"

	"changebank/internal/session"
	"changebank/static"
)

func (s *Server) home(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.cfg.Sessions.Load(r)
	if err != nil {
		return err
	}
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

// errGreeted says that another tab has shown the greeting.
var errGreeted = errors.New("greeted already")

func (s *Server) account(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	devices, err := s.devicesOf(r, sess)
	if err != nil {
		return err
	}
	page := struct {
		frame
		ByPhone bool // to be said once: somebody else's phone may have said yes
		New     []device
	}{frame: frameOf(sess), New: newOnes(sess, devices)}
	if sess.By == session.ByPhone && !sess.Greeted {
		_, err := s.cfg.Sessions.Update(w, r, func(sess *session.Session) error {
			if !sess.LoggedIn() || sess.Greeted {
				return errGreeted
			}
			sess.Greeted = true
			return nil
		})
		if err != nil && !errors.Is(err, errGreeted) {
			return err
		}
		page.ByPhone = err == nil
	}
	return s.render(w, "account", page)
}

func (s *Server) static(w http.ResponseWriter, r *http.Request) error {
	file, ok := static.Lookup(r.PathValue("name"))
	if !ok {
		return s.notFound(w, r)
	}
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	w.Header().Set("Content-Type", file.Type)
	_, _ = w.Write(file.Content) // who has left does not read it
	return nil
}

func (s *Server) notFound(http.ResponseWriter, *http.Request) error {
	return &httpError{status: http.StatusNotFound, text: "The address may be mistyped, or the page is gone.", next: link{"/", "Home"}}
}

// healthz says that the process lives.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) error {
	return text(w, http.StatusOK, "ok\n")
}

// readyz says whether people can log in.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) error {
	if s.cfg.Provider.Ready() != nil {
		return text(w, http.StatusServiceUnavailable, "the identity provider has not been found yet\n")
	}
	return text(w, http.StatusOK, "ok\n")
}

func text(w http.ResponseWriter, status int, body string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // who has left does not read it
	return nil
}
