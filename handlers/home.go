package handlers

import (
	"net/http"
	"path"
	"time"

	"changebank/internal/browser"
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
		Ended  session.Ending
		Phone  bool // the ordinary login comes first
	}{frameOf(sess), s.cfg.People, ended, browser.IsPhone(r)})
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
		ByPhone        bool
		MustLogInAgain bool // before this device may approve another's login
		Public         bool // this is a public computer
		New            []device
	}{frameOf(sess), byPhone(sess) && time.Since(sess.Began) < greetFor, byPhone(sess), sess.Public, devicesOf(sess, toConfirm)})
}

func (s *Server) static(w http.ResponseWriter, r *http.Request) error {
	file, ok := static.Lookup(r.PathValue("name"))
	if !ok {
		return errNotFound
	}
	return serveFile(w, file, "public, max-age=31536000, immutable")
}

// favicon serves the icon that browsers, and other programs that show one, ask
// for without reading the page.
func (s *Server) favicon(w http.ResponseWriter, _ *http.Request) error {
	file, _ := static.Lookup(path.Base(static.Path("favicon.ico")))
	return serveFile(w, file, "public, max-age=86400")
}

func serveFile(w http.ResponseWriter, file static.File, caching string) error {
	w.Header().Set("Cache-Control", caching)
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
	if s.draining.Load() {
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
