package devicegrant

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
)

var (
	nearPhone  = browser.Browser{Agent: phone.Agent, Addr: laptop.Addr}
	elsewhere  = browser.Browser{Agent: laptop.Agent, Addr: "198.51.100.9"}
	otherAgent = browser.Browser{Agent: "Chrome on Linux", Addr: laptop.Addr}
)

// asked is an attempt that Richard approved, and whose laptop must type the
// number that is on his phone.
func (w *world) asked() (a Attempt, number string) {
	w.Helper()
	w.reconfigure(func(w *world) { w.confirm = NumberAlways })
	a, err := w.yes(w.open(w.start()))
	if err != nil || a.State != Number {
		w.Fatalf("Yes: %s, %v, want %s", a.State, err, Number)
	}
	number, err = w.m.NumberFor(w.Context(), a.ID, richard)
	if err != nil || len(number) != 4 {
		w.Fatalf("NumberFor: %q, %v, want four digits", number, err)
	}
	return a, number
}

// another returns a number that is not this one.
func another(number string) string {
	if number == "0000" {
		return "0001"
	}
	return "0000"
}

// A QR code that was mailed to a victim is worthless to its sender, whose laptop
// lacks the number on the victim's phone.
func TestMailedCode(t *testing.T) {
	inBubble(t, func(w *world) {
		a, number := w.asked()
		page := w.watch(w.m, a.ID)
		time.Sleep(time.Minute)
		w.want(a, Number)
		w.provider.wantApprovals(1)
		w.provider.wantPolls(0)
		if _, err := w.claim(a); !errors.Is(err, ErrNotApproved) {
			w.Errorf("Claim before the number: %v, want %v", err, ErrNotApproved)
		}
		confirmed := time.Minute
		if got, err := w.m.Confirm(w.Context(), a.ID, number); err != nil || got.State != Yes {
			w.Errorf("Confirm: %s, %v, want %s", got.State, err, Yes)
		}
		time.Sleep(time.Second)
		w.wantSeen(page, false, sight{Number, false, 0}, sight{Yes, false, confirmed}, sight{Approved, false, confirmed + pollTime + verifyTime})
		w.provider.wantPolls(1)
		if n, err := w.m.NumberFor(w.Context(), a.ID, richard); n != "" || err != nil {
			w.Errorf("the number after it was typed: %q, %v, want it gone", n, err)
		}
		w.wantClaim(w.m, a)
	})
}

// A guesser has three tries of ten thousand.
func TestWrongNumbers(t *testing.T) {
	inBubble(t, func(w *world) {
		a, number := w.asked()
		for i := range 2 {
			got, err := w.m.Confirm(w.Context(), a.ID, another(number))
			if !errors.Is(err, ErrWrongNumber) || got.Tries != i+1 || w.m.TriesLeft(got) != 2-i {
				w.Errorf("wrong number: try %d, %d left, %v, want try %d, %d left and %v", got.Tries, w.m.TriesLeft(got), err, i+1, 2-i, ErrWrongNumber)
			}
		}
		if got, err := w.m.Confirm(w.Context(), a.ID, another(number)); err != nil || got.State != Failed {
			w.Errorf("the third wrong number: %s, %v, want %s", got.State, err, Failed)
		}
		if got, err := w.m.Confirm(w.Context(), a.ID, number); err != nil || got.State != Failed {
			w.Errorf("the right number after it: %s, %v, want %s", got.State, err, Failed)
		}
		w.wantEnd(a, Failed, ReasonNumber)
		w.provider.wantPolls(0)
	})
}

// A number that is typed twice, in two tabs or by a double click, costs no try.
func TestNumberTypedTwice(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}}
		a, number := w.asked()
		w.noError(w.m.Confirm(w.Context(), a.ID, number))
		for _, typed := range []string{number, another(number), ""} {
			if got, err := w.m.Confirm(w.Context(), a.ID, typed); err != nil || got.State != Yes || got.Tries != 0 {
				w.Errorf("Confirm again: %s after %d tries, %v, want %s", got.State, got.Tries, err, Yes)
			}
		}
	})
}

// The laptop may type the number before the provider has answered the approval.
func TestNumberTypedBeforeTheProviderAnswers(t *testing.T) {
	inBubble(t, func(w *world) {
		w.reconfigure(func(w *world) { w.confirm = NumberAlways })
		w.provider.approvals = script{{after: 3 * time.Second}}
		a := w.open(w.start())
		go func() { _, _ = w.yes(a) }()
		synctest.Wait()
		number, err := w.m.NumberFor(w.Context(), a.ID, richard)
		if err != nil {
			w.Fatal(err)
		}
		w.noError(w.m.Confirm(w.Context(), a.ID, number))
		time.Sleep(3*time.Second - time.Nanosecond)
		w.provider.wantPolls(0)
		time.Sleep(time.Second)
		synctest.Wait()
		w.want(a, Approved)
	})
}

