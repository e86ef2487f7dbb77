package devicegrant

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"changebank/internal/browser"
)

var (
	laptopIPv6 = browser.Browser{Agent: laptop.Agent, Addr: "2001:db8:1:2::7"}
	privacyV6  = browser.Browser{Agent: laptop.Agent, Addr: "2001:db8:1:2:dead::1"} // in the same /64
	private    = browser.Browser{Agent: laptop.Agent, Addr: "10.0.0.7"}
)

// inState is an attempt in one of the states after the approval. visit is
// called before the approval.
func (w *world) inState(state State, visit func(Attempt)) Attempt {
	w.Helper()
	if state == Number {
		w.reconfigure(func(w *world) { w.confirm = NumberAlways })
	}
	if state == Yes {
		w.provider.polls = script{{err: pending}}
	}
	a := w.start()
	visit(a)
	a, err := w.yes(w.open(a))
	if err != nil {
		w.Fatalf("Yes: %v", err)
	}
	if state == Approved {
		w.settle()
	}
	w.want(a, state)
	return a
}

// After the approval, the laptop's cookie counts only for the browser that the
// person was shown: it may have been stolen.
func TestStolenCookieAfterTheApproval(t *testing.T) {
	for _, state := range []State{Number, Yes, Approved} {
		for name, tt := range map[string]struct {
			visits []browser.Browser // before the approval
			comes  browser.Browser   // after it
			want   bool
		}{
			"same browser":                     {nil, laptop, true},
			"another network":                  {nil, elsewhere, false},
			"another browser, same address":    {nil, otherAgent, false},
			"another browser, shown address":   {[]browser.Browser{elsewhere, laptop}, browser.Browser{Agent: otherAgent.Agent, Addr: elsewhere.Addr}, false},
			"unknown address":                  {nil, browser.Browser{Agent: laptop.Agent}, false},
			"earlier address":                  {[]browser.Browser{elsewhere, laptop}, elsewhere, true},
			"earlier address's network":        {[]browser.Browser{laptopIPv6, laptop}, privacyV6, true},
			"neighbor of the address":          {nil, browser.Browser{Agent: laptop.Agent, Addr: "203.0.113.6"}, false},
			"IPv6 page, IPv4 stream":           {[]browser.Browser{laptop, laptopIPv6}, laptop, true},
			"IPv6 page, first seen afterwards": {nil, laptopIPv6, false},
			// Nobody is near a private address here, but it is the same one.
			"earlier private address":        {[]browser.Browser{private, laptop}, private, true},
			"neighbor of an earlier address": {[]browser.Browser{private, laptop}, browser.Browser{Agent: laptop.Agent, Addr: "10.0.0.8"}, false},
		} {
			t.Run(fmt.Sprintf("%s, %s", state, name), func(t *testing.T) {
				inBubble(t, func(w *world) {
					a := w.inState(state, func(a Attempt) {
						for _, b := range tt.visits {
							w.noError(w.m.CheckLaptop(w.Context(), a.ID, b))
						}
					})
					got, err := w.m.CheckLaptop(w.Context(), a.ID, tt.comes)
					if tt.want {
						if err != nil || got.State != state {
							w.Errorf("CheckLaptop: %s, %v, want %s", got.State, err, state)
						}
						w.provider.wantKept()
						return
					}
					if err != nil || got.State != Failed || got.Reason != ReasonMoved {
						w.Errorf("CheckLaptop: %s %q, %v, want %s", got.State, got.Reason, err, Failed)
					}
					synctest.Wait()
					w.wantEnd(a, Failed, ReasonMoved)
					w.provider.wantRevoked(w.provider.count().given)
				})
			})
		}
	}
}

// The thief comes with a claim, in place of a look.
func TestStolenCookieClaims(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		if id, err := w.m.Claim(w.Context(), a.ID, elsewhere); id != "" || !errors.Is(err, ErrNotApproved) {
			w.Errorf("Claim from another network: %q, %v, want %v", id, err, ErrNotApproved)
		}
		w.wantEnd(a, Failed, ReasonMoved)
		w.provider.wantRevoked(1)
	})
}

// And after the laptop's own claim, while its answer could be repeated.
func TestStolenCookieClaimsAgain(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		session := w.wantClaim(w.m, a)
		if id, err := w.m.Claim(w.Context(), a.ID, elsewhere); id != "" || !errors.Is(err, ErrClaimed) {
			w.Errorf("Claim from another network: %q, %v, want %v", id, err, ErrClaimed)
		}
		w.want(a, Claimed)
		if s := w.sessions.get(session); !s.live || s.ended {
			w.Error("the thief's claim ended the laptop's session")
		}
	})
}

// Four addresses are enough for an honest laptop. One that shows more is not
// known to be near anybody, wherever it is.
func TestManyAddresses(t *testing.T) {
	addr := func(i int) browser.Browser { // all in one /64, so each is near
		return browser.Browser{Agent: laptop.Agent, Addr: fmt.Sprintf("2001:db8:1:2::%x", i)}
	}
	for addresses, want := range map[int]State{1: Yes, 3: Yes, 4: Yes, 5: Number, 6: Number, 20: Number} {
		t.Run(fmt.Sprint(addresses), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.reconfigure(func(w *world) { w.confirm = NumberAuto })
				a, err := w.m.Start(w.Context(), addr(0))
				w.noError(a, err)
				w.remember(a)
				for i := range 3 * addresses { // back and forth
					w.noError(w.m.CheckLaptop(w.Context(), a.ID, addr(i%addresses)))
				}
				w.noError(w.m.CheckLaptop(w.Context(), a.ID, addr(0)))
				if got := w.record(a); len(got.Shown) > maxShown+1 || got.Laptop != addr(0) {
					w.Errorf("%d addresses are kept and the laptop is at %s, want at most %d, and at %s", len(got.Shown), got.Laptop.Addr, maxShown+1, addr(0).Addr)
				}
				near := browser.Browser{Agent: phone.Agent, Addr: "2001:db8:1:2::abcd"}
				a, err = w.m.Open(w.Context(), visit(a.UserCode, near, richard))
				if err != nil || a.DifferentNetwork != (want == Number) {
					w.Errorf("Open: different network %v, %v", a.DifferentNetwork, err)
				}
				if got, err := w.m.Yes(w.Context(), answerOf(a, richard, near)); err != nil || got.State != want {
					w.Errorf("Yes: %s, %v, want %s", got.State, err, want)
				}
			})
		})
	}
}

// Where the application is local, private addresses tell who is near whom.
func TestLocalNetwork(t *testing.T) {
	home := browser.Browser{Agent: laptop.Agent, Addr: "192.168.1.7"}
	nearby := browser.Browser{Agent: phone.Agent, Addr: "192.168.1.8"}
	for _, local := range []bool{true, false} {
		t.Run(fmt.Sprintf("local: %v", local), func(t *testing.T) {
			inBubble(t, func(w *world) {
				m := w.newManagerWith(func(c *Config) { c.Local = local })
				a, err := m.Start(w.Context(), home)
				w.noError(a, err)
				w.remember(a)
				if a, err = m.Open(w.Context(), visit(a.UserCode, nearby, richard)); err != nil || a.DifferentNetwork == local {
					w.Errorf("Open: different network %v, %v", a.DifferentNetwork, err)
				}
			})
		})
	}
}
