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
}

// A kickstartKey is unrestricted, as the first one must be.
type kickstartKey struct {
	Key         string `json:"key"`
	Description string `json:"description"`
}

type kickstartRequest struct {
	Method   string `json:"method"`
	URL      string `json:"url"`
	TenantID string `json:"tenantId"`
	Body     any    `json:"body"`
}

// parseKickstart reads a kickstart like FusionAuth and returns the resulting
// installation. All faults are reported at once, each with its place in the
// file. What FusionAuth's documentation leaves open is a fault.
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
	if len(k.APIKeys) == 0 {
		f.add("apiKeys", "is empty")
	}
	for i, key := range k.APIKeys {
		f.present(fmt.Sprintf("apiKeys[%d].key", i), key.Key)
	}
	s := newSetup(variables)
	for i, r := range k.Requests {
		s.apply(&f, fmt.Sprintf("requests[%d]", i), r)
	}
	if len(f) > 0 {
		return nil, fmt.Errorf("testfusion: kickstart: %w", errors.Join(f...))
	}
	return s, nil
}

var (
	placeholder = regexp.MustCompile(`#\{([^}]*)\}`)
	environment = regexp.MustCompile(`^#\{ENV\.(\w+)\}$`)
)

// variables returns the kickstart's variables and those that FusionAuth adds.
// Only they can contain the environment, and nothing else.
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
				f.add(at, "the environment variable %s is not set", match[1])
			}
			values[name] = value
		} else if text == "#{UUID()}" {
			values[name] = newUUID()
		} else if strings.Contains(text, "#{") {
			f.add(at, "%q is neither plain text nor #{ENV.NAME} nor #{UUID()}", text)
		}
	}
	if values["defaultTenantId"] == "" {
		values["defaultTenantId"] = newUUID()
	}
	values["FUSIONAUTH_TENANT_ID"] = values["defaultTenantId"]
	values["FUSIONAUTH_APPLICATION_ID"] = fusionAuthApp
	return values
}

// fill replaces the variables in every text of a JSON value.
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
