package devicegrant

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/limit"
)

func (w *world) wantTooMany(err error, rule string, wait time.Duration) {
	w.Helper()
	tooMany, ok := errors.AsType[*limit.TooManyError](err)
	if !ok || tooMany.Rule != rule || tooMany.Wait != wait {
		w.Errorf("%v, want too many %s and a wait of %v", err, rule, wait)
	}
}

func isTooMany(err error) bool {
	_, ok := errors.AsType[*limit.TooManyError](err)
	return ok
}

func at(addr string) browser.Browser { return browser.Browser{Agent: laptop.Agent, Addr: addr} }

func startAt(w *world, m *Manager, laptop browser.Browser) (Attempt, error) {
	a, err := m.Start(w.Context(), laptop)
	if err == nil {
		w.remember(a)
	}
	return a, err
}

// startsFrom returns how many of n starts from addresses that differ in one
// place get a code.
func (w *world) startsFrom(n int, format string) (started int) {
	w.Helper()
	for i := range n {
		switch _, err := startAt(w, w.m, at(fmt.Sprintf(format, i))); {
		case err == nil:
			started++
		case !isTooMany(err):
			w.Fatalf("Start: %v", err)
		}
	}
	return started
}

const codesRule = "new codes for one address"

func TestCodesPerAddress(t *testing.T) {
	inBubble(t, func(w *world) {
		w.reconfigure(func(w *world) { w.limits.CodesPerAddress = 2 })
		other := w.newManager()
		w.noError(startAt(w, w.m, laptop))
		w.noError(startAt(w, other, laptop)) // the limit holds over all processes
		for _, m := range []*Manager{w.m, other} {
			started := w.provider.started
			_, err := startAt(w, m, laptop)
			w.wantTooMany(err, codesRule, 5*time.Minute)
			if w.provider.started != started {
				w.Error("the provider was asked for a code that the limit refused")
			}
		}
		w.noError(startAt(w, w.m, tablet)) // another address
		time.Sleep(5 * time.Minute)
		w.m.Close()
		w.m = w.newManager() // and over restarts
		w.noError(startAt(w, w.m, laptop))
		_, err := startAt(w, w.m, laptop)
		w.wantTooMany(err, codesRule, 5*time.Minute)
		time.Sleep(10 * time.Minute)
		w.noError(startAt(w, w.m, laptop))
		w.noError(startAt(w, w.m, laptop))
	})
}

// The holder of an IPv6 prefix can neither start codes from each address in it
// nor use up the share of the prefix around it.
func TestCodesPerIPv6Prefix(t *testing.T) {
	inBubble(t, func(w *world) {
		w.reconfigure(func(w *world) { w.limits.CodesPerAddress = 2 })
		if n := w.startsFrom(10, "2001:db8:1:100::%x"); n != 2 {
			w.Errorf("%d codes for one /64, want 2", n)
		}
		if n := w.startsFrom(20, "2001:db8:1:1%02x::1"); n != 8-2 {
			w.Errorf("%d more codes for its /56, want 6", n)
		}
		if n := w.startsFrom(200, "2001:db8:1:%x01::1"); n != 128-8 {
			w.Errorf("%d more codes for its /48, want 120", n)
		}
		w.noError(startAt(w, w.m, at("2001:db8:2::1")))
	})
}

// A start that the provider did not answer does not count. A provider that is down for
// a minute must not lock out its visitors for ten.
func TestUnansweredStartsAreRefunded(t *testing.T) {
	for name, answer := range map[string]error{
		"not discovered": idp.ErrNotReady,
		"no answer":      context.DeadlineExceeded,
		"502":            &idp.Error{Status: 502},
		"503":            fmt.Errorf("idp: start: %w", &idp.Error{Status: 503, Code: "server_error"}),
	} {
		for _, addr := range []string{laptop.Addr, "2001:db8::1"} {
			t.Run(name+" for "+addr, func(t *testing.T) {
				inBubble(t, func(w *world) {
					w.reconfigure(func(w *world) { w.limits.CodesPerAddress, w.limits.Live = 2, 1 })
					w.provider.startErr = answer
					for range 20 {
						if _, err := startAt(w, w.m, at(addr)); !errors.Is(err, answer) {
							w.Fatalf("Start: %v, want %v", err, answer)
						}
					}
					w.provider.startErr = nil
					w.noError(startAt(w, w.m, at(addr)))
				})
			})
		}
	}
}

