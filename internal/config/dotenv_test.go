package config_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"changebank/internal/config"
)

// loadFile reads the settings with a .env of that text.
func loadFile(t *testing.T, env settings, dotenv string) (*config.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(path, []byte(dotenv), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(env.environ(), path, config.Options{})
}

func TestDotEnv(t *testing.T) {
	const dotenv = "\ufeff" + `# a comment
PORT=6000
export DEMO_PORT=6001
CODE_LIFETIME="2m"   # another
APP_SECRET_KEY='0123456789abcdef0123456789abcdef'
APP_URL=http://localhost:${PORT}
LOG_LEVEL=warn
`
	c, err := loadFile(t, settings{"PORT": "7000", "LOG_LEVEL": ""}, dotenv)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if c.Port != 7000 {
		t.Errorf("Port = %d, want the environment's 7000 and not the file's 6000", c.Port)
	}
	if c.DemoPort != 6001 || c.CodeLifetime != 2*time.Minute {
		t.Errorf("DemoPort, CodeLifetime = %d, %v; want the file's 6001, 2m0s", c.DemoPort, c.CodeLifetime)
	}
	if c.AppURL != "http://localhost:6000" {
		t.Errorf("AppURL = %s, want the port of the line above", c.AppURL)
	}
	if len(c.AppSecretKeys) != 1 || c.AppSecretKeys[0] != "0123456789abcdef0123456789abcdef" {
		t.Errorf("there are %d AppSecretKeys, want the file's", len(c.AppSecretKeys))
	}
	if c.LogLevel != slog.LevelWarn { // Compose passes on a variable that has no value
		t.Errorf("LogLevel = %v, want the file's, since the environment's is empty", c.LogLevel)
	}
	_, err = loadFile(t, nil, "PORT=six\n")
	wantFault(t, err, "PORT is \"six\"")
	if c, err := loadFile(t, nil, ""); err != nil || c.Port != 5000 {
		t.Errorf("an empty file: %v, want the defaults", err)
	}
}

// A file that cannot be read is not the same as no file: the bank would start
// with the demo provider in place of the one in the file.
func TestDotEnvUnreadable(t *testing.T) {
	dir := t.TempDir()
	_, err := config.Load(nil, dir, config.Options{})
	wantFault(t, err, dir+" cannot be read")
}

// The error goes to the terminal and the journal, and the parser's own error
// quotes the rest of the file.
func TestDotEnvNotUnderstood(t *testing.T) {
	for name, tt := range map[string]struct {
		text string
		line string
	}{
		"prose":                         {"PORT=5000\n\nThis is SECRET-ly the bank's file.\n", "line 3"},
		"an open quote":                 {"PORT=5000\nCLIENT_SECRET=\"SECRET-of-the-client\nLOG_LEVEL=info\n", "line 2"},
		"a bad name":                    {"LOG-FORMAT=text\nCLIENT_SECRET=SECRET-of-the-client\n", "line 1"},
		"a bad name of a secret":        {"CLIENT-SECRET=SECRET-of-the-client\n", "line 1"},
		"a secret alone":                {"SECRET-of-the-client\n", "line 1"},
		"a secret alone, then the end":  {"PORT=5000\nSECRET", "line 2"},
		"a secret as a name":            {"SECRET-of-the-client=\n", "line 1"},
		"a space for the equals sign":   {"PORT=5000\nCLIENT_SECRET SECRET-of-the-client\n", "line 2"},
		"text after a quoted value":     {"PORT=5000\nCLIENT_SECRET='SECRET-1' SECRET-2\nLOG_LEVEL=info\n", "line 2"},
		"a value that is open for long": {"CLIENT_SECRET='SECRET-1\nSECRET-2\nSECRET-3' SECRET-4\n", "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadFile(t, nil, tt.text)
			wantFault(t, err, ".env, "+tt.line+": want NAME=value")
			if err != nil && strings.Contains(err.Error(), "SECRET") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

// A secret in base64 can look like the name of a setting, because it may end in
// an equals sign.
func TestSecretInPlaceOfName(t *testing.T) {
	for _, text := range []string{"SECRETofTheClient==\n", "CLIENT_SECRET SECRETofTheClient==\n"} {
		_, err := loadFile(t, nil, text)
		wantFault(t, err, ".env, line 1: unknown setting")
		if err != nil && strings.Contains(err.Error(), "SECRETof") {
			t.Errorf("%q: the error shows the secret: %v", text, err)
		}
	}
}

func TestDotEnvEncoding(t *testing.T) {
	utf16LE := func(text string) string {
		var b strings.Builder
		for _, unit := range utf16.Encode([]rune(text)) {
			b.Write([]byte{byte(unit), byte(unit >> 8)})
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"UTF-16":                           utf16LE("\ufeffPORT=5000\n"),
		"UTF-16 without a byte order mark": utf16LE("PORT=5000\n"),
		"Latin-1":                          "USER_PASSWORD=p\xe4ssword\n",
		"bytes":                            "\x00\xff\x01\x02",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := loadFile(t, nil, text)
			wantFault(t, err, ".env is not UTF-8 text; save it as UTF-8")
		})
	}
}

// A comment in place of a value, as in a README's block, must not become a
// secret that everyone can read.
func TestOnlyComment(t *testing.T) {
	_, err := loadFile(t, settings{"ISSUER": "https://login.example.com", "CLIENT_ID": "bank"},
		"PORT=5001\nCLIENT_SECRET=   # openssl rand -hex 32\nUSER_PASSWORD=\n")
	wantFault(t, err, ".env, line 2: CLIENT_SECRET has only a comment")
}
