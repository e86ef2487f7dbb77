package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"changebank/internal/session"
)

const devicesPath = "/devices"

// device is one of a person's sessions, in words.
type device struct {
	Ref     string
	Browser string
	Began   string // and how
	Addr    string // of the login
	Seen    string
	Here    bool // it is this browser
	Pending bool // a phone approved it, and it has not claimed its session yet
	ByPhone bool // a phone logged it in
}

// devicesPage is the list of where a person is logged in.
type devicesPage struct {
	frame
	New     []device // to be asked about on this page
	Devices []device
	Others  bool
}

// devices shows the person where they are logged in.
func (s *Server) devices(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	sessions, err := s.cfg.Sessions.Of(r.Context(), sess.Person)
	if err != nil {
		return err
	}
	toConfirm, err := s.cfg.Sessions.ToConfirm(r.Context(), sess)
	if err != nil {
		return err
	}
	return s.render(w, "devices", devicesPage{frameOf(sess), devicesOf(sess, toConfirm), devicesOf(sess, sessions), len(sessions) > 1})
}

// devicesOf describes sessions of a person, as seen from one of them.
func devicesOf(sess session.Session, sessions []session.Session) []device {
	devices := make([]device, len(sessions))
	for i, other := range sessions {
		devices[i] = device{
			Ref:     other.Ref,
			Browser: other.Browser.Name(),
			Began:   ago(other.Began),
			Addr:    other.Browser.Addr,
			Seen:    lastSeen(other),
			Here:    other.Ref == sess.Ref,
			Pending: other.Pending,
			ByPhone: other.By == session.ByPhone,
		}
	}
	return devices
}

// lastSeen says when a session's browser was last seen, and what has changed
// since its login: a stolen cookie is used by another browser, elsewhere.
func lastSeen(sess session.Session) string {
	if sess.Seen.IsZero() {
		return "not yet"
	}
	text := "in the last few minutes" // it is not recorded more often
	if time.Since(sess.Seen) > 6*time.Minute {
		text = ago(sess.Seen)
	}
	if name := sess.Latest.Name(); name != sess.Browser.Name() {
		text += ", by another browser: " + name
	}
	if addr := sess.Latest.Addr; addr != "" && addr != sess.Browser.Addr {
		text += ", from " + addr
	}
	return text
}

// endDevice logs out one of the person's devices.
func (s *Server) endDevice(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	ref := r.PathValue("ref")
	if ref == sess.Ref {
		return s.logout(w, r, sess)
	}
	ended, err := s.cfg.Sessions.End(r.Context(), sess, ref)
	if errors.Is(err, session.ErrOver) {
		return s.deviceOver(w, sess)
	}
	if err != nil {
		return err
	}
	return s.render(w, "notice", notice{
		frame: frameOf(sess),
		Title: "Device logged out",
		Text:  ended.Browser.Name() + " has been logged out.",
		Next:  yourList,
	})
}

// endOtherDevices logs out all of the person's devices but this one.
func (s *Server) endOtherDevices(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	n, err := s.cfg.Sessions.EndOthers(r.Context(), sess)
	if err != nil {
		return err
	}
	page := notice{frame: frameOf(sess), Title: "Other devices logged out", Text: fmt.Sprintf("Logged out of %d other devices.", n), Next: yourList}
	switch n {
	case 0:
		page.Title, page.Text = "No other devices", "You are logged in on this device only."
	case 1:
		page.Text = "Logged out of one other device."
	}
	return s.render(w, "notice", page)
}

// confirmDevice notes that a device which a phone logged in is the person's.
func (s *Server) confirmDevice(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	err := s.cfg.Sessions.Confirm(r.Context(), sess, r.PathValue("ref"))
	if errors.Is(err, session.ErrOver) {
		return s.deviceOver(w, sess)
	}
	if err != nil {
		return err
	}
	return seeOther(w, r, devicesPath)
}

// deviceOver says that there is nothing left to do about a device.
func (s *Server) deviceOver(w http.ResponseWriter, sess session.Session) error {
	return s.render(w, "notice", notice{
		frame: frameOf(sess), Title: "Already logged out",
		Text: "This device was logged out before, or its session expired.", Next: yourList,
	})
}