// A client that always leaves while the provider is asked pays for its codes
// like any other. What the provider does not answer is refunded even then.
func TestAbandonedStartsCount(t *testing.T) {
	inBubble(t, func(w *world) {
		w.limits.CodesPerAddress = 2
		w.m = w.newManagerWith(func(c *Config) { c.Provider = slowStart{w.provider} })
		abandon := func() {
			ctx, cancel := context.WithTimeout(w.Context(), time.Second/2)
			defer cancel()
			_, _ = w.m.Start(ctx, laptop)
		}
		w.provider.startErr = idp.ErrNotReady
		for range 5 {
			abandon()
		}
		w.provider.startErr, w.provider.started = nil, 0
		for range 5 {
			abandon()
		}
		if w.provider.started != 2 {
			w.Errorf("%d codes started, want 2", w.provider.started)
		}
		_, err := startAt(w, w.m, laptop)
		if !isTooMany(err) {
			w.Errorf("Start: %v, want a refusal", err)
		}
	})
}

// A provider that refuses must not be asked without end.
func TestRefusedStartsCount(t *testing.T) {
	for _, answer := range []*idp.Error{{Status: 429}, {Status: 429, Code: "slow_down"}, {Status: 400, Code: "invalid_client"}, {Status: 403}} {
		t.Run(answer.Error(), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.reconfigure(func(w *world) { w.limits.CodesPerAddress, w.limits.Live = 5, 1 })
				w.provider.startErr = answer
				for range 5 {
					if _, err := startAt(w, w.m, laptop); !errors.Is(err, answer) {
						w.Errorf("Start: %v, want %v", err, answer)
					}
				}
				_, err := startAt(w, w.m, laptop)
				w.wantTooMany(err, codesRule, 2*time.Minute)
				if n := len(w.m.live.until); n != 0 {
					w.Errorf("%d live attempts, want none", n)
				}
			})
		})
	}
}

// The limit on live attempts is each process's own.
func TestLiveAttempts(t *testing.T) {
	inBubble(t, func(w *world) {
		w.reconfigure(func(w *world) { w.limits.Live = 2 })
		a, err := startAt(w, w.m, laptop)
		w.noError(a, err)
		w.noError(startAt(w, w.m, phone))
		full := func() {
			w.Helper()
			_, err := startAt(w, w.m, tablet)
			w.wantTooMany(err, "live attempts", time.Minute)
			if n := w.m.Live(); n != 2 {
				w.Errorf("Live() = %d, want 2", n)
			}
		}
		full()
		w.noError(startAt(w, w.newManager(), tablet))
		w.cancel(a)
		w.noError(startAt(w, w.m, laptop))
		full()
		time.Sleep(codeLifetime + time.Second) // nobody need look for them to end
		if n := w.m.Live(); n != 0 {
			w.Errorf("Live() = %d after all have expired, want 0", n)
		}
		w.noError(startAt(w, w.m, tablet))
	})
}

// A start that LIMIT_LIVE refuses does not count for its address, and a start
// that its address's limit refuses does not count for LIMIT_LIVE.
func TestRefusedStartsCostNothing(t *testing.T) {
	inBubble(t, func(w *world) {
		w.reconfigure(func(w *world) { w.limits.Live, w.limits.CodesPerAddress = 1, 2 })
		a, err := startAt(w, w.m, laptop)
		w.noError(a, err)
		for range 10 {
			_, err := startAt(w, w.m, laptop)
			w.wantTooMany(err, "live attempts", time.Minute)
		}
		w.cancel(a)
		a, err = startAt(w, w.m, laptop)
		w.noError(a, err)
		w.cancel(a)
		for range 3 { // the address is at its limit, and its refusals take no place
			_, err = startAt(w, w.m, laptop)
			w.wantTooMany(err, codesRule, 5*time.Minute)
		}
		w.noError(startAt(w, w.m, tablet))
	})
}

// Asking the provider takes a while. Other starts in that time are counted.
func TestLiveAttemptsAtOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		w.limits.Live = 2
		m := w.newManagerWith(func(c *Config) { c.Provider = slowStart{w.provider} })
		var live atomic.Int32
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if _, err := m.Start(w.Context(), at(fmt.Sprintf("198.51.100.%d", i))); err == nil {
					live.Add(1)
				}
			})
		}
		wg.Wait()
		if live.Load() != 2 {
			t.Errorf("%d live attempts, want 2", live.Load())
		}
	})
}

type slowStart struct{ Provider }

func (s slowStart) StartDevice(ctx context.Context) (idp.DeviceCode, error) {
	select {
	case <-time.After(time.Second):
		return s.Provider.StartDevice(ctx)
	case <-ctx.Done():
		return idp.DeviceCode{}, ctx.Err()
	}
}
