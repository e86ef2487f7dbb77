package testfusion

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// fusionAuthApp is FusionAuth's own application, the same everywhere.
const fusionAuthApp = "3c219e58-ed0e-4b18-ad48-f4f92793ae32"

// deviceGrant is the grant type of a poll (RFC 8628, section 3.4).
const deviceGrant = "urn:ietf:params:oauth:grant-type:device_code"

// A setup is what an installation holds: who and what can log in.
type setup struct {
	tenantID string
	tenant   tenant
	keys     map[string]*signingKey  // by ID
	apps     map[string]*application // by ID, FusionAuth's own included
	users    []*user
}

// newSetup is a new installation, which no kickstart has touched yet.
func newSetup(variables map[string]string) *setup {
	s := &setup{
		tenantID: variables["defaultTenantId"],
		tenant:   tenant{Issuer: "acme.com", JWT: jwtConfiguration{Enabled: true, TokenLifetime: 3600, RefreshLifetime: 43200, RefreshUsage: "Reusable", RefreshExpiration: "Fixed"}},
		keys:     make(map[string]*signingKey),
		apps:     map[string]*application{fusionAuthApp: {ID: fusionAuthApp, Name: "FusionAuth", Roles: []role{{Name: "admin"}}}},
	}
	ids := &s.tenant.Identifiers
	ids.CodeLifetime, ids.DeviceCodeLifetime = 30, 300
	ids.UserCodes.Length, ids.UserCodes.Type = 6, "randomAlphaNumeric"
	return s
}

