package demoidp

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
)

//go:embed pages
var files embed.FS

var (
	loginTemplate   = template.Must(template.ParseFS(files, "pages/layout.html", "pages/login.html"))
	messageTemplate = template.Must(template.ParseFS(files, "pages/layout.html", "pages/message.html"))
)

type loginPage struct {
	Title, AppURL, AppName string
	ID, Email, Error       string
	People                 []string
}

type messagePage struct {
	Title, AppURL, AppName string
	Text                   string
}

func (p *Provider) render(w http.ResponseWriter, status int, page *template.Template, data any) {
	var body bytes.Buffer
	if err := page.Execute(&body, data); err != nil {
		p.log.Error("demo provider: page failed", "err", err)
		http.Error(w, "Something went wrong.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w) // fails only if the browser is gone
}

func (p *Provider) askPassword(w http.ResponseWriter, status int, a *authRequest, email, problem string) {
	p.render(w, status, loginTemplate, loginPage{"Log in", p.appURL, p.app.Name, a.ID, email, problem, p.People()})
}

func (p *Provider) message(w http.ResponseWriter, status int, title, text string) {
	p.render(w, status, messageTemplate, messagePage{title, p.appURL, p.app.Name, text})
}

func (p *Provider) home(w http.ResponseWriter, _ *http.Request) {
	p.message(w, http.StatusOK, "Demo identity provider", "This server stands in for a real identity provider, so that you can try the application without one. Its accounts are made up.")
}

// devicePage is at the path of FusionAuth's own page for user codes.
func (p *Provider) devicePage(w http.ResponseWriter, _ *http.Request) {
	p.message(w, http.StatusOK, "The demo has no page for codes", "Approve the code in the application. If that doesn't work, get a new code on the other device.")
}

func (p *Provider) loggedOut(w http.ResponseWriter, _ *http.Request) {
	p.message(w, http.StatusOK, "You are logged out", "This browser is no longer logged in to the demo identity provider.")
}

func (p *Provider) loginExpired(w http.ResponseWriter) {
	p.message(w, http.StatusBadRequest, "This login has expired", "Go back to the application and log in again.")
}

func (p *Provider) fail(w http.ResponseWriter, err error) {
	p.log.Error("demo provider: login failed", "err", err)
	p.message(w, http.StatusInternalServerError, "Something went wrong", "Go back to the application and try again.")
}

func asset(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=300")
	http.ServeFileFS(w, r, files, "pages"+r.URL.Path)
}
