package handlers

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"changebank/internal/session"
	"changebank/internal/words"
)

const devicesPath = "/devices"

// device is one of a person's sessions, in words.
type device struct {
	Ref          string
	Number       int    // in the list, from 1: two devices may otherwise have the same name
	Name         string // given by the person; shown in this list only, never in a question about a login
	Browser      string
	Began        string // and how
	Addr         string // of the login
	Location     string // of Addr, approximate; empty: unknown
	Seen         string
	Here         bool // it is this browser
	Public       bool // it is a public computer
	Pending      bool // a phone approved it, and it has not claimed its session yet
	ByPhone, New bool // New: a phone logged it in, and nobody has confirmed it
}

// devicesPage is the list of where a person is logged in.
type devicesPage struct {
	frame
	New     []device // to be asked about on this page
	Devices []device
	Others  bool
	Names   bool // names can be changed here
}

// devices shows the person where they are logged in.
func (s *Server) devices(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	sessions, err := s.cfg.Sessions.Of(r.Context(), sess.Person)
	if err != nil {
		return err
	}
	devices := devicesOf(sess, sessions)
	page := devicesPage{frame: frameOf(sess), Devices: devices, Others: len(devices) > 1, Names: !sess.Unconfirmed()}
	if !sess.Unconfirmed() {
		page.New = slices.DeleteFunc(slices.Clone(devices), func(d device) bool { return !d.New })
	}
	for i, d := range devices {
		devices[i].Location = s.cfg.GeoIP.Of(d.Addr)
	}
	return s.render(w, "devices", page)
}

// devicesOf describes sessions of a person, as seen from one of them.
func devicesOf(sess session.Session, sessions []session.Session) []device {
	devices := make([]device, len(sessions))
	for i, other := range sessions {
		devices[i] = device{
			Ref:     other.Ref,
			Number:  i + 1,
			Name:    other.Name,
			Browser: other.Browser.Name(),
			Began:   words.Ago(other.Began),
			Addr:    other.Browser.Addr,
			Seen:    lastSeen(other),
			Here:    other.Ref == sess.Ref,
			Public:  other.Public,
			Pending: other.Pending,
			ByPhone: other.By == session.ByPhone,
			New:     other.Unconfirmed() && !other.Pending,
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
		text = words.Ago(sess.Seen)
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
	return s.showEnded(w, sess, "Device logged out", ended.Browser.Name()+" has been logged out.")
}

// endedPage says what was logged out, and what to do if that was an intruder's.
type endedPage struct {
	frame
	Title, Text string
	Service     string // the host where the password can be changed; empty: it can't
}

func (s *Server) showEnded(w http.ResponseWriter, sess session.Session, title, text string) error {
	page := endedPage{frame: frameOf(sess), Title: title, Text: text}
	if issuer, err := url.Parse(sess.Person.Issuer); err == nil && len(s.cfg.People) == 0 { // not the demo provider
		page.Service = issuer.Host
	}
	return s.render(w, "ended", page)
}

// othersPage asks before all other devices are logged out.
type othersPage struct {
	frame
	Count  string
	Others []device
}

// othersQuestion asks first, and says which devices it is about: one press must
// not log out all of them.
func (s *Server) othersQuestion(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	if sess.Unconfirmed() {
		return session.ErrUnconfirmed // as the answer would be
	}
	sessions, err := s.cfg.Sessions.Of(r.Context(), sess.Person)
	if err != nil {
		return err
	}
	devices := devicesOf(sess, sessions)
	others := slices.DeleteFunc(devices, func(d device) bool { return d.Here })
	if len(others) == 0 {
		return s.noOthers(w, sess)
	}
	return s.render(w, "end-others", othersPage{frameOf(sess), otherDevices(len(others)), others})
}

// endOtherDevices logs out all of the person's devices but this one.
func (s *Server) endOtherDevices(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	n, err := s.cfg.Sessions.EndOthers(r.Context(), sess)
	if err != nil {
		return err
	}
	if n == 0 {
		return s.noOthers(w, sess)
	}
	return s.showEnded(w, sess, "Other devices logged out", "Logged out of "+otherDevices(n)+".")
}

func (s *Server) noOthers(w http.ResponseWriter, sess session.Session) error {
	return s.render(w, "notice", notice{
		frame: frameOf(sess), Title: "No other devices",
		Text: "You are logged in on this device only.", Next: yourList,
	})
}

func otherDevices(n int) string {
	if n == 1 {
		return "one other device"
	}
	return fmt.Sprintf("%d other devices", n)
}

// nameDevice sets or removes the name of one of the person's devices.
func (s *Server) nameDevice(w http.ResponseWriter, r *http.Request, sess session.Session) error {
	if err := r.ParseForm(); err != nil {
		return fmt.Errorf("%w: %w", errBadForm, err) // it must not look like an empty name
	}
	err := s.cfg.Sessions.Rename(r.Context(), sess, r.PathValue("ref"), r.PostForm.Get("name"))
	if errors.Is(err, session.ErrOver) {
		return s.deviceOver(w, sess)
	}
	if err != nil {
		return err
	}
	return seeOther(w, r, devicesPath)
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
