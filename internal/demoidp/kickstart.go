package demoidp

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// fusionAuthApp is FusionAuth's own application, the same in every
// installation. Who is registered there administers FusionAuth.
const fusionAuthApp = "3c219e58-ed0e-4b18-ad48-f4f92793ae32"

// A setup is what a kickstart asks for, as far as the demo provider has it.
type setup struct {
	tenantID     string
	tenantIssuer string
	deviceCodes  time.Duration // how long they live
	keyID        string
	keyBits      int
	clientID     string
	app          application
	people       []person
}

// An application is FusionAuth's word for an OAuth client. Its fields are
// those of FusionAuth's API; encoding/json does not mind the case.
type application struct {
	Name               string
	OauthConfiguration struct {
		AuthorizedRedirectURLs     []string
		ClientAuthenticationPolicy string
		ClientSecret               string
		DeviceVerificationURL      string
		EnabledGrants              []string
		GenerateRefreshTokens      bool
	}
	JwtConfiguration struct {
		AccessTokenKeyId                string
		IdTokenKeyId                    string
		TimeToLiveInSeconds             int
		RefreshTokenTimeToLiveInMinutes int
	}
}

type person struct {
	ID, Email, GivenName, FamilyName, Name string

	password [sha256.Size]byte
}

// parseKickstart reads a kickstart file. What it does not understand is an
// error: a mistake in the file that also sets up FusionAuth is cheaper to find
// here than there.
func parseKickstart(file []byte, env map[string]string) (*setup, error) {
	var kickstart struct {
		Variables map[string]string
		Requests  []struct {
			Method, URL string
			Body        any
		}
	}
	if err := json.Unmarshal(file, &kickstart); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			return nil, fmt.Errorf("line %d: %w", 1+bytes.Count(file[:syntax.Offset], []byte("\n")), err)
		}
		return nil, err
	}

	inVariables := substitution{values: make(map[string]string)}
	for name, value := range env {
		inVariables.values["ENV."+name] = value
	}
	elsewhere := substitution{values: make(map[string]string)}
	for _, name := range slices.Sorted(maps.Keys(kickstart.Variables)) {
		elsewhere.values[name] = inVariables.text("variables."+name, kickstart.Variables[name])
	}
	s := new(setup)
	faults := inVariables.faults
	for i, request := range kickstart.Requests {
		at := fmt.Sprintf("requests[%d]", i)
		target := elsewhere.text(at+".url", request.URL)
		body, err := json.Marshal(elsewhere.value(at+".body", request.Body))
		if err == nil {
			err = s.take(request.Method, target, body)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("%s: %s %s: %w", at, request.Method, request.URL, err))
		}
	}
	if faults = append(faults, elsewhere.faults...); len(faults) == 0 {
		faults = s.faults()
	}
	return s, errors.Join(faults...)
}

// A substitution puts values where a kickstart has #{name}.
type substitution struct {
	values map[string]string
	faults []error
}

var placeholder = regexp.MustCompile(`#\{([^}]*)\}`)

func (s *substitution) text(at, text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(match string) string {
		name := match[2 : len(match)-1]
		if name == "UUID()" {
			return newUUID()
		}
		value, ok := s.values[name]
		if !ok {
			s.faults = append(s.faults, fmt.Errorf("%s: unknown variable %s", at, match))
		}
		return value
	})
}

// value substitutes in every text of a JSON value.
func (s *substitution) value(at string, v any) any {
	switch v := v.(type) {
	case string:
		return s.text(at, v)
	case []any:
		for i := range v {
			v[i] = s.value(fmt.Sprintf("%s[%d]", at, i), v[i])
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			v[name] = s.value(at+"."+name, v[name])
		}
	}
	return v
}

