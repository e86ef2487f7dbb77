package config

import (
	"net/url"
	"strings"

	"github.com/redis/go-redis/v9"
)

// checkRedis checks REDIS_URL. It never shows the URL, nor an error of its
// parsers: both may contain the password.
func (p *parser) checkRedis(c *Config) {
	if c.RedisURL == "" {
		return
	}
	const form = "it is like redis://user:password@host:6379/0, rediss:// for TLS, or unix:///run/redis.sock"
	text := string(c.RedisURL)
	scheme, _, _ := strings.Cut(text, "://")
	u, err := url.Parse(text)
	several := strings.Contains(scheme, "sentinel") || strings.Contains(scheme, "cluster") ||
		err == nil && (u.Query().Has("master_name") || u.Query().Has("addr") || strings.Contains(u.Host, ","))
	_, clientErr := redis.ParseURL(text)
	// Without an @, as in redis://user:password:6379, the password would be taken for
	// part of the host, and shown.
	noHost := err == nil && strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "[")
	switch {
	case several:
		p.fault("REDIS_URL", "names a Sentinel or a cluster, which Changebank cannot use; set it to the address of a single Redis, or of a proxy that leads to the current one")
	case err != nil || noHost:
		p.fault("REDIS_URL", "cannot be read; %s (in a password, write @ as %%40, : as %%3A, / as %%2F, # as %%23, ? as %%3F and %% as %%25)", form)
	case scheme != "redis" && scheme != "rediss" && scheme != "unix":
		p.fault("REDIS_URL", "has an unknown scheme; %s", form)
	case u.Fragment != "" || u.Scheme != "unix" && u.RawQuery != "":
		p.fault("REDIS_URL", "has something after the address; %s", form)
	case clientErr != nil:
		p.fault("REDIS_URL", "cannot be read; %s, with a number for the database", form)
	}
	if len(c.AppSecretKeys) == 0 {
		p.fault("APP_SECRET_KEY", "is needed with REDIS_URL: the same on each replica; make one with: openssl rand -hex 32")
	}
}

// DataPlace says where data is kept.
func (c *Config) DataPlace() string {
	if c.RedisURL == "" {
		return c.DataDir
	}
	u, err := url.Parse(string(c.RedisURL))
	if err != nil {
		return "Redis" // it has been parsed before
	}
	if u.Scheme == "unix" {
		return "the Redis at " + u.Path
	}
	return "the Redis at " + u.Host
}
