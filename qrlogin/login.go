package qrlogin

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"changebank/internal/flows"
	"changebank/internal/idp"
)

// Login is the result of one login. The application keeps it with the session that
// it creates.
type Login struct {
	Person
	// ByPhone reports whether a phone approved this login. Such a session cannot
	// approve others. Otherwise a laptop that someone was tricked into logging in
	// could log in the next one (chaining).
	ByPhone bool

	// The provider's tokens. They are secret.
	AccessToken, RefreshToken, IDToken string
	// Expires is when AccessToken expires.
	Expires time.Time
}

// Person is an account at the provider. Issuer and Subject together identify it.
// The other fields can change and are only for display.
type Person struct {
	Issuer, Subject string
	Email, Name     string
	EmailVerified   bool // the provider has verified that Email belongs to the person
}

// String returns a name for the person that is safe to show. A verified e-mail
// address stands alone. Anything else is marked as unverified, since people can
// choose it freely.
func (p Person) String() string { return idp.Person(p).String() }

// login sends the browser to the provider. With switch=1 the provider asks for an
// account even if someone is logged in there.
func (h *Handler) login(w http.ResponseWriter, r *http.Request) error {
	session, login, err := h.cfg.Session(r)
	if err != nil {
		return err
	}
	flow := idp.NewFlow()
	flow.Prompt = r.FormValue("switch") == "1"
	flow.Reauthenticate = h.mustProve(session, login)
	if flow.Reauthenticate && !flow.Prompt {
		flow.Subject = login.Subject
	}
	return h.begin(w, r, flow, h.flows.OwnPath(r.FormValue("return_to")))
}

// mustProve reports whether the browser's next login must be a fresh one: a phone
// logged it in, and it could approve other devices on our page (chaining).
func (h *Handler) mustProve(session string, login Login) bool {
	return session != "" && login.ByPhone && h.provider.CanApprove()
}

// begin sends the browser to the provider for a login that continues at returnTo.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request, flow idp.Flow, returnTo string) error {
	state, err := h.flows.NewState(returnTo)
	if err != nil {
		return err
	}
	target, err := h.provider.AuthURL(r.Context(), state, flow)
	if err != nil {
		return err
	}
	if err := h.flows.Begin(w, r, state, flow); err != nil {
		return err
	}
	return seeOther(w, r, target)
}

// callback completes a login at the provider.
func (h *Handler) callback(w http.ResponseWriter, r *http.Request) error {
	session, login, err := h.cfg.Session(r)
	if err != nil {
		return err
	}
	if h.provider.Ready() != nil {
		return idp.ErrNotReady // before Take, which uses up the flow
	}
	query := r.URL.Query()
	id, returnTo := h.flows.ParseState(query.Get("state"))
	flow, err := h.flows.Take(w, r, id, h.browserOf(r).Addr)
	if errors.Is(err, flows.ErrNone) && session != "" {
		return seeOther(w, r, returnTo) // the page was opened again, or late
	}
	if err != nil {
		return err
	}
	tokens, err := h.provider.Exchange(r.Context(), flow, query)
	if refusal, ok := errors.AsType[*idp.Error](err); ok && refusal.OfScopes() {
		if narrower, ok := h.provider.Narrower(flow); ok {
			return h.begin(w, r, narrower, returnTo)
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %w", errUnfinished, err)
	}
	person, err := h.provider.Verify(r.Context(), tokens, flow.Nonce)
	if err != nil {
		err = fmt.Errorf("%w: %w", errUnfinished, err)
	} else if flow.Subject != "" && person.Subject != flow.Subject {
		err = errWrongAccount
	} else if (flow.Reauthenticate || h.mustProve(session, login)) && !flow.Reauthenticated(tokens.ID) {
		err = errNotProved
	}
	if err == nil {
		_, err = h.logIn(w, r, loginOf(person, tokens, false))
	}
	if err != nil {
		h.provider.Revoke(tokens)
		return err
	}
	// The QR code of this browser must not log it in as someone else afterwards.
	attempt := h.attemptID(r)
	if attempt != "" {
		h.qr.Clear(w)
		if err := h.grants.Cancel(r.Context(), attempt); err != nil {
			h.log.Error("attempt not cancelled after another login; its browser can no longer claim it", "err", err)
		}
	}
	return seeOther(w, r, returnTo)
}

// logIn has the application log in the browser that sent r.
func (h *Handler) logIn(w http.ResponseWriter, r *http.Request, login Login) (session string, err error) {
	if session, err = h.cfg.LogIn(w, r, login); err == nil && session == "" {
		err = errors.New("qrlogin: Config.LogIn returned no session")
	}
	return session, err
}

// LogOut revokes the tokens of a login. Call it after the application has ended the
// session. It returns the URL to redirect the browser to, which ends its session at
// the provider, or "" if there is none to end.
func (h *Handler) LogOut(login Login) string {
	if login.Subject == "" {
		return "" // nobody was logged in
	}
	h.provider.Revoke(idp.Tokens{Access: login.AccessToken, Refresh: login.RefreshToken, ID: login.IDToken, Expires: login.Expires})
	if login.ByPhone { // at some providers, the URL would log out the phone
		return ""
	}
	return h.provider.LogoutURL(login.IDToken)
}

// loginOf returns the application's view of a login.
func loginOf(person idp.Person, tokens idp.Tokens, byPhone bool) Login {
	return Login{
		Person: Person(person), ByPhone: byPhone,
		AccessToken: tokens.Access, RefreshToken: tokens.Refresh, IDToken: tokens.ID, Expires: tokens.Expires,
	}
}
