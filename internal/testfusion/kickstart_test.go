package testfusion

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"changebank/kickstart"
)

const (
	appURL   = "http://localhost:5000"
	clientID = "e9fdb985-9173-4e01-9d73-ac2d60d1dc8e"
	secret   = "a secret, + and / and %"
	password = "a password"

	redirectURL = appURL + "/callback"
)

func env(issuer string) map[string]string {
	return map[string]string{
		"APP_URL": appURL, "ISSUER": issuer, "CLIENT_ID": clientID, "CLIENT_SECRET": secret,
		"USER_PASSWORD": password, "ADMIN_PASSWORD": password,
	}
}

// The real kickstart sets up what the application needs of FusionAuth.
func TestKickstart(t *testing.T) {
	const issuer = "https://login.example.com"
	s, err := parseKickstart(kickstart.JSON, env(issuer))
	if err != nil {
		t.Fatal(err)
	}
	is := func(what string, got, want any) {
		t.Helper()
		if got != want {
			t.Errorf("%s is %v, want %v", what, got, want)
		}
	}
	is("the issuer", s.tenant.Issuer, issuer)
	is("the tenant", s.tenantID, "d7d09513-a3f5-401c-9685-34ab6c552453")
	is("a device code's lifetime", s.tenant.Identifiers.DeviceCodeLifetime, 600)

	app := s.apps[clientID]
	if app == nil || len(s.apps) != 2 {
		t.Fatalf("the applications are %v, want FusionAuth's and %s", slices.Collect(maps.Keys(s.apps)), clientID)
	}
	o, j, r := app.OAuth, app.JWT, app.Registration
	is("the client secret", o.ClientSecret, secret)
	is("clientAuthenticationPolicy", o.ClientAuth, "Required")
	is("authorizedURLValidationPolicy", o.URLPolicy, "ExactMatch")
	is("proofKeyForCodeExchangePolicy", o.PKCE, "NotRequiredWhenUsingClientAuthentication")
	is("logoutBehavior", o.LogoutBehavior, "RedirectOnly")
	is("logoutURL", o.LogoutURL, appURL+"/")
	is("deviceVerificationURL", o.DeviceVerificationURL, appURL+"/activate")
	is("generateRefreshTokens", o.RefreshTokens, true)
	is("requireRegistration", o.RequireRegistration, true) // an administrator of FusionAuth is no customer
	if want := []string{"authorization_code", "refresh_token", deviceGrant}; !slices.Equal(o.Grants, want) {
		t.Errorf("enabledGrants are %v, want %v", o.Grants, want)
	}
	if want := []string{redirectURL, appURL + "/"}; !slices.Equal(o.RedirectURLs, want) {
		t.Errorf("authorizedRedirectURLs are %v, want %v", o.RedirectURLs, want)
	}
	// Without keys of its own, and without enabled, the application would sign
	// its ID tokens with HS256.
	is("jwtConfiguration.enabled", j.Enabled, true)
	is("the ID tokens' key", j.IDKey, j.AccessKey)
	if s.keys[j.IDKey] == nil {
		t.Errorf("the ID tokens' key is %q, want one that was made", j.IDKey)
	}
	is("an access token's lifetime", j.TokenLifetime, 3600)
	is("a refresh token's lifetime", j.RefreshLifetime, 43200)
	is("a refresh token's use", j.RefreshUsage, "Reusable")
	is("registration.enabled", r.Enabled, true)
	is("registration.type", r.Type, "basic")
	is("registration.loginIdType", r.LoginID, "email")
	is("registration.fullName.enabled", r.FullName.Enabled, true)

	for _, want := range []struct{ email, name, app string }{
		{"admin@example.com", "Jian Yang", fusionAuthApp},
		{"richard@example.com", "Richard Hendricks", clientID},
		{"erlich@example.com", "Erlich Bachman", clientID},
	} {
		u := s.person(want.email)
		if u == nil {
			t.Errorf("there is no %s", want.email)
			continue
		}
		is("the full name of "+want.email, u.FullName, want.name)
		if _, ok := u.roles[want.app]; !ok || len(u.roles) != 1 {
			t.Errorf("%s is registered for %v, want %s", want.email, u.roles, want.app)
		}
	}
	if got := s.person("admin@example.com").roles[fusionAuthApp]; !slices.Equal(got, []string{"admin"}) {
		t.Errorf("the administrator's roles are %v, want admin", got)
	}

	for name, secret := range map[string]*regexp.Regexp{
		"password":     regexp.MustCompile(`"password": "([^"]*)"`),
		"clientSecret": regexp.MustCompile(`"clientSecret": "([^"]*)"`),
		"key":          regexp.MustCompile(`"key": "([^"]*)"`),
	} {
		for _, match := range secret.FindAllStringSubmatch(string(kickstart.JSON), -1) {
			if !strings.HasPrefix(match[1], "#{") {
				t.Errorf("the kickstart has a %s in it", name)
			}
		}
	}
}

