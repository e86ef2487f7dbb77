// Package config reads the settings from the environment and from .env,
// checks them, and reports everything that is wrong with them at once.
package config

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/joho/godotenv"
)

// Config is the settings. README.md has the same table in words.
type Config struct {
	Issuer   string // of the provider; the demo provider's once it is bound
	Demo     bool   // ISSUER is not set: the demo provider is started
	AppURL   string // no path, no trailing slash
	Port     int    // 0: any free one
	Listen   []string
	DemoURL  string // the demo provider's issuer
	DemoPort int    // 0: any free one
	NgrokAPI string // of the agent that Options.Tunnels asks
	Ngrok    bool   // AppURL is a tunnel's
	LAN      bool   // AppURL is an address in a network that others are in

	ClientID      string
	ClientSecret  Secret // empty with the demo provider: one is derived from the key
	ClientAuth    string // auto, post, basic or none
	UserPassword  Secret // of the demo provider's people; empty if others reach it and none is chosen: one is derived from the key
	AdminPassword Secret

	AppSecretKeys []Secret // newest first; none: one is made and kept in DataDir
	DataDir       string

	ConfirmNumber  string // auto, always or never
	CodeLifetime   time.Duration
	QRAllowFrom    []netip.Prefix // none: everybody
	Limits         Limits
	TrustedProxies []netip.Prefix

	LogFormat string // text or json
	LogLevel  slog.Level
}

// KnownPassword is that of the demo provider's people where nobody else can
// reach it, if none is chosen. It stands in the repository, so it is refused
// elsewhere.
const KnownPassword = "password"

// Options are what the command line asks for: at most one of them.
type Options struct {
	// Tunnels is set by -ngrok. It returns the public URLs of the tunnels of the
	// agent at the URL api, by the port of this machine that they lead to.
	Tunnels func(api string) (map[int][]string, error)

	// Addresses is set by -lan. It returns this machine's private IPv4
	// addresses, each with its interface's name.
	Addresses func() (map[netip.Addr]string, error)
}

// Limits say how often things may happen. README.md says what each is about.
type Limits struct {
	CodesPerAddress, CodesPerBrowser int // in ten minutes
	LivePerAddress, Live             int
	WrongCodes                       int // in ten minutes
	WrongNumbers                     int
}

// Load reads the settings. What getenv knows wins over the file at dotenv,
// which need not exist. The error names every fault, one a line.
func Load(getenv func(string) string, dotenv string, options Options) (*Config, error) {
	file, err := readFile(dotenv)
	if err != nil {
		return nil, err
	}
	var onlyComments []error
	for name, value := range file {
		if strings.HasPrefix(strings.TrimSpace(value), "#") {
			onlyComments = append(onlyComments, fmt.Errorf("%s has only a comment in %s; put the value before the #, or the comment on a line of its own", name, dotenv))
		}
	}
	if len(onlyComments) > 0 {
		return nil, errors.Join(onlyComments...)
	}
	p := &parser{get: func(name string) string { return strings.TrimSpace(cmp.Or(getenv(name), file[name])) }}
	issuer, ngrok := p.get("ISSUER"), options.Tunnels != nil
	c := &Config{
		Issuer:        issuer,
		Demo:          issuer == "",
		Port:          p.port("PORT", 5000, ngrok),
		Listen:        p.addresses("LISTEN", "127.0.0.1, ::1"),
		DemoPort:      p.port("DEMO_PORT", 9011, ngrok && issuer == ""),
		NgrokAPI:      p.api("NGROK_API", "http://127.0.0.1:4040/api"),
		Ngrok:         ngrok,
		LAN:           options.Addresses != nil,
		ClientID:      cmp.Or(p.get("CLIENT_ID"), "e9fdb985-9173-4e01-9d73-ac2d60d1dc8e"),
		ClientSecret:  Secret(p.get("CLIENT_SECRET")),
		ClientAuth:    p.oneOf("CLIENT_AUTH", "auto", "post", "basic", "none"),
		UserPassword:  Secret(p.get("USER_PASSWORD")),
		AdminPassword: Secret(p.get("ADMIN_PASSWORD")),
		AppSecretKeys: p.secretKeys("APP_SECRET_KEY"),
		DataDir:       p.dataDir("DATA_DIR"),
		ConfirmNumber: p.oneOf("CONFIRM_NUMBER", "auto", "always", "never"),
		CodeLifetime:  p.duration("CODE_LIFETIME", 5*time.Minute, 30*time.Second, 30*time.Minute),
		LogFormat:     p.oneOf("LOG_FORMAT", "text", "json"),

		TrustedProxies: p.prefixes("TRUSTED_PROXIES", "127.0.0.0/8, ::1/128"),
		QRAllowFrom:    p.prefixes("QR_ALLOW_FROM", ""),
		Limits: Limits{
			CodesPerAddress: p.count("LIMIT_CODES_PER_ADDRESS", 60),
			CodesPerBrowser: p.count("LIMIT_CODES_PER_BROWSER", 20),
			LivePerAddress:  p.count("LIMIT_LIVE_PER_ADDRESS", 30),
			Live:            p.count("LIMIT_LIVE", 10000),
			WrongCodes:      p.count("LIMIT_WRONG_CODES", 10),
			WrongNumbers:    p.count("LIMIT_WRONG_NUMBERS", 3),
		},
	}
	switch {
	case c.Ngrok:
		p.throughNgrok(c, options.Tunnels)
	case c.LAN:
		p.onLAN(c, options.Addresses)
	default:
		c.AppURL = p.origin("APP_URL", "http://localhost:"+strconv.Itoa(c.Port))
		if c.AppURL != "" || p.get("DEMO_URL") != "" {
			c.DemoURL = p.origin("DEMO_URL", demoURL(c))
		}
	}
	if !c.Exposed() {
		c.UserPassword = cmp.Or(c.UserPassword, KnownPassword)
		c.AdminPassword = cmp.Or(c.AdminPassword, KnownPassword)
	}
	if err := c.LogLevel.UnmarshalText([]byte(cmp.Or(p.get("LOG_LEVEL"), "info"))); err != nil {
		p.fault("LOG_LEVEL is %q; use debug, info, warn or error", p.get("LOG_LEVEL"))
	}
	p.checkProvider(c)
	return c, errors.Join(p.faults...)
}

