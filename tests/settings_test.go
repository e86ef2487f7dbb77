package tests

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"changebank/internal/config"
)

// topFile returns the text of a file in the top folder.
func topFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// environ returns an environment with these variables.
func environ(variables map[string]string) (list []string) {
	for name, value := range variables {
		list = append(list, name+"="+value)
	}
	return list
}

// groups returns everything that the only group of pattern matches.
func groups(pattern, text string) []string {
	var found []string
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	return found
}

// The program, the README's table and .env.example have the same settings, the
// latter two in the same order.
func TestSettingsDocumented(t *testing.T) {
	t.Parallel()
	_, section, _ := strings.Cut(topFile(t, "README.md"), "\n## Settings\n")
	section, _, _ = strings.Cut(section, "\n## ")
	table := groups("(?m)^\\| `([A-Z_]+)` \\|", section)
	example := groups(`(?m)^#([A-Z_]+)=`, topFile(t, ".env.example"))
	if !slices.Equal(example, table) {
		t.Errorf(".env.example has\n%q, want those of the README's table\n%q", example, table)
	}
	slices.Sort(table)
	if want := slices.Sorted(slices.Values(config.Names())); !slices.Equal(table, want) {
		t.Errorf("the README's table has, sorted,\n%q, want what the program reads\n%q", table, want)
	}
}

// envExample returns the lines of .env.example, uncommented.
func envExample(t *testing.T) map[string]string {
	t.Helper()
	lines := make(map[string]string)
	for line := range strings.Lines(topFile(t, ".env.example")) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") {
			t.Errorf(".env.example sets something: %s", line)
		}
		if name, value, ok := strings.Cut(strings.TrimPrefix(line, "#"), "="); ok && strings.ToUpper(name) == name {
			lines[name] = strings.Trim(value, "'")
		}
	}
	return lines
}

// A copy of .env.example changes nothing, and the defaults in it are right.
func TestEnvExample(t *testing.T) {
	t.Parallel()
	lines := envExample(t)
	load := func(env map[string]string) *config.Config {
		c, err := config.Load(environ(env), "no .env", config.Options{})
		if err != nil {
			t.Fatalf("the settings of .env.example: %v", err)
		}
		return c
	}
	for _, example := range []string{"ISSUER", "LISTEN", "SHARED_NETWORKS", "QR_ALLOW_FROM", "GEOIP_DB", "SCOPES", "METRICS_LISTEN"} {
		load(map[string]string{example: lines[example], "DEMO": "public", "CLIENT_ID": "bank", "CLIENT_SECRET": "secret"})
		delete(lines, example)
	}
	if got, want := load(lines), load(nil); !reflect.DeepEqual(got, want) {
		t.Errorf("with every line of .env.example the settings are\n%+v, want the defaults\n%+v", got, want)
	}
}
