package demoidp

import (
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// A grant says which tokens may be issued for whom. Its methods are those that
// op needs of everything it issues tokens for.
type grant struct {
	ClientID string
	Subject  string
	Scopes   []string
	AuthTime time.Time // when the password was entered
}

func (g *grant) GetAMR() []string            { return nil }
func (g *grant) GetAudience() []string       { return []string{g.ClientID} }
func (g *grant) GetAuthTime() time.Time      { return g.AuthTime }
func (g *grant) GetClientID() string         { return g.ClientID }
func (g *grant) GetScopes() []string         { return g.Scopes }
func (g *grant) GetSubject() string          { return g.Subject }
func (g *grant) SetCurrentScopes(s []string) { g.Scopes = s }

// An authRequest is a login that the application asked for. Before the login it
// is sealed in the address of the login page, so that a visitor who does not log
// in leaves nothing in the store; afterwards it is stored under its
// authorization code.
type authRequest struct {
	grant
	ID            string `json:"-"` // itself, sealed
	RedirectURI   string
	State, Nonce  string
	CodeChallenge string
	MaxAge        *uint
	Expires       time.Time
}

func (a *authRequest) KeepUntil() time.Time               { return a.Expires }
func (a *authRequest) GetID() string                      { return a.ID }
func (a *authRequest) GetACR() string                     { return "" }
func (a *authRequest) GetNonce() string                   { return a.Nonce }
func (a *authRequest) GetRedirectURI() string             { return a.RedirectURI }
func (a *authRequest) GetResponseType() oidc.ResponseType { return oidc.ResponseTypeCode }
func (a *authRequest) GetResponseMode() oidc.ResponseMode { return oidc.ResponseModeQuery }
func (a *authRequest) GetState() string                   { return a.State }
func (a *authRequest) Done() bool                         { return a.Subject != "" }

func (a *authRequest) GetCodeChallenge() *oidc.CodeChallenge {
	return &oidc.CodeChallenge{Challenge: a.CodeChallenge, Method: oidc.CodeChallengeMethodS256}
}

// An ssoSession is a browser that is logged in at the demo provider itself.
type ssoSession struct {
	Subject  string
	AuthTime time.Time
	Expires  time.Time
}

func (s ssoSession) KeepUntil() time.Time { return s.Expires }

// A device waits for tokens under its user code. It has a Subject once somebody
// approved it. Its device code is the user code, a dot and the Secret.
type device struct {
	grant
	Secret  string
	Expires time.Time
	Polled  time.Time
}

// KeepUntil is well past the end, so that a late poll is answered
// expired_token.
func (d device) KeepUntil() time.Time { return d.Expires.Add(10 * time.Minute) }

// A refreshToken can be used until it expires or is revoked, as by FusionAuth's
// default.
type refreshToken struct {
	grant
	Expires time.Time
}

func (t *refreshToken) KeepUntil() time.Time { return t.Expires }
