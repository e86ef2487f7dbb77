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
	app := s.apps[clientID]
	if app == nil || len(s.apps) != 2 {
		t.Fatalf("the applications are %v, want FusionAuth's and %s", slices.Collect(maps.Keys(s.apps)), clientID)
	}
	o, j, r := app.OAuth, app.JWT, app.Registration
	for what, v := range map[string]struct{ got, want any }{
		"issuer":                        {s.tenant.Issuer, issuer},
		"tenant":                        {s.tenantID, "d7d09513-a3f5-401c-9685-34ab6c552453"},
		"deviceCodeTimeToLiveInSeconds": {s.tenant.Identifiers.DeviceCodeLifetime, 600},
		"clientSecret":                  {o.ClientSecret, secret},
		"clientAuthenticationPolicy":    {o.ClientAuth, "Required"},
		"authorizedURLValidationPolicy": {o.URLPolicy, "ExactMatch"},
		"proofKeyForCodeExchangePolicy": {o.PKCE, "NotRequiredWhenUsingClientAuthentication"},
		"logoutBehavior":                {o.LogoutBehavior, "RedirectOnly"},
		"logoutURL":                     {o.LogoutURL, appURL + "/"},
		"deviceVerificationURL":         {o.DeviceVerificationURL, appURL + "/activate"},
		"generateRefreshTokens":         {o.RefreshTokens, true},
		"requireRegistration":           {o.RequireRegistration, true}, // keeps FusionAuth's administrator out
		// Without keys of its own, and without enabled, the application would sign
		// its ID tokens with HS256.
		"jwtConfiguration.enabled":        {j.Enabled, true},
		"idTokenKeyId":                    {j.IDKey, j.AccessKey},
		"whether the key exists":          {s.keys[j.IDKey] != nil, true},
		"timeToLiveInSeconds":             {j.TokenLifetime, 3600},
		"refreshTokenTimeToLiveInMinutes": {j.RefreshLifetime, 43200},
		"registration.enabled":            {r.Enabled, true},
		"registration.fullName.enabled":   {r.FullName.Enabled, true},
		"registration.fullName.required":  {r.FullName.Required, false},
		"enabledGrants":                   {strings.Join(o.Grants, " "), "authorization_code refresh_token " + deviceGrant},
		"authorizedRedirectURLs":          {strings.Join(o.RedirectURLs, " "), redirectURL + " " + appURL + "/"},
	} {
		if v.got != v.want {
			t.Errorf("%s is %v, want %v", what, v.got, v.want)
		}
	}
}

func TestKickstartUsers(t *testing.T) {
	s, err := parseKickstart(kickstart.JSON, env("https://login.example.com"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ email, name, app string }{
		{"admin@example.com", "Jian Yang", fusionAuthApp},
		{"richard@example.com", "Richard Hendricks", clientID},
		{"erlich@example.com", "Erlich Bachman", clientID},
	} {
		u := s.user(want.email)
		if u == nil {
			t.Errorf("there is no %s", want.email)
			continue
		}
		if _, ok := u.roles[want.app]; !ok || len(u.roles) != 1 || u.FullName != want.name {
			t.Errorf("%s is %q, registered for %v; want %q, %s", want.email, u.FullName, u.roles, want.name, want.app)
		}
	}
	if got := s.user("admin@example.com").roles[fusionAuthApp]; !slices.Equal(got, []string{"admin"}) {
		t.Errorf("the administrator's roles are %v, want admin", got)
	}
}

func TestKickstartHasNoSecrets(t *testing.T) {
	for _, match := range regexp.MustCompile(`"(password|clientSecret|key)": "([^"]*)"`).FindAllStringSubmatch(string(kickstart.JSON), -1) {
		if !strings.HasPrefix(match[2], "#{") {
			t.Errorf("the kickstart contains a %s", match[1])
		}
	}
}
