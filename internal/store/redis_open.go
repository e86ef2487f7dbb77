package store

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// redisWait is how long a start waits for a Redis that is away: after a restart
// of the machine, both may start at once.
const redisWait = 30 * time.Second

// redisRights are what a user of Redis needs, in the words of ACL SETUSER.
const redisRights = "~changebank:* &changebank:* +get +getrange +set +del +eval +evalsha +publish +subscribe +ping +time +info +select"

// OpenRedis connects to the Redis at url: redis://user:password@host:port/db,
// rediss:// for TLS, or unix:///path?db=n. It checks that Redis can be used, and
// waits up to 30 seconds for one that is away or still loading. Its errors are
// written for the operator and never contain the password.
func OpenRedis(ctx context.Context, url string, log *slog.Logger) (*Redis, error) {
	return openRedis(ctx, url, redisWait, log)
}

func openRedis(ctx context.Context, url string, wait time.Duration, log *slog.Logger) (*Redis, error) {
	options, err := redisOptions(url)
	if err != nil {
		return nil, err
	}
	clientLog.to.Store(log)
	r := &Redis{client: redis.NewClient(options), channel: channelOf(options.DB), log: log, now: time.Now}
	r.ctx, r.stop = context.WithCancel(context.Background())
	changes, err := r.await(ctx, options, wait)
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	r.wg.Go(func() { r.follow(changes) })
	return r, nil
}

// redisOptions are those of the URL, and this program's own. An error of the
// library is not passed on, because it may contain the password.
func redisOptions(url string) (*redis.Options, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		return nil, errors.New("REDIS_URL cannot be read")
	}
	options.ContextTimeoutEnabled = true // or deadlines have no effect
	options.MaxRetries = -1              // a Swap must not be made twice
	options.DialerRetries = 1
	options.DialTimeout = redisTimeout
	options.ReadTimeout = redisTimeout
	options.WriteTimeout = redisTimeout
	options.PoolTimeout = 2 * redisTimeout // the context ends first, with its own error
	options.PoolSize = redisPool
	options.MaxActiveConns = redisPool
	options.Protocol = 2
	options.DisableIdentity = true // each needs a right of its own
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return options, nil
}

// await waits until Redis can be used, and returns the subscription to changes.
func (r *Redis) await(ctx context.Context, options *redis.Options, wait time.Duration) (*redis.PubSub, error) {
	deadline := time.Now().Add(wait)
	for said := false; ; said = true {
		changes, err := r.begin()
		if err == nil {
			return changes, nil
		}
		if sentence, final := explain(err); final {
			return nil, fmt.Errorf("cannot use the Redis at %s (REDIS_URL): %s", options.Addr, sentence)
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("cannot use the Redis at %s (REDIS_URL), after waiting %v for it: %w%s", options.Addr, wait, err, hint(err, options.TLSConfig != nil))
		}
		if !said {
			r.log.Warn("waiting for Redis", "addr", options.Addr, "at_most", wait, "err", err)
		}
		select {
		case <-time.After(time.Second / 2):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func (r *Redis) begin() (*redis.PubSub, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	return r.subscribe()
}

// explain returns a sentence for an error at the start, and whether waiting is
// useless.
func explain(err error) (sentence string, final bool) {
	text := err.Error()
	has := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	_, setup := errors.AsType[errSetup](err)
	_, untrusted := errors.AsType[x509.UnknownAuthorityError](err)
	switch {
	case setup:
		return text, true
	case has("WRONGPASS", "invalid password", "AUTH <password> called without"):
		return "the user or the password is wrong; check REDIS_URL", true
	case has("NOAUTH"):
		return "it requires a password; set REDIS_URL=redis://:password@host:port, or redis://user:password@host:port", true
	case has("NOPERM", "user executing the script can't", "ACL failure in script"):
		return "the user lacks rights; allow it: " + redisRights + " (" + text + ")", true
	case has("DB index is out of range", "invalid DB index"):
		return "it does not have that database number; check the end of REDIS_URL", true
	case untrusted:
		return "its certificate is signed by an unknown authority; set SSL_CERT_FILE to that authority's certificate", true
	case has("x509:", "tls: failed to verify"):
		return "its certificate is not valid for this address: " + text, true
	}
	return text, false
}

// hint says what may be wrong with the URL if Redis hangs up or does not answer,
// which is all that one sees of a connection with TLS at one end only.
func hint(err error, secure bool) string {
	hungUp := errors.Is(err, io.EOF) || strings.Contains(err.Error(), "connection reset")
	switch {
	case secure && (hungUp || isTimeout(err)):
		return "; if it does not use TLS, begin REDIS_URL with redis://"
	case hungUp:
		return "; if it requires TLS, begin REDIS_URL with rediss://"
	}
	return ""
}

// clientLog passes on what the Redis client logs, at the level debug: errors are
// returned as well.
var clientLog = newClientLog()

type clientLogger struct{ to atomic.Pointer[slog.Logger] }

func newClientLog() *clientLogger {
	l := new(clientLogger)
	redis.SetLogger(l)
	return l
}

func (l *clientLogger) Printf(ctx context.Context, format string, args ...any) {
	if log := l.to.Load(); log != nil {
		log.DebugContext(ctx, "Redis client", "message", fmt.Sprintf(format, args...))
	}
}