func newUUID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80 // RFC 9562, version 4
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// take adds what one request of the kickstart sets up.
func (s *setup) take(method, target string, body []byte) error {
	slash := strings.LastIndex(target, "/") + 1
	id := target[slash:]
	switch method + " " + target[:slash] {
	case "POST /api/key/generate/":
		var b struct {
			Key struct {
				Algorithm string
				Length    int
			}
		}
		err := json.Unmarshal(body, &b)
		if err == nil && (b.Key.Algorithm != "RS256" || b.Key.Length < 2048 || b.Key.Length > 4096) {
			err = errors.New("only RS256 with a length of 2048 to 4096 is understood")
		}
		s.keyID, s.keyBits = id, b.Key.Length
		return err
	case "PATCH /api/tenant/":
		var b struct {
			Tenant struct {
				Issuer                          string
				ExternalIdentifierConfiguration struct{ DeviceCodeTimeToLiveInSeconds int }
			}
		}
		err := json.Unmarshal(body, &b)
		s.tenantID, s.tenantIssuer = id, b.Tenant.Issuer
		s.deviceCodes = time.Duration(b.Tenant.ExternalIdentifierConfiguration.DeviceCodeTimeToLiveInSeconds) * time.Second
		return err
	case "POST /api/application/":
		if s.clientID != "" {
			return errors.New("a second application is not understood")
		}
		var b struct{ Application application }
		err := json.Unmarshal(body, &b)
		s.clientID, s.app = id, b.Application
		return err
	case "POST /api/user/registration/":
		var b struct {
			User         struct{ Email, FirstName, LastName, FullName, Password string }
			Registration struct{ ApplicationID string }
		}
		err := json.Unmarshal(body, &b)
		if err != nil {
			return err
		}
		if id == "" || b.User.Email == "" || b.User.Password == "" || b.Registration.ApplicationID == "" {
			return errors.New("the person has no id, email, password or applicationId")
		}
		switch b.Registration.ApplicationID {
		case s.clientID:
			s.people = append(s.people, person{
				ID: id, Email: b.User.Email, GivenName: b.User.FirstName, FamilyName: b.User.LastName,
				Name: b.User.FullName, password: sha256.Sum256([]byte(b.User.Password)),
			})
		case fusionAuthApp: // nobody who logs in here
		default:
			return fmt.Errorf("no application %q was made before", b.Registration.ApplicationID)
		}
		return nil
	}
	return errors.New("the demo provider does not understand this request")
}

// faults says what is missing or wrong after all requests.
func (s *setup) faults() (faults []error) {
	require := func(ok bool, what string) {
		if !ok {
			faults = append(faults, errors.New(what))
		}
	}
	oauth, jwt := s.app.OauthConfiguration, s.app.JwtConfiguration
	require(s.keyID != "", "no request makes a signing key")
	require(s.tenantIssuer != "", "no request sets the tenant's issuer")
	require(s.deviceCodes > 0, "the tenant's deviceCodeTimeToLiveInSeconds is missing or not positive")
	require(len(s.people) > 0, "nobody is registered for the application")
	if s.clientID == "" {
		return append(faults, errors.New("no request makes an application"))
	}
	require(jwt.AccessTokenKeyId == s.keyID && jwt.IdTokenKeyId == s.keyID, "the application's accessTokenKeyId and idTokenKeyId are not the signing key")
	require(jwt.TimeToLiveInSeconds > 0, "the application's timeToLiveInSeconds is missing or not positive")
	require(jwt.RefreshTokenTimeToLiveInMinutes > 0, "the application's refreshTokenTimeToLiveInMinutes is missing or not positive")
	require(oauth.ClientSecret != "", "the application's clientSecret is empty")
	require(oauth.ClientAuthenticationPolicy == "Required", "the application's clientAuthenticationPolicy is not Required")
	require(len(oauth.EnabledGrants) > 0, "the application's enabledGrants are empty")
	require(len(oauth.AuthorizedRedirectURLs) > 0, "the application's authorizedRedirectURLs are empty")
	for _, at := range append([]string{oauth.DeviceVerificationURL}, oauth.AuthorizedRedirectURLs...) {
		u, err := url.Parse(at)
		require(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "", fmt.Sprintf("the application's URL %q is not http or https with a host", at))
	}
	return faults
}
