package testfusion

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// A kickstartFile is the file that FusionAuth reads at its first start.
type kickstartFile struct {
	Variables map[string]string  `json:"variables"`
	APIKeys   []kickstartKey     `json:"apiKeys"`
	Requests  []kickstartRequest `json:"requests"`
	Settings  struct {
		ConnectTimeout int `json:"connectTimeout"`
		ReadTimeout    int `json:"readTimeout"`
	} `json:"settings"`
	License   string `json:"license"`
	LicenseID string `json:"licenseId"`
}

type kickstartKey struct {
	Key         string `json:"key"`
	Description string `json:"description"`
	KeyManager  bool   `json:"keyManager"`
	TenantID    string `json:"tenantId"`
	Permissions *struct {
		Endpoints map[string][]string `json:"endpoints"`
	} `json:"permissions"`
}

type kickstartRequest struct {
	Method      string `json:"method"`
	URL         string `json:"url"`
	TenantID    string `json:"tenantId"`
	ContentType string `json:"contentType"`
	Body        any    `json:"body"`
}

// parseKickstart reads a kickstart as FusionAuth does and returns what it makes
// of a new installation. All faults are reported at once, each with its place
// in the file. Where FusionAuth's behaviour is not documented, what could go
// wrong there is a fault here.
func parseKickstart(file []byte, env map[string]string) (*setup, error) {
	var whole map[string]any
	if err := json.Unmarshal(file, &whole); err != nil {
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			err = fmt.Errorf("line %d: %w", 1+bytes.Count(file[:syntax.Offset], []byte("\n")), err)
		}
		return nil, fmt.Errorf("testfusion: kickstart: %w", err)
	}
	var f faults
	variables := f.variables(whole["variables"], env)
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		if name != "variables" {
			whole[name] = f.fill(name, whole[name], variables)
		}
	}
	var k kickstartFile
	f.decode("", whole, &k)
	if len(k.APIKeys) == 0 || k.APIKeys[0].TenantID != "" || k.APIKeys[0].Permissions != nil {
		f.add("apiKeys", "there must be one at least, and the first unrestricted")
	}
	for i, key := range k.APIKeys {
		if key.Key == "" {
			f.add(fmt.Sprintf("apiKeys[%d].key", i), "is missing")
		}
	}
	s := newSetup(variables)
	for i, r := range k.Requests {
		s.take(&f, fmt.Sprintf("requests[%d]", i), r)
	}
	if len(f) > 0 {
		return nil, fmt.Errorf("testfusion: kickstart: %w", errors.Join(f...))
	}
	return s, nil
}

// faults are what is wrong with a kickstart.
type faults []error

func (f *faults) add(at, format string, args ...any) {
	*f = append(*f, fmt.Errorf("%s: %s", strings.TrimPrefix(at, "."), fmt.Sprintf(format, args...)))
}

var (
	placeholder = regexp.MustCompile(`#\{([^}]*)\}`)
	environment = regexp.MustCompile(`^#\{ENV\.(\w+)\}$`)
)

// variables returns the kickstart's own variables and those that FusionAuth
// brings. Only here the environment can be read, and nothing else.
func (f *faults) variables(section any, env map[string]string) map[string]string {
	values := make(map[string]string)
	if section != nil {
		f.decode("variables", section, &values)
	}
	for name, text := range values {
		at := "variables." + name
		if match := environment.FindStringSubmatch(text); match != nil {
			value, ok := env[match[1]]
			if !ok {
				f.add(at, "the environment has no %s", match[1])
			}
			values[name] = value
		} else if text == "#{UUID()}" {
			values[name] = newUUID()
		} else if strings.Contains(text, "#{") {
			f.add(at, "%q is neither a text, nor #{ENV.NAME}, nor #{UUID()}", text)
		}
	}
	if values["defaultTenantId"] == "" {
		values["defaultTenantId"] = newUUID()
	}
	values["FUSIONAUTH_TENANT_ID"] = values["defaultTenantId"]
	values["FUSIONAUTH_APPLICATION_ID"] = fusionAuthApp
	return values
}

// fill puts the variables into every text of a JSON value.
func (f *faults) fill(at string, v any, variables map[string]string) any {
	switch v := v.(type) {
	case string:
		if strings.HasPrefix(v, "@{") || strings.HasPrefix(v, "&{") {
			f.add(at, "the double does not include files")
		}
		return placeholder.ReplaceAllStringFunc(v, func(match string) string {
			name := match[2 : len(match)-1]
			if name == "UUID()" {
				return newUUID()
			}
			value, ok := variables[name]
			if !ok {
				f.add(at, "unknown variable %s", match)
			}
			return value
		})
	case []any:
		for i := range v {
			v[i] = f.fill(fmt.Sprintf("%s[%d]", at, i), v[i], variables)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			v[name] = f.fill(at+"."+name, v[name], variables)
		}
	}
	return v
}

// decode puts a JSON value into a struct. Names that the struct has not are
// faults, also those in another case, which encoding/json would take.
func (f *faults) decode(at string, v, into any) {
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		f.add(at+"."+wrong.Field, "is a JSON %s", wrong.Value)
	} else if err != nil {
		f.add(at, "%v", err)
	}
	var known any
	if text, err = json.Marshal(into); err == nil {
		err = json.Unmarshal(text, &known)
	}
	if err != nil {
		f.add(at, "%v", err)
	}
	f.compare(at, v, known)
}

// compare reports the names in given that known has not.
func (f *faults) compare(at string, given, known any) {
	switch given := given.(type) {
	case map[string]any:
		known, _ := known.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(given)) {
			if has, ok := known[name]; ok {
				f.compare(at+"."+name, given[name], has)
			} else {
				f.add(at+"."+name, "FusionAuth has no such field here, as far as the double knows")
			}
		}
	case []any:
		known, _ := known.([]any)
		for i := range min(len(given), len(known)) {
			f.compare(fmt.Sprintf("%s[%d]", at, i), given[i], known[i])
		}
	}
}

// oneOf checks a value of an enumeration, whose names have a case.
func (f *faults) oneOf(at, value string, of ...string) {
	if !slices.Contains(of, value) {
		f.add(at, "%q is none of %s", value, strings.Join(of, ", "))
	}
}

// positive checks a lifetime.
func (f *faults) positive(at string, n int) {
	if n <= 0 {
		f.add(at, "must be more than zero")
	}
}
