package testfusion

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
)

// fusionAuthApp is the ID of FusionAuth's own application, the same in every
// installation.
const fusionAuthApp = "3c219e58-ed0e-4b18-ad48-f4f92793ae32"

// deviceGrant is the grant type of a poll (RFC 8628, section 3.4).
const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// A setup is what an installation holds: applications, their keys and users.
type setup struct {
	tenantID string
	tenant   tenant
	keys     map[string]*signingKey  // by ID
	apps     map[string]*application // by ID, FusionAuth's own included
	users    []*user
}

// newSetup returns a new installation, before its kickstart.
func newSetup(variables map[string]string) *setup {
	s := &setup{
		tenantID: variables["defaultTenantId"],
		tenant:   tenant{Issuer: "acme.com"},
		keys:     make(map[string]*signingKey),
		apps:     map[string]*application{fusionAuthApp: {id: fusionAuthApp, roles: []string{"admin"}}},
	}
	s.tenant.Identifiers.DeviceCodeLifetime = 300
	return s
}

// apply does what one request of a kickstart asks for.
func (s *setup) apply(f *faults, at string, r kickstartRequest) {
	f.oneOf(at+".method", r.Method, "POST", "PUT", "PATCH")
	if !strings.HasPrefix(r.URL, "/api/") {
		f.add(at+".url", "%q does not begin with /api/", r.URL)
		return
	}
	if r.TenantID != "" && r.TenantID != s.tenantID {
		f.add(at+".tenantId", "unknown tenant %q", r.TenantID)
	}
	slash := strings.LastIndex(r.URL, "/") + 1
	api, id := r.Method+" "+r.URL[:slash], r.URL[slash:]
	switch api {
	case "POST /api/key/generate/":
		if r.TenantID != "" {
			f.add(at+".tenantId", "this API is global: since 1.65 it answers 401 to a request with a tenant")
		}
		s.generateKey(f, at+".body", id, r.Body)
	case "PATCH /api/tenant/":
		if id != s.tenantID {
			f.add(at+".url", "unknown tenant %q", id)
		}
		s.patchTenant(f, at+".body", r.Body)
	case "POST /api/application/":
		s.createApplication(f, at+".body", id, r.Body)
	case "POST /api/user/registration/":
		s.register(f, at+".body", id, r.Body)
	default:
		f.add(at+".url", "the double does not have %s", api)
		return
	}
	f.uuid(at+".url", id)
}

func (s *setup) generateKey(f *faults, at, id string, body any) {
	var b struct {
		Key struct {
			Algorithm string `json:"algorithm"`
			Length    int    `json:"length"`
			Name      string `json:"name"`
		} `json:"key"`
	}
	f.decode(at, body, &b)
	at += ".key"
	f.oneOf(at+".algorithm", b.Key.Algorithm, "RS256") // of nine, the one that the double has
	if !slices.Contains([]int{2048, 3072, 4096}, b.Key.Length) {
		f.add(at+".length", "an RSA key cannot have %d bits", b.Key.Length)
	}
	f.present(at+".name", b.Key.Name)
	if s.keys[id] != nil {
		f.add(at, "the key %s exists already", id)
	}
	s.keys[id] = newSigningKey()
}

func (s *setup) patchTenant(f *faults, at string, body any) {
	b := struct {
		Tenant *tenant `json:"tenant"`
	}{&s.tenant} // a PATCH keeps what it does not name
	f.decode(at, body, &b)
	at += ".tenant"
	issuer := f.url(at+".issuer", s.tenant.Issuer)
	if strings.HasSuffix(issuer.Path, "/") || issuer.RawQuery != "" || issuer.Fragment != "" {
		f.add(at+".issuer", "%q has a trailing slash, a query or a fragment", s.tenant.Issuer)
	}
	f.positive(at+".externalIdentifierConfiguration.deviceCodeTimeToLiveInSeconds", s.tenant.Identifiers.DeviceCodeLifetime)
}

