package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	redisPrefix  = "changebank:"   // of each key and channel
	redisTimeout = 3 * time.Second // bounds each operation
	redisPool    = 20              // connections for commands
)

// Redis is a [Backend] in a Redis that any number of processes share. Each
// process keeps at most 21 connections: 20 for commands, opened when they are
// needed, and one for changes that others make.
//
// Every operation ends within 3 seconds. One that fails is not repeated, because
// a Swap whose answer was lost may have been made. After an outage of any kind
// the next operation works again.
//
// Redis expires the values. It is told how long a value has left by the clock of
// the process that writes it, so the clock of Redis does not matter, and a value
// expires when its writer's clock says so. A reader whose clock differs sees it
// expire that much too early or too late. If the clock of this process and that
// of Redis differ by more than 2 seconds, Ping fails, and so does every Swap:
// leases and deadlines are times in the records, and a process with a wrong clock
// would take a lease that another one holds.
type Redis struct {
	client   *redis.Client
	channel  string // which every change is published to
	log      *slog.Logger
	watchers watchers
	now      func() time.Time // [time.Now], except in tests of clocks

	ctx  context.Context // until Close
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu   sync.Mutex
	ping *redisPing // the latest
}

// A stored value is its fingerprint, followed by the caller's bytes. A Swap
// sends the fingerprint of the old value instead of all of it. A value that does
// not exist has an empty fingerprint.
const fingerprintSize = 16

func fingerprint(value []byte) []byte {
	if value == nil {
		return nil
	}
	sum := sha256.Sum256(value)
	return sum[:fingerprintSize]
}

// swapScript is Swap. KEYS are the keys. ARGV is the channel, the writer's time
// in milliseconds, how far that may differ, and then four for each key: its name
// in the channel, the fingerprint of the old value, the new value with its own
// fingerprint, and the milliseconds that it has left (0: delete it; -1: it does
// not expire; empty: leave the key as it is).
//
// Redis does not undo the first part of a script whose second part fails. So
// everything is compared before anything is written, and published first: if the
// user may not do that, nothing has changed yet. When memory is short, Redis can
// refuse the first SET, but none after it. Subscribers receive the messages after
// the whole script.
var swapScript = redis.NewScript(`
local clock = redis.call('TIME')
if math.abs(clock[1] * 1000 + clock[2] / 1000 - ARGV[2]) > tonumber(ARGV[3]) then
	return -1
end
for i, key in ipairs(KEYS) do
	if redis.call('GETRANGE', key, 0, 15) ~= ARGV[4*i + 1] then
		return 0
	end
end
for i, key in ipairs(KEYS) do
	if ARGV[4*i + 3] ~= '' then
		redis.call('PUBLISH', ARGV[1], ARGV[4*i])
	end
end
for i, key in ipairs(KEYS) do
	local left = ARGV[4*i + 3]
	if left == '-1' then
		redis.call('SET', key, ARGV[4*i + 2])
	elseif left ~= '' and left ~= '0' then
		redis.call('SET', key, ARGV[4*i + 2], 'PX', left)
	end
end
for i, key in ipairs(KEYS) do
	if ARGV[4*i + 3] == '0' then
		redis.call('DEL', key)
	end
end
return 1
`)

// Get implements [Backend].
func (r *Redis) Get(ctx context.Context, key string) ([]byte, error) {
	bounded, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	stored, err := r.client.Get(bounded, redisPrefix+key).Bytes()
	switch {
	case errors.Is(err, redis.Nil):
		return nil, nil
	case err != nil:
		return nil, r.fault(ctx, err)
	case len(stored) < fingerprintSize:
		return nil, fmt.Errorf("store: Redis has a value for %s%s that another program wrote", redisPrefix, key)
	}
	return stored[fingerprintSize:], nil
}

// Swap implements [Backend].
func (r *Redis) Swap(ctx context.Context, writes ...Write) (bool, error) {
	bounded, cancel := context.WithTimeout(ctx, redisTimeout)
	defer cancel()
	now := r.now()
	var keys []string
	args := []any{r.channel, now.UnixMilli(), maxSkew.Milliseconds()}
	for _, w := range writes {
		keys = append(keys, redisPrefix+w.Key)
		if w.Keep {
			args = append(args, w.Key, fingerprint(w.Old), "", "")
			continue
		}
		left := int64(0)
		if w.New != nil {
			left = milliseconds(now, w.Until)
		}
		args = append(args, w.Key, fingerprint(w.Old), append(fingerprint(w.New), w.New...), left)
	}
	result, err := swapScript.Run(bounded, r.client, keys, args...).Int()
	if result == -1 {
		err = fmt.Errorf("nothing written, because the clocks of this machine and of Redis differ by more than %v, or the request took that long", maxSkew)
	}
	return result == 1, r.fault(ctx, err)
}

// milliseconds returns for how long Redis keeps a value: 0 if it has expired,
// -1 without end. Part of a millisecond counts as one, so that nothing expires
// early.
func milliseconds(now, until time.Time) int64 {
	if !until.Before(forever) {
		return -1
	}
	left := until.Sub(now)
	if left <= 0 {
		return 0
	}
	return int64((left + time.Millisecond - 1) / time.Millisecond)
}

// Watch implements [Backend].
func (r *Redis) Watch(ctx context.Context, key string) <-chan struct{} {
	return r.watchers.watch(ctx, key)
}

// Close implements [Backend].
func (r *Redis) Close() error {
	r.stop()
	err := r.client.Close()
	r.wg.Wait()
	if errors.Is(err, redis.ErrClosed) {
		return nil
	}
	return err
}

// fault returns the error of an operation that the caller has given ctx.
func (r *Redis) fault(ctx context.Context, err error) error {
	switch {
	case err == nil:
		return nil
	case r.ctx.Err() != nil:
		return ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	case isOver(ctx):
		return context.DeadlineExceeded
	case isTimeout(err):
		return fmt.Errorf("%w: no answer from Redis within %v: %w", ErrUnavailable, redisTimeout, err)
	default:
		return fmt.Errorf("%w: Redis: %w", ErrUnavailable, err)
	}
}

// isOver reports whether the deadline of ctx has passed. The connection has the
// same one, and may notice it a little earlier.
func isOver(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && timeout.Timeout()
}

// channelOf names the channel of a database: Redis itself does not separate the
// channels of its databases.
func channelOf(db int) string { return redisPrefix + "changes:" + strconv.Itoa(db) }

// infoField returns a field of the answer to INFO, empty if it is missing.
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