// take does what one request of a kickstart asks for.
func (s *setup) take(f *faults, at string, r kickstartRequest) {
	f.oneOf(at+".method", r.Method, "POST", "PUT", "PATCH")
	if r.ContentType != "" && r.Method != "PATCH" {
		f.add(at+".contentType", "only a PATCH has one")
	}
	if r.ContentType != "" && r.ContentType != "application/json" {
		f.add(at+".contentType", "application/json is the one that works on every API")
	}
	if !strings.HasPrefix(r.URL, "/api/") {
		f.add(at+".url", "%q does not begin with /api/", r.URL)
		return
	}
	if r.TenantID != "" && r.TenantID != s.tenantID {
		f.add(at+".tenantId", "there is no tenant %q", r.TenantID)
	}
	slash := strings.LastIndex(r.URL, "/") + 1
	api, id := r.Method+" "+r.URL[:slash], r.URL[slash:]
	switch api {
	case "POST /api/key/generate/":
		if r.TenantID != "" {
			f.add(at+".tenantId", "this API is global: since 1.65 a tenant is answered with 401")
		}
		s.generateKey(f, at+".body", id, r.Body)
	case "PATCH /api/tenant/":
		if id != s.tenantID {
			f.add(at+".url", "there is no tenant %q", id)
		}
		s.patchTenant(f, at+".body", r.Body)
	case "POST /api/application/":
		s.createApplication(f, at+".body", id, r.Body)
	case "POST /api/user/registration/":
		s.register(f, at+".body", id, r.Body)
	default:
		f.add(at+".url", "the double does not know %s", api)
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
	f.oneOf(at+".algorithm", b.Key.Algorithm, "RS256") // of nine, the one that the double can
	if !slices.Contains([]int{2048, 3072, 4096}, b.Key.Length) {
		f.add(at+".length", "%d is no length of an RSA key", b.Key.Length)
	}
	if b.Key.Name == "" {
		f.add(at+".name", "is missing")
	}
	if s.keys[id] != nil {
		f.add(at, "there is a key %s already", id)
	}
	s.keys[id] = newSigningKey()
}

func (s *setup) patchTenant(f *faults, at string, body any) {
	b := struct {
		Tenant *tenant `json:"tenant"`
	}{&s.tenant} // a PATCH leaves what it does not name
	f.decode(at, body, &b)
	at += ".tenant"
	issuer := f.url(at+".issuer", s.tenant.Issuer)
	if strings.HasSuffix(issuer.Path, "/") || issuer.RawQuery != "" || issuer.Fragment != "" {
		f.add(at+".issuer", "%q has a trailing slash, a query or a fragment", s.tenant.Issuer)
	}
	ids, in := s.tenant.Identifiers, at+".externalIdentifierConfiguration"
	f.positive(in+".deviceCodeTimeToLiveInSeconds", ids.DeviceCodeLifetime)
	f.positive(in+".authorizationGrantIdTimeToLiveInSeconds", ids.CodeLifetime)
	if ids.CodeLifetime > 600 {
		f.add(in+".authorizationGrantIdTimeToLiveInSeconds", "must not be more than 600")
	}
	f.oneOf(in+".deviceUserCodeIdGenerator.type", ids.UserCodes.Type, "randomAlpha", "randomAlphaNumeric", "randomDigits")
	if ids.UserCodes.Length < 4 || ids.UserCodes.Length > 12 {
		f.add(in+".deviceUserCodeIdGenerator.length", "must be 4 to 12")
	}
	s.jwt(f, at+".jwtConfiguration", s.tenant.JWT)
}

func (s *setup) createApplication(f *faults, at, id string, body any) {
	app := &application{
		ID: id,
		OAuth: oauthConfiguration{
			URLPolicy: "ExactMatch", ClientAuth: "Required", PKCE: "NotRequired", LogoutBehavior: "AllApplications",
			Relationship: "FirstParty", Scopes: "Strict", UnknownScopes: "Reject", RequireClientAuth: true,
		},
		Registration: registrationConfiguration{Type: "basic", LoginID: "email"},
		JWT:          jwtConfiguration{RefreshUsage: "Reusable", RefreshExpiration: "Fixed"},
	}
	b := struct {
		Application *application `json:"application"`
	}{app}
	f.decode(at, body, &b)
	at += ".application"
	if app.Name == "" {
		f.add(at+".name", "is missing")
	}
	if s.apps[id] != nil {
		f.add(at, "there is an application %s already", id)
	}
	app.check(f, at)
	if app.JWT.Enabled {
		s.jwt(f, at+".jwtConfiguration", app.JWT)
	}
	s.apps[id] = app
}

// check reports what FusionAuth would refuse, or take and fail with later.
func (a *application) check(f *faults, at string) {
	r := a.Registration
	f.oneOf(at+".registrationConfiguration.type", r.Type, "basic", "advanced")
	f.oneOf(at+".registrationConfiguration.loginIdType", r.LoginID, "email", "phoneNumber", "username")
	if r.Enabled && (r.Type != "basic" || r.LoginID != "email") {
		f.add(at+".registrationConfiguration", "the double has basic registration by email only")
	}
	at += ".oauthConfiguration"
	o := a.OAuth
	f.oneOf(at+".authorizedURLValidationPolicy", o.URLPolicy, "ExactMatch", "AllowWildcards")
	f.oneOf(at+".clientAuthenticationPolicy", o.ClientAuth, "Required", "NotRequired", "NotRequiredWhenUsingPKCE")
	f.oneOf(at+".proofKeyForCodeExchangePolicy", o.PKCE, "Required", "NotRequired", "NotRequiredWhenUsingClientAuthentication")
	f.oneOf(at+".logoutBehavior", o.LogoutBehavior, "AllApplications", "RedirectOnly")
	f.oneOf(at+".relationship", o.Relationship, "FirstParty", "ThirdParty")
	f.oneOf(at+".scopeHandlingPolicy", o.Scopes, "Strict", "Compatibility")
	f.oneOf(at+".unknownScopePolicy", o.UnknownScopes, "Reject", "Remove", "Allow")
	for i, grant := range o.Grants {
		f.oneOf(fmt.Sprintf("%s.enabledGrants[%d]", at, i), grant,
			"authorization_code", "password", "implicit", "refresh_token", deviceGrant, "client_credentials")
	}
	for i, u := range o.RedirectURLs {
		f.url(fmt.Sprintf("%s.authorizedRedirectURLs[%d]", at, i), u)
	}
	for i, u := range o.OriginURLs {
		f.url(fmt.Sprintf("%s.authorizedOriginURLs[%d]", at, i), u)
	}
	if o.LogoutURL != "" {
		f.url(at+".logoutURL", o.LogoutURL)
	}
	switch {
	case o.DeviceVerificationURL != "":
		// How a user code is joined to a URL with a query is not documented.
		if u := f.url(at+".deviceVerificationURL", o.DeviceVerificationURL); u.RawQuery != "" || u.Fragment != "" {
			f.add(at+".deviceVerificationURL", "has a query or a fragment")
		}
	case a.grants(deviceGrant):
		f.add(at+".deviceVerificationURL", "is required by the device grant")
	}
}

// jwt checks lifetimes and keys, which must have been made before.
func (s *setup) jwt(f *faults, at string, j jwtConfiguration) {
	f.positive(at+".timeToLiveInSeconds", j.TokenLifetime)
	f.positive(at+".refreshTokenTimeToLiveInMinutes", j.RefreshLifetime)
	f.oneOf(at+".refreshTokenUsagePolicy", j.RefreshUsage, "Reusable", "OneTimeUse")
	f.oneOf(at+".refreshTokenExpirationPolicy", j.RefreshExpiration, "Fixed", "SlidingWindow", "SlidingWindowWithMaximumLifetime")
	for _, key := range []struct{ name, id string }{{"accessTokenKeyId", j.AccessKey}, {"idTokenKeyId", j.IDKey}} {
		if key.id != "" && s.keys[key.id] == nil {
			f.add(at+"."+key.name, "no key %q was made before", key.id)
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
	u.ID = id
	if fault := s.mayJoin(u); fault != "" {
		f.add(at+".user", "%s", fault)
	}
	f.uuid(at+".registration.applicationId", b.Registration.ApplicationID)
	app := s.apps[b.Registration.ApplicationID]
	if app == nil {
		f.add(at+".registration.applicationId", "no application %q was made before", b.Registration.ApplicationID)
		return
	}
	for i, name := range b.Registration.Roles {
		if !slices.ContainsFunc(app.Roles, func(r role) bool { return r.Name == name }) {
			f.add(fmt.Sprintf("%s.registration.roles[%d]", at, i), "the application has no role %q", name)
		}
	}
	u.roles = map[string][]string{app.ID: b.Registration.Roles}
	s.users = append(s.users, &u)
}

// mayJoin says why a person cannot be made, "" if they can.
func (s *setup) mayJoin(u user) string {
	switch {
	case !strings.Contains(u.Email, "@"):
		return fmt.Sprintf("email: %q is no address", u.Email)
	case len(u.Password) < 8:
		return "password: must have 8 characters at least"
	case strings.EqualFold(u.Password, u.Email):
		return "password: must not be the login ID"
	}
	for _, other := range s.users {
		if other.ID == u.ID || strings.EqualFold(other.Email, u.Email) {
			return "there is such a person already"
		}
	}
	return ""
}

// url checks that text is absolute.
func (f *faults) url(at, text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Contains(text, "*") {
		f.add(at, "%q is no absolute URL", text)
		return new(url.URL)
	}
	return u
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// uuid checks an ID. FusionAuth takes it in upper case, too, but gives it back
// in lower case.
func (f *faults) uuid(at, text string) {
	if !uuidForm.MatchString(text) {
		f.add(at, "%q is no UUID in lower case", text)
	}
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:])                      // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, version 4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
