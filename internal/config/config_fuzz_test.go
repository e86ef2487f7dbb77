package config

import (
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A .env file is read, or refused with the number of a line. The error never
// quotes the file, which holds secrets.
func FuzzDotEnv(f *testing.F) {
	for _, text := range []string{
		"A=b\n", "A='b\nc'\n# d\nexport E = f # g\n", "A=\"b", "A", "=b", "A=$B\nB=${A}", "\ufeffA=b", "A=\x00", "A: b", "A=b\\\nc", "A='${'", "\r\n\r",
	} {
		f.Add(text)
	}
	path := filepath.Join(f.TempDir(), ".env")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		lines, err := readFile(path)
		if err != nil {
			said := strings.ReplaceAll(err.Error(), path, "")
			for word := range strings.FieldsSeq(text) {
				if len(word) > 12 && strings.Contains(said, word) {
					t.Errorf("%v quotes %q", err, word)
				}
			}
			if len(said) > 200 || strings.Contains(said, "line 0") {
				t.Errorf("%v", err)
			}
			return
		}
		last := 0
		for _, l := range lines {
			if l.number < max(last, 1) || l.number > strings.Count(text, "\n")+1 || l.name == "" || l.value != strings.TrimSpace(l.value) {
				t.Errorf("%q: %+v", text, lines)
			}
			last = l.number
		}
	})
}

// No value makes the program crash at its start, and none of a secret setting
// is shown, neither in the error nor where the place of the data is named.
func FuzzSettings(f *testing.F) {
	names := []string{
		"REDIS_URL", "APP_URL", "DEMO_URL", "ISSUER", "PORT", "LISTEN", "TRUSTED_PROXIES", "APP_SECRET_KEY", "CODE_LIFETIME", "LIMIT_LIVE",
		"LOG_LEVEL", "SCOPES", "NGROK_API", "CLIENT_SECRET",
	}
	for i, text := range []string{
		"redis://user:sesame-open@host:6379/0", "HTTPS://Bank.example:443/", "http://[::1%25x]", "https://idp.example/a?b", "65536", "::1,,x", "10.0.0.0/33",
		"short, " + strings.Repeat("k", 32), "5m", "0", "INFO+3", "openid \u2003 x", "http://", "''",
	} {
		f.Add(uint8(i), text)
	}
	f.Add(uint8(0), "redis://:se%same-open@host")
	f.Add(uint8(0), "unix://user:sesame-open@/run/redis.sock?db=1")
	f.Add(uint8(0), "unix:///run/redis.sock:sesame-open")
	f.Add(uint8(0), "rediss://user:sesame-open@[::1]:6379/a")
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		name := names[int(which)%len(names)]
		c, err := Load([]string{name + "=" + text, "APP_SECRET_KEY=" + strings.Repeat("k", 32), "DATA_DIR=/data"}, "/nosuch", Options{})
		said := ""
		if err != nil {
			said = err.Error()
		} else {
			c.SetPorts(5000, 9011)
			said = c.DataPlace() + strings.Join(c.Warnings(), "")
			c.Exposed()
		}
		if name != "REDIS_URL" && name != "APP_SECRET_KEY" && name != "CLIENT_SECRET" {
			return
		}
		secrets := []string{text}
		if u, err := url.Parse(strings.TrimSpace(text)); err == nil && u.User != nil {
			password, _ := u.User.Password()
			secrets = append(secrets, password)
		} else if err == nil && strings.Contains(u.Hostname(), "sesame-open") && !strings.Contains(u.Hostname(), ":") {
			return // it has become part of a host's name, which is no secret
		} else if err == nil && u.Scheme == "unix" {
			said = strings.ReplaceAll(said, u.Path, "") // nor is a socket's path
		}
		for _, secret := range secrets {
			if strings.Contains(said, "sesame-open") || len(secret) > 20 && strings.Contains(said, secret) && !strings.Contains(said, "at "+secret) {
				t.Errorf("%s=%q: %s", name, text, said)
			}
		}
	})
}

// An address is spelled as browsers do: reading it again changes nothing.
func FuzzOrigin(f *testing.F) {
	for _, text := range []string{"https://Bank.example:443/", "http://127.0.0.1:80", "http://[::1]:5000", "https://bank.example:0443", "https://é.example", "http://0x7f.1", "https://a%2fb"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := &parser{values: map[string]string{"APP_URL": text}}
		origin := p.origin("APP_URL", "http://localhost:5000")
		if origin == "" {
			return
		}
		again := &parser{values: map[string]string{"APP_URL": origin}}
		if got := again.origin("APP_URL", ""); got != origin {
			t.Errorf("%q is read as %q, and that as %q", text, origin, got)
		}
		if u, err := url.Parse(origin); err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || strings.ContainsAny(origin, " \t\n<>\"") {
			t.Errorf("%q is read as %q", text, origin)
		}
	})
}
