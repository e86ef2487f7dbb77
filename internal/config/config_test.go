package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"changebank/internal/config"
)

// settings is an environment.
type settings map[string]string

func (s settings) get(name string) string { return s[name] }

// provider is the least that a real provider needs.
var provider = settings{
	"ISSUER":        "https://login.example.com",
	"CLIENT_ID":     "bank",
	"CLIENT_SECRET": "client-secret",
}

// with returns the settings with changes, of which an empty one takes away.
func (s settings) with(changes settings) settings {
	all := maps.Clone(s)
	maps.Copy(all, changes)
	return all
}

// load reads the settings without a .env.
func load(t *testing.T, env settings) (*config.Config, error) {
	t.Helper()
	return loadWith(t, env, config.Options{})
}

// loadWith does so for a command line.
func loadWith(t *testing.T, env settings, options config.Options) (*config.Config, error) {
	t.Helper()
	return config.Load(env.get, filepath.Join(t.TempDir(), ".env"), options)
}

func mustLoad(t *testing.T, env settings) *config.Config {
	t.Helper()
	c, err := load(t, env)
	if err != nil {
		t.Fatalf("Load(%v): %v", env, err)
	}
	return c
}

// loadFile reads the settings with a .env of that text.
func loadFile(t *testing.T, env settings, dotenv string) (*config.Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), ".env")
	if err := os.WriteFile(path, []byte(dotenv), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Load(env.get, path, config.Options{})
}

func TestDefaults(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CONFIG_HOME", "")
	base, err := os.UserConfigDir()
	if err != nil {
		t.Fatal(err)
	}
	got := mustLoad(t, nil)
	want := &config.Config{
		Demo:          true,
		AppURL:        "http://localhost:5000",
		Port:          5000,
		Listen:        []string{"127.0.0.1", "::1"}, // nobody else, unless asked for
		DemoURL:       "http://localhost:9011",
		DemoPort:      9011,
		NgrokAPI:      "http://127.0.0.1:4040/api",
		ClientID:      "e9fdb985-9173-4e01-9d73-ac2d60d1dc8e",
		ClientAuth:    "auto",
		UserPassword:  "password",
		AdminPassword: "password",
		DataDir:       filepath.Join(base, "changebank"),
		ConfirmNumber: "auto",
		CodeLifetime:  5 * time.Minute,
		Limits:        config.Limits{CodesPerAddress: 60, CodesPerBrowser: 20, LivePerAddress: 30, Live: 10000, WrongCodes: 10, WrongNumbers: 3},
		TrustedProxies: []netip.Prefix{
			netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
		},
		LogFormat: "text",
		LogLevel:  slog.LevelInfo,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("without settings Load gives\n%+v, want\n%+v", got, want)
	}
}

func TestEverySetting(t *testing.T) {
	got := mustLoad(t, settings{
		"ISSUER":          "https://login.example.com/",
		"APP_URL":         "https://bank.example.com",
		"PORT":            "8080",
		"LISTEN":          "0.0.0.0,::",
		"DEMO_URL":        "https://demo.example.com",
		"DEMO_PORT":       "9999",
		"NGROK_API":       "http://localhost:4041/api",
		"CLIENT_ID":       "bank",
		"CLIENT_SECRET":   " client-secret ",
		"CLIENT_AUTH":     "basic",
		"USER_PASSWORD":   "user-password",
		"ADMIN_PASSWORD":  "admin-password",
		"APP_SECRET_KEY":  "the-new-key-of-32-characters-or-more, the-old-key-of-32-characters-or-more",
		"DATA_DIR":        "/data",
		"CODE_LIFETIME":   "2m30s",
		"TRUSTED_PROXIES": "10.1.2.3/8, 192.0.2.1, 2001:db8::/32",
		"CONFIRM_NUMBER":  "always",
		"QR_ALLOW_FROM":   "198.51.100.0/24",

		"LIMIT_CODES_PER_ADDRESS": "1",
		"LIMIT_CODES_PER_BROWSER": "2",
		"LIMIT_LIVE_PER_ADDRESS":  "3",
		"LIMIT_LIVE":              "4",
		"LIMIT_WRONG_CODES":       "5",
		"LIMIT_WRONG_NUMBERS":     "6",
		"LOG_FORMAT":              "json",
		"LOG_LEVEL":               "debug",
	})
	want := &config.Config{
		Issuer:        "https://login.example.com/", // byte for byte: it is compared with the tokens'
		AppURL:        "https://bank.example.com",
		Port:          8080,
		Listen:        []string{"0.0.0.0", "::"},
		DemoURL:       "https://demo.example.com",
		DemoPort:      9999,
		NgrokAPI:      "http://localhost:4041/api",
		ClientID:      "bank",
		ClientSecret:  "client-secret",
		ClientAuth:    "basic",
		UserPassword:  "user-password",
		AdminPassword: "admin-password",
		AppSecretKeys: []config.Secret{"the-new-key-of-32-characters-or-more", "the-old-key-of-32-characters-or-more"},
		DataDir:       "/data",
		ConfirmNumber: "always",
		CodeLifetime:  150 * time.Second,
		QRAllowFrom:   []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
		Limits:        config.Limits{CodesPerAddress: 1, CodesPerBrowser: 2, LivePerAddress: 3, Live: 4, WrongCodes: 5, WrongNumbers: 6},
		TrustedProxies: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32"),
		},
		LogFormat: "json",
		LogLevel:  slog.LevelDebug,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Load gives\n%+v, want\n%+v (or the secrets, which do not show, differ)", got, want)
	}
}

