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
	Ref          string
	Browser      string
	Began        string // and how
	Addr         string // of the login
	Seen         string
	Here         bool // it is this very browser
	ByPhone, New bool // New: by a phone's yes that nobody has confirmed
}

// devicesPage is the list of where a person is logged in.
type devicesPage struct {
	frame
	New     []device // to be asked about here
	Devices []device
	Others  bool
}

// devices shows the person where they are logged in.
func (s *Server) devices(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	devices, err := s.devicesOf(r, sess)
	if err != nil {
		return err
	}
	return s.render(w, "devices", devicesPage{frameOf(sess), newOnes(sess, devices), devices, len(devices) > 1})
}

// devicesOf returns the sessions of a session's person, itself among them.
func (s *Server) devicesOf(r *http.Request, sess session.Session) ([]device, error) {
	sessions, err := s.cfg.Sessions.Of(r.Context(), *sess.Person)
	if err != nil {
		return nil, err
	}
	devices := make([]device, len(sessions))
	for i, other := range sessions {
		devices[i] = device{
			Ref:     other.Ref,
			Browser: other.Browser.Name(),
			Began:   ago(other.Began),
			Addr:    other.Browser.Addr,
			Seen:    lastSeen(other),
			Here:    other.Ref == sess.Ref,
			ByPhone: other.By == session.ByPhone,
			New:     other.Unconfirmed(),
		}
	}
	return devices, nil
}

// newOnes returns the devices about which the person is to be asked in this
// session: none in one that is itself in question.
func newOnes(sess session.Session, devices []device) []device {
	if sess.Unconfirmed() {
		return nil
	}
	var asked []device
	for _, d := range devices {
		if d.New {
			asked = append(asked, d)
		}
	}
	return asked
}

// lastSeen says when a session's browser was seen last, and what has changed
// since its login: a cookie that was stolen is used elsewhere, by another one.
func lastSeen(sess session.Session) string {
	if sess.Seen.IsZero() {
		return "not yet"
	}
	text := "in the last few minutes" // it is not written down more often
	if time.Since(sess.Seen) > 6*time.Minute {
		text = ago(sess.Seen)
	}
	if name := sess.Latest.Name(); name != sess.Browser.Name() {
		text += ", as " + name
	}
	if addr := sess.Latest.Addr; addr != "" && addr != sess.Browser.Addr {
		text += ", from " + addr
	}
	return text
}

// endDevice logs one of the person's devices out.
func (s *Server) endDevice(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	ref := r.PathValue("ref")
	if ref == sess.Ref {
		return s.logout(w, r)
	}
	ended, err := s.cfg.Sessions.End(r.Context(), sess, ref)
	if err != nil {
		return s.noDevice(w, sess, err)
	}
	return s.render(w, "notice", notice{
		frame: frameOf(sess),
		Title: "It is logged out",
		Text:  ended.Browser.Name() + " can do nothing in your name any more.",
		Next:  link{devicesPath, "Your devices"},
	})
}

// endOtherDevices logs all of the person's devices out but this one.
func (s *Server) endOtherDevices(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	n, err := s.cfg.Sessions.EndOthers(r.Context(), sess)
	if err != nil {
		return s.noDevice(w, sess, err)
	}
	page := notice{frame: frameOf(sess), Title: "They are logged out", Text: fmt.Sprintf("You were logged in on %d other devices, and are not any more.", n), Next: link{devicesPath, "Your devices"}}
	switch n {
	case 0:
		page.Title, page.Text = "There is no other", "You are logged in on this device only."
	case 1:
		page.Title, page.Text = "It is logged out", "You were logged in on one other device, and are not any more."
	}
	return s.render(w, "notice", page)
}

// confirmDevice takes the person's word that a device which a phone has logged
// in is theirs.
func (s *Server) confirmDevice(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	if err := s.cfg.Sessions.Confirm(r.Context(), sess, r.PathValue("ref")); err != nil {
		return s.noDevice(w, sess, err)
	}
	return seeOther(w, r, devicesPath)
}

// noDevice says why nothing was done about a device. A device of somebody else
// is as unknown as one that never was.
func (s *Server) noDevice(w http.ResponseWriter, sess session.Session, err error) error {
	next := link{devicesPath, "Your devices"}
	switch {
	case errors.Is(err, session.ErrOver):
		return s.render(w, "notice", notice{
			frame: frameOf(sess), Title: "It is logged out already",
			Text: "Somebody logged out there, you ended it from elsewhere, or its time was over.", Next: next,
		})
	case errors.Is(err, session.ErrUnknown):
		return &httpError{
			status: http.StatusNotFound, title: "You have no such device",
			text: "It is not one of yours, or it was logged out long ago. The list shows where you are logged in.", next: next, err: err,
		}
	case errors.Is(err, session.ErrUnconfirmed):
		return &httpError{
			status: http.StatusForbidden, title: "Please answer this on another device",
			text: "A phone logged this device in, and you have not yet said that it was you. Answer on the phone, or log in here yourself.", next: next, err: err,
		}
	}
	return err
}
