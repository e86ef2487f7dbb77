package demoidp

import (
	"crypto/subtle"
	"net/http"
	"net/url"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

var (
	grantTypes = []oidc.GrantType{oidc.GrantTypeCode, oidc.GrantTypeRefreshToken, oidc.GrantTypeDeviceCode}
	scopes     = []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail, oidc.ScopeOfflineAccess}
)

// client is the kickstart's application as op sees it.
type client struct{ *setup }

func (c client) GetID() string                       { return c.clientID }
func (c client) RedirectURIs() []string              { return c.app.OauthConfiguration.AuthorizedRedirectURLs }
func (c client) PostLogoutRedirectURIs() []string    { return nil } // op logs nobody out
func (c client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodBasic } // op then accepts post as well
func (c client) GrantTypes() []oidc.GrantType        { return grantTypes }
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) LoginURL(id string) string            { return c.issuer + "/login?id=" + url.QueryEscape(id) }
func (c client) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeJWT }
func (c client) IDTokenLifetime() time.Duration       { return c.app.accessTokens() }
func (c client) DevMode() bool                        { return false }
func (c client) IsScopeAllowed(string) bool           { return false } // only OpenID Connect's own
func (c client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c client) ClockSkew() time.Duration             { return 0 }

func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

// authenticated accepts only requests with the application's secret, in the body
// or in the Authorization header. op would use up a code before it checks the
// secret, and would accept a secret in the URL, where logs keep it.
func (p *Provider) authenticated(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
		if user, password, ok := r.BasicAuth(); ok {
			if secret != "" {
				writeError(w, http.StatusBadRequest, "invalid_request", "", "more than one client authentication method")
				return
			}
			// RFC 6749, section 2.3.1: both halves are form-encoded first.
			user, err1 := url.QueryUnescape(user)
			password, err2 := url.QueryUnescape(password)
			if err1 == nil && err2 == nil && (id == "" || id == user) {
				id, secret = user, password
			}
		}
		if id != p.clientID || subtle.ConstantTimeCompare([]byte(secret), []byte(p.app.OauthConfiguration.ClientSecret)) == 0 {
			w.Header().Set("WWW-Authenticate", `Basic realm="demo"`)
			writeError(w, http.StatusUnauthorized, "invalid_client", "invalid_client_authentication", "client authentication failed")
			return
		}
		next(w, r)
	}
}
