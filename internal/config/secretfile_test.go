package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"changebank/internal/config"
)

// secretFile returns the path of a file with that text.
func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Container platforms and systemd hand out secrets as files. An editor ends a
// file with a newline, which is no part of the secret.
func TestSecretFiles(t *testing.T) {
	password := strings.Repeat("p", config.MinPassword)
	c := mustLoad(t, settings{
		"ISSUER": "https://login.example.com", "CLIENT_ID": "bank",
		"CLIENT_SECRET_FILE":  secretFile(t, "client secret\n"),
		"APP_SECRET_KEY_FILE": secretFile(t, key+",\r\n"+key+"2\r\n"),
		"REDIS_URL_FILE":      secretFile(t, "redis://u:secret@localhost"),
		"USER_PASSWORD_FILE":  secretFile(t, password),
		"ADMIN_PASSWORD_FILE": secretFile(t, password+"2\n"),
	})
	for name, got := range map[string][2]string{
		"CLIENT_SECRET":  {string(c.ClientSecret), "client secret"},
		"REDIS_URL":      {string(c.RedisURL), "redis://u:secret@localhost"},
		"USER_PASSWORD":  {string(c.UserPassword), password},
		"ADMIN_PASSWORD": {string(c.AdminPassword), password + "2"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s is %q, want %q", name, got[0], got[1])
		}
	}
	if len(c.AppSecretKeys) != 2 || string(c.AppSecretKeys[0]) != key {
		t.Errorf("there are %d keys in APP_SECRET_KEY, want the file's two", len(c.AppSecretKeys))
	}
	if c, err := loadFile(t, nil, "APP_SECRET_KEY_FILE="+secretFile(t, key)+"\n"); err != nil || len(c.AppSecretKeys) != 1 {
		t.Errorf("named in .env: %v, want the file's key", err)
	}
}

// A secret that is silently missing would leave the default, which is another
// key, or a public password. The errors never show the secret.
func TestSecretFileFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		env  settings
		want string
	}{
		"both":         {settings{"APP_SECRET_KEY": key, "APP_SECRET_KEY_FILE": secretFile(t, "SECRET-"+key)}, "APP_SECRET_KEY_FILE and APP_SECRET_KEY are both set; remove one"},
		"missing":      {settings{"CLIENT_SECRET_FILE": "/no/such/SECRET-file"}, "CLIENT_SECRET_FILE names a file that cannot be read (no such file"},
		"the secret":   {settings{"USER_PASSWORD_FILE": "SECRET-\x00in place of a path"}, "USER_PASSWORD_FILE names a file that cannot be read"},
		"a folder":     {settings{"REDIS_URL_FILE": t.TempDir()}, "REDIS_URL_FILE names a file that cannot be read"},
		"empty":        {settings{"ADMIN_PASSWORD_FILE": secretFile(t, " \n")}, "ADMIN_PASSWORD_FILE names an empty file"},
		"short key":    {settings{"APP_SECRET_KEY_FILE": secretFile(t, "SECRET-short")}, "APP_SECRET_KEY has a key of 12 characters"},
		"quotes":       {settings{"CLIENT_SECRET_FILE": secretFile(t, "'SECRET-'\n")}, "CLIENT_SECRET has quotes"},
		"other secret": {settings{"APP_SECRET_FILE": "SECRET-"}, "environment: unknown setting APP_SECRET_FILE; did you mean APP_SECRET_KEY_FILE?"},
		"no secret":    {settings{"LIMIT_LIVE_FILE": "SECRET-"}, "environment: unknown setting LIMIT_LIVE_FILE; did you mean LIMIT_LIVE?"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := load(t, tt.env)
			wantFault(t, err, tt.want)
			if err != nil && strings.Contains(err.Error(), "SECRET-") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
	// A file that cannot be read is reported once, without the faults that it causes.
	_, err := load(t, settings{"ISSUER": "https://login.example.com", "CLIENT_ID": "bank", "CLIENT_SECRET_FILE": "/no/such/file", "REDIS_URL": "redis://localhost", "APP_SECRET_KEY_FILE": "/no/such/file"})
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("two files that cannot be read: %v, want one line for each", err)
	}
}
