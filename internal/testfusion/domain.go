package testfusion

import (
	"slices"
	"strings"
)

// The types in this file have FusionAuth's names in JSON. They have the fields
// that the kickstart sets and the double imitates. Any other field in a
// kickstart is reported.

type tenant struct {
	Issuer      string `json:"issuer"`
	Identifiers struct {
		DeviceCodeLifetime int `json:"deviceCodeTimeToLiveInSeconds"`
	} `json:"externalIdentifierConfiguration"`
}

type application struct {
	Name         string                    `json:"name"`
	OAuth        oauthConfiguration        `json:"oauthConfiguration"`
	JWT          jwtConfiguration          `json:"jwtConfiguration"`
	Registration registrationConfiguration `json:"registrationConfiguration"`

	id    string
	roles []string
}

type jwtConfiguration struct {
	Enabled         bool   `json:"enabled"` // otherwise the tenant's counts
	AccessKey       string `json:"accessTokenKeyId"`
	IDKey           string `json:"idTokenKeyId"`
	TokenLifetime   int    `json:"timeToLiveInSeconds"`
	RefreshLifetime int    `json:"refreshTokenTimeToLiveInMinutes"`
}

type oauthConfiguration struct {
	RedirectURLs          []string `json:"authorizedRedirectURLs"`
	URLPolicy             string   `json:"authorizedURLValidationPolicy"`
	ClientAuth            string   `json:"clientAuthenticationPolicy"`
	ClientSecret          string   `json:"clientSecret"`
	DeviceVerificationURL string   `json:"deviceVerificationURL"`
	Grants                []string `json:"enabledGrants"`
	RefreshTokens         bool     `json:"generateRefreshTokens"`
	LogoutBehavior        string   `json:"logoutBehavior"`
	LogoutURL             string   `json:"logoutURL"`
	PKCE                  string   `json:"proofKeyForCodeExchangePolicy"`
	RequireRegistration   bool     `json:"requireRegistration"`
}

type registrationConfiguration struct {
	Enabled  bool   `json:"enabled"`
	Type     string `json:"type"`
	LoginID  string `json:"loginIdType"`
	FullName struct {
		Enabled  bool `json:"enabled"`
		Required bool `json:"required"`
	} `json:"fullName"`
}

type user struct {
	Email     string `json:"email"`
	FirstName string `json:"firstName"`
	FullName  string `json:"fullName"`
	LastName  string `json:"lastName"`
	Password  string `json:"password"`

	id    string
	roles map[string][]string // by the applications that the user is registered for
}

func (a *application) grants(grant string) bool { return slices.Contains(a.OAuth.Grants, grant) }

// admits returns an error unless the user may log in to the application.
func (a *application) admits(u *user) error {
	if _, ok := u.roles[a.id]; !ok && a.OAuth.RequireRegistration {
		return &oauthError{400, "access_denied", "registration_required", "The user is not registered for the application."}
	}
	return nil
}

// jwt returns what counts for an application's tokens. The tenant's own
// configuration is FusionAuth's default.
func (a *application) jwt() jwtConfiguration {
	if a.JWT.Enabled {
		return a.JWT
	}
	return jwtConfiguration{TokenLifetime: 3600, RefreshLifetime: 43200}
}

// claims returns what the scopes reveal of a user. Of the names only fullName
// becomes the claim name.
func (u *user) claims(scopes []string) map[string]any {
	c := make(map[string]any)
	if slices.Contains(scopes, "email") {
		c["email"], c["email_verified"] = u.Email, true
	}
	if slices.Contains(scopes, "profile") {
		for name, value := range map[string]string{"name": u.FullName, "given_name": u.FirstName, "family_name": u.LastName} {
			if value != "" {
				c[name] = value
			}
		}
	}
	return c
}

func (s *setup) user(email string) *user {
	for _, u := range s.users {
		if strings.EqualFold(u.Email, email) {
			return u
		}
	}
	return nil
}
