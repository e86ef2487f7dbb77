package config_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"changebank/internal/config"
)

// Tunnels as a free ngrok account has them.
const (
	bankTunnel = "https://bank.ngrok-free.app"
	demoTunnel = "https://demo.ngrok-free.app"
)

// ngrok is an agent with these tunnels. With nil it does not answer.
func ngrok(tunnels map[int][]string) config.Options {
	return config.Options{Tunnels: func(string) (map[int][]string, error) {
		if tunnels == nil {
			return nil, errors.New("no ngrok agent listens")
		}
		return tunnels, nil
	}}
}

// lan is a machine with these addresses, each with its interface's name.
func lan(addrs map[string]string) config.Options {
	return config.Options{Addresses: func() (map[netip.Addr]string, error) {
		found := make(map[netip.Addr]string)
		for addr, name := range addrs {
			found[netip.MustParseAddr(addr)] = name
		}
		return found, nil
	}}
}

var (
	both    = ngrok(map[int][]string{5000: {bankTunnel}, 9011: {demoTunnel}})
	oneLAN  = lan(map[string]string{"192.168.1.20": "wlan0"})
	noLAN   = lan(nil)
	twoLANs = lan(map[string]string{"192.168.1.20": "wlan0", "10.0.0.5": "eth0"})
)

func TestReach(t *testing.T) {
	atTunnel := provider.with(settings{"ISSUER": demoTunnel})
	tests := []struct {
		name            string
		options         config.Options
		env             settings
		appURL, demoURL string
	}{
		{"ngrok", both, nil, bankTunnel, demoTunnel},
		{"ngrok, already set", both, settings{"APP_URL": bankTunnel + "/", "DEMO_URL": demoTunnel, "DEMO": "public"}, bankTunnel, demoTunnel},
		{
			"ngrok, other ports", ngrok(map[int][]string{5001: {bankTunnel}, 9012: {demoTunnel}, 5000: {"https://other.ngrok-free.app"}}),
			settings{"PORT": "5001", "DEMO_PORT": "9012"}, bankTunnel, demoTunnel,
		},
		{
			"ngrok, http beside https", ngrok(map[int][]string{5000: {"http://bank.ngrok-free.app", bankTunnel}, 9011: {demoTunnel, "http://demo.ngrok-free.app"}}),
			nil, bankTunnel, demoTunnel,
		},
		{
			"ngrok, two to one port", ngrok(map[int][]string{5000: {"https://random.ngrok-free.app", bankTunnel}, 9011: {demoTunnel}}),
			settings{"APP_URL": bankTunnel}, bankTunnel, demoTunnel,
		},
		{"ngrok, a provider at a tunnel", both, atTunnel, bankTunnel, ""},
		{"ngrok, a provider elsewhere", ngrok(map[int][]string{5000: {bankTunnel}}), provider, bankTunnel, ""},
		{"ngrok, a provider and no port for the demo", both, atTunnel.with(settings{"DEMO_PORT": "0"}), bankTunnel, ""},
		{"LAN", oneLAN, nil, "http://192.168.1.20:5000", "http://192.168.1.20:9011"},
		{"LAN, other ports", oneLAN, settings{"PORT": "80", "DEMO_PORT": "8080"}, "http://192.168.1.20", "http://192.168.1.20:8080"},
		{"LAN, already set", oneLAN, settings{"PORT": "80", "APP_URL": "http://192.168.1.20", "DEMO_URL": "http://192.168.1.20:9011"}, "http://192.168.1.20", "http://192.168.1.20:9011"},
		{"LAN, chosen", twoLANs, settings{"LISTEN": "192.168.1.20"}, "http://192.168.1.20:5000", "http://192.168.1.20:9011"},
		{"LAN, chosen beside loopback", noLAN, settings{"LISTEN": "127.0.0.1, ::1, 192.168.1.20"}, "http://192.168.1.20:5000", "http://192.168.1.20:9011"},
		{"LAN, a provider in it", oneLAN, provider.with(settings{"ISSUER": "http://192.168.1.30:9011"}), "http://192.168.1.20:5000", ""},
		{"LAN, a provider elsewhere", oneLAN, provider, "http://192.168.1.20:5000", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := loadWith(t, tt.env, tt.options)
			if err != nil {
				t.Fatalf("Load(%v): %v", tt.env, err)
			}
			if c.AppURL != tt.appURL || c.DemoURL != tt.demoURL {
				t.Errorf("AppURL and DemoURL are %q and %q, want %q and %q", c.AppURL, c.DemoURL, tt.appURL, tt.demoURL)
			}
			listen := []string{"127.0.0.1", "::1"}
			if c.LAN {
				listen = []string{"192.168.1.20", "127.0.0.1", "::1"}
			}
			if !slices.Equal(c.Listen, listen) {
				t.Errorf("Listen is %q, want %q", c.Listen, listen)
			}
			if !c.Exposed() {
				t.Error("Exposed() is false, want true: a phone must reach it")
			}
			if c.UserPassword != "" || c.AdminPassword != "" {
				t.Error("the default password is set, which is public")
			}
		})
	}
}

