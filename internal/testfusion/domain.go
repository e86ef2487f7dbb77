package testfusion

import (
	"slices"
	"strings"
)

// The types in this file have FusionAuth's names in JSON, and of FusionAuth's
// fields those that matter to an application like ours.

type tenant struct {
	Name        string `json:"name"`
	Issuer      string `json:"issuer"`
	LogoutURL   string `json:"logoutURL"`
	Identifiers struct {
		CodeLifetime       int `json:"authorizationGrantIdTimeToLiveInSeconds"`
		DeviceCodeLifetime int `json:"deviceCodeTimeToLiveInSeconds"`
		UserCodes          struct {
			Length int    `json:"length"`
			Type   string `json:"type"`
		} `json:"deviceUserCodeIdGenerator"`
	} `json:"externalIdentifierConfiguration"`
	JWT jwtConfiguration `json:"jwtConfiguration"`
}

type jwtConfiguration struct {
	Enabled           bool   `json:"enabled"` // an application's: else the tenant's counts
	AccessKey         string `json:"accessTokenKeyId"`
	IDKey             string `json:"idTokenKeyId"`
	TokenLifetime     int    `json:"timeToLiveInSeconds"`
	RefreshLifetime   int    `json:"refreshTokenTimeToLiveInMinutes"`
	RefreshUsage      string `json:"refreshTokenUsagePolicy"`
	RefreshExpiration string `json:"refreshTokenExpirationPolicy"`
}

type application struct {
	ID           string                    `json:"id"`
	Name         string                    `json:"name"`
	Roles        []role                    `json:"roles"`
	OAuth        oauthConfiguration        `json:"oauthConfiguration"`
	JWT          jwtConfiguration          `json:"jwtConfiguration"`
	Registration registrationConfiguration `json:"registrationConfiguration"`
}

type role struct {
	Name        string `json:"name"`
	Description string `json:"description"`
	IsDefault   bool   `json:"isDefault"`
	IsSuperRole bool   `json:"isSuperRole"`
}

type oauthConfiguration struct {
	OriginURLs            []string `json:"authorizedOriginURLs"`
	RedirectURLs          []string `json:"authorizedRedirectURLs"`
	URLPolicy             string   `json:"authorizedURLValidationPolicy"` // wildcards are not imitated
	ClientAuth            string   `json:"clientAuthenticationPolicy"`
	ClientSecret          string   `json:"clientSecret"`
	Debug                 bool     `json:"debug"`
	DeviceVerificationURL string   `json:"deviceVerificationURL"`
	Grants                []string `json:"enabledGrants"`
	RefreshTokens         bool     `json:"generateRefreshTokens"`
	LogoutBehavior        string   `json:"logoutBehavior"`
	LogoutURL             string   `json:"logoutURL"`
	PKCE                  string   `json:"proofKeyForCodeExchangePolicy"`
	Relationship          string   `json:"relationship"`
	RequireClientAuth     bool     `json:"requireClientAuthentication"` // older than ClientAuth, which counts
	RequireRegistration   bool     `json:"requireRegistration"`
	Scopes                string   `json:"scopeHandlingPolicy"`
	UnknownScopes         string   `json:"unknownScopePolicy"`
}

type registrationConfiguration struct {
	Enabled         bool       `json:"enabled"`
	Type            string     `json:"type"`
	LoginID         string     `json:"loginIdType"`
	FormID          string     `json:"formId"`
	ConfirmPassword bool       `json:"confirmPassword"`
	BirthDate       requirable `json:"birthDate"`
	FirstName       requirable `json:"firstName"`
	FullName        requirable `json:"fullName"`
	LastName        requirable `json:"lastName"`
	MiddleName      requirable `json:"middleName"`
	MobilePhone     requirable `json:"mobilePhone"`
	Languages       requirable `json:"preferredLanguages"`
}

type requirable struct {
	Enabled  bool `json:"enabled"`
	Required bool `json:"required"`
}

type user struct {
	ID         string `json:"id"`
	BirthDate  string `json:"birthDate"`
	Email      string `json:"email"`
	FirstName  string `json:"firstName"`
	FullName   string `json:"fullName"`
	LastName   string `json:"lastName"`
	MiddleName string `json:"middleName"`
	Password   string `json:"password"`

	roles map[string][]string // by the applications that the person is registered for
}

func (a *application) grants(grant string) bool { return slices.Contains(a.OAuth.Grants, grant) }

// jwtOf returns what counts for an application's tokens.
func (s *setup) jwtOf(a *application) jwtConfiguration {
	if a.JWT.Enabled {
		return a.JWT
	}
	return s.tenant.JWT
}

// claims are what a person's scopes tell of them. Of the names only fullName
// makes the claim name.
func (u *user) claims(scopes []string) map[string]any {
	c := make(map[string]any)
	if slices.Contains(scopes, "email") {
		c["email"], c["email_verified"] = u.Email, true
	}
	if slices.Contains(scopes, "profile") {
		for name, value := range map[string]string{
			"name": u.FullName, "given_name": u.FirstName, "family_name": u.LastName,
			"middle_name": u.MiddleName, "birthdate": u.BirthDate,
		} {
			if value != "" {
				c[name] = value
			}
		}
	}
	return c
}

func (s *setup) person(email string) *user {
	for _, u := range s.users {
		if strings.EqualFold(u.Email, email) {
			return u
		}
	}
	return nil
}

var alphabets = map[string]string{
	"randomAlpha":        "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
	"randomAlphaNumeric": "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789",
	"randomDigits":       "0123456789",
}
