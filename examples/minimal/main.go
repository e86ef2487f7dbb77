// Minimal is a small web application with its own sessions and pages that uses
// package qrlogin for login by phone. See docs/own-application.md.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"html/template"
	"log"
	"net/http"
	"os"
	"sync"

	"changebank/qrlogin"
)

// sessions are the application's own sessions, here in memory.
type sessions struct {
	mu   sync.Mutex
	byID map[string]qrlogin.Login
}

const cookieName = "session"

func (s *sessions) current(r *http.Request) (id string, login qrlogin.Login, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cookie, err := r.Cookie(cookieName); err == nil {
		if login, ok := s.byID[cookie.Value]; ok {
			return cookie.Value, login, nil
		}
	}
	return "", qrlogin.Login{}, nil
}

func (s *sessions) logIn(w http.ResponseWriter, r *http.Request, login qrlogin.Login) (id string, err error) {
	old, _, _ := s.current(r)
	id = rand.Text() // a new ID at every login
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, old)
	s.byID[id] = login
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: id, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}) // with https, also Secure
	return id, nil
}

func (s *sessions) loggedIn(_ context.Context, subject, id string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	login, ok := s.byID[id]
	return ok && login.Subject == subject, nil
}

func (s *sessions) end(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.byID, id)
}

var pages = template.Must(template.New("").Parse(`
{{define "home"}}<!doctype html><title>Minimal</title>
{{if .Subject}}<p>Logged in as <b id="person">{{.Person}}</b>{{if .ByPhone}} by phone{{end}}.
<form method="post" action="/logout"><button>Log out</button></form>
{{else}}<p><a href="/qr-login">Log in with your phone</a> or <a href="/qr-login/login">log in here</a>.{{end}}{{end}}

{{define "code"}}<!doctype html><title>{{.Title}}</title>{{.Follow}}
<h1>{{.Title}}</h1><p>{{.Text}} {{.Note}}
{{if .QR}}<div style="width: 16rem">{{.QR}}</div>
<p>Or open <a href="{{.Link}}">{{.URI}}</a> on your phone and enter <code id="user-code">{{.UserCode}}</code>.{{end}}
{{if .NeedsNumber}}<form method="post" action="/qr-login/number">{{with .Problem}}<p><b>{{.}}</b></p>{{end}}
<label>The number on your phone <input name="number" inputmode="numeric" autocomplete="off" autofocus></label> <button>Log in</button></form>{{end}}
{{if .Ended}}<form method="post" action="/qr-login"><button>Show a new code</button></form>
{{else}}<form method="post" action="/qr-login/cancel"><button>Cancel</button></form>{{end}}{{end}}

{{define "question"}}<!doctype html><title>{{.Title}}</title><meta name="viewport" content="width=device-width">
<h1>{{.Title}}</h1><p>{{.Text}}
{{with .Problem}}<p><b>{{.}}</b>{{end}}
{{range .Warnings}}<p>{{.}}{{end}}
{{if .Ask}}<p>{{.Device}}, from {{.Addr}}, {{.Requested}}, with the code {{.UserCode}}
<form method="post">{{.Fields}}<button name="answer" value="no">No, cancel</button> <button name="answer" value="yes">Yes, approve</button></form>
<p><a href="{{.SwitchAccount}}">Not you? Switch account</a>{{end}}
{{with .Number}}<p style="font-size: 3rem" id="number">{{.}}{{end}}
{{with .Continue}}<p><a href="{{.}}">Continue</a>{{end}}
{{if .TypeCode}}<form><label>Code <input name="user_code" autocomplete="off"></label> <button>Continue</button></form>{{end}}{{end}}`))

func show(w http.ResponseWriter, page string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	if err := pages.ExecuteTemplate(w, page, data); err != nil {
		log.Print(err)
	}
}

// newApp returns the application, and a Handler that the caller must close.
func newApp(ctx context.Context, cfg qrlogin.Config) (http.Handler, *qrlogin.Handler, error) {
	s := &sessions{byID: make(map[string]qrlogin.Login)}
	cfg.Session, cfg.LogIn, cfg.LoggedIn = s.current, s.logIn, s.loggedIn
	cfg.ShowCode = func(w http.ResponseWriter, _ *http.Request, code qrlogin.Code) { show(w, "code", code) }
	cfg.ShowQuestion = func(w http.ResponseWriter, _ *http.Request, q qrlogin.Question) { show(w, "question", q) }
	qr, err := qrlogin.New(ctx, cfg)
	if err != nil {
		return nil, nil, err
	}
	mux := http.NewServeMux()
	qr.Mount(mux)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		_, login, _ := s.current(r)
		show(w, "home", login)
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		id, login, _ := s.current(r)
		s.end(id)
		http.Redirect(w, r, cmp.Or(qr.LogOut(login), "/"), http.StatusSeeOther)
	})
	return http.NewCrossOriginProtection().Handler(mux), qr, nil
}

func main() {
	app, qr, err := newApp(context.Background(), qrlogin.Config{
		Issuer:       cmp.Or(os.Getenv("ISSUER"), "http://localhost:9011"),
		ClientID:     os.Getenv("CLIENT_ID"),
		ClientSecret: os.Getenv("CLIENT_SECRET"),
		AppURL:       cmp.Or(os.Getenv("APP_URL"), "http://localhost:8080"),
		DataDir:      "data",
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("open http://localhost:8080")
	err = http.ListenAndServe("localhost:8080", app)
	log.Fatal(errors.Join(err, qr.Close()))
}
