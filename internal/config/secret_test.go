package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"changebank/internal/config"
)

// Two keys that were read as one would open nothing, and log everyone out.
func TestSecretKeys(t *testing.T) {
	const one, two = "the-first-key-of-32-characters-or-more", "the-second-key-of-32-characters-or-more"
	for _, between := range []string{",", " ", ", ", " , ", "\t", "\n", "\r\n", "\u00a0", " \t\n,"} {
		c, err := load(t, settings{"APP_SECRET_KEY": one + between + two})
		if err != nil {
			t.Errorf("keys with %q between them: %v", between, err)
			continue
		}
		if !slices.Equal(c.AppSecretKeys, []config.Secret{one, two}) {
			t.Errorf("with %q between two keys, AppSecretKeys has %d other keys", between, len(c.AppSecretKeys))
		}
	}
}

var secrets = settings{
	"CLIENT_SECRET":  "SECRET-of-the-client",
	"USER_PASSWORD":  "SECRET-of-the-user",
	"ADMIN_PASSWORD": "SECRET-of-the-admin",
	"APP_SECRET_KEY": "SECRET-key-of-32-characters-or-more,SECRET-old-key-of-32-characters-or-more",
}

// Configurations get logged, printed in bug reports, and served by debug pages.
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
			t.Errorf("%s is empty", name)
		}
	}
}

// The error goes to the terminal and the journal.
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
