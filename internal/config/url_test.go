package config_test

import (
	"testing"

	"changebank/internal/config"
)

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
		{"http://192.168.1.5:5000", "8080", "http://192.168.1.5:5000"}, // behind a proxy they differ
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

func TestSetPorts(t *testing.T) {
	tests := []struct {
		name                    string
		env                     settings
		appURL, demoURL, issuer string // after SetPorts(1234, 5678)
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
			c.SetPorts(1234, 5678)
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

func TestExposed(t *testing.T) {
	for _, tt := range []struct {
		env  settings
		want bool
	}{
		{nil, false},
		{settings{"LISTEN": "127.0.0.1"}, false},
		{settings{"APP_URL": "http://bank.localhost:5000"}, false},
		{settings{"LISTEN": "0.0.0.0", "DEMO": "public"}, true},
		{settings{"LISTEN": "::", "DEMO": "public"}, true},
		{settings{"LISTEN": "127.0.0.1, 192.168.1.20", "DEMO": "public"}, true},
		{settings{"APP_URL": "https://bank.example.com", "DEMO": "public"}, true},
		// A proxy must stand in front of servers that listen on loopback only.
		{settings{"APP_URL": "http://192.168.1.20"}, true},
		{settings{"DEMO_URL": "https://login.example.com"}, true},
		{provider.with(settings{"DEMO_URL": "https://login.example.com"}), false}, // no demo provider runs
	} {
		if got := mustLoad(t, tt.env).Exposed(); got != tt.want {
			t.Errorf("%v: Exposed() is %t, want %t", tt.env, got, tt.want)
		}
	}
}
