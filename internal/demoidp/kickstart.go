package demoidp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"

	"changebank/internal/store"
)

// A setup is what the demo provider takes from a kickstart.
type setup struct {
	tenantID    string
	issuer      string
	deviceCodes time.Duration // how long they last
	clientID    string
	app         application
	people      []person
}

// An application is FusionAuth's word for an OAuth client. The fields are those
// of FusionAuth's API; encoding/json ignores case.
type application struct {
	Name               string
	OauthConfiguration struct {
		AuthorizedRedirectURLs []string
		ClientSecret           string
		DeviceVerificationURL  string
	}
	JwtConfiguration struct {
		TimeToLiveInSeconds             int
		RefreshTokenTimeToLiveInMinutes int
	}
}

func (a *application) accessTokens() time.Duration {
	return time.Duration(a.JwtConfiguration.TimeToLiveInSeconds) * time.Second
}

func (a *application) refreshTokens() time.Duration {
	return time.Duration(a.JwtConfiguration.RefreshTokenTimeToLiveInMinutes) * time.Minute
}

type person struct{ ID, Email, FirstName, LastName, FullName, Password string }

// person returns the person with that ID. A token or a session can be older than
// the kickstart, and name a person who is not in it. The error is [store.ErrNotFound], which op
// passes on as invalid_grant.
func (s *setup) person(id string) (person, error) {
	for _, p := range s.people {
		if p.ID == id {
			return p, nil
		}
	}
	return person{}, oidc.ErrInvalidGrant().WithParent(store.ErrNotFound)
}

// parseKickstart reads a kickstart and ignores what the demo provider does not
// have. The tests of internal/testfusion check the file against FusionAuth's
// rules.
func parseKickstart(file []byte, env map[string]string) (*setup, error) {
	var kickstart struct {
		Variables map[string]string
		Requests  json.RawMessage
	}
	if err := json.Unmarshal(file, &kickstart); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			err = fmt.Errorf("line %d: %w", 1+bytes.Count(file[:syntax.Offset], []byte("\n")), err)
		}
		return nil, err
	}
	environment, variables := make(map[string]string), make(map[string]string)
	for name, value := range env {
		environment["ENV."+name] = value
	}
	for name, text := range kickstart.Variables {
		value, err := fill(text, environment)
		if err != nil {
			return nil, fmt.Errorf("variables.%s: %w", name, err)
		}
		quoted, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		variables[name] = string(quoted[1 : len(quoted)-1])
	}
	requests, err := fill(string(kickstart.Requests), variables)
	if err != nil {
		return nil, fmt.Errorf("requests: %w", err)
	}
	return readRequests([]byte(requests))
}

var placeholder = regexp.MustCompile(`#\{([^}]*)\}`)

// fill replaces each #{name} with its value.
func fill(text string, values map[string]string) (string, error) {
	var unknown []string
	filled := placeholder.ReplaceAllStringFunc(text, func(match string) string {
		value, ok := values[match[2:len(match)-1]]
		if !ok {
			unknown = append(unknown, match)
		}
		return value
	})
	if unknown != nil {
		return "", fmt.Errorf("unknown variable %s", strings.Join(unknown, ", "))
	}
	return filled, nil
}

func readRequests(text []byte) (*setup, error) {
	var requests []struct {
		URL  string
		Body struct {
			Tenant struct {
				Issuer                          string
				ExternalIdentifierConfiguration struct{ DeviceCodeTimeToLiveInSeconds int }
			}
			Application  application
			User         person
			Registration struct{ ApplicationID string }
		}
	}
	if err := json.Unmarshal(text, &requests); err != nil {
		return nil, err
	}
	s := new(setup)
	for _, r := range requests {
		switch api, id := path.Split(r.URL); api {
		case "/api/tenant/":
			s.tenantID, s.issuer = id, r.Body.Tenant.Issuer
			s.deviceCodes = time.Duration(r.Body.Tenant.ExternalIdentifierConfiguration.DeviceCodeTimeToLiveInSeconds) * time.Second
		case "/api/application/":
			s.clientID, s.app = id, r.Body.Application
		case "/api/user/registration/":
			if r.Body.Registration.ApplicationID == s.clientID { // not FusionAuth's administrator
				r.Body.User.ID = id
				s.people = append(s.people, r.Body.User)
			}
		}
	}
	return s, nil
}
