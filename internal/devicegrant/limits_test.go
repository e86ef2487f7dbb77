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
)

func (w *world) wantLimit(laptop browser.Browser, session, rule string, wait time.Duration) {
	w.Helper()
	_, err := w.bank.Start(w.Context(), laptop, session)
	tooMany, ok := errors.AsType[*TooManyError](err)
	if !ok || tooMany.Rule != rule || tooMany.Wait != wait {
		w.Errorf("Start: %v, want too many %s and %v of waiting", err, rule, wait)
	}
}

func (w *world) startFrom(laptop browser.Browser, session string) Attempt {
	w.Helper()
	a, err := w.bank.Start(w.Context(), laptop, session)
	if err != nil {
		w.Errorf("Start from %s in %q: %v", laptop.Addr, session, err)
	}
	return a
}

func TestNewCodesPerBrowserAndAddress(t *testing.T) {
	inBubble(t, func(w *world) {
		w.limits.CodesPerAddress, w.limits.CodesPerBrowser = 3, 2
		w.bank = w.process()
		v6 := func(addr string) browser.Browser { return browser.Browser{Addr: addr} }
		w.startFrom(v6("2001:db8::1"), "one")
		time.Sleep(time.Minute)
		w.startFrom(v6("2001:db8::2"), "one")
		w.wantLimit(v6("2001:db8:9::3"), "one", "new codes for one browser", 9*time.Minute)
		w.startFrom(v6("2001:db8::3"), "two")
		w.wantLimit(v6("2001:db8::4"), "three", "new codes for one address", 9*time.Minute)
		w.startFrom(v6("2001:db8:0:1::4"), "three") // the neighbour's network
		time.Sleep(9 * time.Minute)
		w.startFrom(v6("2001:db8::4"), "four")

		// What was not even asked of the provider costs nothing.
		w.provider.startErr = idp.ErrNotReady
		for range 5 {
			if _, err := w.bank.Start(w.Context(), laptop, "five"); !errors.Is(err, w.provider.startErr) {
				w.Errorf("Start: %v, want %v", err, w.provider.startErr)
			}
		}
		w.provider.startErr = nil
		w.startFrom(laptop, "five")
	})
}

func TestLiveCodes(t *testing.T) {
	inBubble(t, func(w *world) {
		w.limits.LivePerAddress, w.limits.Live = 2, 3
		w.bank = w.process()
		a := w.startFrom(laptop, "one")
		w.startFrom(laptop, "two")
		w.wantLimit(laptop, "three", "live codes for one address", time.Minute)
		w.startFrom(phone, "three")
		w.wantLimit(tablet, "four", "live codes", time.Minute)
		if err := w.bank.Cancel(w.Context(), a.ID); err != nil {
			w.Fatal(err)
		}
		w.startFrom(laptop, "four")
		w.wantLimit(tablet, "five", "live codes", time.Minute)
		time.Sleep(codeLifetime + time.Second) // nobody need look for them to end
		w.startFrom(tablet, "five")
	})
}

// Asking the provider takes a while: who asks meanwhile must be counted.
func TestLiveCodesAtOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		w.limits.LivePerAddress, w.limits.Live = 2, 2
		w.bank = w.process()
		w.bank.cfg.Provider = slowStart{w.provider}
		var live atomic.Int32
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				if _, err := w.bank.Start(w.Context(), laptop, fmt.Sprint(i)); err == nil {
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
	time.Sleep(time.Second)
	return s.Provider.StartDevice(ctx)
}

// A provider that refuses must not be asked without end either.
func TestRefusedStartsCount(t *testing.T) {
	inBubble(t, func(w *world) {
		w.limits.CodesPerBrowser, w.limits.LivePerAddress = 5, 1
		w.bank = w.process()
		w.provider.startErr = &idp.Error{Status: 429}
		for range 5 {
			if _, err := w.bank.Start(w.Context(), laptop, "one"); !errors.Is(err, w.provider.startErr) {
				w.Errorf("Start: %v, want %v", err, w.provider.startErr)
			}
		}
		w.wantLimit(laptop, "one", "new codes for one browser", 10*time.Minute)
		if n := len(w.bank.limits.live); n != 0 {
			w.Errorf("%d live attempts, want none", n)
		}
	})
}
