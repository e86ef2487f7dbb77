package config_test

import (
	"slices"
	"strings"
	"testing"
)

const key = "0123456789abcdef0123456789abcdef"

// faults are settings with one fault each, and what its line says.
var faults = []struct {
	name string
	env  settings
	want []string
}{
	{"port of words", settings{"PORT": "five"}, []string{"PORT", `"five"`}},
	{"port too high", settings{"PORT": "65536"}, []string{"PORT", "65535"}},
	{"port below zero", settings{"PORT": "-1"}, []string{"PORT"}},
	{"demo port", settings{"DEMO_PORT": "9011x"}, []string{"DEMO_PORT"}},
	{"equal ports", settings{"PORT": "9011"}, []string{"PORT and DEMO_PORT are both 9011"}},
	{"listen on a name", settings{"LISTEN": "localhost"}, []string{"LISTEN", `"localhost"`}},
	{"listen with a port", settings{"LISTEN": "127.0.0.1, 127.0.0.1:80"}, []string{"LISTEN", "127.0.0.1:80"}},
	{"listen on two names", settings{"LISTEN": "localhost, wlan0, localhost"}, []string{`LISTEN has "localhost" and "wlan0";`}},
	{"client auth", settings{"CLIENT_AUTH": "jwt"}, []string{"CLIENT_AUTH", `"jwt"`, "auto or post or basic or none"}},
	{"public client of the demo", settings{"CLIENT_AUTH": "none"}, []string{"CLIENT_AUTH"}},
	{"scopes without openid", settings{"SCOPES": "email profile"}, []string{"SCOPES", `"email profile"`, "openid"}},
	{"scopes with commas", settings{"SCOPES": "openid,email"}, []string{"SCOPES", "spaces"}},
	{"short key", settings{"APP_SECRET_KEY": key[:31]}, []string{"APP_SECRET_KEY", "31", "32", "openssl rand"}},
	{"short second key", settings{"APP_SECRET_KEY": key + "," + key[:16]}, []string{"APP_SECRET_KEY", "16"}},
	{"three keys", settings{"APP_SECRET_KEY": key + " " + key + " " + key}, []string{"APP_SECRET_KEY", "3 keys"}},
	{"confirm", settings{"CONFIRM_NUMBER": "sometimes"}, []string{"CONFIRM_NUMBER", `"sometimes"`, "auto or always or never"}},
	{"allowed from a name", settings{"QR_ALLOW_FROM": "office"}, []string{"QR_ALLOW_FROM", `"office"`}},
	{"a limit of zero", settings{"LIMIT_WRONG_NUMBERS": "0"}, []string{"LIMIT_WRONG_NUMBERS", `"0"`, "1 or more"}},
	{"a limit below zero", settings{"LIMIT_CODES_PER_ADDRESS": "-1"}, []string{"LIMIT_CODES_PER_ADDRESS", `"-1"`, "1 or more"}},
	{"a limit of words", settings{"LIMIT_LIVE": "many"}, []string{"LIMIT_LIVE", `"many"`}},
	{"lifetime without a unit", settings{"CODE_LIFETIME": "300"}, []string{"CODE_LIFETIME", `"300"`}},
	{"lifetime too short", settings{"CODE_LIFETIME": "29s"}, []string{"CODE_LIFETIME", "30s"}},
	{"lifetime too long", settings{"CODE_LIFETIME": "31m"}, []string{"CODE_LIFETIME", "30m"}},
	{"lifetime below zero", settings{"CODE_LIFETIME": "-5m"}, []string{"CODE_LIFETIME"}},
	{"idle for too short a time", settings{"SESSION_IDLE": "4m59s"}, []string{"SESSION_IDLE", "from 5m0s to 720h0m0s"}},
	{"idle for too long", settings{"SESSION_IDLE": "721h", "SESSION_LIFETIME": "2000h"}, []string{"SESSION_IDLE", "720h"}},
	{"idle forever", settings{"SESSION_IDLE": "0"}, []string{"SESSION_IDLE"}},
	{"idle in days", settings{"SESSION_IDLE": "1d"}, []string{"SESSION_IDLE", `"1d"`}},
	{"a session for minutes", settings{"SESSION_LIFETIME": "14m"}, []string{"SESSION_LIFETIME", "from 15m0s to 2160h0m0s"}},
	{"a session for a year", settings{"SESSION_LIFETIME": "8760h"}, []string{"SESSION_LIFETIME", "2160h"}},
	{"idle for longer than a session lasts", settings{"SESSION_IDLE": "48h", "SESSION_LIFETIME": "12h"}, []string{"SESSION_IDLE is 48h0m0s", "SESSION_LIFETIME", "12h0m0s"}},
	{"idle for longer than the default", settings{"SESSION_IDLE": "169h"}, []string{"SESSION_IDLE is 169h", "SESSION_LIFETIME", "168h"}},
	{"a recheck with every page", settings{"SESSION_RECHECK": "1ms"}, []string{"SESSION_RECHECK", "1s"}},
	{"a recheck that comes too late", settings{"SESSION_RECHECK": "25h"}, []string{"SESSION_RECHECK", "24h"}},
	{"a recheck below zero", settings{"SESSION_RECHECK": "-1m"}, []string{"SESSION_RECHECK"}},
	{"proxies", settings{"TRUSTED_PROXIES": "10.0.0.0/40"}, []string{"TRUSTED_PROXIES", "10.0.0.0/40"}},
	{"proxies by name", settings{"TRUSTED_PROXIES": "127.0.0.1, proxy, other"}, []string{`TRUSTED_PROXIES has "proxy" and "other"`}},
	{"shared networks by name", settings{"SHARED_NETWORKS": "203.0.113.7, vpn"}, []string{`SHARED_NETWORKS has "vpn"`}},
	{"metrics without a port", settings{"METRICS_LISTEN": "127.0.0.1"}, []string{`METRICS_LISTEN has "127.0.0.1"`, "127.0.0.1:9464"}},
	{"metrics on a name", settings{"METRICS_LISTEN": "127.0.0.1:9464, localhost:9464"}, []string{`METRICS_LISTEN has "localhost:9464"`}},
	{"metrics on a port alone", settings{"METRICS_LISTEN": ":9464"}, []string{"METRICS_LISTEN", `":9464"`}},
	{"metrics for everyone", settings{"METRICS_LISTEN": "127.0.0.1:5000"}, []string{"METRICS_LISTEN has port 5000", "PORT"}},
	{"metrics for everyone, at another address", settings{"METRICS_LISTEN": "[::1]:9464, 10.0.0.1:8080", "PORT": "8080"}, []string{"METRICS_LISTEN has port 8080", "PORT"}},
	{"metrics on the demo's port", settings{"METRICS_LISTEN": "0.0.0.0:9011"}, []string{"METRICS_LISTEN has port 9011", "DEMO_PORT"}},
	{"log format", settings{"LOG_FORMAT": "xml"}, []string{"LOG_FORMAT", "text or json"}},
	{"log level", settings{"LOG_LEVEL": "loud"}, []string{"LOG_LEVEL", `"loud"`}},
	{"APP_URL with a path", settings{"APP_URL": "http://localhost/bank"}, []string{"APP_URL", "/bank"}},
	{"APP_URL with a query", settings{"APP_URL": "http://localhost?a=b"}, []string{"APP_URL"}},
	{"APP_URL with a fragment", settings{"APP_URL": "http://localhost#a"}, []string{"APP_URL"}},
	{"APP_URL with a user", settings{"APP_URL": "http://me@localhost"}, []string{"APP_URL"}},
	{"APP_URL without a scheme", settings{"APP_URL": "bank.example.com"}, []string{"APP_URL is \"bank.example.com\""}},
	{"APP_URL without a host", settings{"APP_URL": "https://"}, []string{"APP_URL"}},
	{"APP_URL of another scheme", settings{"APP_URL": "ftp://localhost"}, []string{"APP_URL is \"ftp://localhost\""}},
	{"APP_URL that is no URL", settings{"APP_URL": "http://[::1"}, []string{"APP_URL is \"http://[::1\""}},
	{"APP_URL with a good DEMO_URL", settings{"APP_URL": "bank.example.com", "DEMO_URL": "http://localhost:9011"}, []string{"APP_URL"}},
	{"APP_URL with a provider", provider.with(settings{"APP_URL": "bank.example.com"}), []string{"APP_URL"}},
	{"APP_URL not in ASCII", provider.with(settings{"APP_URL": "https://bücher.example"}), []string{"APP_URL", "spells that host differently"}},
	{"APP_URL with escapes", provider.with(settings{"APP_URL": "https://b%61nk.example"}), []string{"APP_URL"}},
	{"APP_URL of a short IPv4 address", settings{"APP_URL": "http://127.1:5000"}, []string{"APP_URL", "spells that host differently"}},
	{"APP_URL of a number", settings{"APP_URL": "http://2130706433"}, []string{"APP_URL", "spells that host differently"}},
	{"APP_URL of a long IPv6 address", settings{"APP_URL": "http://[0:0:0:0:0:0:0:1]:5000"}, []string{"APP_URL", "spells that host differently"}},
	{"APP_URL with a zone", settings{"APP_URL": "http://[fe80::1%25eth0]:5000"}, []string{"APP_URL", "spells that host differently"}},
	{"DEMO_URL with a path", settings{"DEMO_URL": "http://localhost:9011/idp"}, []string{"DEMO_URL", "/idp"}},
	{"DEMO_URL without a scheme", settings{"DEMO_URL": "localhost"}, []string{"DEMO_URL"}},
	{"agent's API without a scheme", settings{"NGROK_API": "localhost:4040"}, []string{"NGROK_API is \"localhost:4040\"", "http://127.0.0.1:4040/api"}},
	{"agent's API that is no URL", settings{"NGROK_API": "http://[::1"}, []string{"NGROK_API"}},
	{"plain http issuer", provider.with(settings{"ISSUER": "http://login.example.com"}), []string{"ISSUER", "http://login.example.com", "use https"}},
	{"plain http issuer, private", provider.with(settings{"ISSUER": "http://192.168.1.20:9011"}), []string{"ISSUER", "use https"}},
	{"plain http issuer, nearly loopback", provider.with(settings{"ISSUER": "http://localhost.example.com"}), []string{"ISSUER", "use https"}},
	{"public demo", settings{"APP_URL": "https://bank.example.com"}, []string{"APP_URL", "https://bank.example.com", "ISSUER", "DEMO=public"}},
	{"unknown word for DEMO", settings{"DEMO": "yes"}, []string{"DEMO", `"yes"`, "public"}},
	{"issuer without a scheme", provider.with(settings{"ISSUER": "login.example.com"}), []string{"ISSUER", "login.example.com"}},
	{"issuer of another scheme", provider.with(settings{"ISSUER": "file:///etc/passwd"}), []string{"ISSUER"}},
	{"issuer without a client", provider.with(settings{"CLIENT_ID": ""}), []string{"CLIENT_ID"}},
	{"Redis without a scheme", withRedis("localhost:6379"), []string{"REDIS_URL", "like redis://user:password@host:6379/0"}},
	{"Redis of another scheme", withRedis("http://localhost"), []string{"REDIS_URL", "scheme"}},
	{"Redis with a word for the port", withRedis("redis://u:SECRET-5@host:port"), []string{"REDIS_URL cannot be read"}},
	{"Redis with a word for the database", withRedis("redis://u:SECRET-5@host/bank"), []string{"REDIS_URL cannot be read", "number"}},
	{"Redis with an @ in the password", withRedis("redis://u:SECRET-5@/x@host"), []string{"REDIS_URL cannot be read"}},
	{"Redis with a # in the password", withRedis("redis://u:SECRET-5#x@host"), []string{"REDIS_URL cannot be read", "# as %23"}},
	{"Redis without a host", withRedis("redis://u:SECRET-5:6379"), []string{"REDIS_URL cannot be read"}},
	{"Redis with a % in the password", withRedis("redis://u:SECRET-5%zz@host"), []string{"REDIS_URL cannot be read", "% as %25"}},
	{"Redis with options", withRedis("redis://u:SECRET-5@host?max_retries=5"), []string{"REDIS_URL has something after the address"}},
	{"Redis socket without a path", withRedis("unix://"), []string{"REDIS_URL"}},
	{"Redis Sentinel", withRedis("redis://u:SECRET-5@host:26379?master_name=bank"), []string{"REDIS_URL names a Sentinel or a cluster"}},
	{"Redis Sentinel by its scheme", withRedis("redis-sentinel://host"), []string{"REDIS_URL names a Sentinel or a cluster"}},
	{"Redis with two hosts", withRedis("redis://host:1,other:2"), []string{"REDIS_URL names a Sentinel or a cluster"}},
	{"Redis without a key", settings{"REDIS_URL": "redis://localhost"}, []string{"APP_SECRET_KEY is needed with REDIS_URL"}},
	{"issuer without a secret", provider.with(settings{"CLIENT_SECRET": ""}), []string{"CLIENT_SECRET", "CLIENT_AUTH=none"}},
}