// Each case breaks the real kickstart at one place.
func TestKickstartFaults(t *testing.T) {
	const application, oauth, registration = "requests[2].body.application", "requests[2].body.application.oauthConfiguration", "requests[2].body.application.registrationConfiguration"
	for _, tt := range []struct {
		name, old, new string
		want           []string
	}{
		{"not JSON", `"requests": [`, `"requests": [,`, []string{"line 22", "invalid character"}},
		{"environment not set", `#{ENV.CLIENT_SECRET}`, `#{ENV.SECRET}`, []string{"variables.clientSecret", "no SECRET"}},
		{"environment within a text", `"#{ENV.CLIENT_SECRET}"`, `"x#{ENV.CLIENT_SECRET}"`, []string{"variables.clientSecret"}},
		{"environment outside variables", `"issuer": "#{issuer}"`, `"issuer": "#{ENV.ISSUER}"`, []string{"requests[1].body.tenant.issuer", "#{ENV.ISSUER}"}},
		{"variable within variables", `"signingKeyId": "`, `"signingKeyId": "#{issuer}`, []string{"variables.signingKeyId"}},
		{"unknown variable", `"#{clientSecret}"`, `"#{secret}"`, []string{oauth + ".clientSecret", "#{secret}"}},
		{"unknown variable in a URL", `"/api/tenant/#{defaultTenantId}"`, `"/api/tenant/#{tenant}"`, []string{"requests[1].url", "#{tenant}"}},
		{"included file", `"Changebank signing key"`, `"@{name.txt}"`, []string{"requests[0].body.key.name", "include"}},
		{"unknown member", `"apiKeys": [`, `"comment": "x", "apiKeys": [`, []string{"comment"}},
		{"no API key", `"key": "#{UUID()}",`, ``, []string{"apiKeys[0].key"}},
		{"restricted API key", `"key": "#{UUID()}",`, `"key": "#{UUID()}", "tenantId": "#{defaultTenantId}",`, []string{"apiKeys: "}},

		{"method", `"method": "PATCH"`, `"method": "GET"`, []string{"requests[1].method", "GET"}},
		{"method in lower case", `"method": "PATCH"`, `"method": "patch"`, []string{"requests[1].method", "patch"}},
		{"wrong method", `"method": "PATCH"`, `"method": "PUT"`, []string{"requests[1].url", "PUT /api/tenant/"}},
		{"URL without a slash", `"/api/key/generate/`, `"api/key/generate/`, []string{"requests[0].url", "/api/"}},
		{"absolute URL", `"/api/key/generate/`, `"http://localhost:9011/api/key/generate/`, []string{"requests[0].url", "/api/"}},
		{"unknown path", `"/api/key/generate/#{signingKeyId}"`, `"/api/theme/#{signingKeyId}"`, []string{"requests[0].url", "/api/theme/"}},
		{"tenant on a global API", `"url": "/api/key/generate/#{signingKeyId}",`, `"url": "/api/key/generate/#{signingKeyId}", "tenantId": "#{defaultTenantId}",`, []string{"requests[0].tenantId", "401"}},
		{"unknown tenant", `"tenantId": "#{defaultTenantId}"`, `"tenantId": "#{UUID()}"`, []string{"requests[2].tenantId", "requests[4].tenantId", "requests[5].tenantId"}},
		{"another tenant patched", `"/api/tenant/#{defaultTenantId}"`, `"/api/tenant/#{UUID()}"`, []string{"requests[1].url", "no tenant"}},
		{"merge patch", `"method": "PATCH",`, `"method": "PATCH", "contentType": "application/merge-patch+json",`, []string{"requests[1].contentType"}},

		{"UUID in upper case", `"signingKeyId": "0b1c2a6e`, `"signingKeyId": "0B1C2A6E`, []string{"requests[0].url", "lower case"}},
		{"no UUID", `"richardId": "6c9d1a52-61a5`, `"richardId": "6c9d1a52-61a`, []string{"requests[4].url", "UUID"}},

		{"unknown field", `"generateRefreshTokens"`, `"generateRefreshToken"`, []string{oauth + ".generateRefreshToken: "}},
		{"field in another case", `"oauthConfiguration"`, `"oAuthConfiguration"`, []string{application + ".oAuthConfiguration: "}},
		{"field at the wrong place", `"name": "Changebank",`, `"name": "Changebank", "clientSecret": "x",`, []string{application + ".clientSecret"}},
		{"field in a list", `"roles": [`, `"applicationRoles": [`, []string{"requests[3].body.registration.applicationRoles"}},
		{"wrong type", `"timeToLiveInSeconds": 3600`, `"timeToLiveInSeconds": "3600"`, []string{application, "timeToLiveInSeconds", "string"}},

		{"weak key", `"length": 2048`, `"length": 1024`, []string{"requests[0].body.key.length"}},
		{"HMAC key", `"algorithm": "RS256"`, `"algorithm": "HS256"`, []string{"requests[0].body.key.algorithm"}},
		{"key made too late", `"#{signingKeyId}",`, `"#{adminId}",`, []string{application + ".jwtConfiguration.accessTokenKeyId", ".idTokenKeyId"}},
		{"issuer with a slash", `"issuer": "#{issuer}"`, `"issuer": "#{issuer}/"`, []string{"requests[1].body.tenant.issuer", "slash"}},
		{"issuer with a query", `"issuer": "#{issuer}"`, `"issuer": "#{issuer}?x"`, []string{"requests[1].body.tenant.issuer", "query"}},
		{"issuer that is no URL", `"issuer": "#{issuer}"`, `"issuer": "acme.com"`, []string{"requests[1].body.tenant.issuer", "acme.com"}},
		{"code that lives no time", `"deviceCodeTimeToLiveInSeconds": 600`, `"deviceCodeTimeToLiveInSeconds": 0`, []string{"deviceCodeTimeToLiveInSeconds"}},

		{"no name", `"name": "Changebank",`, ``, []string{application + ".name"}},
		{"relative redirect URL", `"#{appURL}/callback"`, `"/callback"`, []string{oauth + ".authorizedRedirectURLs[0]"}},
		{"redirect URL with a wildcard", `"#{appURL}/callback"`, `"#{appURL}/*"`, []string{oauth + ".authorizedRedirectURLs[0]"}},
		{"no verification URL", `"deviceVerificationURL": "#{appURL}/activate",`, ``, []string{oauth + ".deviceVerificationURL"}},
		{"verification URL with a query", `"#{appURL}/activate"`, `"#{appURL}/activate?x=y"`, []string{oauth + ".deviceVerificationURL"}},
		{"unknown grant", `"urn:ietf:params:oauth:grant-type:device_code"`, `"device_code"`, []string{oauth + ".enabledGrants[2]"}},
		{"client authentication", `"clientAuthenticationPolicy": "Required"`, `"clientAuthenticationPolicy": "required"`, []string{oauth + ".clientAuthenticationPolicy"}},
		{"PKCE", `"NotRequiredWhenUsingClientAuthentication"`, `"Optional"`, []string{oauth + ".proofKeyForCodeExchangePolicy"}},
		{"logout", `"RedirectOnly"`, `"Redirect"`, []string{oauth + ".logoutBehavior"}},
		{"URL validation", `"ExactMatch"`, `"Exact"`, []string{oauth + ".authorizedURLValidationPolicy"}},
		{"registration type", `"type": "basic"`, `"type": "simple"`, []string{registration + ".type"}},
		{"login ID", `"loginIdType": "email"`, `"loginIdType": "mail"`, []string{registration + ".loginIdType"}},
		{"no lifetime", `"timeToLiveInSeconds": 3600,`, ``, []string{application + ".jwtConfiguration.timeToLiveInSeconds"}},

		{"application that is not there", `"applicationId": "#{applicationId}"`, `"applicationId": "#{adminId}"`, []string{"requests[4].body.registration.applicationId", "requests[5]"}},
		{"role that is not there", `"admin"`, `"Admin"`, []string{"requests[3].body.registration.roles[0]"}},
		{"short password", `"password": "#{userPassword}"`, `"password": "short"`, []string{"requests[4].body.user: password", "requests[5].body.user: password"}},
		{"password like the login ID", `"password": "#{adminPassword}"`, `"password": "Admin@example.com"`, []string{"requests[3].body.user: password"}},
		{"no address", `"email": "richard@example.com"`, `"email": "richard"`, []string{"requests[4].body.user: email"}},
		{"person twice", `"email": "erlich@example.com"`, `"email": "Richard@example.com"`, []string{"requests[5].body.user: there is"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			whole := string(kickstart.JSON)
			broken := strings.ReplaceAll(whole, tt.old, tt.new)
			if broken == whole {
				t.Fatalf("the kickstart has no %s", tt.old)
			}
			_, err := parseKickstart([]byte(broken), env("https://login.example.com"))
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q\nlacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), password) || strings.Contains(err.Error(), secret) {
				t.Errorf("error %q has a secret", err)
			}
		})
	}
}

// The places in the file are told all at once, and only the broken ones.
func TestKickstartFaultsTogether(t *testing.T) {
	broken := strings.NewReplacer(`"ExactMatch"`, `"Exact"`, `"length": 2048`, `"length": 1`, `"roles": [`, `"role": [`).Replace(string(kickstart.JSON))
	_, err := parseKickstart([]byte(broken), env("https://login.example.com"))
	if err == nil {
		t.Fatal("no error")
	}
	if lines := strings.Split(err.Error(), "\n"); len(lines) != 3 {
		t.Errorf("the faults are %q, want three", lines)
	}
}
