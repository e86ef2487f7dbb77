package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// parser reads settings and collects their faults.
type parser struct {
	values  map[string]string // by name, without spaces around them
	tunnels map[int][]string  // public URLs by port, with -ngrok
	faulty  map[string]bool   // what is already in faults
	faults  []error
}

// fault reports what is wrong with a setting, in a sentence that begins with
// its name.
func (p *parser) fault(name, format string, args ...any) {
	p.report(name, name+" "+fmt.Sprintf(format, args...))
}

// report reports a fault of what, unless it has one: the second would mostly
// follow from the first.
func (p *parser) report(what, sentence string) {
	if p.faulty[what] {
		return
	}
	if p.faulty == nil {
		p.faulty = make(map[string]bool)
	}
	p.faulty[what] = true
	p.faults = append(p.faults, errors.New(sentence))
}

// parse reads each setting on its own. fixedPorts says that tunnels lead to the
// ports, so that they must be known before they are bound.
func (p *parser) parse(fixedPorts bool) *Config {
	issuer := p.values["ISSUER"]
	return &Config{
		Issuer:        issuer,
		Demo:          issuer == "",
		Port:          p.port("PORT", 5000, fixedPorts),
		Listen:        p.addresses("LISTEN", "127.0.0.1, ::1"),
		DemoPort:      p.port("DEMO_PORT", 9011, fixedPorts && issuer == ""),
		NgrokAPI:      p.api("NGROK_API", "http://127.0.0.1:4040/api"),
		ClientID:      cmp.Or(p.values["CLIENT_ID"], "e9fdb985-9173-4e01-9d73-ac2d60d1dc8e"),
		ClientSecret:  Secret(p.values["CLIENT_SECRET"]),
		ClientAuth:    p.oneOf("CLIENT_AUTH", "auto", "post", "basic", "none"),
		Scopes:        p.scopes("SCOPES"),
		UserPassword:  Secret(p.values["USER_PASSWORD"]),
		AdminPassword: Secret(p.values["ADMIN_PASSWORD"]),
		AppSecretKeys: p.secretKeys("APP_SECRET_KEY"),
		DataDir:       p.dataDir("DATA_DIR"),
		RedisURL:      Secret(p.values["REDIS_URL"]),
		ConfirmNumber: p.oneOf("CONFIRM_NUMBER", "auto", "always", "never"),
		CodeLifetime:  p.duration("CODE_LIFETIME", 5*time.Minute, 30*time.Second, 30*time.Minute),
		GeoIPDB:       p.values["GEOIP_DB"],
		LogFormat:     p.oneOf("LOG_FORMAT", "text", "json"),
		LogLevel:      p.level("LOG_LEVEL"),

		TrustedProxies:  p.prefixes("TRUSTED_PROXIES", "127.0.0.0/8, ::1/128"),
		SharedNetworks:  p.prefixes("SHARED_NETWORKS", ""),
		ShutdownDelay:   p.duration("SHUTDOWN_DELAY", 0, 0, 5*time.Minute),
		MetricsListen:   list(p, "METRICS_LISTEN", "", "IP addresses with ports, like 127.0.0.1:9464", netip.ParseAddrPort),
		SessionIdle:     p.duration("SESSION_IDLE", 24*time.Hour, 5*time.Minute, 30*24*time.Hour),
		SessionLifetime: p.duration("SESSION_LIFETIME", 7*24*time.Hour, 15*time.Minute, 90*24*time.Hour),
		SessionRecheck:  p.durationOrOff("SESSION_RECHECK", 10*time.Minute, time.Second, 24*time.Hour),
		QRAllowFrom:     p.prefixes("QR_ALLOW_FROM", ""),
		Limits: Limits{
			CodesPerAddress: p.count("LIMIT_CODES_PER_ADDRESS", 60),
			Live:            p.count("LIMIT_LIVE", 10000),
			WrongCodes:      p.count("LIMIT_WRONG_CODES", 10),
			WrongNumbers:    p.count("LIMIT_WRONG_NUMBERS", 3),
		},
	}
}

// port reads a port, or returns 0 after a fault. A fixed one is not 0.
func (p *parser) port(name string, missing int, fixed bool) int {
	text := p.values[name]
	if text == "" {
		return missing
	}
	port, err := strconv.ParseUint(text, 10, 16)
	switch {
	case err != nil:
		p.fault(name, "is %q; it is a port, 0 to 65535 (0: any free one)", text)
		return 0
	case port == 0 && fixed:
		p.fault(name, "is 0, but with -ngrok a tunnel must lead to it; set it to the port in ngrok.yml, or leave it out for %d", missing)
	}
	return int(port)
}

