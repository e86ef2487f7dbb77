package testfusion

import (
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
	"time"
)

// scopes are those of a new application.
var scopes = []string{"openid", "offline_access", "email", "phone", "profile"}

// client returns the application that sends a request. A secret that is sent is
// always checked, also where none is required.
func (s *Server) client(c *call, required bool) (*application, error) {
	refuse := func(reason, text string) (*application, error) {
		return nil, &oauthError{401, "invalid_client", reason, text}
	}
	id, secret, sent := c.form.Get("client_id"), c.form.Get("client_secret"), c.form.Has("client_secret")
	if header := c.Header.Get("Authorization"); header != "" {
		scheme, coded, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Basic") {
			s.violate(c, "client authentication by "+scheme)
			return refuse("invalid_client_authentication_scheme", "The Authorization header is not Basic.")
		}
		if sent {
			s.violate(c, "two client authentications") // RFC 6749, section 2.3
			return refuse("invalid_client_authentication", "More than one client authentication.")
		}
		// FusionAuth does not form-encode the two halves, unlike RFC 6749,
		// section 2.3.1.
		text, err := base64.StdEncoding.DecodeString(coded)
		name, password, ok := strings.Cut(string(text), ":")
		if err != nil || !ok {
			return refuse("invalid_client_authentication", "The Authorization header is malformed.")
		}
		if id != "" && id != name {
			return refuse("client_id_mismatch", "The header and the body name different clients.")
		}
		id, secret, sent = name, password, true
	}
	app := s.setup.apps[id]
	switch {
	case id == "":
		return nil, invalid("missing_client_id", "client_id is missing.")
	case app == nil || app.id == fusionAuthApp:
		return nil, invalid("invalid_client_id", "Unknown client.")
	case s.b.RefuseClient != "":
		return refuse(s.b.RefuseClient, "The client is refused.")
	}
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

// may returns an error unless the application may use a grant.
func (s *Server) may(app *application, grant string) error {
	if !app.grants(grant) || grant == deviceGrant && s.b.NoDeviceGrant {
		return &oauthError{400, "unauthorized_client", "grant_type_disabled", "The grant " + grant + " is not enabled for the application."}
	}
	return nil
}

// scopesOf parses a scope parameter. An unknown scope is an error, which is
// FusionAuth's default.
func scopesOf(text string) ([]string, error) {
	requested := strings.Fields(text)
	for _, scope := range requested {
		if !slices.Contains(scopes, scope) {
			return nil, &oauthError{400, "invalid_scope", "unknown_scope", "Unknown scope " + scope + "."}
		}
	}
	return requested, nil
}

// bearer returns the access token in a request's header.
func (s *Server) bearer(c *call) (*accessToken, error) {
	scheme, token, _ := strings.Cut(c.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" {
		return nil, &oauthError{http.StatusUnauthorized, "invalid_token", "access_token_required", "The Authorization header has no access token."}
	}
	return s.accessTokenOf(c, token, http.StatusUnauthorized)
}

func (s *Server) accessTokenOf(c *call, token string, status int) (*accessToken, error) {
	access := s.access[token]
	switch {
	case access == nil:
		return nil, &oauthError{status, "invalid_token", "access_token_invalid", "The access token is invalid."}
	case time.Now().After(access.expires):
		return nil, &oauthError{status, "invalid_token", "access_token_expired", "The access token has expired."}
	}
	c.record.Person = access.user.Email
	return access, nil
}