var (
	localIssuer = provider.with(settings{"ISSUER": "http://localhost:9011"})
	oldTunnel   = provider.with(settings{"ISSUER": "https://old.ngrok-free.app"})
	onlyBank    = ngrok(map[int][]string{5000: {bankTunnel}})
)

// reachFaults are mistakes that get one sentence each, which says what to do.
var reachFaults = []struct {
	name    string
	options config.Options
	env     settings
	want    []string // words of the message
}{
	{"no agent", ngrok(nil), nil, []string{"-ngrok", "no ngrok agent listens"}},
	{"no tunnel", ngrok(map[int][]string{}), nil, []string{"no tunnel", "ngrok start --all --config ngrok.yml"}},
	{"no tunnel to the bank", ngrok(map[int][]string{9011: {demoTunnel}}), nil, []string{"port 5000 (PORT)", "upstream: {url: 5000}", "ngrok start --all --config ngrok.yml"}},
	{"no tunnel to the demo", onlyBank, nil, []string{"port 9011 (DEMO_PORT)", "upstream: {url: 9011}", "ngrok start --all --config ngrok.yml"}},
	{"both at one address", ngrok(map[int][]string{5000: {bankTunnel}, 9011: {bankTunnel}}), nil, []string{"both tunnels are at " + bankTunnel, "url of its own"}},
	{"http", ngrok(map[int][]string{5000: {"http://bank.ngrok-free.app"}, 9011: {demoTunnel}}), nil, []string{"port 5000", "http://bank.ngrok-free.app", "https url"}},
	{"another APP_URL", both, settings{"APP_URL": "https://old.ngrok-free.app"}, []string{"APP_URL is https://old.ngrok-free.app", bankTunnel, "remove APP_URL"}},
	{"another APP_URL with a provider", both, oldTunnel.with(settings{"ISSUER": demoTunnel, "APP_URL": "http://localhost:5000"}), []string{"APP_URL is http://localhost:5000", bankTunnel, "docker compose down -v && docker compose up -d"}},
	{"APP_URL with http", ngrok(map[int][]string{5000: {bankTunnel, "http://bank.ngrok-free.app"}, 9011: {demoTunnel}}), settings{"APP_URL": "http://bank.ngrok-free.app"}, []string{"APP_URL is http://bank.ngrok-free.app", bankTunnel}},
	{"APP_URL with a path", both, settings{"APP_URL": bankTunnel + "/bank"}, []string{"APP_URL", "without a path"}},
	{"another DEMO_URL", both, settings{"DEMO_URL": "https://old.ngrok-free.app"}, []string{"DEMO_URL is https://old.ngrok-free.app", demoTunnel, "remove DEMO_URL"}},
	{"issuer on loopback", both, localIssuer, []string{"ISSUER is http://localhost:9011", demoTunnel, "docker compose down -v"}},
	{"issuer on loopback without a tunnel", onlyBank, localIssuer, []string{"ISSUER is http://localhost:9011", "no tunnel leads there", "upstream: {url: 9011}"}},
	{"issuer's old tunnel", both, oldTunnel, []string{"ISSUER is https://old.ngrok-free.app", demoTunnel, "docker compose down -v"}},
	{"issuer's old tunnel, no tunnel now", onlyBank, oldTunnel, []string{"ISSUER is https://old.ngrok-free.app", "no tunnel leads there"}},
	{"issuer with a slash", both, oldTunnel.with(settings{"ISSUER": demoTunnel + "/"}), []string{"ISSUER is " + demoTunnel + "/,", "exactly", demoTunnel + ";"}},
	{"plain http issuer", both, oldTunnel.with(settings{"ISSUER": "http://demo.ngrok-free.app"}), []string{"ISSUER is http://demo.ngrok-free.app", "use https"}},
	{"any port", both, settings{"PORT": "0"}, []string{"PORT is 0", "-ngrok"}},
	{"any port of the demo", both, settings{"DEMO_PORT": "0"}, []string{"DEMO_PORT is 0", "-ngrok"}},
	{"a port of words", both, settings{"PORT": "five"}, []string{"PORT is \"five\""}},
	{"bad NGROK_API", both, settings{"NGROK_API": "4040"}, []string{"NGROK_API"}},
	{"the known password", both, settings{"USER_PASSWORD": "password"}, []string{"USER_PASSWORD", "leave it out"}},
	{"the known password of the administrator", oneLAN, settings{"ADMIN_PASSWORD": "password"}, []string{"ADMIN_PASSWORD", "leave it out"}},
	{"the known password without a flag", config.Options{}, settings{"USER_PASSWORD": "password", "LISTEN": "0.0.0.0", "DEMO": "public"}, []string{"USER_PASSWORD", "leave it out"}},
	{"a password of one character", both, settings{"USER_PASSWORD": "a"}, []string{"USER_PASSWORD is shorter than 12 characters", "leave it out"}},
	{"a password of 11 characters", oneLAN, settings{"ADMIN_PASSWORD": "é-eleven-ch"}, []string{"ADMIN_PASSWORD is shorter than 12 characters"}},
	{"a short password at a public name", config.Options{}, settings{"APP_URL": "https://bank.example.com", "DEMO": "public", "USER_PASSWORD": "a"}, []string{"USER_PASSWORD is shorter"}},
	{"a short password behind a proxy", config.Options{}, settings{"APP_URL": "http://192.168.1.20", "USER_PASSWORD": "a"}, []string{"USER_PASSWORD is shorter"}},

	{"no LAN", noLAN, nil, []string{"-lan", "no private IPv4 address", "LISTEN=192.168.1.20 go run . -lan"}},
	{"several LANs", twoLANs, nil, []string{"10.0.0.5 (eth0), 192.168.1.20 (wlan0)", "LISTEN=192.168.1.20 go run . -lan"}},
	{"LAN that cannot be listed", config.Options{Addresses: func() (map[netip.Addr]string, error) { return nil, errors.New("no permission") }}, nil, []string{"-lan: no permission"}},
	{"a public address", oneLAN, settings{"LISTEN": "203.0.113.7"}, []string{`LISTEN is "203.0.113.7"`, "private IPv4"}},
	{"all addresses", oneLAN, settings{"LISTEN": "0.0.0.0"}, []string{"LISTEN", "private IPv4"}},
	{"IPv6", oneLAN, settings{"LISTEN": "fd00::1"}, []string{"LISTEN", "private IPv4"}},
	{"only loopback", oneLAN, settings{"LISTEN": "127.0.0.1"}, []string{"LISTEN", "private IPv4"}},
	{"two addresses", oneLAN, settings{"LISTEN": "192.168.1.20, 10.0.0.5"}, []string{"LISTEN", "one private IPv4"}},
	{"LISTEN by name", oneLAN, settings{"LISTEN": "wlan0"}, []string{"LISTEN has"}},
	{"another APP_URL in the LAN", oneLAN, settings{"APP_URL": "http://localhost:5000"}, []string{"APP_URL is http://localhost:5000", "http://192.168.1.20:5000", "remove APP_URL"}},
	{"another DEMO_URL in the LAN", oneLAN, settings{"DEMO_URL": "http://localhost:9011"}, []string{"DEMO_URL is http://localhost:9011", "http://192.168.1.20:9011", "remove DEMO_URL"}},
	{"issuer on loopback in the LAN", oneLAN, localIssuer, []string{"ISSUER is http://localhost:9011", "a phone would look for on itself", "docker compose down -v"}},
	{"plain http issuer by name", oneLAN, localIssuer.with(settings{"ISSUER": "http://login.lan:9011"}), []string{"ISSUER is http://login.lan:9011", "use https, or a private address"}},
	{"plain http issuer, public", oneLAN, localIssuer.with(settings{"ISSUER": "http://203.0.113.7"}), []string{"ISSUER is http://203.0.113.7", "use https"}},
}

