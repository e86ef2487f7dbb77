package config_test

import (
	"strings"
	"testing"
)

// A misspelled setting would silently not apply: CONFIRM_NUMBERS=always would
// leave the default.
func TestUnknownSettingInFile(t *testing.T) {
	for text, want := range map[string]string{
		"LIMIT_LIVES=5":                  "did you mean LIMIT_LIVE?",
		"TRUSTED_PROXY=10.0.0.1":         "did you mean TRUSTED_PROXIES?",
		"PROT=5001":                      "did you mean PORT?",
		"port=5001":                      "did you mean PORT?",
		"export CODE_LIFETIM='2m'":       "did you mean CODE_LIFETIME?",
		"CONFRIM_NUMBER: always":         "did you mean CONFIRM_NUMBER?",
		"REDIS=redis://localhost":        "did you mean REDIS_URL?",
		"MEMCACHED=localhost":            "README.md lists them all",
		"LOG_LEVEL=warn\nLOG_LEVLE=warn": "did you mean LOG_LEVEL?",
	} {
		_, err := loadFile(t, nil, "# a comment\nLOG_FORMAT=\"text\" # another\n\n"+text+"\nLISTEN=127.0.0.1")
		line := "line 4:"
		if strings.Contains(text, "\n") {
			line = "line 5:"
		}
		wantFault(t, err, ".env, "+line+" unknown setting; "+want)
	}
}

// The line after a value of several lines has its own number.
func TestLineNumberAfterLongValue(t *testing.T) {
	const key = "0123456789abcdef0123456789abcdef"
	_, err := loadFile(t, nil, "APP_SECRET_KEY='"+key+"\n"+key+"'\r\n\r\nLIMIT_LIVES=5\r\n")
	wantFault(t, err, ".env, line 4: unknown setting")
}

// Compose reads the same file, and has settings of its own there.
func TestComposeSettingsInFile(t *testing.T) {
	if _, err := loadFile(t, nil, "COMPOSE_PROFILES=app\nDOCKER_HOST=unix:///run/docker.sock\n"); err != nil {
		t.Errorf("Load: %v", err)
	}
}

func TestUnknownSettingInEnvironment(t *testing.T) {
	for name, want := range map[string]string{
		"LIMIT_LIVES":                  "did you mean LIMIT_LIVE?",
		"LIMIT_OF_SESSIONS_PER_PERSON": "README.md lists them all",
		"QR_ALLOW_FORM":                "did you mean QR_ALLOW_FROM?",
		"CONFIRM_NUMBERS":              "did you mean CONFIRM_NUMBER?",
		"CODE_LIFE":                    "did you mean CODE_LIFETIME?",
		"TRUSTED_PROXY":                "did you mean TRUSTED_PROXIES?",
		"APP_SECRET_KEYS":              "did you mean APP_SECRET_KEY?",
		"LIMIT_WRONG_CODE":             "did you mean LIMIT_WRONG_CODES?",
	} {
		_, err := load(t, settings{name: "SECRET-5", "DATA_DIR": "/data"})
		wantFault(t, err, "environment: unknown setting "+name+"; "+want)
		if err != nil && strings.Contains(err.Error(), "SECRET-") {
			t.Errorf("the error shows the value: %v", err)
		}
	}
}

// Variables of other programs are none of our business.
func TestOtherVariables(t *testing.T) {
	mustLoad(t, settings{
		"PATH": "/bin", "PORTS": "1", "APP_ENV": "production", "LOG_LEVELS": "all", "CLIENT_IDS": "1", "NGROK_AUTHTOKEN": "1",
		"DEMO_PORT_80_TCP": "tcp://10.0.0.1:80", "DEMO_SERVICE_HOST": "10.0.0.1", // Kubernetes, with a service called demo
	})
}

// An --env-file keeps quotes, and typographic ones are no quotes to any parser.
func TestQuotedValue(t *testing.T) {
	for _, value := range []string{`"always"`, `'always'`, "“always”", "‘always’", `""`} {
		_, err := load(t, settings{"CONFIRM_NUMBER": value, "DATA_DIR": "/data"})
		wantFault(t, err, "CONFIRM_NUMBER has quotes around its value; remove them")
	}
	_, err := load(t, provider.with(settings{"CLIENT_SECRET": `"SECRET-of-the-client"`, "DATA_DIR": "/data"}))
	wantFault(t, err, "CLIENT_SECRET has quotes")
	if err != nil && strings.Contains(err.Error(), "SECRET-") {
		t.Errorf("the error shows a secret: %v", err)
	}
	_, err = loadFile(t, nil, "CONFIRM_NUMBER=“always”\n")
	wantFault(t, err, "CONFIRM_NUMBER has quotes")
	if c := mustLoad(t, settings{"USER_PASSWORD": `it's"`}); c.UserPassword != `it's"` {
		t.Error("a password that ends in a quote is changed")
	}
}
