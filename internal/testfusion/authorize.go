package testfusion

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A login is a user's in one browser. It is kept only if the user wants that.
type login struct {
	user *user
	at   time.Time
	id   string
}

// An authRequest is what a browser brought to the authorization endpoint.
type authRequest struct {
	app    *application
	params url.Values
	scopes []string
}

// oauthParams are passed on from page to page.
var oauthParams = []string{
	"client_id", "code_challenge", "code_challenge_method", "max_age", "nonce", "prompt",
	"redirect_uri", "response_type", "scope", "state", "tenantId", "user_code",
}

// params returns the parameters of a page: those of the submitted form, or those
// in the URL.
func (c *call) params() url.Values {
	if c.Method == http.MethodPost {
		return c.form
	}
	return c.query
}

// authorize shows the login page, or redirects a browser that is logged in.
func (s *Server) authorize(c *call) (answer, error) {
	a, err := s.authRequest(c)
	if err != nil {
		return answer{}, err
	}
	if refused := s.check(c, a); refused != nil {
		return s.back(a, url.Values{
			"error": {refused.code}, "error_reason": {refused.reason}, "error_description": {refused.text},
		}, nil), nil
	}
	if c.Method == http.MethodPost {
		u := s.setup.user(c.form.Get("email"))
		if u == nil || u.Password != c.form.Get("password") {
			return s.loginPage(a, "Invalid login credentials."), nil
		}
		return s.logIn(c, a, u)
	}
	if l := s.loggedIn(c); l != nil && a.params.Get("prompt") != "login" && l.younger(a.params.Get("max_age")) {
		return s.giveCode(a, l, nil)
	}
	return s.loginPage(a, ""), nil
}

// authRequest finds the application and its redirect_uri. Without them the error
// is a page: the redirect could lead anywhere.
func (s *Server) authRequest(c *call) (*authRequest, error) {
	params := c.params()
	app := s.setup.apps[params.Get("client_id")]
	switch {
	case params.Get("client_id") == "":
		return nil, invalid("missing_client_id", "client_id is missing.")
	case app == nil || app.id == fusionAuthApp:
		return nil, invalid("invalid_client_id", "Unknown client.")
	case params.Get("tenantId") != "" && params.Get("tenantId") != s.setup.tenantID:
		return nil, invalid("invalid_tenant_id", "Unknown tenant.")
	case params.Get("redirect_uri") == "":
		return nil, invalid("missing_redirect_uri", "redirect_uri is missing.")
	case !slices.Contains(app.OAuth.RedirectURLs, params.Get("redirect_uri")):
		return nil, invalid("invalid_redirect_uri", "The redirect_uri is not authorized.")
	}
	return &authRequest{app: app, params: params}, nil
}

// check reads the rest of the request. What no correct client leaves out is a
// violation, even if FusionAuth accepts the request.
func (s *Server) check(c *call, a *authRequest) *oauthError {
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if a.params.Get(name) == "" {
			s.violate(c, name+" is missing")
		}
	}
	var err error
	if a.scopes, err = scopesOf(a.params.Get("scope")); err == nil {
		err = s.may(a.app, "authorization_code")
	}
	if refused, ok := err.(*oauthError); ok {
		return refused
	}
	challenge, method := a.params.Get("code_challenge"), a.params.Get("code_challenge_method")
	_, ageErr := strconv.ParseUint(a.params.Get("max_age"), 10, 31)
	switch {
	case a.params.Get("response_type") != "code":
		return &oauthError{400, "unsupported_response_type", "invalid_response_type", "response_type is not code."}
	case challenge != "" && method != "S256":
		return &oauthError{400, "invalid_request", "invalid_pkce_code_challenge_method", "code_challenge_method is not S256."}
	case challenge != "" && len(challenge) != 43:
		return &oauthError{400, "invalid_request", "invalid_pkce_code_challenge", "code_challenge is not S256."}
	case a.params.Get("prompt") != "" && a.params.Get("prompt") != "login": // the double has no others
		return &oauthError{400, "invalid_request", "invalid_prompt", "Unknown prompt."}
	case a.params.Get("max_age") != "" && ageErr != nil:
		return &oauthError{400, "invalid_request", "", "max_age is not a number of seconds."}
	}
	return nil
}

// register is self-service registration. It also logs the new user in.
func (s *Server) register(c *call) (answer, error) {
	a, err := s.authRequest(c)
	if err != nil {
		return answer{}, err
	}
	rules := a.app.Registration
	if !rules.Enabled {
		return answer{}, invalid("", "The application has no self-service registration.")
	}
	if refused := s.check(c, a); refused != nil {
		return answer{}, refused
	}
	if c.Method == http.MethodGet {
		return s.registerPage(a, ""), nil
	}
	u := user{
		id: newUUID(), Email: c.form.Get("email"), Password: c.form.Get("password"),
		roles: map[string][]string{a.app.id: nil},
	}
	if rules.FullName.Enabled {
		u.FullName = strings.TrimSpace(c.form.Get("fullName"))
	}
	if fault := s.setup.checkUser(u); fault != "" {
		return s.registerPage(a, fault), nil
	}
	s.setup.users = append(s.setup.users, &u)
	return s.logIn(c, a, &u)
}

// logIn logs a user in and redirects the browser. The login is kept only with
// "Keep me signed in".
func (s *Server) logIn(c *call, a *authRequest, u *user) (answer, error) {
	l := &login{user: u, at: time.Now(), id: newUUID()}
	return s.giveCode(a, l, s.remember(c, l))
}

func (s *Server) giveCode(a *authRequest, l *login, cookie *http.Cookie) (answer, error) {
	if err := a.app.admits(l.user); err != nil {
		return answer{}, err
	}
	value := rand.Text()
	s.codes[value] = &code{
		grant: grant{
			app: a.app, user: l.user, scopes: a.scopes, types: []string{"authorization_code"},
			authTime: l.at, nonce: a.params.Get("nonce"), session: l.id,
		},
		redirectURI: a.params.Get("redirect_uri"),
		challenge:   a.params.Get("code_challenge"),
		expires:     time.Now().Add(30 * time.Second),
	}
	return s.back(a, url.Values{"code": {value}, "locale": {"en_US"}, "userState": {"Authenticated"}}, cookie), nil
}

// back redirects the browser to the application.
func (s *Server) back(a *authRequest, params url.Values, cookie *http.Cookie) answer {
	if s.b.NamesIssuer {
		params.Set("iss", s.setup.tenant.Issuer)
	}
	if a.params.Has("state") {
		params.Set("state", a.params.Get("state"))
	}
	return answer{location: a.params.Get("redirect_uri") + "?" + params.Encode(), cookie: cookie}
}

const ssoCookie = "fusionauth.sso"

// remember returns the cookie of a login that is to be kept.
func (s *Server) remember(c *call, l *login) *http.Cookie {
	if c.form.Get("rememberDevice") != "true" {
		return nil
	}
	value := rand.Text()
	s.sso[value] = l
	return &http.Cookie{Name: ssoCookie, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode}
}

// loggedIn returns the kept login of this browser, or nil.
func (s *Server) loggedIn(c *call) *login {
	cookie, err := c.Cookie(ssoCookie)
	if err != nil {
		return nil
	}
	return s.sso[cookie.Value]
}

// younger reports whether a login is recent enough for max_age.
func (l *login) younger(maxAge string) bool {
	seconds, err := strconv.Atoi(maxAge)
	return err != nil || time.Since(l.at) < time.Duration(seconds)*time.Second
}
