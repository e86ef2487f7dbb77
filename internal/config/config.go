// Package config reads the settings from the environment and from .env,
// checks them, and reports everything that is wrong with them at once.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

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

	ClientID      string
	ClientSecret  Secret // empty with the demo provider: one is derived from the key
	ClientAuth    string // auto, post, basic or none
	UserPassword  Secret
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

// Limits say how often things may happen. README.md says what each is about.
type Limits struct {
	CodesPerAddress, CodesPerBrowser int // in ten minutes
	LivePerAddress, Live             int
	WrongCodes                       int // in ten minutes
	WrongNumbers                     int
}

// Load reads the settings. What getenv knows wins over the file at dotenv,
// which need not exist. The error names every fault, one a line.
func Load(getenv func(string) string, dotenv string) (*Config, error) {
	file, err := readFile(dotenv)
	if err != nil {
		return nil, err
	}
	p := &parser{get: func(name string) string { return strings.TrimSpace(cmp.Or(getenv(name), file[name])) }}
	c := &Config{
		Issuer:        p.get("ISSUER"),
		Port:          p.port("PORT", 5000),
		Listen:        p.addresses("LISTEN", "127.0.0.1, ::1"),
		DemoPort:      p.port("DEMO_PORT", 9011),
		ClientID:      cmp.Or(p.get("CLIENT_ID"), "e9fdb985-9173-4e01-9d73-ac2d60d1dc8e"),
		ClientSecret:  Secret(p.get("CLIENT_SECRET")),
		ClientAuth:    p.oneOf("CLIENT_AUTH", "auto", "post", "basic", "none"),
		UserPassword:  Secret(cmp.Or(p.get("USER_PASSWORD"), "password")),
		AdminPassword: Secret(cmp.Or(p.get("ADMIN_PASSWORD"), "password")),
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
	c.Demo = c.Issuer == ""
	c.AppURL = p.origin("APP_URL", "http://localhost:"+strconv.Itoa(c.Port))
	if c.AppURL != "" || p.get("DEMO_URL") != "" {
		c.DemoURL = p.origin("DEMO_URL", demoURL(c))
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
	values, err := godotenv.UnmarshalBytes(text)
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

// Public reports whether AppURL can be reached from outside: its host is
// neither this machine nor a private address.
func (c *Config) Public() bool {
	u, err := url.Parse(c.AppURL)
	if err != nil || u.Hostname() == "localhost" {
		return false
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err != nil || !addr.IsLoopback() && !addr.IsPrivate() && !addr.IsLinkLocalUnicast()
}

// Local reports whether browsers reach AppURL on this machine, or in a private
// network by its address there.
func (c *Config) Local() bool {
	u, err := url.Parse(c.AppURL)
	if err != nil {
		return false
	}
	if host := u.Hostname(); host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return err == nil && (addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast())
}

// Exposed reports whether the servers listen for other machines.
func (c *Config) Exposed() bool {
	return slices.ContainsFunc(c.Listen, func(host string) bool {
		addr, err := netip.ParseAddr(host)
		return err != nil || !addr.IsLoopback()
	})
}

func withPort(origin string, port int) string {
	if rest, ok := strings.CutSuffix(origin, ":0"); ok {
		return rest + ":" + strconv.Itoa(port)
	}
	return origin
}

// parser collects faults while it reads settings.
type parser struct {
	get    func(string) string
	faults []error
}

func (p *parser) fault(format string, args ...any) {
	p.faults = append(p.faults, fmt.Errorf(format, args...))
}

func (p *parser) port(name string, missing int) int {
	text := p.get(name)
	if text == "" {
		return missing
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		p.fault("%s is %q; it is a port, 0 to 65535 (0: any free one)", name, text)
	}
	return int(port)
}

// origin reads a URL, or returns "" after a fault. It is a scheme, a host and
// perhaps a port. A browser leaves the scheme's own port out, and so do we: the
// two are compared.
func (p *parser) origin(name, missing string) string {
	text := strings.TrimSuffix(cmp.Or(p.get(name), missing), "/")
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" ||
		u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		p.fault("%s is %q; it is an address without a path, like https://bank.example.com", name, text)
		return ""
	}
	host := strings.ToLower(u.Host)
	if u.Scheme == "http" {
		host = strings.TrimSuffix(host, ":80")
	} else {
		host = strings.TrimSuffix(host, ":443")
	}
	return u.Scheme + "://" + host
}

// demoURL is AppURL with the demo provider's port.
func demoURL(c *Config) string {
	u, err := url.Parse(c.AppURL)
	if err != nil {
		return "" // it has been parsed before
	}
	return u.Scheme + "://" + net.JoinHostPort(u.Hostname(), strconv.Itoa(c.DemoPort))
}

func (p *parser) addresses(name, missing string) []string {
	var hosts []string
	for text := range strings.SplitSeq(cmp.Or(p.get(name), missing), ",") {
		addr, err := netip.ParseAddr(strings.TrimSpace(text))
		if err != nil {
			p.fault("%s has %q; it is a list of IP addresses, like 127.0.0.1, ::1", name, text)
			continue
		}
		hosts = append(hosts, addr.String())
	}
	return hosts
}

func (p *parser) prefixes(name, missing string) []netip.Prefix {
	var prefixes []netip.Prefix
	list := cmp.Or(p.get(name), missing)
	if list == "" {
		return nil
	}
	for text := range strings.SplitSeq(list, ",") {
		text = strings.TrimSpace(text)
		prefix, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); addrErr == nil {
			prefix, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			p.fault("%s has %q; it is a list of addresses or networks, like 10.0.0.0/8", name, text)
			continue
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes
}

// count reads a number of times, one or more.
func (p *parser) count(name string, missing int) int {
	text := p.get(name)
	if text == "" {
		return missing
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 {
		p.fault("%s is %q; it is a whole number, 1 or more", name, text)
	}
	return int(n)
}

// oneOf reads one of the given words; the first is the default.
func (p *parser) oneOf(name string, words ...string) string {
	text := cmp.Or(p.get(name), words[0])
	if !slices.Contains(words, text) {
		p.fault("%s is %q; use %s", name, text, strings.Join(words, " or "))
	}
	return text
}

func (p *parser) duration(name string, missing, least, most time.Duration) time.Duration {
	text := p.get(name)
	if text == "" {
		return missing
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		p.fault("%s is %q; it is a time from %v to %v, like 5m", name, text, least, most)
	}
	return d
}

func (p *parser) secretKeys(name string) []Secret {
	var keys []Secret
	for text := range strings.FieldsFuncSeq(p.get(name), func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		if len(text) < 32 {
			p.fault("%s has a key of %d characters; make one of 32 or more, for example with: openssl rand -hex 32", name, len(text))
		}
		keys = append(keys, Secret(text))
	}
	if len(keys) > 2 {
		p.fault("%s has %d keys; it is one, or two with the newest first", name, len(keys))
	}
	return keys
}

func (p *parser) dataDir(name string) string {
	if dir := p.get(name); dir != "" {
		return dir
	}
	base, err := os.UserConfigDir()
	if err != nil {
		p.fault("%s is needed here: this user has no folder of its own for data (%v)", name, err)
	}
	return filepath.Join(base, "changebank")
}

func (p *parser) checkProvider(c *Config) {
	if !c.Demo {
		p.checkRealProvider(c)
	}
	if c.Demo && c.AppURL != "" && c.Public() && p.get("DEMO") != "public" {
		p.fault("APP_URL is %s, which others can reach, and without ISSUER anybody there could log in with the demo provider's known password; "+
			"set ISSUER to your provider, or DEMO=public if you mean it", c.AppURL)
	}
	if c.Demo && c.Port == c.DemoPort && c.Port != 0 {
		p.fault("PORT and DEMO_PORT are both %d; they must differ", c.Port)
	}
	if c.Demo && c.ClientAuth == "none" {
		p.fault("CLIENT_AUTH is none, but the demo provider wants the client secret; use auto, post or basic")
	}
	if demo := p.get("DEMO"); demo != "" && demo != "public" {
		p.fault("DEMO is %q; it is public or not set", demo)
	}
}

func (p *parser) checkRealProvider(c *Config) {
	u, err := url.Parse(c.Issuer)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		p.fault("ISSUER is %q; it is your provider's address, exactly as its discovery document says, like https://login.example.com", c.Issuer)
	}
	if p.get("CLIENT_ID") == "" {
		p.fault("CLIENT_ID is needed with ISSUER: the application's id at your provider")
	}
	if c.ClientSecret == "" && c.ClientAuth != "none" {
		p.fault("CLIENT_SECRET is needed with ISSUER: the application's secret at your provider (or CLIENT_AUTH=none if it has none)")
	}
}
