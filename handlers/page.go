package handlers

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"changebank/internal/session"
	"changebank/static"
	"changebank/templates"
)

// A pageFunc answers one request, or returns why it cannot.
type pageFunc func(w http.ResponseWriter, r *http.Request) error

// frame is what layout.html needs. Every page's data has it.
type frame struct {
	Person string // empty: not logged in
}

func frameOf(s session.Session) frame {
	if s.Person == nil {
		return frame{}
	}
	return frame{s.Person.String()}
}

type link struct{ Path, Label string }

// notice is a page that says one thing and what to do next.
type notice struct {
	frame
	Title, Text string
	Next        link
	Refresh     int    // seconds, 0: not
	Status      int    // of an error
	Reference   string // of an error, as in the log
}

// An httpError is an error with words for the visitor. The cause is for the log.
type httpError struct {
	status int
	title  string // empty: the status in words
	text   string
	next   link
	err    error
	retry  time.Duration // after which another try may succeed, 0: nobody knows
}

func (e *httpError) Error() string {
	if e.err == nil {
		return e.text
	}
	return e.err.Error()
}

func (e *httpError) Unwrap() error { return e.err }

// page makes a handler of a pageFunc. It is the whole error policy.
func (s *Server) page(p pageFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := p(w, r); err != nil {
			s.showError(w, r, err)
		}
	})
}

// member makes a page for people who are logged in; who is not goes home.
func (s *Server) member(p func(http.ResponseWriter, *http.Request, session.Session) error) pageFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		sess, err := s.cfg.Sessions.Load(r)
		if err != nil {
			return err
		}
		if !sess.LoggedIn() {
			return seeOther(w, r, "/")
		}
		return p(w, r, sess)
	}
}

var errorTitles = map[int]string{
	http.StatusBadRequest:          "That did not work",
	http.StatusForbidden:           "Not allowed",
	http.StatusNotFound:            "There is no such page",
	http.StatusMethodNotAllowed:    "Not this way",
	http.StatusMisdirectedRequest:  "Wrong address",
	http.StatusTooManyRequests:     "Too many tries",
	http.StatusInternalServerError: "Something went wrong",
	http.StatusBadGateway:          "The login service has a problem",
	http.StatusServiceUnavailable:  "The login service is not there",
}

// showError shows the visitor a sentence and gives the log the cause. A 5xx is
// an error of ours or the provider's; who has left gets nothing.
func (s *Server) showError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return
	}
	e, ok := errors.AsType[*httpError](err)
	if !ok {
		e = &httpError{
			status: http.StatusInternalServerError,
			text:   "It is not your fault. Please try again in a moment.",
			next:   link{"/", "Home"},
			err:    err,
		}
	}
	page := notice{Title: e.title, Text: e.text, Next: e.next, Status: e.status, Reference: rand.Text()[:8]}
	if seconds := int(math.Ceil(e.retry.Seconds())); seconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		if e.status == http.StatusServiceUnavailable {
			page.Refresh = seconds
		}
	}
	if page.Title == "" {
		page.Title = errorTitles[e.status]
	}
	level, message := slog.LevelInfo, "page refused"
	if e.status >= 500 {
		level, message = slog.LevelError, "page failed"
	}
	s.log.Log(r.Context(), level, message, "route", r.Pattern, "status", e.status, "reference", page.Reference, "err", e.Error())
	if sess, err := s.cfg.Sessions.Load(r); err == nil {
		page.frame = frameOf(sess)
	}
	if err := s.renderStatus(w, e.status, "notice", page); err != nil {
		s.log.Error("the error page failed", "err", err)
		http.Error(w, e.text, e.status)
	}
}

func parsePages() (map[string]*template.Template, error) {
	layout, err := template.New("layout.html").
		Funcs(template.FuncMap{"asset": static.Path}).
		ParseFS(templates.Files, "layout.html", "drawings.html", "new-devices.html")
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(templates.Files, "*.html")
	if err != nil {
		return nil, err
	}
	pages := make(map[string]*template.Template)
	for _, name := range names {
		if layout.Lookup(name) != nil {
			continue
		}
		page, err := layout.Clone()
		if err != nil {
			return nil, err
		}
		if _, err := page.ParseFS(templates.Files, name); err != nil {
			return nil, err
		}
		pages[strings.TrimSuffix(name, ".html")] = page
	}
	return pages, nil
}

func (s *Server) render(w http.ResponseWriter, page string, data any) error {
	return s.renderStatus(w, http.StatusOK, page, data)
}

// renderStatus writes nothing before the whole page is made: a page that fails
// half way is no page.
func (s *Server) renderStatus(w http.ResponseWriter, status int, page string, data any) error {
	var buf bytes.Buffer
	if err := s.pages[page].Execute(&buf, data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = buf.WriteTo(w) // who has left does not read it
	return nil
}

// seeOther sends the browser to GET a page.
func seeOther(w http.ResponseWriter, r *http.Request, path string) error {
	http.Redirect(w, r, path, http.StatusSeeOther)
	return nil
}
