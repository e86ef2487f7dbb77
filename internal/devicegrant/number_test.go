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
	nearPhone = browser.Browser{Agent: phone.Agent, Addr: laptop.Addr}
	elsewhere = browser.Browser{Agent: laptop.Agent, Addr: "198.51.100.9"}
)

// asked is an attempt to which Richard said yes, and whose laptop must type the
// number that is on his phone.
func (w *world) asked() (a Attempt, number string) {
	w.Helper()
	a = w.open(w.start())
	a, err := w.bank.Yes(w.Context(), a.UserCode, a.Shown(), phone, richard, phoneToken)
	if err != nil || a.State != Number {
		w.Fatalf("Yes: %s, %v, want %s", a.State, err, Number)
	}
	number, err = w.bank.NumberFor(w.Context(), a.ID, richard)
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

// The mailed QR code: what the sender's laptop lacks is on the victim's phone.
func TestNothingIsRedeemedBeforeTheNumber(t *testing.T) {
	inBubble(t, func(w *world) {
		w.confirm = NumberAuto
		w.bank = w.process()
		a, number := w.asked()
		page := w.watch(w.bank, a.ID)
		time.Sleep(time.Minute)
		w.want(a, Number)
		w.provider.wantApprovals(1)
		w.provider.wantPolls(0)
		if _, _, err := w.bank.Claim(w.Context(), a.ID, nil); !errors.Is(err, ErrNotApproved) {
			w.Errorf("Claim before the number: %v, want %v", err, ErrNotApproved)
		}
		if got, err := w.bank.Confirm(w.Context(), a.ID, number); err != nil || got.State != Yes {
			w.Errorf("Confirm: %s, %v, want %s", got.State, err, Yes)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		w.want(a, Approved)
		w.provider.wantPolls(1)
		if seen, _, _ := page.saw(); len(seen) != 3 || seen[0].State != Number || seen[1].State != Yes || seen[2].State != Approved {
			w.Errorf("the laptop saw %v, want %s, %s, %s", seen, Number, Yes, Approved)
		}
		if n, err := w.bank.NumberFor(w.Context(), a.ID, richard); n != "" || err != nil {
			w.Errorf("the number after it was typed: %q, %v, want it gone", n, err)
		}
	})
}

// The guessed number: three of ten thousand.
func TestWrongNumbers(t *testing.T) {
	inBubble(t, func(w *world) {
		w.confirm = NumberAlways
		w.bank = w.process()
		a, number := w.asked()
		for i := range 2 {
			if got, err := w.bank.Confirm(w.Context(), a.ID, another(number)); !errors.Is(err, ErrWrongNumber) || got.Tries != i+1 {
				w.Errorf("wrong number: try %d, %v, want try %d and %v", got.Tries, err, i+1, ErrWrongNumber)
			}
		}
		if got, err := w.bank.Confirm(w.Context(), a.ID, another(number)); err != nil || got.State != Failed {
			w.Errorf("the third wrong number: %s, %v, want %s", got.State, err, Failed)
		}
		if got, err := w.bank.Confirm(w.Context(), a.ID, number); err != nil || got.State != Failed {
			w.Errorf("the right number after it: %s, %v, want %s", got.State, err, Failed)
		}
		w.wantEnd(a, Failed, ReasonNumber)
		w.provider.wantPolls(0)
	})
}

// When a number is asked for, and when not.
func TestWhenANumberIsAsked(t *testing.T) {
	open := func(who idp.Person) func(*world, Attempt) {
		return func(w *world, a Attempt) { _, _ = w.bank.Open(w.Context(), a.UserCode, nearPhone, who) }
	}
	for _, tt := range []struct {
		confirm string
		phone   browser.Browser
		before  func(*world, Attempt)
		want    State
	}{
		{NumberAuto, nearPhone, nil, Yes},
		{NumberAuto, phone, nil, Number},
		{NumberAuto, browser.Browser{}, nil, Number},
		{NumberAuto, nearPhone, open(richard), Yes},
		// The second phone: two people had the code.
		{NumberAuto, nearPhone, open(mallory), Number},
		// The laptop has moved since it began: what counts is where it is now.
		{NumberAuto, nearPhone, func(w *world, a Attempt) { w.noError(w.bank.Look(w.Context(), a.ID, elsewhere)) }, Number},
		{NumberAuto, browser.Browser{Addr: elsewhere.Addr}, func(w *world, a Attempt) { w.noError(w.bank.Look(w.Context(), a.ID, elsewhere)) }, Yes},
		{NumberAlways, nearPhone, nil, Number},
		{NumberNever, phone, nil, Yes},
	} {
		t.Run(fmt.Sprint(tt.confirm, tt.phone.Addr, tt.want), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.confirm = tt.confirm
				w.bank = w.process()
				a := w.start()
				if tt.before != nil {
					tt.before(w, a)
				}
				a, err := w.bank.Open(w.Context(), a.UserCode, tt.phone, richard)
				if err != nil {
					w.Fatal(err)
				}
				if a.Far != (tt.phone.Addr != a.Laptop.Addr) {
					w.Errorf("the question says far: %v", a.Far)
				}
				got, err := w.bank.Yes(w.Context(), a.UserCode, a.Shown(), tt.phone, richard, phoneToken)
				if err != nil || got.State != tt.want {
					w.Errorf("Yes: %s, %v, want %s", got.State, err, tt.want)
				}
			})
		})
	}
}

