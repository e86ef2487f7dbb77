package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// names are the settings, in the order of the README's table.
var names = []string{
	"ISSUER", "APP_URL", "PORT", "LISTEN",
	"DEMO_URL", "DEMO_PORT", "DEMO", "NGROK_API",
	"CLIENT_ID", "CLIENT_SECRET", "CLIENT_AUTH", "SCOPES", "USER_PASSWORD", "ADMIN_PASSWORD",
	"APP_SECRET_KEY", "DATA_DIR", "REDIS_URL",
	"CONFIRM_NUMBER", "CODE_LIFETIME", "TRUSTED_PROXIES", "SHARED_NETWORKS", "SHUTDOWN_DELAY", "METRICS_LISTEN",
	"SESSION_IDLE", "SESSION_LIFETIME", "SESSION_RECHECK", "QR_ALLOW_FROM",
	"LIMIT_CODES_PER_ADDRESS", "LIMIT_LIVE", "LIMIT_WRONG_CODES", "LIMIT_WRONG_NUMBERS",
	"GEOIP_DB",
	"LOG_FORMAT", "LOG_LEVEL",
}

// secrets are the settings that can be in a file each, as container platforms
// and systemd hand them out: NAME_FILE is the path of that file.
var secrets = []string{"CLIENT_SECRET", "USER_PASSWORD", "ADMIN_PASSWORD", "APP_SECRET_KEY", "REDIS_URL"}

const fileSuffix = "_FILE"

// allNames are the names that may be set.
var allNames = func() []string {
	all := slices.Clone(names)
	for _, name := range secrets {
		all = append(all, name+fileSuffix)
	}
	return all
}()

// Names returns the names of all settings, in the order of README.md and
// .env.example. Those with _FILE are left out.
func Names() []string { return slices.Clone(names) }

// ownPrefixes begin the names that no other program's variables have. Any other
// unknown variable is ignored: Kubernetes, for one, sets DEMO_PORT_80_TCP for a
// service called demo.
var ownPrefixes = []string{"APP_SECRET_", "CODE_LIFE", "CONFIRM_", "LIMIT_", "METRICS_LIS", "QR_", "SESSION_IDLE", "SESSION_LIFE", "SESSION_RE", "SHARED_NET", "TRUSTED_PROX"}

// dockerPrefixes begin the names of Docker's own settings, which may be in the
// same .env.
var dockerPrefixes = []string{"COMPOSE_", "DOCKER_"}

// collect fills p.values from the lines of the file at path and from environ,
// which takes precedence. It reports misspelled names, which would otherwise be
// settings that silently do not apply.
func (p *parser) collect(environ []string, path string, file []line) {
	p.values = make(map[string]string)
	for _, l := range file {
		at := fmt.Sprintf("%s, line %d:", path, l.number)
		known := slices.Contains(allNames, l.name)
		switch {
		case known && strings.HasPrefix(l.value, "#"):
			p.report(l.name, at+" "+l.name+" has only a comment; put the value before the #, or the comment on a line of its own")
		case known:
			p.values[l.name] = l.value
		case !hasPrefix(l.name, dockerPrefixes):
			// The name is not printed. It may be a secret in base64 on a line of its
			// own, with its padding as the equals sign.
			p.report(at, at+" unknown setting; "+suggest(l.name))
		}
	}
	for _, variable := range environ {
		name, value, _ := strings.Cut(variable, "=")
		value = strings.TrimSpace(value)
		known := slices.Contains(allNames, name)
		switch {
		case known && value != "": // Compose passes on empty ones
			p.values[name] = value
		case !known && hasPrefix(name, ownPrefixes):
			p.report(name, "environment: unknown setting "+name+"; "+suggest(name))
		}
	}
	for _, name := range secrets {
		p.readSecret(name)
	}
	for _, name := range allNames {
		if value, quoted := unquote(p.values[name]); quoted {
			p.fault(name, "has quotes around its value; remove them")
			p.values[name] = value
		}
	}
}

// readSecret reads a setting from the file that NAME_FILE names. Its faults show
// neither the file's text, nor its path: that may be the secret, set by mistake.
func (p *parser) readSecret(name string) {
	setting := name + fileSuffix
	path := p.values[setting]
	if path == "" {
		return
	}
	if p.values[name] != "" {
		p.fault(setting, "and %s are both set; remove one of them", name)
		return
	}
	text, err := os.ReadFile(path)
	value := strings.TrimSpace(string(text))
	switch failed, ok := errors.AsType[*fs.PathError](err); {
	case ok:
		p.fault(setting, "names a file that cannot be read (%v); it is the path of a file with the value of %s", failed.Err, name)
	case err != nil:
		p.fault(setting, "names a file that cannot be read; it is the path of a file with the value of %s", name)
	case value == "":
		p.fault(setting, "names an empty file; put the value of %s into it", name)
	default:
		p.values[name] = value
		return
	}
	p.faulty[name] = true // that it is missing follows from this
}

func hasPrefix(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// unquote removes the quotes around a value. They are part of it in an
// --env-file, and in a .env if they are typographic.
func unquote(value string) (string, bool) {
	for _, quotes := range [][2]string{{`"`, `"`}, {"'", "'"}, {"“", "”"}, {"‘", "’"}} {
		if inner, ok := strings.CutPrefix(value, quotes[0]); ok && strings.HasSuffix(inner, quotes[1]) {
			return strings.TrimSuffix(inner, quotes[1]), true
		}
	}
	return value, false
}

// suggest says which setting an unknown name may be meant for.
func suggest(name string) string {
	name = strings.ToUpper(name)
	best, most := "", 0
	for _, known := range allNames {
		if n := likeness(name, known); n > most && 2*n >= max(len(name), len(known)) {
			best, most = known, n
		}
	}
	if best == "" {
		return "README.md lists them all"
	}
	return "did you mean " + best + "?"
}

// likeness returns how many letters two names share at their beginning and
// their end. One mistake leaves all but one or two.
func likeness(a, b string) int {
	shorter := min(len(a), len(b))
	begin := 0
	for begin < shorter && a[begin] == b[begin] {
		begin++
	}
	end := 0
	for end < shorter-begin && a[len(a)-1-end] == b[len(b)-1-end] {
		end++
	}
	return begin + end
}
