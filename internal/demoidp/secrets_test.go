package demoidp

import (
	"regexp"
	"testing"

	"changebank/internal/config"
	"changebank/internal/teststore"
)

func TestDeriveSecrets(t *testing.T) {
	const key, otherKey = "0123456789abcdef0123456789abcdef", "another key of thirty-two letters"
	derive := func(key string, cfg config.Config) (config.Config, string) {
		shown := deriveSecrets(&cfg, openStore(t, teststore.File(t), key))
		return cfg, shown
	}
	first, shown := derive(key, config.Config{})
	if !regexp.MustCompile(`^[a-hjkmnp-z]{4}(-[a-hjkmnp-z]{4}){2}$`).MatchString(shown) || string(first.UserPassword) != shown {
		t.Errorf("password %q, shown %q", string(first.UserPassword), shown)
	}
	if len(first.ClientSecret) != 64 {
		t.Errorf("client secret of %d characters, want 64", len(first.ClientSecret))
	}
	if again, _ := derive(key, config.Config{}); again.UserPassword != first.UserPassword || again.ClientSecret != first.ClientSecret {
		t.Error("other secrets after a restart")
	}
	if other, _ := derive(otherKey, config.Config{}); other.UserPassword == first.UserPassword || other.ClientSecret == first.ClientSecret {
		t.Error("the same secrets with another key")
	}
	chosen, shown := derive(key, config.Config{UserPassword: "chosen", ClientSecret: "too"})
	if chosen.UserPassword != "chosen" || chosen.ClientSecret != "too" || shown != "" {
		t.Errorf("chosen secrets became %q and %q, shown %q", string(chosen.UserPassword), string(chosen.ClientSecret), shown)
	}
	if _, shown := derive(key, config.Config{UserPassword: config.KnownPassword}); shown != config.KnownPassword {
		t.Errorf("shown %q, want %q", shown, config.KnownPassword)
	}
}
