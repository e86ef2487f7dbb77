package config

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"unicode/utf8"
)

// direct reads the URLs that browsers use, where no flag finds them.
func (p *parser) direct(c *Config) {
	c.AppURL = p.origin("APP_URL", joinOrigin("http", "localhost:"+strconv.Itoa(c.Port)))
	if c.AppURL != "" || p.values["DEMO_URL"] != "" {
		c.DemoURL = p.origin("DEMO_URL", demoURL(c))
	}
}

// demoURL is AppURL with the demo provider's port.
func demoURL(c *Config) string {
	u, err := url.Parse(c.AppURL)
	if err != nil {
		return "" // it has been parsed before
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), strconv.Itoa(c.DemoPort))
}

// checkProvider checks the settings of the provider against each other.
func (p *parser) checkProvider(c *Config) {
	if demo := p.values["DEMO"]; demo != "" && demo != "public" {
		p.fault("DEMO", "is %q; it is public, or not set", demo)
	}
	if c.Demo {
		p.checkDemo(c)
	} else {
		p.checkRealProvider(c)
	}
}

func (p *parser) checkDemo(c *Config) {
	listen := slices.IndexFunc(c.Listen, func(host string) bool { return !isLoopback(host) })
	switch asked := p.values["DEMO"] == "public" || c.Ngrok || c.LAN; {
	case asked:
	case c.AppURL != "" && !c.Local():
		p.fault("APP_URL", "is %s, which others can reach, and without ISSUER anyone there can try to log in at the demo provider; "+
			"set ISSUER to your provider, or DEMO=public if that is what you want", c.AppURL)
	case listen >= 0:
		p.fault("ISSUER", "is needed to listen on %s (LISTEN), where others can connect: without it, anyone there can try to log in at the demo provider; "+
			"set ISSUER, CLIENT_ID and CLIENT_SECRET for your provider, or DEMO=public if that is what you want", c.Listen[listen])
	}
	if c.Port == c.DemoPort && c.Port != 0 {
		p.fault("PORT", "and DEMO_PORT are both %d; they must differ", c.Port)
	}
	for _, name := range []string{"USER_PASSWORD", "ADMIN_PASSWORD"} {
		length := utf8.RuneCountInString(p.values[name])
		if length > 0 && length < MinPassword && c.AppURL != "" && c.DemoURL != "" && c.Exposed() {
			p.fault(name, "is shorter than %d characters, and others can reach the demo provider, where anyone can guess; choose a longer one, or leave it out and one is made", MinPassword)
		}
	}
	if c.ClientAuth == "none" {
		p.fault("CLIENT_AUTH", "is none, but the demo provider requires the client secret; use auto, post or basic")
	}
}

func (p *parser) checkRealProvider(c *Config) {
	if u, ok := parseURL(c.Issuer); !ok {
		p.fault("ISSUER", "is %q; it is your provider's address, exactly as in its discovery document, like https://login.example.com", c.Issuer)
	} else {
		p.checkReach(c, u)
	}
	if p.values["CLIENT_ID"] == "" {
		p.fault("CLIENT_ID", "is needed with ISSUER: the application's ID at your provider")
	}
	if c.ClientSecret == "" && c.ClientAuth != "none" {
		p.fault("CLIENT_SECRET", "is needed with ISSUER: the application's secret at your provider (or CLIENT_AUTH=none if it has none)")
	}
}
