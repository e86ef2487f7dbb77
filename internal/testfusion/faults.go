package testfusion

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// faults collects what is wrong with a kickstart.
type faults []error

func (f *faults) add(at, format string, args ...any) {
	*f = append(*f, fmt.Errorf("%s: %s", strings.TrimPrefix(at, "."), fmt.Sprintf(format, args...)))
}

// decode puts a JSON value into a struct. Names that the struct does not have are
// faults, including those in another case, which encoding/json would accept.
func (f *faults) decode(at string, v, into any) {
	text, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		f.add(at+"."+wrong.Field, "must not be a JSON %s", wrong.Value)
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

// compare reports the names in given that are not in known.
func (f *faults) compare(at string, given, known any) {
	switch given := given.(type) {
	case map[string]any:
		known, _ := known.(map[string]any)
		for _, name := range slices.Sorted(maps.Keys(given)) {
			if has, ok := known[name]; ok {
				f.compare(at+"."+name, given[name], has)
			} else {
				f.add(at+"."+name, "the double does not have this field")
			}
		}
	case []any:
		known, _ := known.([]any)
		for i := range min(len(given), len(known)) {
			f.compare(fmt.Sprintf("%s[%d]", at, i), given[i], known[i])
		}
	}
}

// oneOf checks a value of an enumeration. Case matters.
func (f *faults) oneOf(at, value string, of ...string) {
	if !slices.Contains(of, value) {
		f.add(at, "%q is not one of %s", value, strings.Join(of, ", "))
	}
}

// positive checks a lifetime.
func (f *faults) positive(at string, n int) {
	if n <= 0 {
		f.add(at, "must be positive")
	}
}

// present checks a required text.
func (f *faults) present(at, text string) {
	if text == "" {
		f.add(at, "is missing")
	}
}

// url checks that text is an absolute URL.
func (f *faults) url(at, text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Contains(text, "*") {
		f.add(at, "%q is not an absolute URL", text)
		return new(url.URL)
	}
	return u
}

var uuidForm = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// uuid checks an ID. FusionAuth also accepts it in upper case, but returns it in
// lower case.
func (f *faults) uuid(at, text string) {
	if !uuidForm.MatchString(text) {
		f.add(at, "%q is not a UUID in lower case", text)
	}
}