func TestFaults(t *testing.T) {
	const key = "0123456789abcdef0123456789abcdef"
	tests := []struct {
		name string
		env  settings
		want []string // words of the message
	}{
		{"port of words", settings{"PORT": "five"}, []string{"PORT", `"five"`}},
		{"port too high", settings{"PORT": "65536"}, []string{"PORT", "65535"}},
		{"port below zero", settings{"PORT": "-1"}, []string{"PORT"}},
		{"demo port", settings{"DEMO_PORT": "9011x"}, []string{"DEMO_PORT"}},
		{"listen on a name", settings{"LISTEN": "localhost"}, []string{"LISTEN", `"localhost"`}},
		{"listen with a port", settings{"LISTEN": "127.0.0.1, 127.0.0.1:80"}, []string{"LISTEN", "127.0.0.1:80"}},
		{"client auth", settings{"CLIENT_AUTH": "jwt"}, []string{"CLIENT_AUTH", `"jwt"`, "auto or post or basic or none"}},
		{"public client of the demo", settings{"CLIENT_AUTH": "none"}, []string{"CLIENT_AUTH"}},
		{"short key", settings{"APP_SECRET_KEY": key[:31]}, []string{"APP_SECRET_KEY", "31", "32", "openssl rand"}},
		{"short second key", settings{"APP_SECRET_KEY": key + "," + key[:16]}, []string{"APP_SECRET_KEY", "16"}},
		{"three keys", settings{"APP_SECRET_KEY": key + " " + key + " " + key}, []string{"APP_SECRET_KEY", "3 keys"}},
		{"confirm", settings{"CONFIRM_NUMBER": "sometimes"}, []string{"CONFIRM_NUMBER", `"sometimes"`, "auto or always or never"}},
		{"allowed from a name", settings{"QR_ALLOW_FROM": "office"}, []string{"QR_ALLOW_FROM", `"office"`}},
		{"no tries at all", settings{"LIMIT_WRONG_NUMBERS": "0"}, []string{"LIMIT_WRONG_NUMBERS", `"0"`, "1 or more"}},
		{"a limit of words", settings{"LIMIT_LIVE": "many"}, []string{"LIMIT_LIVE", `"many"`}},
		{"lifetime without a unit", settings{"CODE_LIFETIME": "300"}, []string{"CODE_LIFETIME", `"300"`}},
		{"lifetime too short", settings{"CODE_LIFETIME": "29s"}, []string{"CODE_LIFETIME", "30s"}},
		{"lifetime too long", settings{"CODE_LIFETIME": "31m"}, []string{"CODE_LIFETIME", "30m"}},
		{"lifetime below zero", settings{"CODE_LIFETIME": "-5m"}, []string{"CODE_LIFETIME"}},
		{"proxies", settings{"TRUSTED_PROXIES": "10.0.0.0/40"}, []string{"TRUSTED_PROXIES", "10.0.0.0/40"}},
		{"proxy by name", settings{"TRUSTED_PROXIES": "127.0.0.1, proxy"}, []string{"TRUSTED_PROXIES", `"proxy"`}},
		{"log format", settings{"LOG_FORMAT": "xml"}, []string{"LOG_FORMAT", "text or json"}},
		{"log level", settings{"LOG_LEVEL": "loud"}, []string{"LOG_LEVEL", `"loud"`}},
		{"app url with a path", settings{"APP_URL": "http://localhost/bank"}, []string{"APP_URL", "/bank"}},
		{"app url with a query", settings{"APP_URL": "http://localhost?a=b"}, []string{"APP_URL"}},
		{"app url with a fragment", settings{"APP_URL": "http://localhost#a"}, []string{"APP_URL"}},
		{"app url with a user", settings{"APP_URL": "http://me@localhost"}, []string{"APP_URL"}},
		{"app url without a scheme", settings{"APP_URL": "bank.example.com"}, []string{"APP_URL is \"bank.example.com\""}},
		{"app url without a host", settings{"APP_URL": "https://"}, []string{"APP_URL"}},
		{"app url of another scheme", settings{"APP_URL": "ftp://localhost"}, []string{"APP_URL is \"ftp://localhost\""}},
		{"app url that is none", settings{"APP_URL": "http://[::1"}, []string{"APP_URL is \"http://[::1\""}},
		{"demo url with a path", settings{"DEMO_URL": "http://localhost:9011/idp"}, []string{"DEMO_URL", "/idp"}},
		{"agent's API without a scheme", settings{"NGROK_API": "localhost:4040"}, []string{"NGROK_API is \"localhost:4040\"", "http://127.0.0.1:4040/api"}},
		{"agent's API that is none", settings{"NGROK_API": "http://[::1"}, []string{"NGROK_API"}},
		{"issuer in the clear", provider.with(settings{"ISSUER": "http://login.example.com"}), []string{"ISSUER", "http://login.example.com", "use https"}},
		{"issuer in the clear, private", provider.with(settings{"ISSUER": "http://192.168.1.20:9011"}), []string{"ISSUER", "use https"}},
		{"issuer in the clear, nearly ours", provider.with(settings{"ISSUER": "http://localhost.example.com"}), []string{"ISSUER", "use https"}},
		{"demo in public", settings{"APP_URL": "https://bank.example.com"}, []string{"APP_URL", "https://bank.example.com", "ISSUER", "DEMO=public"}},
		{"demo in some other way", settings{"DEMO": "yes"}, []string{"DEMO", `"yes"`, "public"}},
		{"demo in public in some other way", settings{"APP_URL": "https://bank.example.com", "DEMO": "true"}, []string{"APP_URL", "DEMO is \"true\""}},
		{"issuer without a scheme", provider.with(settings{"ISSUER": "login.example.com"}), []string{"ISSUER", "login.example.com"}},
		{"issuer of another scheme", provider.with(settings{"ISSUER": "file:///etc/passwd"}), []string{"ISSUER"}},
		{"issuer without a client", provider.with(settings{"CLIENT_ID": ""}), []string{"CLIENT_ID"}},
		{"issuer without a secret", provider.with(settings{"CLIENT_SECRET": ""}), []string{"CLIENT_SECRET", "CLIENT_AUTH=none"}},
		{"issuer alone", settings{"ISSUER": "https://login.example.com"}, []string{"CLIENT_ID", "CLIENT_SECRET"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.env.with(settings{"DATA_DIR": "/data"}))
			if err == nil {
				t.Fatalf("Load(%v): no error, want one with %q", tt.env, tt.want)
			}
			for _, word := range tt.want {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("Load(%v): %v\nwant %q in it", tt.env, err, word)
				}
			}
		})
	}
}

