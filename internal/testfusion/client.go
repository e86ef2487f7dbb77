package testfusion

import (
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"
)

// scopes are all that a new application has.
var scopes = []string{"openid", "offline_access", "email", "phone", "profile"}

// client returns the application that asks. A secret that is sent is always
// checked; whether it must be sent is the application's policy, except where
// an endpoint does not ask for it. proofed says that PKCE vouches for the
// client.
func (s *Server) client(c *call, asksSecret, proofed bool) (*application, error) {
	refuse := func(reason, text string) (*application, error) {
		return nil, &oauthError{401, "invalid_client", reason, text}
	}
	id, secret, sent := c.form.Get("client_id"), c.form.Get("client_secret"), c.form.Has("client_secret")
	if header := c.Header.Get("Authorization"); header != "" {
		scheme, coded, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Basic") {
			s.violate(c, "a client cannot authenticate by "+scheme)
			return refuse("invalid_client_authentication_scheme", "The Authorization header is not Basic.")
		}
		if sent {
			s.violate(c, "two client authentications at once") // RFC 6749, section 2.3
			return refuse("invalid_client_authentication", "There are two client authentications.")
		}
		// FusionAuth makes and reads this header without the form encoding of
		// RFC 6749, section 2.3.1.
		text, err := base64.StdEncoding.DecodeString(coded)
		name, password, ok := strings.Cut(string(text), ":")
		if err != nil || !ok {
			return refuse("invalid_client_authentication", "The Authorization header cannot be read.")
		}
		if id != "" && id != name {
			return refuse("client_id_mismatch", "The header and the body name two clients.")
		}
		id, secret, sent = name, password, true
	}
	app := s.setup.apps[id]
	switch {
	case id == "":
		return nil, invalid("missing_client_id", "client_id is missing.")
	case app == nil || app.ID == fusionAuthApp:
		return nil, invalid("invalid_client_id", "There is no such client.")
	case s.b.RefuseClient != "":
		return refuse(s.b.RefuseClient, "The client is refused.")
	}
	policy := app.OAuth.ClientAuth
	required := asksSecret && (policy == "Required" || policy == "NotRequiredWhenUsingPKCE" && !proofed)
	switch {
	case !sent && required:
		return refuse("client_authentication_missing", "The client must authenticate.")
	case sent && secret == "":
		return refuse("missing_client_secret", "The client secret is empty.")
	case sent && subtle.ConstantTimeCompare([]byte(secret), []byte(app.OAuth.ClientSecret)) == 0:
		return refuse("invalid_client_authentication", "The client secret is wrong.")
	}
	return app, nil
}

// may reports whether the application is allowed a grant.
func (s *Server) may(app *application, grant string) error {
	if !app.grants(grant) || grant == deviceGrant && s.b.NoDeviceGrant {
		return &oauthError{400, "unauthorized_client", "grant_type_disabled", "The grant " + grant + " is not enabled for the application."}
	}
	return nil
}

// scopesOf reads a scope parameter as the application's policies want it.
func (s *Server) scopesOf(app *application, text string) ([]string, error) {
	asked := strings.Fields(text)
	for _, scope := range asked {
		if !slices.Contains(scopes, scope) && app.OAuth.UnknownScopes == "Reject" {
			return nil, &oauthError{400, "invalid_scope", "unknown_scope", "There is no scope " + scope + "."}
		}
	}
	if app.OAuth.UnknownScopes == "Remove" {
		asked = slices.DeleteFunc(asked, func(scope string) bool { return !slices.Contains(scopes, scope) })
	}
	return asked, nil
}

// bearer returns the access token in a request's header, and whose it is.
func (s *Server) bearer(c *call) (*accessToken, error) {
	scheme, token, _ := strings.Cut(c.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil, &oauthError{http.StatusUnauthorized, "invalid_token", "access_token_required", "There is no access token in the Authorization header."}
	}
	return s.accessTokenOf(c, token, http.StatusUnauthorized)
}

func (s *Server) accessTokenOf(c *call, token string, status int) (*accessToken, error) {
	access := s.access[token]
	switch {
	case access == nil:
		return nil, &oauthError{status, "invalid_token", "access_token_invalid", "The access token is not valid."}
	case time.Now().After(access.expires):
		return nil, &oauthError{status, "invalid_token", "access_token_expired", "The access token has expired."}
	}
	c.record.Person = access.user.Email
	return access, nil
}
