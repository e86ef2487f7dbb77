package testfusion

import (
	"net/http"
	"slices"
)

// userinfo returns the claims of the user who owns the access token (OpenID
// Connect Core, section 5.3).
func (s *Server) userinfo(c *call) (answer, error) {
	access, err := s.bearer(c)
	if err != nil {
		return answer{}, err
	}
	if !slices.Contains(access.scopes, "openid") {
		return answer{}, &oauthError{http.StatusForbidden, "invalid_token", "missing_required_scope", "The access token lacks the scope openid."}
	}
	claims := access.user.claims(access.scopes)
	claims["sub"] = access.user.id
	return answer{body: claims}, nil
}

// revoke ends a refresh token, given its ID in the path or the token itself in
// the form. An access token can revoke refresh tokens of the same user.
func (s *Server) revoke(c *call) (answer, error) {
	access, err := s.bearer(c)
	if err != nil {
		c.record.Reason = err.(*oauthError).reason
		return answer{status: http.StatusUnauthorized}, nil // this API has no OAuth errors
	}
	id, token := c.PathValue("id"), c.form.Get("token")
	if id == "" && token == "" {
		return answer{status: http.StatusBadRequest}, nil
	}
	i := slices.IndexFunc(s.refresh, func(r *refreshToken) bool {
		return (r.id == id || r.token == token) && r.user == access.user
	})
	if i < 0 {
		return answer{status: http.StatusNotFound}, nil
	}
	s.refresh = slices.Delete(s.refresh, i, i+1)
	return answer{}, nil
}