// TestFaultsAtOnce: whoever sets this up should not have to start it nine
// times to hear of nine mistakes.
func TestFaultsAtOnce(t *testing.T) {
	_, err := load(t, settings{
		"ISSUER":          "login.example.com",
		"APP_URL":         "http://localhost/bank",
		"PORT":            "http",
		"LISTEN":          "localhost",
		"DEMO_PORT":       "x",
		"NGROK_API":       "x",
		"DEMO":            "1",
		"CLIENT_AUTH":     "both",
		"APP_SECRET_KEY":  "short",
		"CODE_LIFETIME":   "never",
		"TRUSTED_PROXIES": "all",
		"LOG_FORMAT":      "xml",
		"LOG_LEVEL":       "loud",
		"DATA_DIR":        "/data",
	})
	if err == nil {
		t.Fatal("no error")
	}
	var named []string
	for line := range strings.Lines(err.Error()) {
		name, _, _ := strings.Cut(line, " ")
		named = append(named, name)
	}
	slices.Sort(named)
	want := []string{
		"APP_SECRET_KEY", "APP_URL", "CLIENT_AUTH", "CLIENT_ID", "CLIENT_SECRET", "CODE_LIFETIME", "DEMO", "DEMO_PORT",
		"ISSUER", "LISTEN", "LOG_FORMAT", "LOG_LEVEL", "NGROK_API", "PORT", "TRUSTED_PROXIES",
	}
	if !slices.Equal(named, want) {
		t.Errorf("the lines of the error begin with\n%q, want\n%q\n%v", named, want, err)
	}
}