func (s *setup) createApplication(f *faults, at, id string, body any) {
	app := &application{
		id: id,
		OAuth: oauthConfiguration{
			URLPolicy: "ExactMatch", ClientAuth: "Required", PKCE: "NotRequired", LogoutBehavior: "AllApplications",
		},
		Registration: registrationConfiguration{Type: "basic", LoginID: "email"},
	}
	b := struct {
		Application *application `json:"application"`
	}{app}
	f.decode(at, body, &b)
	at += ".application"
	f.present(at+".name", app.Name)
	if s.apps[id] != nil {
		f.add(at, "the application %s exists already", id)
	}
	app.check(f, at)
	if app.JWT.Enabled {
		s.checkJWT(f, at+".jwtConfiguration", app.JWT)
	}
	s.apps[id] = app
}

// check reports what FusionAuth would reject, or accept and fail with later,
// and the settings that the double does not imitate.
func (a *application) check(f *faults, at string) {
	f.oneOf(at+".registrationConfiguration.type", a.Registration.Type, "basic")
	f.oneOf(at+".registrationConfiguration.loginIdType", a.Registration.LoginID, "email")
	at += ".oauthConfiguration"
	o := a.OAuth
	f.oneOf(at+".authorizedURLValidationPolicy", o.URLPolicy, "ExactMatch")
	f.oneOf(at+".clientAuthenticationPolicy", o.ClientAuth, "Required")
	f.oneOf(at+".proofKeyForCodeExchangePolicy", o.PKCE, "NotRequired", "NotRequiredWhenUsingClientAuthentication")
	f.oneOf(at+".logoutBehavior", o.LogoutBehavior, "RedirectOnly")
	f.present(at+".clientSecret", o.ClientSecret)
	for i, grant := range o.Grants {
		f.oneOf(fmt.Sprintf("%s.enabledGrants[%d]", at, i), grant, "authorization_code", "refresh_token", deviceGrant)
	}
	for i, u := range o.RedirectURLs {
		f.url(fmt.Sprintf("%s.authorizedRedirectURLs[%d]", at, i), u)
	}
	f.url(at+".logoutURL", o.LogoutURL)
	// The device grant requires a verification URL. How a user code is added to
	// one with a query is not documented.
	if u := f.url(at+".deviceVerificationURL", o.DeviceVerificationURL); u.RawQuery != "" || u.Fragment != "" {
		f.add(at+".deviceVerificationURL", "has a query or a fragment")
	}
}

// checkJWT checks lifetimes and keys. The keys must exist already.
func (s *setup) checkJWT(f *faults, at string, j jwtConfiguration) {
	f.positive(at+".timeToLiveInSeconds", j.TokenLifetime)
	f.positive(at+".refreshTokenTimeToLiveInMinutes", j.RefreshLifetime)
	for _, key := range []struct{ name, id string }{{"accessTokenKeyId", j.AccessKey}, {"idTokenKeyId", j.IDKey}} {
		if key.id != "" && s.keys[key.id] == nil {
			f.add(at+"."+key.name, "unknown key %q", key.id)
		}
	}
}

func (s *setup) register(f *faults, at, id string, body any) {
	var b struct {
		User         user `json:"user"`
		Registration struct {
			ApplicationID string   `json:"applicationId"`
			Roles         []string `json:"roles"`
		} `json:"registration"`
	}
	f.decode(at, body, &b)
	u := b.User
	u.id = id
	if fault := s.checkUser(u); fault != "" {
		f.add(at+".user", "%s", fault)
	}
	app := s.apps[b.Registration.ApplicationID]
	if app == nil {
		f.add(at+".registration.applicationId", "unknown application %q", b.Registration.ApplicationID)
		return
	}
	for i, role := range b.Registration.Roles {
		if !slices.Contains(app.roles, role) {
			f.add(fmt.Sprintf("%s.registration.roles[%d]", at, i), "the application has no role %q", role)
		}
	}
	u.roles = map[string][]string{app.id: b.Registration.Roles}
	s.users = append(s.users, &u)
}

// checkUser says why a user cannot be created, and "" if they can.
func (s *setup) checkUser(u user) string {
	switch {
	case !strings.Contains(u.Email, "@"):
		return fmt.Sprintf("email: %q is not an address", u.Email)
	case len(u.Password) < 8:
		return "password: must have at least 8 characters"
	case strings.EqualFold(u.Password, u.Email):
		return "password: must not be the email address"
	}
	for _, other := range s.users {
		if other.id == u.id || strings.EqualFold(other.Email, u.Email) {
			return "this user exists already"
		}
	}
	return ""
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])                      // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, version 4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
