package testfusion

import (
	"net/http"
	"net/url"
	"slices"
	"time"
)

// devicePage is FusionAuth's own verification page. It shows a form for the
// code, has the person log in if they are not known, and approves by itself
// then: there is no question and no "no".
func (s *Server) devicePage(c *call) (answer, error) {
	params := c.params()
	userCode := params.Get("interactive_user_code")
	if userCode == "" {
		userCode = params.Get("user_code")
	}
	d, err := s.find(userCode)
	if err != nil {
		// A code that lives says whose it is. Without one the address must,
		// or there is an error page: what people see who come too late.
		if err := s.knowsClient(params); err != nil {
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
		u := s.setup.person(c.form.Get("email"))
		if u == nil || u.Password != c.form.Get("password") {
			return s.deviceLoginPage(params, userCode, "Invalid login credentials."), nil
		}
		l = &login{user: u, at: time.Now(), id: newUUID()}
		cookie = s.remember(c, l)
	}
	if _, ok := l.user.roles[d.app.ID]; !ok && d.app.OAuth.RequireRegistration {
		return answer{}, &oauthError{400, "access_denied", "registration_required", "The person is not registered for the application."}
	}
	d.user, d.authTime = l.user, l.at
	done := url.Values{"client_id": {d.app.ID}, "tenantId": {s.setup.tenantID}}
	return answer{location: "/oauth2/device-complete?" + done.Encode(), cookie: cookie}, nil
}

// warning says that the next button approves without another question.
func (s *Server) warning(l *login) string {
	if l == nil {
		return ""
	}
	return "You are logged in as " + l.user.Email + ". The device login will be completed without another prompt."
}

func (s *Server) deviceComplete(c *call) (answer, error) {
	if err := s.knowsClient(c.query); err != nil {
		return answer{}, err
	}
	return message("Device connected", "You have successfully connected your device."), nil
}

// knowsClient checks the parameters by which a hosted page knows whose it is.
func (s *Server) knowsClient(params url.Values) error {
	id, tenant := params.Get("client_id"), params.Get("tenantId")
	switch app := s.setup.apps[id]; {
	case id == "":
		return invalid("missing_client_id", "The request is missing a required parameter: client_id")
	case app == nil || app.ID == fusionAuthApp:
		return invalid("invalid_client_id", "There is no such client.")
	case tenant == "":
		return invalid("missing_tenant_id", "The request is missing a required parameter: tenantId")
	case tenant != s.setup.tenantID:
		return invalid("invalid_tenant_id", "There is no such tenant.")
	}
	return nil
}

// logout ends the browser's login here. Tokens live on.
func (s *Server) logout(c *call) (answer, error) {
	params := c.params()
	hint := params.Get("id_token_hint")
	app := s.setup.apps[params.Get("client_id")]
	if app == nil && hint != "" {
		if app = s.idHints[hint]; app == nil { // an access token, say
			return answer{}, invalid("invalid_id_token_hint", "The id_token_hint is no ID token.")
		}
	}
	switch back := params.Get("post_logout_redirect_uri"); {
	case app == nil:
		return answer{}, invalid("missing_client_id", "Neither client_id nor id_token_hint names a client.")
	case back != "" && !slices.Contains(app.OAuth.RedirectURLs, back):
		return answer{}, invalid("invalid_post_logout_redirect_uri", "The post_logout_redirect_uri is not authorized.")
	}
	target := "/"
	for _, u := range []string{s.setup.tenant.LogoutURL, app.OAuth.LogoutURL, params.Get("post_logout_redirect_uri")} {
		if u != "" {
			target = u
		}
	}
	if state := params.Get("state"); state != "" {
		u, err := url.Parse(target)
		if err != nil {
			return answer{}, invalid("invalid_post_logout_redirect_uri", "The post_logout_redirect_uri cannot be read.")
		}
		query := u.Query()
		query.Set("state", state)
		u.RawQuery = query.Encode()
		target = u.String()
	}
	a := answer{location: target}
	if cookie, err := c.Cookie(ssoCookie); err == nil {
		delete(s.sso, cookie.Value)
		a.cookie = &http.Cookie{Name: ssoCookie, Path: "/", MaxAge: -1}
	}
	if app.OAuth.LogoutBehavior == "AllApplications" && app.OAuth.LogoutURL != "" {
		return logoutPage(app.OAuth.LogoutURL, target, a.cookie), nil
	}
	return a, nil
}