// TestFaultsOfDemoAtOnce: the demo in public is one fault, what else is wrong
// with its settings is another.
func TestFaultsOfDemoAtOnce(t *testing.T) {
	_, err := load(t, settings{"APP_URL": "https://bank.example.com", "CLIENT_AUTH": "none", "DEMO": "1", "DEMO_URL": "localhost"})
	if err == nil {
		t.Fatal("no error")
	}
	for _, begin := range []string{"APP_URL is", "CLIENT_AUTH is", "DEMO is", "DEMO_URL is"} {
		if !strings.Contains("\n"+err.Error(), "\n"+begin) {
			t.Errorf("Load: %v\nwant a line that begins with %q", err, begin)
		}
	}
}

// TestOneMistakeOneLine: a bad APP_URL was once three faults, two of them
// about settings that nobody had made.
func TestOneMistakeOneLine(t *testing.T) {
	for _, env := range []settings{
		{"APP_URL": "bank.example.com"},
		{"APP_URL": "ftp://localhost"},
		{"APP_URL": "http://[::1"},
		{"APP_URL": "https://bank.example.com/app"},
		{"APP_URL": "bank.example.com", "DEMO_URL": "http://localhost:9011"},
		{"APP_URL": "https://bank.example.com"},
		provider.with(settings{"APP_URL": "bank.example.com"}),
		{"PORT": "70000"},
		{"PORT": "abc"},
		{"DEMO_PORT": "abc"},
		{"LISTEN": "localhost"},
		{"NGROK_API": "localhost"},
		provider.with(settings{"ISSUER": "http://login.example.com"}),
		{"DEMO_URL": "localhost"},
		{"CLIENT_AUTH": "none"},
		{"APP_SECRET_KEY": "short"},
		{"LOG_LEVEL": "loud"},
	} {
		_, err := load(t, env.with(settings{"DATA_DIR": "/data"}))
		if err == nil {
			t.Errorf("%v: no error", env)
			continue
		}
		if n := strings.Count(err.Error(), "\n") + 1; n != 1 {
			t.Errorf("%v: %d lines for one mistake:\n%v", env, n, err)
		}
	}
}

// TestSecretKeys: keys that were not told apart would be one key that nobody
// has, and everybody logged out.
func TestSecretKeys(t *testing.T) {
	const one, two = "the-new-key-of-32-characters-or-more", "the-old-key-of-32-characters-or-more"
	for _, between := range []string{",", " ", ", ", " , ", "\t", "\n", "\r\n", "\u00a0", " \t\n,"} {
		c, err := load(t, settings{"APP_SECRET_KEY": one + between + two})
		if err != nil {
			t.Errorf("keys with %q between them: %v", between, err)
			continue
		}
		if !slices.Equal(c.AppSecretKeys, []config.Secret{one, two}) {
			t.Errorf("with %q between two keys, AppSecretKeys are %d others", between, len(c.AppSecretKeys))
		}
	}
}