// Two people open one code. The first yes owns it, wherever it comes from.
func TestTwoApprovers(t *testing.T) {
	inBubble(t, func(w *world) {
		w.confirm = NumberAuto
		w.bank = w.process()
		w.provider.verdicts = script{{person: mallory}}
		a := w.open(w.start())
		second, err := w.bank.Open(w.Context(), a.UserCode, tablet, mallory)
		if err != nil || !second.Second {
			w.Errorf("Open by a second person: %+v, %v, want the question, marked", second, err)
		}
		if got, err := w.bank.Yes(w.Context(), a.UserCode, second.Shown(), tablet, mallory, phoneToken); err != nil || got.State != Number || !got.Person.Is(mallory) {
			w.Errorf("Yes by the second person: %s by %s, %v", got.State, got.Person, err)
		}
		if _, err := w.yes(a); !errors.Is(err, ErrOtherPerson) {
			w.Errorf("Yes by the first person: %v, want %v", err, ErrOtherPerson)
		}
		if _, err := w.bank.No(w.Context(), a.UserCode, a.Shown(), phone, richard); !errors.Is(err, ErrOtherPerson) {
			w.Errorf("No by the first person after it: %v, want %v", err, ErrOtherPerson)
		}
		if n, err := w.bank.NumberFor(w.Context(), a.ID, richard); n != "" || !errors.Is(err, ErrNone) {
			w.Errorf("the number for the first person: %q, %v, want none", n, err)
		}
		number, err := w.bank.NumberFor(w.Context(), a.ID, mallory)
		if err != nil {
			w.Fatal(err)
		}
		w.noError(w.bank.Confirm(w.Context(), a.ID, number))
		time.Sleep(time.Second)
		synctest.Wait()
		if r := w.want(a, Approved); !r.Person.Is(mallory) {
			w.Errorf("logged in as %s, want who said yes", r.Person)
		}
	})
}

// A yes counts for the laptop that was shown, and for no other.
func TestTheLaptopChangedUnderTheQuestion(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.open(w.start())
		w.noError(w.bank.Look(w.Context(), a.ID, elsewhere))
		if _, err := w.yes(a); !errors.Is(err, ErrChanged) {
			w.Errorf("Yes to the old question: %v, want %v", err, ErrChanged)
		}
		w.provider.wantApprovals(0)
		if got := w.open(a); got.Laptop != elsewhere {
			w.Errorf("the question is about %+v, want %+v", got.Laptop, elsewhere)
		} else if a, err := w.yes(got); err != nil || a.State != Yes {
			w.Errorf("Yes to the new question: %s, %v", a.State, err)
		}
	})
}

// The stolen claim: after the yes, only the network that it was given about
// counts.
func TestTheLaptopMovesAfterTheYes(t *testing.T) {
	for _, state := range []State{Number, Yes, Approved} {
		t.Run(string(state), func(t *testing.T) {
			inBubble(t, func(w *world) {
				var a Attempt
				switch state {
				case Number:
					w.confirm = NumberAlways
					w.bank = w.process()
					a, _ = w.asked()
				case Yes:
					w.provider.polls = script{{err: pending}}
					a = w.agreed()
				case Approved:
					a = w.approved()
				}
				if got, err := w.bank.Look(w.Context(), a.ID, browser.Browser{Agent: "Chrome", Addr: laptop.Addr}); err != nil || got.State != state {
					w.Errorf("Look from the same address: %s, %v, want %s", got.State, err, state)
				}
				if got, err := w.bank.Look(w.Context(), a.ID, elsewhere); err != nil || got.State != Failed || got.Reason != ReasonMoved {
					w.Errorf("Look from another network: %s %q, %v, want %s", got.State, got.Reason, err, Failed)
				}
				synctest.Wait()
				w.wantEnd(a, Failed, ReasonMoved)
			})
		})
	}
}

// Where the provider has a page of its own, nobody shows a number.
func TestNoNumberOnTheirPage(t *testing.T) {
	inBubble(t, func(w *world) {
		w.confirm = NumberAlways
		w.bank = w.process()
		w.provider.change = func(c *idp.DeviceCode) { c.URI, c.URIComplete = issuer+"/device", issuer+"/device?c=1" }
		if _, err := w.bank.Start(w.Context(), laptop, ""); !errors.Is(err, ErrNoNumber) {
			w.Errorf("Start: %v, want %v", err, ErrNoNumber)
		}
	})
}
