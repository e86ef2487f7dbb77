package demoidp

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"changebank/internal/limit"
	"changebank/internal/store"
)

const (
	loginLife = 30 * time.Minute // how long a login page can be submitted
	codeLife  = 30 * time.Second
	ssoLife   = 12 * time.Hour

	// ssoCookie differs from the application's cookies because browsers send a
	// host's cookies to all its ports.
	ssoCookie = "demo_provider_session"
)

// authorize is the authorization endpoint. op checks the request, has
// CreateAuthRequest seal it, and redirects the browser to the login page.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	if r.Form.Has("id_token_hint") { // op panics at one with the payload null
		writeError(w, http.StatusBadRequest, "invalid_request", "", "id_token_hint is not supported")
		return
	}
	op.Authorize(w, r, p.op)
}

func (s *storage) CreateAuthRequest(_ context.Context, r *oidc.AuthRequest, _ string) (op.AuthRequest, error) {
	if r.CodeChallenge == "" || r.CodeChallengeMethod != oidc.CodeChallengeMethodS256 {
		return nil, oidc.ErrInvalidRequest().WithDescription("PKCE with S256 is required")
	}
	if slices.ContainsFunc(r.Prompt, func(prompt string) bool { return prompt != oidc.PromptLogin }) {
		return nil, oidc.ErrInvalidRequest().WithDescription("the only supported prompt is login")
	}
	a := &authRequest{
		grant:         grant{ClientID: r.ClientID, Scopes: r.Scopes},
		RedirectURI:   r.RedirectURI,
		State:         r.State,
		Nonce:         r.Nonce,
		CodeChallenge: r.CodeChallenge,
		MaxAge:        r.MaxAge,
		Expires:       time.Now().Add(loginLife),
	}
	plain, err := json.Marshal(a)
	if err == nil {
		a.ID, err = s.crypto.Encrypt(string(plain))
	}
	return a, err
}

// authRequest opens what CreateAuthRequest sealed.
func (s *storage) authRequest(id string) (a *authRequest, ok bool) {
	plain, err := s.crypto.Decrypt(id)
	if err == nil {
		err = json.Unmarshal([]byte(plain), &a)
	}
	if err != nil || time.Now().After(a.Expires) {
		return nil, false
	}
	a.ID = id
	return a, true
}

// showLogin asks for a password. A browser that is logged in here already is
// redirected at once.
func (p *Provider) showLogin(w http.ResponseWriter, r *http.Request) {
	a, ok := p.storage.authRequest(r.Form.Get("id"))
	if !ok {
		p.loginExpired(w)
		return
	}
	session, err := p.session(r)
	switch {
	case err == nil && a.satisfiedBy(session):
		p.finish(w, r, a, session)
	case err == nil || errors.Is(err, store.ErrNotFound):
		p.askPassword(w, http.StatusOK, a, "", "")
	default:
		p.fail(w, err)
	}
}

// satisfiedBy reports whether the login is recent enough for max_age. op turns
// prompt=login into max_age=0.
func (a *authRequest) satisfiedBy(s ssoSession) bool {
	return a.MaxAge == nil || time.Since(s.AuthTime).Seconds() < float64(*a.MaxAge)
}

func (p *Provider) login(w http.ResponseWriter, r *http.Request) {
	a, ok := p.storage.authRequest(r.PostForm.Get("id"))
	if !ok {
		p.loginExpired(w)
		return
	}
	email := strings.TrimSpace(r.PostForm.Get("email"))
	addr := p.proxies.Of(r).Addr
	who, err := p.checkPassword(r.Context(), email, r.PostForm.Get("password"), addr)
	if tooMany, ok := errors.AsType[*limit.TooManyError](err); ok {
		p.log.Warn("demo provider: password refused", "rule", tooMany.Rule, "addr", addr, "wait", tooMany.Wait.Round(time.Second))
		p.refuseGuess(w, a, email, tooMany.Wait)
		return
	}
	switch {
	case errors.Is(err, errWrongPassword):
		p.log.Info("demo provider: wrong email address or password", "addr", addr)
		p.askPassword(w, http.StatusOK, a, email, "The email address or password is wrong.")
		return
	case err != nil:
		p.fail(w, err)
		return
	}
	session := ssoSession{who.ID, time.Now(), time.Now().Add(ssoLife)}
	id, err := p.storage.sso.Create(r.Context(), session)
	if err == nil {
		err = p.endSession(r) // of the login before
	}
	if err != nil {
		p.fail(w, err)
		return
	}
	p.setCookie(w, id, 0)
	p.finish(w, r, a, session)
}

// finish redirects the browser to the application with an authorization code.
func (p *Provider) finish(w http.ResponseWriter, r *http.Request, a *authRequest, s ssoSession) {
	a.Subject, a.AuthTime, a.Expires = s.Subject, s.AuthTime, time.Now().Add(codeLife)
	code, err := p.storage.codes.Create(r.Context(), *a)
	var back string
	if err == nil {
		back, err = op.AuthResponseURL(a.RedirectURI, oidc.ResponseTypeCode, oidc.ResponseModeQuery,
			&op.CodeResponseType{Code: code, State: a.State}, p.op.Encoder())
	}
	if err != nil {
		p.fail(w, err)
		return
	}
	p.log.Info("demo provider: logged in", "person", s.Subject)
	http.Redirect(w, r, back, http.StatusFound)
}

// session returns the browser's login here, or [store.ErrNotFound].
func (p *Provider) session(r *http.Request) (s ssoSession, err error) {
	cookie, err := r.Cookie(ssoCookie)
	if err != nil {
		return s, store.ErrNotFound
	}
	s, err = p.storage.sso.Get(r.Context(), cookie.Value)
	if err != nil {
		return s, err
	}
	_, err = p.person(s.Subject)
	return s, err
}

func (p *Provider) endSession(r *http.Request) error {
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

// logout is the end_session endpoint. It ends the browser's login here and ignores
// the id_token_hint.
func (p *Provider) logout(w http.ResponseWriter, r *http.Request) {
	back := r.Form.Get("post_logout_redirect_uri")
	switch {
	case back == "":
		back = "/logged-out"
	case !slices.Contains(p.app.OauthConfiguration.AuthorizedRedirectURLs, back):
		p.message(w, http.StatusBadRequest, "You are still logged in", "The address to go to after the logout is not registered.")
		return
	}
	if state := r.Form.Get("state"); state != "" {
		back += "?" + url.Values{"state": {state}}.Encode()
	}
	if err := p.endSession(r); err != nil {
		p.fail(w, err)
		return
	}
	p.setCookie(w, "", -1)
	http.Redirect(w, r, back, http.StatusFound)
}
