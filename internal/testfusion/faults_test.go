package testfusion

import (
	"strings"
	"testing"

	"changebank/kickstart"
)

const (
	atApplication  = "requests[2].body.application"
	atOAuth        = atApplication + ".oauthConfiguration"
	atRegistration = atApplication + ".registrationConfiguration"
)

// kickstartFaults break the real kickstart, each at one place.
var kickstartFaults = []struct {
	name, old, new string
	want           []string
}{
	{"not JSON", `"requests": [`, `"requests": [,`, []string{"line 22", "invalid character"}},
	{"environment not set", `#{ENV.CLIENT_SECRET}`, `#{ENV.SECRET}`, []string{"variables.clientSecret", "SECRET is not set"}},
	{"environment within a text", `"#{ENV.CLIENT_SECRET}"`, `"x#{ENV.CLIENT_SECRET}"`, []string{"variables.clientSecret"}},
	{"environment outside variables", `"issuer": "#{issuer}"`, `"issuer": "#{ENV.ISSUER}"`, []string{"requests[1].body.tenant.issuer", "#{ENV.ISSUER}"}},
	{"variable within variables", `"signingKeyId": "`, `"signingKeyId": "#{issuer}`, []string{"variables.signingKeyId"}},
	{"unknown variable", `"#{clientSecret}"`, `"#{secret}"`, []string{atOAuth + ".clientSecret", "#{secret}"}},
	{"unknown variable in a URL", `"/api/tenant/#{defaultTenantId}"`, `"/api/tenant/#{tenant}"`, []string{"requests[1].url", "#{tenant}"}},
	{"included file", `"Changebank signing key"`, `"@{name.txt}"`, []string{"requests[0].body.key.name", "include"}},
	{"unknown member", `"apiKeys": [`, `"comment": "x", "apiKeys": [`, []string{"comment"}},
	{"no API key", `"key": "#{UUID()}",`, ``, []string{"apiKeys[0].key"}},

	{"method", `"method": "PATCH"`, `"method": "GET"`, []string{"requests[1].method", "GET"}},
	{"method in lower case", `"method": "PATCH"`, `"method": "patch"`, []string{"requests[1].method", "patch"}},
	{"wrong method", `"method": "PATCH"`, `"method": "PUT"`, []string{"requests[1].url", "PUT /api/tenant/"}},
	{"relative URL", `"/api/key/generate/`, `"api/key/generate/`, []string{"requests[0].url", "/api/"}},
	{"absolute URL", `"/api/key/generate/`, `"http://localhost:9011/api/key/generate/`, []string{"requests[0].url", "/api/"}},
	{"unknown path", `"/api/key/generate/#{signingKeyId}"`, `"/api/theme/#{signingKeyId}"`, []string{"requests[0].url", "/api/theme/"}},
	{"tenant for a global API", `"url": "/api/key/generate/#{signingKeyId}",`, `"url": "/api/key/generate/#{signingKeyId}", "tenantId": "#{defaultTenantId}",`, []string{"requests[0].tenantId", "401"}},
	{"unknown tenant", `"tenantId": "#{defaultTenantId}"`, `"tenantId": "#{UUID()}"`, []string{"requests[2].tenantId", "requests[4].tenantId", "requests[5].tenantId"}},
	{"another tenant patched", `"/api/tenant/#{defaultTenantId}"`, `"/api/tenant/#{UUID()}"`, []string{"requests[1].url", "unknown tenant"}},

	{"UUID in upper case", `"signingKeyId": "0b1c2a6e`, `"signingKeyId": "0B1C2A6E`, []string{"requests[0].url", "lower case"}},
	{"not a UUID", `"richardId": "6c9d1a52-61a5`, `"richardId": "6c9d1a52-61a`, []string{"requests[4].url", "UUID"}},

	{"unknown field", `"generateRefreshTokens"`, `"generateRefreshToken"`, []string{atOAuth + ".generateRefreshToken: "}},
	{"field in another case", `"oauthConfiguration"`, `"oAuthConfiguration"`, []string{atApplication + ".oAuthConfiguration: "}},
	{"field at the wrong place", `"name": "Changebank",`, `"name": "Changebank", "clientSecret": "x",`, []string{atApplication + ".clientSecret"}},
	{"field in a list", `"roles": [`, `"applicationRoles": [`, []string{"requests[3].body.registration.applicationRoles"}},
	{"wrong type", `"timeToLiveInSeconds": 3600`, `"timeToLiveInSeconds": "3600"`, []string{atApplication, "timeToLiveInSeconds", "string"}},

	{"weak key", `"length": 2048`, `"length": 1024`, []string{"requests[0].body.key.length"}},
	{"HMAC key", `"algorithm": "RS256"`, `"algorithm": "HS256"`, []string{"requests[0].body.key.algorithm"}},
	{"unknown key", `"#{signingKeyId}",`, `"#{adminId}",`, []string{atApplication + ".jwtConfiguration.accessTokenKeyId", ".idTokenKeyId"}},
	{"issuer with a slash", `"issuer": "#{issuer}"`, `"issuer": "#{issuer}/"`, []string{"requests[1].body.tenant.issuer", "slash"}},
	{"issuer with a query", `"issuer": "#{issuer}"`, `"issuer": "#{issuer}?x"`, []string{"requests[1].body.tenant.issuer", "query"}},
	{"issuer is not a URL", `"issuer": "#{issuer}"`, `"issuer": "acme.com"`, []string{"requests[1].body.tenant.issuer", "acme.com"}},
	{"no device code lifetime", `"deviceCodeTimeToLiveInSeconds": 600`, `"deviceCodeTimeToLiveInSeconds": 0`, []string{"deviceCodeTimeToLiveInSeconds"}},

	{"no name", `"name": "Changebank",`, ``, []string{atApplication + ".name"}},
	{"relative redirect URL", `"#{appURL}/callback"`, `"/callback"`, []string{atOAuth + ".authorizedRedirectURLs[0]"}},
	{"redirect URL with a wildcard", `"#{appURL}/callback"`, `"#{appURL}/*"`, []string{atOAuth + ".authorizedRedirectURLs[0]"}},
	{"no verification URL", `"deviceVerificationURL": "#{appURL}/activate",`, ``, []string{atOAuth + ".deviceVerificationURL"}},
	{"verification URL with a query", `"#{appURL}/activate"`, `"#{appURL}/activate?x=y"`, []string{atOAuth + ".deviceVerificationURL"}},
	{"unknown grant", `"urn:ietf:params:oauth:grant-type:device_code"`, `"device_code"`, []string{atOAuth + ".enabledGrants[2]"}},
	{"client authentication", `"clientAuthenticationPolicy": "Required"`, `"clientAuthenticationPolicy": "required"`, []string{atOAuth + ".clientAuthenticationPolicy"}},
	{"PKCE", `"NotRequiredWhenUsingClientAuthentication"`, `"Optional"`, []string{atOAuth + ".proofKeyForCodeExchangePolicy"}},
	{"logout", `"RedirectOnly"`, `"Redirect"`, []string{atOAuth + ".logoutBehavior"}},
	{"URL validation", `"ExactMatch"`, `"Exact"`, []string{atOAuth + ".authorizedURLValidationPolicy"}},
	{"registration type", `"type": "basic"`, `"type": "simple"`, []string{atRegistration + ".type"}},
	{"login ID", `"loginIdType": "email"`, `"loginIdType": "mail"`, []string{atRegistration + ".loginIdType"}},
	{"no lifetime", `"timeToLiveInSeconds": 3600,`, ``, []string{atApplication + ".jwtConfiguration.timeToLiveInSeconds"}},

	{"unknown application", `"applicationId": "#{applicationId}"`, `"applicationId": "#{adminId}"`, []string{"requests[4].body.registration.applicationId", "requests[5]"}},
	{"unknown role", `"admin"`, `"Admin"`, []string{"requests[3].body.registration.roles[0]"}},
	{"short password", `"password": "#{userPassword}"`, `"password": "short"`, []string{"requests[4].body.user: password", "requests[5].body.user: password"}},
	{"password is the email address", `"password": "#{adminPassword}"`, `"password": "Admin@example.com"`, []string{"requests[3].body.user: password"}},
	{"not an email address", `"email": "richard@example.com"`, `"email": "richard"`, []string{"requests[4].body.user: email"}},
	{"user twice", `"email": "erlich@example.com"`, `"email": "Richard@example.com"`, []string{"requests[5].body.user: this user exists"}},
}

func TestKickstartFaults(t *testing.T) {
	for _, tt := range kickstartFaults {
		t.Run(tt.name, func(t *testing.T) {
			broken := strings.ReplaceAll(string(kickstart.JSON), tt.old, tt.new)
			if broken == string(kickstart.JSON) {
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

// All faults are reported at once, and nothing else.
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