// list parses each element of a list. It returns nil after a fault, which names
// every element that is wrong.
func list[T any](p *parser, name, missing, what string, parse func(string) (T, error)) []T {
	var parsed []T
	var wrong []string
	text := cmp.Or(p.values[name], missing)
	if text == "" {
		return nil
	}
	for element := range strings.SplitSeq(text, ",") {
		element = strings.TrimSpace(element)
		one, err := parse(element)
		if quoted := strconv.Quote(element); err != nil && !slices.Contains(wrong, quoted) {
			wrong = append(wrong, quoted)
		}
		parsed = append(parsed, one)
	}
	if len(wrong) > 0 {
		p.fault(name, "has %s; it is a list of %s", strings.Join(wrong, " and "), what)
		return nil
	}
	return parsed
}

// addresses reads a list of IP addresses.
func (p *parser) addresses(name, missing string) []string {
	return list(p, name, missing, "IP addresses, like 127.0.0.1, ::1", func(text string) (string, error) {
		addr, err := netip.ParseAddr(text)
		return addr.String(), err
	})
}

// prefixes reads a list of networks and addresses.
func (p *parser) prefixes(name, missing string) []netip.Prefix {
	return list(p, name, missing, "addresses or networks, like 10.0.0.0/8", func(text string) (netip.Prefix, error) {
		if addr, err := netip.ParseAddr(text); err == nil {
			addr = addr.Unmap() // as those of browsers
			return addr.Prefix(addr.BitLen())
		}
		prefix, err := netip.ParsePrefix(text)
		return prefix.Masked(), err
	})
}

// count reads a number, 1 or more.
func (p *parser) count(name string, missing int) int {
	text := p.values[name]
	if text == "" {
		return missing
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 {
		p.fault(name, "is %q; it is a whole number, 1 or more", text)
	}
	return int(n)
}

// oneOf reads one of the given words; the first is the default.
func (p *parser) oneOf(name string, words ...string) string {
	text := cmp.Or(p.values[name], words[0])
	if !slices.Contains(words, text) {
		p.fault(name, "is %q; use %s", text, strings.Join(words, " or "))
	}
	return text
}

func (p *parser) level(name string) (level slog.Level) {
	text := cmp.Or(p.values[name], "info")
	if err := level.UnmarshalText([]byte(text)); err != nil {
		p.fault(name, "is %q; use debug, info, warn or error", text)
	}
	return level
}

func (p *parser) duration(name string, missing, least, most time.Duration) time.Duration {
	text := p.values[name]
	if text == "" {
		return missing
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		p.fault(name, "is %q; it is a time from %v to %v, like 5m", text, least, most)
	}
	return d
}

// checkSessions compares the limits of a session.
func (p *parser) checkSessions(c *Config) {
	if c.SessionIdle <= c.SessionLifetime {
		return
	}
	if p.values["SESSION_IDLE"] != "" {
		p.fault("SESSION_IDLE", "is %v, but a session lasts SESSION_LIFETIME at most, which is %v; set it to that or less, or leave it out", c.SessionIdle, c.SessionLifetime)
	}
	c.SessionIdle = c.SessionLifetime // if only that was set
}

// durationOrOff reads a duration that may also be 0.
func (p *parser) durationOrOff(name string, missing, least, most time.Duration) time.Duration {
	if d, err := time.ParseDuration(p.values[name]); err == nil && d == 0 {
		return 0
	}
	return p.duration(name, missing, least, most)
}

// scopes reads scopes with spaces between them (RFC 6749, section 3.3). Without
// openid there would be no ID token, and so no login.
func (p *parser) scopes(name string) []string {
	text := p.values[name]
	if text == "" {
		return nil
	}
	scopes := strings.Fields(text)
	if !slices.Contains(scopes, "openid") {
		p.fault(name, "is %q; it is a list with spaces, and openid must be in it, like openid email profile", text)
	}
	return scopes
}

func (p *parser) secretKeys(name string) []Secret {
	var keys []Secret
	for text := range strings.FieldsFuncSeq(p.values[name], func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		if len(text) < 32 {
			p.fault(name, "has a key of %d characters; make one of 32 or more, for example with: openssl rand -hex 32", len(text))
		}
		keys = append(keys, Secret(text))
	}
	if len(keys) > 2 {
		p.fault(name, "has %d keys; it is one key, or two while you replace one", len(keys))
	}
	return keys
}

func (p *parser) dataDir(name string) string {
	if dir := p.values[name]; dir != "" {
		return dir
	}
	base, err := os.UserConfigDir()
	if err != nil && p.values["REDIS_URL"] == "" {
		p.fault(name, "is required: this user has no configuration folder for the default (%v)", err)
	}
	return filepath.Join(base, "changebank")
}
