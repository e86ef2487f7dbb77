package demoidp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"changebank/internal/store"
)

//go:embed pages
var files embed.FS

// ssoCookie differs from the application's cookies, since a browser sends all
// of a host's cookies to all its ports.
const ssoCookie = "demo_provider_session"

func parsePages() (map[string]*template.Template, error) {
	pages := make(map[string]*template.Template)
	for _, name := range []string{"login", "message"} {
		page, err := template.ParseFS(files, "pages/layout.html", "pages/"+name+".html")
		if err != nil {
			return nil, fmt.Errorf("parse pages: %w", err)
		}
		pages[name] = page
	}
	return pages, nil
}

type loginPage struct {
	Title, AppURL, AppName string
	ID, Email, Error       string
	People                 []string
}

type messagePage struct {
	Title, AppURL, AppName string
	Text                   string
}

func (p *Provider) render(w http.ResponseWriter, status int, name string, data any) {
	var body bytes.Buffer
	if err := p.pages[name].Execute(&body, data); err != nil {
		p.log.Error("demo provider: draw a page", "page", name, "err", err)
		http.Error(w, "Something went wrong.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = body.WriteTo(w)
}

func (p *Provider) message(w http.ResponseWriter, status int, title, text string) {
	p.render(w, status, "message", messagePage{title, p.appURL, p.setup.app.Name, text})
}

func (p *Provider) home(w http.ResponseWriter, _ *http.Request) {
	p.message(w, http.StatusOK, "Demo identity provider",
		"This server stands in for a real identity provider, so that the application can be tried without one. Its people and passwords are made up.")
}

// devicePage is where FusionAuth has a page of its own for user codes.
func (p *Provider) devicePage(w http.ResponseWriter, _ *http.Request) {
	p.message(w, http.StatusOK, "This demo has no page for codes", "Open the code in the application and say yes there. If that does not work, have the laptop show a new code.")
}

func (p *Provider) loggedOut(w http.ResponseWriter, _ *http.Request) {
	p.message(w, http.StatusOK, "You are logged out", "This browser is no longer logged in to the demo identity provider.")
}

func (p *Provider) askLogin(w http.ResponseWriter, a *authRequest, email, problem string) {
	p.render(w, http.StatusOK, "login", loginPage{"Log in", p.appURL, p.setup.app.Name, a.ID, email, problem, p.People()})
}

// fail shows why a login cannot go on.
func (p *Provider) fail(w http.ResponseWriter, err error) {
	if errors.Is(err, store.ErrNotFound) {
		p.message(w, http.StatusBadRequest, "This login is over", "It took too long, or it was used already. Please start again in the application.")
		return
	}
	p.log.Error("demo provider: log in", "err", err)
	p.message(w, http.StatusInternalServerError, "Something went wrong", "Please start again in the application.")
}

// showLogin is where op sends a browser that came to the authorization
// endpoint: to the form, or straight back if it is logged in here already.
func (p *Provider) showLogin(w http.ResponseWriter, r *http.Request) {
	a, err := p.storage.requests.Get(r.Context(), r.FormValue("id"))
	if err != nil {
		p.fail(w, err)
		return
	}
	session, err := p.session(r)
	switch {
	case err == nil && a.satisfiedBy(session):
		p.finish(w, r, a, session.Subject, session.AuthTime)
	case err != nil && !errors.Is(err, store.ErrNotFound):
		p.fail(w, err)
	case slices.Contains(a.Prompt, oidc.PromptNone):
		op.AuthRequestError(w, r, a, oidc.ErrLoginRequired(), p.op)
	default:
		p.askLogin(w, a, a.LoginHint, "")
	}
}

// satisfiedBy reports whether the person need not be asked again. Of
// prompt=login op has made max_age=0.
func (a *authRequest) satisfiedBy(s ssoSession) bool {
	return !slices.Contains(a.Prompt, oidc.PromptSelectAccount) &&
		(a.MaxAge == nil || time.Since(s.AuthTime).Seconds() < float64(*a.MaxAge)) &&
		(a.HintedSubject == "" || a.HintedSubject == s.Subject)
}

func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	a, err := p.storage.requests.Get(r.Context(), r.PostFormValue("id")) // none if the form cannot be read
	if err != nil {
		p.fail(w, err)
		return
	}
	email := strings.TrimSpace(r.PostFormValue("email"))
	who, ok := p.setup.logIn(email, r.PostFormValue("password"))
	if !ok {
		p.log.Info("demo provider: wrong e-mail address or password")
		p.askLogin(w, a, email, "The e-mail address or the password is wrong.")
		return
	}
	session := ssoSession{who.ID, time.Now(), time.Now().Add(ssoLife)}
	id, err := p.storage.sso.Create(r.Context(), session)
	if err == nil {
		err = p.forgetSession(r) // the old one: each login has a cookie of its own
	}
	if err != nil {
		p.fail(w, err)
		return
	}
	p.setCookie(w, id, 0)
	p.finish(w, r, a, who.ID, session.AuthTime)
}

// logIn compares a password even for an unknown address, so that the time does
// not tell which addresses exist.
func (s *setup) logIn(email, password string) (who person, ok bool) {
	for _, p := range s.people {
		if strings.EqualFold(p.Email, email) {
			who = p
		}
	}
	sum := sha256.Sum256([]byte(password))
	return who, subtle.ConstantTimeCompare(sum[:], who.password[:]) == 1
}

// finish sends the browser back with a code. op makes the code from the request
// as it is stored, so the person is put there first, and stays: else two
// browsers that finish one request at once could get each other's person.
func (p *Provider) finish(w http.ResponseWriter, r *http.Request, a *authRequest, subject string, authTime time.Time) {
	a, err := p.storage.requests.Update(r.Context(), a.ID, func(a **authRequest) error {
		if (*a).Done() {
			return store.ErrNotFound
		}
		(*a).Subject, (*a).AuthTime = subject, authTime
		return nil
	})
	if err != nil {
		p.fail(w, err)
		return
	}
	p.log.Info("demo provider: logged in", "person", subject)
	op.AuthResponse(a, p.op, w, r)
}

// session returns who is logged in at the demo provider in this browser.
func (p *Provider) session(r *http.Request) (ssoSession, error) {
	cookie, err := r.Cookie(ssoCookie)
	if err != nil {
		return ssoSession{}, store.ErrNotFound
	}
	s, err := p.storage.sso.Get(r.Context(), cookie.Value)
	if err != nil {
		return ssoSession{}, err
	}
	if _, err := p.storage.person(s.Subject); err != nil || time.Now().After(s.Expires) {
		return ssoSession{}, store.ErrNotFound
	}
	return s, nil
}

func (p *Provider) forgetSession(r *http.Request) error {
	cookie, err := r.Cookie(ssoCookie)
	if err != nil {
		return nil // there is none
	}
	if _, err = p.storage.sso.Delete(r.Context(), cookie.Value); errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

func (p *Provider) setCookie(w http.ResponseWriter, value string, maxAge int) {
	http.SetCookie(w, &http.Cookie{
		Name: ssoCookie, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: p.secure, SameSite: http.SameSiteLaxMode,
	})
}

// knowingBrowser lets storage.TerminateSession log out the browser that asks.
func (p *Provider) knowingBrowser(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		end := func() error {
			p.setCookie(w, "", -1)
			return p.forgetSession(r)
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), endBrowser{}, end)))
	})
}

func asset(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "max-age=300")
	http.ServeFileFS(w, r, files, "pages"+r.URL.Path)
}
