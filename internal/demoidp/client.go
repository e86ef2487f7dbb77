package demoidp

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/url"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"
)

// client shows op the kickstart's application.
type client struct{ *setup }

func (c client) GetID() string                       { return c.clientID }
func (c client) RedirectURIs() []string              { return c.app.OauthConfiguration.AuthorizedRedirectURLs }
func (c client) PostLogoutRedirectURIs() []string    { return c.RedirectURIs() } // as FusionAuth does
func (c client) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c client) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethodPost } // op then takes basic, too
func (c client) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c client) LoginURL(id string) string {
	return c.tenantIssuer + "/login?id=" + url.QueryEscape(id)
}
func (c client) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeJWT }
func (c client) IDTokenLifetime() time.Duration       { return c.accessTokens() }
func (c client) DevMode() bool                        { return false }
func (c client) IsScopeAllowed(string) bool           { return false } // none but OpenID Connect's own
func (c client) IDTokenUserinfoClaimsAssertion() bool { return true }
func (c client) ClockSkew() time.Duration             { return 0 }

func (c client) GrantTypes() (grants []oidc.GrantType) {
	for _, grant := range c.app.OauthConfiguration.EnabledGrants {
		if grant != string(oidc.GrantTypeRefreshToken) || c.app.OauthConfiguration.GenerateRefreshTokens {
			grants = append(grants, oidc.GrantType(grant))
		}
	}
	return grants
}

func (c client) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

func (c client) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func(scopes []string) []string { return scopes }
}

func (s *setup) accessTokens() time.Duration {
	return time.Duration(s.app.JwtConfiguration.TimeToLiveInSeconds) * time.Second
}

func (s *setup) refreshTokens() time.Duration {
	return time.Duration(s.app.JwtConfiguration.RefreshTokenTimeToLiveInMinutes) * time.Minute
}

func (s *setup) isClient(id, secret string) bool {
	return id == s.clientID && sameSecret(secret, s.app.OauthConfiguration.ClientSecret)
}

// sameSecret compares hashes, so that not even the length shows in the time.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

// authenticated lets only the client through, at every endpoint that is for
// it, ours and op's. op checks the secret as well, but answers 400 where
// RFC 6749, section 5.2 wants 401, and reads a secret in the URL, where logs
// would keep it.
func (p *Provider) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, secret := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
		if user, password, ok := r.BasicAuth(); ok {
			if secret != "" {
				writeError(w, http.StatusBadRequest, "invalid_request", "invalid_client_authentication_scheme", "client authentication must not use more than one method")
				return
			}
			// RFC 6749, section 2.3.1: both halves are form-encoded first.
			user, err1 := url.QueryUnescape(user)
			password, err2 := url.QueryUnescape(password)
			if err1 != nil || err2 != nil || (id != "" && id != user) {
				user, password = "", ""
			}
			id, secret = user, password
		}
		if !p.setup.isClient(id, secret) {
			reason := "invalid_client_authentication"
			if secret == "" {
				reason = "client_authentication_missing"
			}
			w.Header().Set("WWW-Authenticate", `Basic realm="demo"`)
			writeError(w, http.StatusUnauthorized, "invalid_client", reason, "the client is unknown or its secret is wrong or missing")
			return
		}
		next.ServeHTTP(w, r)
	})
}