func TestNoDataDir(t *testing.T) {
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "AppData", "home"} {
		t.Setenv(name, "")
	}
	if _, err := load(t, nil); err == nil || !strings.Contains(err.Error(), "DATA_DIR") {
		t.Errorf("without a home: %v, want an error that names DATA_DIR", err)
	}
	if c := mustLoad(t, settings{"DATA_DIR": "/data"}); c.DataDir != "/data" {
		t.Errorf("DataDir = %q, want /data", c.DataDir)
	}
}

func TestAppURL(t *testing.T) {
	tests := []struct {
		appURL, port, want string
	}{
		{"", "", "http://localhost:5000"},
		{"", "8080", "http://localhost:8080"},
		{"", "80", "http://localhost"},
		{"https://bank.example.com", "", "https://bank.example.com"},
		{"https://bank.example.com/", "", "https://bank.example.com"},
		{"https://bank.example.com:443", "", "https://bank.example.com"},
		{"https://bank.example.com:443/", "", "https://bank.example.com"},
		{"https://bank.example.com:8443", "", "https://bank.example.com:8443"},
		{"https://bank.example.com:80", "", "https://bank.example.com:80"},
		{"http://bank.example.com:80", "", "http://bank.example.com"},
		{"http://bank.example.com:443", "", "http://bank.example.com:443"},
		{"http://bank.example.com:8080", "", "http://bank.example.com:8080"},
		{"HTTPS://Bank.Example.COM", "", "https://bank.example.com"},
		{" https://bank.example.com ", "", "https://bank.example.com"},
		{"http://[::1]:80", "", "http://[::1]"},
		{"http://[::1]:5000/", "", "http://[::1]:5000"},
		{"http://[FD00::80]", "", "http://[fd00::80]"},
		{"http://192.168.1.5:5000", "8080", "http://192.168.1.5:5000"}, // behind a proxy the two differ
	}
	for _, tt := range tests {
		env := provider.with(settings{"APP_URL": tt.appURL, "PORT": tt.port})
		c, err := load(t, env)
		if err != nil {
			t.Errorf("APP_URL=%q PORT=%q: %v", tt.appURL, tt.port, err)
			continue
		}
		if c.AppURL != tt.want {
			t.Errorf("APP_URL=%q PORT=%q: AppURL = %q, want %q", tt.appURL, tt.port, c.AppURL, tt.want)
		}
	}
}

func TestDemoURL(t *testing.T) {
	tests := []struct {
		name string
		env  settings
		want string
	}{
		{"default", nil, "http://localhost:9011"},
		{"port", settings{"DEMO_PORT": "9999"}, "http://localhost:9999"},
		{"host of APP_URL", settings{"APP_URL": "http://192.168.1.5:5000"}, "http://192.168.1.5:9011"},
		{"host of APP_URL and port", settings{"APP_URL": "http://192.168.1.5", "DEMO_PORT": "80"}, "http://192.168.1.5"},
		{"IPv6", settings{"APP_URL": "http://[::1]:5000"}, "http://[::1]:9011"},
		{"https", settings{"APP_URL": "https://127.0.0.1"}, "https://127.0.0.1:9011"},
		{"https and its port", settings{"APP_URL": "https://127.0.0.1:5000", "DEMO_PORT": "443"}, "https://127.0.0.1"},
		{"given", settings{"APP_URL": "http://192.168.1.5:5000", "DEMO_URL": "HTTP://Demo.example:80/"}, "http://demo.example"},
	}
	for _, tt := range tests {
		if c := mustLoad(t, tt.env); c.DemoURL != tt.want {
			t.Errorf("%s: DemoURL = %q, want %q", tt.name, c.DemoURL, tt.want)
		}
	}
}