func TestWhenANumberIsAsked(t *testing.T) {
	openedBy := func(person idp.Person) func(*world, Attempt) {
		return func(w *world, a Attempt) { _, _ = w.m.Open(w.Context(), visit(a.UserCode, nearPhone, person)) }
	}
	moves := func(laptops ...browser.Browser) func(*world, Attempt) {
		return func(w *world, a Attempt) {
			for _, l := range laptops {
				w.noError(w.m.CheckLaptop(w.Context(), a.ID, l))
			}
		}
	}
	relayed, shared := laptop, laptop
	relayed.Relayed = true
	shared.Shared = true
	for _, tt := range []struct {
		name    string
		confirm string
		phone   browser.Browser
		before  func(*world, Attempt)
		far     bool
		want    State
	}{
		{"same network", NumberAuto, nearPhone, nil, false, Yes},
		{"another network", NumberAuto, phone, nil, true, Number},
		{"unknown network", NumberAuto, browser.Browser{}, nil, true, Number},
		{"opened twice by one person", NumberAuto, nearPhone, openedBy(richard), false, Yes},
		{"opened by two people", NumberAuto, nearPhone, openedBy(mallory), false, Number},
		// An attacker's laptop that comes to the phone's network was elsewhere before.
		{"laptop has left the phone's network", NumberAuto, nearPhone, moves(elsewhere), true, Number},
		{"laptop has come to the phone's network", NumberAuto, browser.Browser{Addr: elsewhere.Addr}, moves(elsewhere), true, Number},
		{"laptop was away in between", NumberAuto, nearPhone, moves(elsewhere, laptop), true, Number},
		{"laptop was relayed in between", NumberAuto, nearPhone, moves(relayed, laptop), true, Number},
		{"laptop was at a shared exit in between", NumberAuto, nearPhone, moves(shared, laptop), true, Number},
		{"another browser at the same address", NumberAuto, nearPhone, moves(otherAgent), false, Yes},
		{"always", NumberAlways, nearPhone, nil, false, Number},
		{"never", NumberNever, phone, nil, true, Yes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.reconfigure(func(w *world) { w.confirm = tt.confirm })
				a := w.start()
				if tt.before != nil {
					tt.before(w, a)
				}
				a, err := w.m.Open(w.Context(), visit(a.UserCode, tt.phone, richard))
				if err != nil {
					w.Fatal(err)
				}
				if a.DifferentNetwork != tt.far {
					w.Errorf("the question says that the networks differ: %v, want %v", a.DifferentNetwork, tt.far)
				}
				got, err := w.m.Yes(w.Context(), answerOf(a, richard, tt.phone))
				if err != nil || got.State != tt.want {
					w.Errorf("Yes: %s, %v, want %s", got.State, err, tt.want)
				}
			})
		})
	}
}

// The networks are compared at the approval, not only at the question.
func TestNumberAfterANetworkChange(t *testing.T) {
	for name, change := range map[string]func(w *world, a Attempt) (phone browser.Browser){
		"of the phone": func(*world, Attempt) browser.Browser { return phone },
		"of the laptop, and back": func(w *world, a Attempt) browser.Browser {
			w.noError(w.m.CheckLaptop(w.Context(), a.ID, elsewhere))
			w.noError(w.m.CheckLaptop(w.Context(), a.ID, laptop))
			return nearPhone
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.reconfigure(func(w *world) { w.confirm = NumberAuto })
				a, err := w.m.Open(w.Context(), visit(w.start().UserCode, nearPhone, richard))
				if err != nil || a.DifferentNetwork {
					w.Fatalf("Open: different network %v, %v", a.DifferentNetwork, err)
				}
				got, err := w.m.Yes(w.Context(), answerOf(a, richard, change(w, a)))
				if err != nil || got.State != Number || !got.DifferentNetwork {
					w.Errorf("Yes: %s, different network %v, %v, want %s", got.State, got.DifferentNetwork, err, Number)
				}
			})
		})
	}
}

// Where the provider asks on a page of its own, nobody shows a number.
func TestNoNumberOnTheProviderPage(t *testing.T) {
	inBubble(t, func(w *world) {
		w.reconfigure(func(w *world) { w.confirm = NumberAlways })
		w.provider.change = func(c *idp.DeviceCode) { c.URI, c.URIComplete = issuer+"/device", issuer+"/device?c=1" }
		if _, err := w.m.Start(w.Context(), laptop); !errors.Is(err, ErrNoNumber) {
			w.Errorf("Start: %v, want %v", err, ErrNoNumber)
		}
	})
}

// Numbers are spread over all of 0000 to 9999.
func TestNewNumber(t *testing.T) {
	first := make(map[byte]bool)
	for range 1000 {
		n := newNumber()
		if len(n) != 4 || fmt.Sprintf("%04s", n) != n {
			t.Fatalf("number %q, want four digits", n)
		}
		first[n[0]] = true
	}
	if len(first) != 10 {
		t.Errorf("1000 numbers begin with %d digits, want 10", len(first))
	}
}

// The number is typed in another tab in the same moment. One of the two takes the
// lease, and there is one poll.
func TestNumberTypedInTwoTabs(t *testing.T) {
	inBubble(t, func(w *world) {
		a, number := w.asked()
		reads := 0
		w.backend.read = func() {
			if reads++; reads == 2 { // of the attempt, by the update
				w.backend.read = nil
				w.noError(w.m.Confirm(w.Context(), a.ID, number))
			}
		}
		w.noError(w.m.Confirm(w.Context(), a.ID, number))
		time.Sleep(time.Minute)
		w.provider.wantPolls(1)
		w.wantClaim(w.m, a)
	})
}
