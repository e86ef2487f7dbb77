package config_test

import (
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

// settings are variables of the environment.
type settings map[string]string

// provider is the minimum that a real provider needs.
var provider = settings{
	"ISSUER":        "https://login.example.com",
	"CLIENT_ID":     "bank",
	"CLIENT_SECRET": "client-secret",
}

// with returns the settings with changes. An empty value counts as not set.
func (s settings) with(changes settings) settings {
	all := maps.Clone(s)
	maps.Copy(all, changes)
	return all
}

func (s settings) environ() []string {
	var environ []string
	for name, value := range s {
		environ = append(environ, name+"="+value)
	}
	return environ
}

// load reads the settings without a .env.
func load(t *testing.T, env settings) (*config.Config, error) {
	t.Helper()
	return loadWith(t, env, config.Options{})
}

// loadWith is load with options.
func loadWith(t *testing.T, env settings, options config.Options) (*config.Config, error) {
	t.Helper()
	return config.Load(env.environ(), filepath.Join(t.TempDir(), ".env"), options)
}

func mustLoad(t *testing.T, env settings) *config.Config {
	t.Helper()
	c, err := load(t, env)
	if err != nil {
		t.Fatalf("Load(%v): %v", env, err)
	}
	return c
}

// wantFault checks that err is one line, with each of words in it.
func wantFault(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want one with %q", words)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("Load: %v\nwant %q in it", err, word)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("Load: %v\nwant one line", err)
	}
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
		Listen:        []string{"127.0.0.1", "::1"}, // other machines only when asked for
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
		Limits:        config.Limits{CodesPerAddress: 60, Live: 10000, WrongCodes: 10, WrongNumbers: 3},
		TrustedProxies: []netip.Prefix{
			netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"),
		},
		SessionIdle: 24 * time.Hour, SessionLifetime: 7 * 24 * time.Hour,
		SessionRecheck: 10 * time.Minute,

		LogFormat: "text",
		LogLevel:  slog.LevelInfo,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("without settings Load returns\n%+v, want\n%+v", got, want)
	}
}

// everySetting sets each setting to something other than its default. It has
// the names of [config.Names], so a setting that is read but not in that list,
// or is in the list but not read, shows in TestEverySetting.
var everySetting = settings{
	"ISSUER":           "https://login.example.com/",
	"APP_URL":          "https://bank.example.com",
	"PORT":             "8080",
	"LISTEN":           "0.0.0.0,::",
	"DEMO_URL":         "https://demo.example.com",
	"DEMO_PORT":        "9999",
	"DEMO":             "public",
	"NGROK_API":        "http://localhost:4041/api",
	"CLIENT_ID":        "bank",
	"CLIENT_SECRET":    " client-secret ",
	"CLIENT_AUTH":      "basic",
	"SCOPES":           "openid  email",
	"USER_PASSWORD":    "user-password",
	"ADMIN_PASSWORD":   "admin-password",
	"APP_SECRET_KEY":   "the-first-key-of-32-characters-or-more, the-second-key-of-32-characters-or-more",
	"DATA_DIR":         "/data",
	"REDIS_URL":        "redis://user:redis-password@redis.example.com:6380/2",
	"CODE_LIFETIME":    "2m30s",
	"SHUTDOWN_DELAY":   "7s",
	"METRICS_LISTEN":   "10.1.2.3:9464, [::1]:9465",
	"SESSION_IDLE":     "20m",
	"SESSION_LIFETIME": "12h",
	"SESSION_RECHECK":  "3m",
	"TRUSTED_PROXIES":  "10.1.2.3/8, 192.0.2.1, 2001:db8::/32",
	"SHARED_NETWORKS":  "203.0.113.7, ::ffff:203.0.113.8",
	"CONFIRM_NUMBER":   "always",
	"QR_ALLOW_FROM":    "198.51.100.0/24",

	"LIMIT_CODES_PER_ADDRESS": "1",
	"LIMIT_LIVE":              "2",
	"LIMIT_WRONG_CODES":       "3",
	"LIMIT_WRONG_NUMBERS":     "4",
	"GEOIP_DB":                "/data/GeoLite2-City.mmdb",
	"LOG_FORMAT":              "json",
	"LOG_LEVEL":               "debug",
}

