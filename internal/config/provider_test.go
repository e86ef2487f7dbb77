package config_test

import (
	"strings"
	"testing"
)

// The password of the demo provider's users is public, so the demo provider must
// not start where others can reach it, nor in place of a provider that was
// asked for.
func TestDemoProvider(t *testing.T) {
	tests := []struct {
		name    string
		env     settings
		demo    bool
		refused string // in the error
	}{
		{"no provider", nil, true, ""},
		{"a provider", provider, false, ""},
		{"a provider, public APP_URL", provider.with(settings{"APP_URL": "https://bank.example.com"}), false, ""},
		{"a provider on loopback", provider.with(settings{"ISSUER": "http://127.0.0.2:9011"}), false, ""},
		{"a provider on loopback, IPv6", provider.with(settings{"ISSUER": "http://[::1]:9011"}), false, ""},
		{"a provider on loopback, by name", provider.with(settings{"ISSUER": "http://auth.localhost:9011"}), false, ""},
		{"a provider without a secret", provider.with(settings{"CLIENT_SECRET": "", "CLIENT_AUTH": "none"}), false, ""},
		// A local FusionAuth has the demo provider's address.
		{"a provider at the demo's address", provider.with(settings{"ISSUER": "http://localhost:9011"}), false, ""},
		{"the demo's address alone", settings{"ISSUER": "http://localhost:9011"}, false, "CLIENT_SECRET"},
		{"no provider, private", settings{"APP_URL": "http://192.168.1.5:5000"}, true, ""},
		{"no provider, public", settings{"APP_URL": "https://bank.example.com"}, true, "ISSUER"},
		{"no provider, public address", settings{"APP_URL": "http://203.0.113.7"}, true, "ISSUER"},
		{"no provider, public, DEMO=public", settings{"APP_URL": "https://bank.example.com", "DEMO": "public"}, true, ""},
		{"no provider, listening for others", settings{"LISTEN": "0.0.0.0"}, true, "ISSUER is needed to listen on 0.0.0.0"},
		{"no provider, listening for others too", settings{"LISTEN": "127.0.0.1, 192.168.1.20"}, true, "ISSUER is needed to listen on 192.168.1.20"},
		{"no provider, listening for others, DEMO=public", settings{"LISTEN": "0.0.0.0", "DEMO": "public"}, true, ""},
		{"a provider, listening for others", provider.with(settings{"LISTEN": "0.0.0.0"}), false, ""},
		{"no provider, public, DEMO=Public", settings{"APP_URL": "https://bank.example.com", "DEMO": "Public"}, true, "DEMO"},
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

// On loopback nobody else can try a password, so any will do. Elsewhere it has
// twelve characters. The passwords of a real provider are not our concern.
func TestDemoPasswords(t *testing.T) {
	mustLoad(t, settings{"USER_PASSWORD": "password", "ADMIN_PASSWORD": "a"})
	mustLoad(t, settings{"USER_PASSWORD": "é-twelve-cha", "LISTEN": "0.0.0.0", "DEMO": "public"})
	mustLoad(t, provider.with(settings{"USER_PASSWORD": "a", "LISTEN": "0.0.0.0"}))
}
