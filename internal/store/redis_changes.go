package store

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	heartbeat     = 3 * time.Second // how often the subscription is pinged
	silence       = 3 * heartbeat   // without an answer for so long, it is dead
	resubscribing = time.Second     // the longest pause before another attempt
)

// subscribe opens the connection that changes arrive on.
func (r *Redis) subscribe() (*redis.PubSub, error) {
	ctx, cancel := context.WithTimeout(r.ctx, redisTimeout)
	defer cancel()
	changes := r.client.Subscribe(ctx, r.channel)
	if _, err := changes.ReceiveTimeout(ctx, redisTimeout); err != nil {
		_ = changes.Close()
		return nil, r.fault(r.ctx, err)
	}
	return changes, nil
}

// follow passes on changes until Close. Each time the connection comes back, it
// tells all watchers, because nobody keeps what is published in between.
func (r *Redis) follow(changes *redis.PubSub) {
	for {
		err := r.receive(changes)
		if r.ctx.Err() != nil {
			return
		}
		r.log.Warn("connection to Redis lost; reconnecting", "err", err)
		for pause := 50 * time.Millisecond; ; pause = min(2*pause, resubscribing) {
			if changes, err = r.subscribe(); err == nil {
				break
			}
			select {
			case <-time.After(rand.N(pause)):
			case <-r.ctx.Done():
				return
			}
		}
		r.log.Info("connection to Redis restored")
		r.watchers.tickAll()
	}
}

// receive passes on changes until the connection fails. A connection that died
// without a word is noticed by its pings, which otherwise keep it from being
// silent.
func (r *Redis) receive(changes *redis.PubSub) error {
	defer changes.Close()
	defer context.AfterFunc(r.ctx, func() { _ = changes.Close() })() // Receive does not notice a context that ends
	done := make(chan struct{})
	defer close(done)
	r.wg.Go(func() {
		beat := time.NewTicker(heartbeat)
		defer beat.Stop()
		for {
			select {
			case <-beat.C:
				_ = changes.Ping(r.ctx) // receive notices a failure
			case <-done:
				return
			}
		}
	})
	for {
		message, err := changes.ReceiveTimeout(r.ctx, silence)
		if err != nil {
			return r.fault(r.ctx, err)
		}
		switch message := message.(type) {
		case *redis.Message:
			r.watchers.tick([]Write{{Key: message.Payload}})
		case *redis.Subscription: // the client has reconnected on its own
			r.watchers.tickAll()
		}
	}
}