func TestReachFaults(t *testing.T) {
	for _, tt := range reachFaults {
		t.Run(tt.name, func(t *testing.T) {
			_, err := loadWith(t, tt.env, tt.options)
			wantFault(t, err, tt.want...)
		})
	}
}

// The agent is asked at the address in NGROK_API.
func TestNgrokAPI(t *testing.T) {
	var asked []string
	options := config.Options{Tunnels: func(api string) (map[int][]string, error) {
		asked = append(asked, api)
		return map[int][]string{5000: {bankTunnel}, 9011: {demoTunnel}}, nil
	}}
	for _, api := range []string{"", "http://127.0.0.1:4041/api"} {
		if _, err := loadWith(t, settings{"NGROK_API": api}, options); err != nil {
			t.Fatalf("NGROK_API=%q: %v", api, err)
		}
	}
	want := []string{"http://127.0.0.1:4040/api", "http://127.0.0.1:4041/api"}
	if !slices.Equal(asked, want) {
		t.Errorf("asked at %q, want %q", asked, want)
	}
}

// Other faults are reported as well.
func TestReachFaultsAtOnce(t *testing.T) {
	_, err := loadWith(t, settings{"LOG_LEVEL": "loud", "CODE_LIFETIME": "never"}, ngrok(nil))
	for _, want := range []string{"LOG_LEVEL", "CODE_LIFETIME", "no ngrok agent"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Load: %v\nwant %q in it", err, want)
		}
	}
}