// TestWhoIsDemo: the password of the demo provider's people is in the
// repository, so it must not start where others can reach it, and must not
// start in place of a provider that was asked for.
func TestWhoIsDemo(t *testing.T) {
	tests := []struct {
		name    string
		env     settings
		demo    bool
		refused string // a word of the error
	}{
		{"no provider", nil, true, ""},
		{"a provider", provider, false, ""},
		{"a provider in public", provider.with(settings{"APP_URL": "https://bank.example.com"}), false, ""},
		{"a provider here", provider.with(settings{"ISSUER": "http://127.0.0.2:9011"}), false, ""},
		{"a provider here by IPv6", provider.with(settings{"ISSUER": "http://[::1]:9011"}), false, ""},
		{"a provider here by name", provider.with(settings{"ISSUER": "http://auth.localhost:9011"}), false, ""},
		{"a provider without a secret", provider.with(settings{"CLIENT_SECRET": "", "CLIENT_AUTH": "none"}), false, ""},
		// A FusionAuth of one's own stands at the very address of the demo.
		{"a provider at the demo's address", provider.with(settings{"ISSUER": "http://localhost:9011"}), false, ""},
		{"the demo's address alone", settings{"ISSUER": "http://localhost:9011"}, false, "CLIENT_SECRET"},
		{"no provider, private", settings{"APP_URL": "http://192.168.1.5:5000"}, true, ""},
		{"no provider, public", settings{"APP_URL": "https://bank.example.com"}, true, "ISSUER"},
		{"no provider, public address", settings{"APP_URL": "http://203.0.113.7"}, true, "ISSUER"},
		{"no provider, public and meant", settings{"APP_URL": "https://bank.example.com", "DEMO": "public"}, true, ""},
		{"no provider, public and nearly meant", settings{"APP_URL": "https://bank.example.com", "DEMO": "Public"}, true, "DEMO"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := load(t, tt.env)
			if tt.refused != "" {
				if err == nil || !strings.Contains(err.Error(), tt.refused) {
					t.Errorf("Load: %v, want an error with %q", err, tt.refused)
				}
				return
			}
			if err != nil {
				t.Fatalf("Load: %v", err)
			}
			if c.Demo != tt.demo {
				t.Errorf("Demo = %t, want %t", c.Demo, tt.demo)
			}
		})
	}
}

func TestLocal(t *testing.T) {
	for origin, want := range map[string]bool{
		"http://localhost:5000":       true,
		"http://bank.localhost:5000":  true,
		"http://127.0.0.1:5000":       true,
		"http://127.8.8.8":            true,
		"http://[::1]:5000":           true,
		"http://10.1.2.3":             true,
		"http://172.16.0.1":           true,
		"http://172.32.0.1":           false,
		"http://192.168.1.5:5000":     true,
		"http://169.254.1.1":          true,
		"http://[fe80::1]":            true,
		"http://[fd12:3456::1]":       true,
		"http://203.0.113.7":          false,
		"http://[2001:db8::1]":        false,
		"http://0.0.0.0:5000":         false,
		"https://bank.example.com":    false,
		"https://localhost.evil.com":  false,
		"https://127.0.0.1.evil.com":  false,
		"https://192.168.1.5.nip.io/": false,
	} {
		if got := (&config.Config{AppURL: origin}).Local(); got != want {
			t.Errorf("with AppURL %q, Local() = %t, want %t", origin, got, want)
		}
	}
}