// readFile reads a file of NAME=value lines, which need not exist.
func readFile(path string) (map[string]string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", path, err)
	}
	values, err := godotenv.UnmarshalBytes(bytes.TrimPrefix(text, []byte("\ufeff"))) // which some editors on Windows write first
	if err != nil {
		// The parser's error quotes the file, and so its secrets.
		return nil, fmt.Errorf("%s is not understood; each line is NAME=value, and a value with spaces, $ or # stands in single quotes", path)
	}
	return values, nil
}

// Bound puts the ports that were really bound in place of port 0, in every
// URL that follows from them.
func (c *Config) Bound(port, demoPort int) {
	c.Port, c.DemoPort = port, demoPort
	c.AppURL = withPort(c.AppURL, port)
	c.DemoURL = withPort(c.DemoURL, demoPort)
	if c.Demo {
		c.Issuer = c.DemoURL
	}
}

// Local reports whether browsers reach AppURL on this machine, or in a private
// network by its address there.
func (c *Config) Local() bool {
	host := hostOf(c.AppURL)
	addr, err := netip.ParseAddr(host)
	return isLoopback(host) || err == nil && (addr.IsPrivate() || addr.IsLinkLocalUnicast())
}

// Exposed reports whether other machines can reach the servers: we listen for
// them, or browsers come by an address that is not this machine's alone.
func (c *Config) Exposed() bool {
	return slices.ContainsFunc(c.Listen, func(host string) bool { return !isLoopback(host) }) ||
		!isLoopback(hostOf(c.AppURL)) || c.Demo && !isLoopback(hostOf(c.DemoURL))
}

func withPort(origin string, port int) string {
	if rest, ok := strings.CutSuffix(origin, ":0"); ok {
		return rest + ":" + strconv.Itoa(port)
	}
	return origin
}

// demoURL is AppURL with the demo provider's port.
func demoURL(c *Config) string {
	u, err := url.Parse(c.AppURL)
	if err != nil {
		return "" // it has been parsed before
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), strconv.Itoa(c.DemoPort))
}

func (p *parser) checkProvider(c *Config) {
	if !c.Demo {
		p.checkRealProvider(c)
	} else {
		p.checkDemo(c)
	}
	if demo := p.get("DEMO"); demo != "" && demo != "public" {
		p.fault("DEMO is %q; it is public or not set", demo)
	}
}

func (p *parser) checkDemo(c *Config) {
	if c.AppURL != "" && !c.Local() && p.get("DEMO") != "public" && !c.Ngrok {
		p.fault("APP_URL is %s, which others can reach, and without ISSUER anybody there may try to log in at the demo provider; "+
			"set ISSUER to your provider, or DEMO=public if you mean it", c.AppURL)
	}
	if c.Port == c.DemoPort && c.Port != 0 {
		p.fault("PORT and DEMO_PORT are both %d; they must differ", c.Port)
	}
	for _, name := range []string{"USER_PASSWORD", "ADMIN_PASSWORD"} {
		if p.get(name) == KnownPassword && c.AppURL != "" && c.DemoURL != "" && c.Exposed() {
			p.fault("%s is %q, which everybody knows, and others can reach the demo provider; choose another, or leave it out and one is made", name, KnownPassword)
		}
	}
	if c.ClientAuth == "none" {
		p.fault("CLIENT_AUTH is none, but the demo provider wants the client secret; use auto, post or basic")
	}
}

func (p *parser) checkRealProvider(c *Config) {
	if u, ok := parseURL(c.Issuer); !ok {
		p.fault("ISSUER is %q; it is your provider's address, exactly as its discovery document says, like https://login.example.com", c.Issuer)
	} else {
		p.checkReach(c, u)
	}
	if p.get("CLIENT_ID") == "" {
		p.fault("CLIENT_ID is needed with ISSUER: the application's id at your provider")
	}
	if c.ClientSecret == "" && c.ClientAuth != "none" {
		p.fault("CLIENT_SECRET is needed with ISSUER: the application's secret at your provider (or CLIENT_AUTH=none if it has none)")
	}
}
