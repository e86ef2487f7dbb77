// Package config reads the settings from the environment and from .env, checks
// them, and reports every fault at once.
package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config holds the settings. README.md describes each in a table.
type Config struct {
	Issuer   string // the provider's; with the demo provider set by SetPorts
	Demo     bool   // ISSUER is not set: start the demo provider
	AppURL   string // without a path or a trailing slash
	Port     int    // 0: any free port
	Listen   []string
	DemoURL  string // the demo provider's issuer
	DemoPort int    // 0: any free port
	NgrokAPI string // of the agent that Options.Tunnels asks
	Ngrok    bool   // AppURL is a tunnel's public URL
	LAN      bool   // AppURL is this machine's address in a local network

	ClientID      string
	ClientSecret  Secret   // empty with the demo provider: derived from the data key
	ClientAuth    string   // auto, post, basic or none
	Scopes        []string // openid among them; none: the default
	UserPassword  Secret   // for the demo provider's users; empty if others can reach it and none is set: derived from the data key
	AdminPassword Secret   // likewise, for its administrator

	AppSecretKeys []Secret // the first seals, all of them open; none: one is made and kept in DataDir
	DataDir       string   // not used with RedisURL
	RedisURL      Secret   // may contain a password; empty: data is kept in DataDir

	ConfirmNumber   string // auto, always or never
	CodeLifetime    time.Duration
	QRAllowFrom     []netip.Prefix // none: anywhere
	Limits          Limits
	TrustedProxies  []netip.Prefix
	SharedNetworks  []netip.Prefix   // exits that many strangers share
	ShutdownDelay   time.Duration    // between a signal to stop and the end of service
	MetricsListen   []netip.AddrPort // where metrics and profiles are served; none: nowhere
	SessionIdle     time.Duration    // how long a session lasts without a request; no longer than SessionLifetime
	SessionLifetime time.Duration    // how long a session lasts from its login
	SessionRecheck  time.Duration    // how old the proof of a login may be while its session is used; 0: any age

	GeoIPDB string // path of a City or Country database for package geoip; empty: none

	LogFormat string // text or json
	LogLevel  slog.Level
}

// Limits are the rate limits. All but Live are counted in the store, and so hold
// over all replicas and restarts.
type Limits struct {
	// CodesPerAddress is how many new codes one address may start in ten minutes.
	// An IPv6 client counts in its /64, in its /56 with 4 times the limit, and in
	// its /48 with 64 times the limit.
	CodesPerAddress int
	// Live is how many attempts of this process may be live at a time: a last
	// resort that bounds the load on the process and the provider.
	Live         int
	WrongCodes   int // unknown codes that one person may try in ten minutes
	WrongNumbers int // wrong numbers that end an attempt
}

// KnownPassword is the default password of the demo provider's users, where
// nobody else can reach it. It is public, and too short for anywhere else.
const KnownPassword = "password"

// MinPassword is how many characters a password of the demo provider has at
// least, where others can reach it.
const MinPassword = 12

// Options are the command line's: at most one is set.
type Options struct {
	// Tunnels is set by -ngrok. It returns the public URLs of the tunnels of the
	// agent at the URL api, by the port of this machine that they lead to.
	Tunnels func(api string) (map[int][]string, error)

	// Addresses is set by -lan. It returns this machine's private IPv4
	// addresses, each with its interface's name.
	Addresses func() (map[netip.Addr]string, error)
}

// Load reads the settings. Those in environ, which has the form of
// [os.Environ], take precedence over those in the file at dotenv, which need
// not exist. The error has one line for each fault.
func Load(environ []string, dotenv string, options Options) (*Config, error) {
	file, err := readFile(dotenv)
	if err != nil {
		return nil, err
	}
	p := &parser{}
	p.collect(environ, dotenv, file)
	c := p.parse(options.Tunnels != nil)
	switch {
	case options.Tunnels != nil:
		c.Ngrok = true
		p.throughNgrok(c, options.Tunnels)
	case options.Addresses != nil:
		c.LAN = true
		p.onLAN(c, options.Addresses)
	default:
		p.direct(c)
	}
	if !c.Exposed() {
		c.UserPassword = cmp.Or(c.UserPassword, KnownPassword)
		c.AdminPassword = cmp.Or(c.AdminPassword, KnownPassword)
	}
	p.checkSessions(c)
	p.checkProvider(c)
	p.checkRedis(c)
	p.checkMetrics(c)
	return c, errors.Join(p.faults...)
}

// SetPorts puts the ports that were bound in place of port 0, here and in every
// URL that follows from them.
func (c *Config) SetPorts(port, demoPort int) {
	c.Port, c.DemoPort = port, demoPort
	c.AppURL = withPort(c.AppURL, port)
	c.DemoURL = withPort(c.DemoURL, demoPort)
	if c.Demo {
		c.Issuer = c.DemoURL
	}
}

func withPort(origin string, port int) string {
	if rest, ok := strings.CutSuffix(origin, ":0"); ok {
		return rest + ":" + strconv.Itoa(port)
	}
	return origin
}

// Local reports whether AppURL is on this machine, or an address in a private
// network.
func (c *Config) Local() bool {
	host := hostOf(c.AppURL)
	addr, err := netip.ParseAddr(host)
	return isLoopback(host) || err == nil && (addr.IsPrivate() || addr.IsLinkLocalUnicast())
}

// Exposed reports whether other machines can reach the servers: they listen for
// other machines, or a URL is not this machine's alone, so that a proxy must
// stand in front.
func (c *Config) Exposed() bool {
	return slices.ContainsFunc(c.Listen, func(host string) bool { return !isLoopback(host) }) ||
		!isLoopback(hostOf(c.AppURL)) || c.Demo && !isLoopback(hostOf(c.DemoURL))
}

// Warnings returns what is allowed but unsafe about the settings, a sentence
// each.
func (c *Config) Warnings() []string {
	if strings.HasPrefix(c.AppURL, "http:") && !c.Local() {
		return []string{fmt.Sprintf("APP_URL is %s, so others on the way can read cookies and codes; use https", c.AppURL)}
	}
	return nil
}
