package testfusion

import (
	"net/http"
	"slices"
)

// userinfo tells of the person whose access token it is (OpenID Connect Core,
// section 5.3).
func (s *Server) userinfo(c *call) (answer, error) {
	access, err := s.bearer(c)
	if err != nil {
		return answer{}, err
	}
	if !slices.Contains(access.scopes, "openid") {
		return answer{}, &oauthError{http.StatusForbidden, "invalid_token", "missing_required_scope", "The access token is not for openid."}
	}
	claims := access.user.claims(access.scopes)
	claims["sub"] = access.user.ID
	return answer{body: claims}, nil
}

// revoke ends a refresh token: by its ID in the path, or by itself in the form
// or in the address. A person's access token is good for their own.
func (s *Server) revoke(c *call) (answer, error) {
	access, err := s.bearer(c)
	if err != nil {
		c.record.Reason = err.(*oauthError).reason
		return answer{status: http.StatusUnauthorized}, nil // this API has no OAuth errors
	}
	id, token := c.PathValue("id"), c.form.Get("token")
	if token == "" {
		token = c.query.Get("token")
	}
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
