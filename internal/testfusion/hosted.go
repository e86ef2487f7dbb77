package testfusion

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// devicePage is FusionAuth's own verification page: a form for the code, then a
// login unless there is one, and no question before the approval.
func (s *Server) devicePage(c *call) (answer, error) {
	params := c.params()
	userCode := params.Get("interactive_user_code")
	if userCode == "" {
		userCode = params.Get("user_code")
	}
	d, err := s.find(userCode)
	if err != nil {
		// A valid code names its client. With any other the URL must, or there
		// is an error page, as after the code has expired.
		if err := s.checkClient(params); err != nil {
			return answer{}, err
		}
		problem := ""
		if userCode != "" {
			problem = "Invalid user code."
		}
		return s.codePage(params, "", problem), nil
	}
	l := s.loggedIn(c)
	if c.Method == http.MethodGet {
		return s.codePage(params, userCode, s.warning(l)), nil
	}
	var cookie *http.Cookie
	if l == nil {
		if !c.form.Has("email") {
			return s.deviceLoginPage(params, userCode, ""), nil
		}
		u := s.setup.user(c.form.Get("email"))
		if u == nil || u.Password != c.form.Get("password") {
			return s.deviceLoginPage(params, userCode, "Invalid login credentials."), nil
		}
		l = &login{user: u, at: time.Now(), id: newUUID()}
		cookie = s.remember(c, l)
	}
	if err := d.app.admits(l.user); err != nil {
		return answer{}, err
	}
	d.user, d.authTime = l.user, l.at
	done := url.Values{"client_id": {d.app.id}, "tenantId": {s.setup.tenantID}}
	return answer{location: "/oauth2/device-complete?" + done.Encode(), cookie: cookie}, nil
}

// warning is shown where the next click approves.
func (s *Server) warning(l *login) string {
	if l == nil {
		return ""
	}
	return "You are logged in as " + l.user.Email + ". The device login will be completed without another prompt."
}

func (s *Server) deviceComplete(c *call) (answer, error) {
	if err := s.checkClient(c.query); err != nil {
		return answer{}, err
	}
	return message("Device connected", "You have successfully connected your device."), nil
}

// checkClient checks the parameters that name a hosted page's client.
func (s *Server) checkClient(params url.Values) error {
	id, tenant := params.Get("client_id"), params.Get("tenantId")
	switch app := s.setup.apps[id]; {
	case id == "":
		return invalid("missing_client_id", "The request is missing a required parameter: client_id")
	case app == nil || app.id == fusionAuthApp:
		return invalid("invalid_client_id", "Unknown client.")
	case tenant == "":
		return invalid("missing_tenant_id", "The request is missing a required parameter: tenantId")
	case tenant != s.setup.tenantID:
		return invalid("invalid_tenant_id", "Unknown tenant.")
	}
	return nil
}

// logout ends the browser's login here. Tokens stay valid.
func (s *Server) logout(c *call) (answer, error) {
	hint := c.query.Get("id_token_hint")
	app := s.setup.apps[c.query.Get("client_id")]
	if app == nil && hint != "" {
		if app = s.idHints[hint]; app == nil { // an access token, say
			return answer{}, invalid("invalid_id_token_hint", "The id_token_hint is not an ID token.")
		}
	}
	target := c.query.Get("post_logout_redirect_uri")
	switch {
	case app == nil:
		return answer{}, invalid("missing_client_id", "Neither client_id nor id_token_hint names a client.")
	case target == "":
		target = app.OAuth.LogoutURL
	case !slices.Contains(app.OAuth.RedirectURLs, target):
		return answer{}, invalid("invalid_post_logout_redirect_uri", "The post_logout_redirect_uri is not authorized.")
	}
	if c.query.Has("state") {
		target += "?" + url.Values{"state": {c.query.Get("state")}}.Encode()
	}
	a := answer{location: target}
	if cookie, err := c.Cookie(ssoCookie); err == nil {
		delete(s.sso, cookie.Value)
		a.cookie = &http.Cookie{Name: ssoCookie, Path: "/", MaxAge: -1}
	}
	return a, nil
}
