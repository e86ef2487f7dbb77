package demoidp

import (
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// A grant says which tokens may be issued, and for whom. Its methods are those
// that op calls on everything it issues tokens for.
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

// An authRequest is an authorization request. Until the login it is sealed in the
// login page's URL, so that visitors who do not log in cost no disk. After the
// login it is stored under its authorization code.
type authRequest struct {
	grant
	ID            string `json:"-"` // itself, sealed
	RedirectURI   string
	State, Nonce  string
	CodeChallenge string
	MaxAge        *uint
	Expires       time.Time
}

func (a authRequest) KeepUntil() time.Time                { return a.Expires }
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

// An ssoSession is a browser's login at the demo provider itself.
type ssoSession struct {
	Subject  string
	AuthTime time.Time
	Expires  time.Time
}

func (s ssoSession) KeepUntil() time.Time { return s.Expires }

// A device is stored under its user code and waits for tokens. Once it is
// approved, it has a Subject. Its device code is the user code, a dot and the
// Secret.
type device struct {
	grant
	Secret  string
	Expires time.Time
	Polled  time.Time
}

// KeepUntil is after Expires, so that a late poll is answered with expired_token.
func (d device) KeepUntil() time.Time { return d.Expires.Add(10 * time.Minute) }

// A refreshToken can be used again and again until it expires or is revoked. That
// is FusionAuth's default.
type refreshToken struct {
	grant
	Expires time.Time
}

func (t refreshToken) KeepUntil() time.Time { return t.Expires }
