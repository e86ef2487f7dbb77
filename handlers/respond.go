package handlers

import (
	"bytes"
	"context"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"math"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"changebank/internal/session"
	"changebank/internal/store"
	"changebank/internal/words"
	"changebank/static"
	"changebank/templates"
)

// A pageFunc answers one request, or returns why it cannot.
type pageFunc func(w http.ResponseWriter, r *http.Request) error

// A sessionPage is a pageFunc that knows who is asking.
type sessionPage func(w http.ResponseWriter, r *http.Request, sess session.Session) error

// frame is what layout.html needs. Every page's data has it.
type frame struct {
	Person string // empty: not logged in
}

func frameOf(s session.Session) frame {
	if !s.LoggedIn() {
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
	Refresh     int    // seconds; 0: not
	Onward      bool   // the page continues at Next automatically
	Status      int    // of an error
	Reference   string // of an error, as in the log
}

// page makes a handler of a pageFunc. It is the whole error policy.
func (s *Server) page(p pageFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := p(w, r); err != nil {
			s.showError(w, r, err)
		}
	})
}

// withSession gives a page the session of the browser that asks.
func (s *Server) withSession(p sessionPage) pageFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		sess, err := s.cfg.Sessions.Load(r)
		if err != nil {
			return err
		}
		if sess.LoggedIn() {
			s.watchForCrowd(r, sess.Person)
		}
		return p(w, r, sess)
	}
}

// members makes a page for people who are logged in. Others go home.
func members(p sessionPage) sessionPage {
	return func(w http.ResponseWriter, r *http.Request, sess session.Session) error {
		if !sess.LoggedIn() {
			return seeOther(w, r, "/")
		}
		return p(w, r, sess)
	}
}

// showError shows the visitor a sentence and gives the log the cause. A 5xx is
// our fault or the provider's. A visitor who has left gets nothing.
func (s *Server) showError(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return
	}
	e := pageOf(err)
	page := notice{Title: e.title, Text: e.text, Next: e.next, Status: e.status, Reference: w.Header().Get(requestID)}
	if seconds := int(math.Ceil(e.retry.Seconds())); seconds > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(seconds))
		if e.status == http.StatusServiceUnavailable && r.Method == http.MethodGet {
			page.Refresh = seconds
		}
	}
	level, message := e.level, "page refused"
	if e.status >= 500 {
		level, message = slog.LevelError, "page failed"
	}
	s.log.Log(r.Context(), level, message, "route", r.Pattern, "status", e.status, "reference", page.Reference, "err", explain(err))
	if !errors.Is(err, store.ErrUnavailable) { // which may take seconds to say so again
		if sess, err := s.cfg.Sessions.Load(r); err == nil {
			page.frame = frameOf(sess)
		}
	}
	if err := s.renderStatus(w, e.status, "notice", page); err != nil {
		s.log.Error("error page failed", "err", err)
		http.Error(w, e.text, e.status)
	}
}

var assetName = regexp.MustCompile(`{{asset "([^"]+)"}}`)

// parsePages parses every page with the layout. appURL is for addresses that
// other sites read, which must be absolute.
//
// It puts that and the names of static files into the text of the templates:
// the template engine would compute and escape them again for each page, which
// took half of a page's time.
func parsePages(appURL string) (map[string]*template.Template, error) {
	parse := func(t *template.Template, name string) error {
		text, err := fs.ReadFile(templates.Files, name)
		if err != nil {
			return err
		}
		constant := assetName.ReplaceAllStringFunc(string(text), func(asset string) string {
			return static.Path(assetName.FindStringSubmatch(asset)[1])
		})
		constant = strings.ReplaceAll(constant, "{{appURL}}", template.HTMLEscapeString(appURL))
		_, err = t.New(name).Parse(constant)
		return err
	}
	layout := template.New("").Funcs(template.FuncMap{"spelled": words.Spelled})
	for _, name := range []string{"layout.html", "drawings.html", "code.html", "new-devices.html"} {
		if err := parse(layout, name); err != nil {
			return nil, err
		}
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
		if err := parse(page, name); err != nil {
			return nil, err
		}
		pages[strings.TrimSuffix(name, ".html")] = page.Lookup("layout.html")
	}
	return pages, nil
}

func (s *Server) render(w http.ResponseWriter, page string, data any) error {
	return s.renderStatus(w, http.StatusOK, page, data)
}

// buffers hold pages while they are made. All pages are of a similar size.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// renderStatus writes nothing before the whole page is made, so that a page
// never breaks off half way.
func (s *Server) renderStatus(w http.ResponseWriter, status int, page string, data any) error {
	buf := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buf)
	buf.Reset()
	if err := s.pages[page].Execute(buf, data); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(buf.Len()))
	w.WriteHeader(status)
	_, _ = buf.WriteTo(w) // the visitor may have left
	return nil
}

// text answers with a line of plain text.
func text(w http.ResponseWriter, status int, body string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) // the visitor may have left
	return nil
}

// leave answers with a page that continues at another one, automatically. Every
// form whose answer may lead to another origin, now or after more redirects,
// ends here: form-action of the Content-Security-Policy also applies to each
// redirect that follows a form, silently, and nobody knows all the origins that
// a provider redirects to. A page's own refresh is none of those redirects, and
// needs no script. The browser does not repeat the form when the person goes
// back.
func (s *Server) leave(w http.ResponseWriter, f frame, title, to string) error {
	return s.render(w, "notice", notice{
		frame: f, Title: title, Text: "You continue at the login service. If nothing happens, choose Continue.",
		Next: link{to, "Continue"}, Onward: true,
	})
}

// seeOther sends the browser to GET a page of ours. See [Server.leave] for those
// of others.
func seeOther(w http.ResponseWriter, r *http.Request, path string) error {
	http.Redirect(w, r, path, http.StatusSeeOther)
	return nil
}
