package demoidp

import (
	"slices"
	"strings"
	"testing"
	"time"

	"changebank/kickstart"
)

func env() map[string]string {
	return map[string]string{
		"APP_URL": appURL, "ISSUER": "https://idp.example", "CLIENT_ID": clientID, "CLIENT_SECRET": secret,
		"USER_PASSWORD": password, "ADMIN_PASSWORD": "another",
	}
}

func TestKickstart(t *testing.T) {
	e := env()
	e["CLIENT_SECRET"] = `"#{issuer}\ <&` // stays as it is
	set, err := parseKickstart(kickstart.JSON, e)
	if err != nil {
		t.Fatal(err)
	}
	oauth := set.app.OauthConfiguration
	if set.clientID != clientID || set.app.Name != "Changebank" || oauth.ClientSecret != e["CLIENT_SECRET"] ||
		oauth.DeviceVerificationURL != appURL+"/activate" || !slices.Equal(oauth.AuthorizedRedirectURLs, []string{callback, appURL + "/"}) {
		t.Errorf("the application is %s %+v", set.clientID, set.app)
	}
	if set.issuer != "https://idp.example" || set.tenantID == "" || set.deviceCodes != 10*time.Minute ||
		set.app.accessTokens() != time.Hour || set.app.refreshTokens() != 30*24*time.Hour {
		t.Errorf("the setup is %+v", set)
	}
	want := []person{
		{richardID, richard, "Richard", "Hendricks", "Richard Hendricks", password},
		{erlichID, erlich, "Erlich", "Bachman", "Erlich Bachman", password},
	}
	if !slices.Equal(set.people, want) {
		t.Errorf("the users are %v, want %v", set.people, want)
	}
	if got := (&Provider{setup: set}).People(); !slices.Equal(got, []string{richard, erlich}) {
		t.Errorf("People: %v", got)
	}
}

// Each case breaks the real kickstart at one place. FusionAuth's own rules are
// tested in internal/testfusion.
func TestKickstartFaults(t *testing.T) {
	for _, tt := range []struct {
		name, old, new string
		want           []string
	}{
		{"not JSON", `"requests": [`, `"requests": [,`, []string{"line 22", "invalid character"}},
		{"unknown variables", `"#{userPassword}"`, `"#{x}#{ENV.ISSUER}"`, []string{"requests", "#{x}, #{ENV.ISSUER}"}},
		{"unknown environment variable", `#{ENV.CLIENT_SECRET}`, `#{ENV.SECRET}`, []string{"variables.clientSecret", "#{ENV.SECRET}"}},
		{"wrong type", `"timeToLiveInSeconds": 3600`, `"timeToLiveInSeconds": "3600"`, []string{"TimeToLiveInSeconds", "string"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			broken := strings.ReplaceAll(string(kickstart.JSON), tt.old, tt.new)
			if broken == string(kickstart.JSON) {
				t.Fatalf("the kickstart has no %s", tt.old)
			}
			_, err := parseKickstart([]byte(broken), env())
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), password) || strings.Contains(err.Error(), secret) {
				t.Errorf("error %q has a secret", err)
			}
		})
	}
}