func TestEverySetting(t *testing.T) {
	names := config.Names()
	slices.Sort(names)
	if got := slices.Sorted(maps.Keys(everySetting)); !slices.Equal(got, names) {
		t.Errorf("this test sets\n%q, want all of Names\n%q", got, names)
	}
	got := mustLoad(t, everySetting)
	want := &config.Config{
		Issuer:        "https://login.example.com/", // byte for byte: it is compared with the issuer in tokens
		AppURL:        "https://bank.example.com",
		Port:          8080,
		Listen:        []string{"0.0.0.0", "::"},
		DemoURL:       "https://demo.example.com",
		DemoPort:      9999,
		NgrokAPI:      "http://localhost:4041/api",
		ClientID:      "bank",
		ClientSecret:  "client-secret",
		ClientAuth:    "basic",
		Scopes:        []string{"openid", "email"},
		UserPassword:  "user-password",
		AdminPassword: "admin-password",
		AppSecretKeys: []config.Secret{"the-first-key-of-32-characters-or-more", "the-second-key-of-32-characters-or-more"},
		DataDir:       "/data",
		RedisURL:      "redis://user:redis-password@redis.example.com:6380/2",
		ConfirmNumber: "always",
		CodeLifetime:  150 * time.Second,
		ShutdownDelay: 7 * time.Second,
		MetricsListen: []netip.AddrPort{netip.MustParseAddrPort("10.1.2.3:9464"), netip.MustParseAddrPort("[::1]:9465")},

		SessionIdle: 20 * time.Minute, SessionLifetime: 12 * time.Hour,
		SessionRecheck: 3 * time.Minute,

		QRAllowFrom: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")},
		Limits:      config.Limits{CodesPerAddress: 1, Live: 2, WrongCodes: 3, WrongNumbers: 4},
		TrustedProxies: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("2001:db8::/32"),
		},
		SharedNetworks: []netip.Prefix{netip.MustParsePrefix("203.0.113.7/32"), netip.MustParsePrefix("203.0.113.8/32")},

		GeoIPDB:   "/data/GeoLite2-City.mmdb",
		LogFormat: "json",
		LogLevel:  slog.LevelDebug,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Load returns\n%+v, want\n%+v (or the secrets, which are hidden, differ)", got, want)
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

// The password is not shown. With REDIS_URL, nothing is kept in DATA_DIR, so it
// needs none.
func TestRedisURL(t *testing.T) {
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "AppData", "home"} {
		t.Setenv(name, "")
	}
	for url, want := range map[string]string{
		"redis://localhost":                             "the Redis at localhost",
		"rediss://user:SECRET-5@redis.example.com:1/2":  "the Redis at redis.example.com:1",
		"unix:///run/redis.sock?db=3":                   "the Redis at /run/redis.sock",
		"redis://:SECRET-%40%3A%2F%23%3F%25@[::1]:6379": "the Redis at [::1]:6379",
	} {
		c := mustLoad(t, settings{"REDIS_URL": url, "APP_SECRET_KEY": key})
		if got := c.DataPlace(); got != want {
			t.Errorf("REDIS_URL=%s: DataPlace() = %q, want %q", url, got, want)
		}
		if text := fmt.Sprintf("%+v", c); strings.Contains(text, "SECRET-") {
			t.Errorf("printing the settings shows the password: %s", text)
		}
	}
}

func TestWarnings(t *testing.T) {
	for appURL, want := range map[string]string{
		"":                         "",
		"http://192.168.1.20:5000": "",
		"https://bank.example.com": "",
		"http://bank.example.com":  "APP_URL is http://bank.example.com",
		"HTTP://203.0.113.7:5000/": "APP_URL is http://203.0.113.7:5000",
	} {
		got := strings.Join(mustLoad(t, provider.with(settings{"APP_URL": appURL})).Warnings(), "\n")
		if (got == "") != (want == "") || !strings.Contains(got, want) {
			t.Errorf("APP_URL=%q: Warnings() = %q, want %q", appURL, got, want)
		}
	}
}

// A short SESSION_LIFETIME alone is enough: the default of SESSION_IDLE follows.
func TestShortLifetime(t *testing.T) {
	c := mustLoad(t, settings{"SESSION_LIFETIME": "8h"})
	if c.SessionIdle != 8*time.Hour || c.SessionLifetime != 8*time.Hour {
		t.Errorf("a session may be idle for %v and lasts %v, want 8h each", c.SessionIdle, c.SessionLifetime)
	}
}

// 0 is below the shortest time, and turns the recheck off.
func TestSessionRecheckOff(t *testing.T) {
	for _, text := range []string{"0", "0s"} {
		if c := mustLoad(t, settings{"SESSION_RECHECK": text}); c.SessionRecheck != 0 {
			t.Errorf("SESSION_RECHECK=%s is %v, want 0", text, c.SessionRecheck)
		}
	}
}