func TestBound(t *testing.T) {
	tests := []struct {
		name                    string
		env                     settings
		appURL, demoURL, issuer string // after Bound(1234, 5678)
	}{
		{
			"any ports", settings{"PORT": "0", "DEMO_PORT": "0"},
			"http://localhost:1234", "http://localhost:5678", "http://localhost:5678",
		},
		{
			"any ports of an IPv6 address", settings{"APP_URL": "http://[::1]:0", "PORT": "0", "DEMO_PORT": "0"},
			"http://[::1]:1234", "http://[::1]:5678", "http://[::1]:5678",
		},
		{
			"one of them", settings{"PORT": "0"},
			"http://localhost:1234", "http://localhost:9011", "http://localhost:9011",
		},
		{
			"the other", settings{"DEMO_PORT": "0"},
			"http://localhost:5000", "http://localhost:5678", "http://localhost:5678",
		},
		{
			"fixed URLs", settings{"PORT": "0", "DEMO_PORT": "0", "APP_URL": "http://10.0.0.1:8000", "DEMO_URL": "http://10.0.0.1:8001"},
			"http://10.0.0.1:8000", "http://10.0.0.1:8001", "http://10.0.0.1:8001",
		},
		{
			"ports that end in 0", settings{"PORT": "5000", "DEMO_PORT": "9010"},
			"http://localhost:5000", "http://localhost:9010", "http://localhost:9010",
		},
		{
			"a real provider", provider.with(settings{"PORT": "0"}),
			"http://localhost:1234", "http://localhost:9011", "https://login.example.com",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := mustLoad(t, tt.env)
			c.Bound(1234, 5678)
			if c.Port != 1234 || c.DemoPort != 5678 {
				t.Errorf("ports %d and %d, want 1234 and 5678", c.Port, c.DemoPort)
			}
			if c.AppURL != tt.appURL || c.DemoURL != tt.demoURL || c.Issuer != tt.issuer {
				t.Errorf("AppURL, DemoURL, Issuer = %q, %q, %q; want %q, %q, %q",
					c.AppURL, c.DemoURL, c.Issuer, tt.appURL, tt.demoURL, tt.issuer)
			}
		})
	}
}