func withRedis(url string) settings { return settings{"REDIS_URL": url, "APP_SECRET_KEY": key} }

// A bad APP_URL was once three faults, two of them about settings that nobody
// had made.
func TestFaults(t *testing.T) {
	for _, tt := range faults {
		t.Run(tt.name, func(t *testing.T) {
			_, err := load(t, tt.env.with(settings{"DATA_DIR": "/data"}))
			wantFault(t, err, tt.want...)
			if err != nil && strings.Contains(err.Error(), "SECRET-") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

// Nine mistakes should not take nine starts to find.
func TestFaultsAtOnce(t *testing.T) {
	_, err := loadFile(t, settings{
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
		"CONFIRM_NUMBER":  "'never'",
		"LOG_FORMAT":      "xml",
		"LOG_LEVEL":       "loud",
		"LIMIT_LIVES":     "0",
		"DATA_DIR":        "/data",
	}, "LIMIT_WRONG_CODES=0\nLIMITS=1\n")
	if err == nil {
		t.Fatal("no error")
	}
	var found []string
	for line := range strings.Lines(err.Error()) {
		name, _, _ := strings.Cut(line, " ")
		if strings.HasSuffix(name, ".env,") {
			name = ".env"
		}
		found = append(found, name)
	}
	slices.Sort(found)
	want := []string{
		".env", "APP_SECRET_KEY", "APP_URL", "CLIENT_AUTH", "CLIENT_ID", "CLIENT_SECRET", "CODE_LIFETIME", "CONFIRM_NUMBER", "DEMO", "DEMO_PORT",
		"ISSUER", "LIMIT_WRONG_CODES", "LISTEN", "LOG_FORMAT", "LOG_LEVEL", "NGROK_API", "PORT", "TRUSTED_PROXIES", "environment:",
	}
	if !slices.Equal(found, want) {
		t.Errorf("the lines of the error begin with\n%q, want\n%q\n%v", found, want, err)
	}
}

// A demo provider that others can reach is one fault. What else is wrong with
// its settings is another.
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