func TestDotEnv(t *testing.T) {
	const dotenv = `# a comment
PORT=6000
export DEMO_PORT=6001
CODE_LIFETIME="2m"   # another
APP_SECRET_KEY='0123456789abcdef0123456789abcdef'
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
	if len(c.AppSecretKeys) != 1 || c.AppSecretKeys[0] != "0123456789abcdef0123456789abcdef" {
		t.Errorf("there are %d AppSecretKeys, want the file's", len(c.AppSecretKeys))
	}
	if c.LogLevel != slog.LevelWarn { // Compose passes a variable on that has no value
		t.Errorf("LogLevel = %v, want the file's, since the environment's is empty", c.LogLevel)
	}

	// What the file says is checked as well.
	if _, err := loadFile(t, nil, "PORT=six\n"); err == nil || !strings.Contains(err.Error(), "PORT") {
		t.Errorf("PORT=six in the file: %v, want an error that names PORT", err)
	}
	if c, err := loadFile(t, nil, ""); err != nil || c.Port != 5000 {
		t.Errorf("an empty file: %v, want the defaults", err)
	}
}

// TestDotEnvUnreadable: a file that is there but cannot be read is not the
// same as none. The bank would start with the demo provider in place of the
// one that the file names.
func TestDotEnvUnreadable(t *testing.T) {
	dir := t.TempDir()
	if _, err := config.Load(settings{}.get, dir, config.Options{}); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("a folder as .env: %v, want an error that names %s", err, dir)
	}
	for name, text := range map[string]string{
		"prose":        "This is the bank's file.\n",
		"bytes":        "\x00\xff\x01\x02",
		"open quote":   "LOG_FORMAT=\"text\n",
		"bad variable": "LOG-FORMAT=text\n",
	} {
		if _, err := loadFile(t, nil, text); err == nil || !strings.Contains(err.Error(), ".env") {
			t.Errorf("%s as .env: %v, want an error that names the file", name, err)
		}
	}
}

// TestDotEnvLeaksNothing: the error goes to the terminal and the journal, and
// the parser's own quotes all that follows the place it does not understand.
func TestDotEnvLeaksNothing(t *testing.T) {
	for name, text := range map[string]string{
		"an open quote":       "CLIENT_SECRET=\"SECRET-of-the-client\nPORT=5000\n",
		"a bad name above":    "LOG-FORMAT=text\nCLIENT_SECRET=SECRET-of-the-client\nAPP_SECRET_KEY=SECRET-key\n",
		"a bad name itself":   "CLIENT-SECRET=SECRET-of-the-client\n",
		"a secret alone":      "SECRET-of-the-client\n",
		"a secret as a name":  "SECRET-of-the-client=\n",
		"a secret after good": "PORT=5000\nCLIENT_SECRET SECRET-of-the-client\n",
	} {
		_, err := loadFile(t, nil, text)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if strings.Contains(err.Error(), "SECRET-") {
			t.Errorf("%s: the error shows a secret: %v", name, err)
		}
		if lines := strings.Count(err.Error(), "\n") + 1; lines != 1 || !strings.Contains(err.Error(), ".env") || !strings.Contains(err.Error(), "NAME=value") {
			t.Errorf("%s: %v\nwant one sentence that names the file and says what a line is", name, err)
		}
	}
}

var secrets = settings{
	"CLIENT_SECRET":  "SECRET-of-the-client",
	"USER_PASSWORD":  "SECRET-of-the-user",
	"ADMIN_PASSWORD": "SECRET-of-the-admin",
	"APP_SECRET_KEY": "SECRET-key-of-32-characters-or-more,SECRET-old-key-of-32-characters-or-more",
}

// TestSecretsHidden: configurations get logged, printed in bug reports, and
// served by debug pages.
func TestSecretsHidden(t *testing.T) {
	c := mustLoad(t, secrets)
	if c.ClientSecret != "SECRET-of-the-client" || len(c.AppSecretKeys) != 2 {
		t.Fatal("the secrets were not read: this test would find nothing")
	}
	shown := make(map[string]string)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X"} {
		shown["a Secret by "+verb] = fmt.Sprintf(verb, c.ClientSecret)
		shown["the keys by "+verb] = fmt.Sprintf(verb, c.AppSecretKeys)
		shown["the Config by "+verb] = fmt.Sprintf(verb, *c)
		shown["a pointer to the Config by "+verb] = fmt.Sprintf(verb, c)
	}
	shown["errors"] = fmt.Errorf("no secret %w", fmt.Errorf("%v", c.ClientSecret)).Error()
	shown["concatenation"] = fmt.Sprint(c.ClientSecret, *c)
	for name, v := range map[string]any{"a Secret": c.ClientSecret, "the keys": c.AppSecretKeys, "the Config": *c, "a pointer to the Config": c} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%s as JSON: %v", name, err)
		}
		shown[name+" as JSON"] = string(text)
	}

	for name, handler := range map[string]func(*bytes.Buffer) slog.Handler{
		"text": func(w *bytes.Buffer) slog.Handler { return slog.NewTextHandler(w, nil) },
		"JSON": func(w *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(w, nil) },
	} {
		var log bytes.Buffer
		slog.New(handler(&log)).With("with", c).WithGroup("group").Info("message",
			"secret", c.ClientSecret, "keys", c.AppSecretKeys, "config", *c, "pointer", c,
			slog.Group("nested", "secret", c.AdminPassword))
		shown["slog as "+name] = log.String()
	}

	hex := fmt.Sprintf("%x", "SECRET")
	for name, text := range shown {
		if strings.Contains(text, "SECRET") || strings.Contains(strings.ToLower(text), hex) {
			t.Errorf("%s shows a secret: %s", name, text)
		}
		if text == "" {
			t.Errorf("%s shows nothing at all", name)
		}
	}
}

// TestSecretsNotInFaults: the error goes to the terminal and the journal.
func TestSecretsNotInFaults(t *testing.T) {
	_, err := load(t, secrets.with(settings{
		"APP_SECRET_KEY": "SECRET-too-short SECRET-key-of-32-characters-or-more SECRET-key-of-32-characters-or-more",
		"ISSUER":         "login.example.com",
		"CLIENT_AUTH":    "both",
	}))
	if err == nil || !strings.Contains(err.Error(), "APP_SECRET_KEY") {
		t.Fatalf("Load: %v, want an error that names APP_SECRET_KEY", err)
	}
	if strings.Contains(err.Error(), "SECRET-") {
		t.Errorf("the error shows a secret: %v", err)
	}
}

// A comment in place of a value, as in a README's block, must not become a
// secret that everybody can read.
func TestOnlyComments(t *testing.T) {
	file := filepath.Join(t.TempDir(), ".env")
	text := "\ufeffPORT=5001\nCLIENT_SECRET=   # openssl rand -hex 32\nUSER_PASSWORD=\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := config.Load(settings{}.get, file, config.Options{})
	if err == nil || !strings.Contains(err.Error(), "CLIENT_SECRET has only a comment") || strings.Contains(err.Error(), "USER_PASSWORD") {
		t.Errorf("Load: %v, want a sentence about CLIENT_SECRET only", err)
	}
}
