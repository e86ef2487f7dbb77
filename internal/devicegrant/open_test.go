package devicegrant

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
)

func TestOpen(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		got := w.open(a)
		if got.ID != a.ID || got.Ref != a.Ref || got.Laptop != laptop || got.Phone != phone || got.Person != richard {
			w.Errorf("Open: %+v, want the attempt, its laptop, this phone and Richard", got)
		}
		// Again, on another phone of his: a reload, or a link passed on.
		got, err := w.m.Open(w.Context(), visit(a.UserCode, tablet, richard))
		if err != nil || got.State != Opened || got.Phone != tablet {
			w.Errorf("Open again: %s on %v, %v, want %s on the tablet", got.State, got.Phone, err, Opened)
		}
	})
}

// Without a number, only the person who opened an attempt first can answer it.
// An attacker who has seen the code over a shoulder could otherwise approve with
// an account of his own, and the victim would work in it.
func TestSecondPerson(t *testing.T) {
	for _, state := range []State{Opened, Yes, Approved} {
		t.Run(string(state), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{err: pending}, {}}
				a := w.open(w.start())
				if state != Opened {
					w.noError(w.yes(a))
					synctest.Wait()
				}
				if state == Approved {
					time.Sleep(time.Minute)
					synctest.Wait()
				}
				before := w.want(a, state)
				approvals := w.provider.count().approved
				for name, answer := range map[string]func() (Attempt, error){
					"Open": func() (Attempt, error) { return w.m.Open(w.Context(), visit(a.UserCode, tablet, mallory)) },
					"Yes":  func() (Attempt, error) { return w.m.Yes(w.Context(), answerOf(a, mallory, tablet)) },
					"No":   func() (Attempt, error) { return w.m.No(w.Context(), answerOf(a, mallory, tablet)) },
				} {
					got, err := answer()
					if !errors.Is(err, ErrOtherPerson) || got != (Attempt{}) {
						w.Errorf("%s: %+v, %v, want nothing and %v", name, got, err, ErrOtherPerson)
					}
				}
				synctest.Wait()
				w.wantUnchanged(a, before)
				w.provider.wantApprovals(approvals)
			})
		})
	}
}

// The same e-mail address is not the same person, and neither is the same
// subject at another provider.
func TestPersonIsIssuerAndSubject(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.open(w.start())
		for _, other := range []idp.Person{
			{Issuer: issuer, Subject: "3", Email: richard.Email, Name: richard.Name},
			{Issuer: "https://evil.example", Subject: richard.Subject, Email: richard.Email},
			{Issuer: issuer, Email: richard.Email},
		} {
			if _, err := w.m.Yes(w.Context(), answerOf(a, other, phone)); !errors.Is(err, ErrOtherPerson) {
				w.Errorf("Yes by %+v: %v, want %v", other, err, ErrOtherPerson)
			}
		}
		w.want(a, Opened)
		renamed := idp.Person{Issuer: issuer, Subject: richard.Subject, Email: "new@example.com"}
		w.noError(w.m.Yes(w.Context(), answerOf(a, renamed, phone)))
	})
}

func TestTwoPeopleOpenAtOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		for range 20 {
			a := w.start()
			people := []idp.Person{richard, mallory}
			errs := make([]error, len(people))
			var wg sync.WaitGroup
			for i, person := range people {
				wg.Go(func() { _, errs[i] = w.m.Open(w.Context(), visit(a.UserCode, phone, person)) })
			}
			wg.Wait()
			r := w.want(a, Opened)
			for i, person := range people {
				if person.Is(r.Person) && errs[i] != nil || !person.Is(r.Person) && !errors.Is(errs[i], ErrOtherPerson) {
					w.Errorf("%v opened it, and %v was told %v", r.Person, person, errs[i])
				}
			}
		}
	})
}

// With a number, several people may open one code. The first approval owns it.
func TestTwoApprovers(t *testing.T) {
	inBubble(t, func(w *world) {
		w.reconfigure(func(w *world) { w.confirm = NumberAuto })
		w.provider.verdicts = script{{person: mallory}}
		a := w.open(w.start())
		second, err := w.m.Open(w.Context(), visit(a.UserCode, tablet, mallory))
		if err != nil || !second.OpenedByOthers || !second.Person.Is(richard) {
			w.Errorf("Open by a second person: %+v, %v, want the question, marked", second, err)
		}
		if got, err := w.m.Yes(w.Context(), answerOf(second, mallory, tablet)); err != nil || got.State != Number || !got.Person.Is(mallory) {
			w.Errorf("Yes by the second person: %s by %s, %v", got.State, got.Person, err)
		}
		if _, err := w.yes(a); !errors.Is(err, ErrOtherPerson) {
			w.Errorf("Yes by the first person: %v, want %v", err, ErrOtherPerson)
		}
		if _, err := w.no(a); !errors.Is(err, ErrOtherPerson) {
			w.Errorf("No by the first person after it: %v, want %v", err, ErrOtherPerson)
		}
		if n, err := w.m.NumberFor(w.Context(), a.ID, richard); n != "" || !errors.Is(err, ErrNone) {
			w.Errorf("the number for the first person: %q, %v, want none", n, err)
		}
		number, err := w.m.NumberFor(w.Context(), a.ID, mallory)
		if err != nil {
			w.Fatal(err)
		}
		w.noError(w.m.Confirm(w.Context(), a.ID, number))
		time.Sleep(time.Second)
		synctest.Wait()
		if r := w.want(a, Approved); !r.Person.Is(mallory) {
			w.Errorf("logged in as %s, want the approver", r.Person)
		}
	})
}

// An approval of a question that was never shown is forged.
func TestYesWithoutOpen(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		before := w.record(a)
		got, err := w.yes(a)
		if err != nil || got.State != Waiting {
			w.Errorf("Yes: %s, %v, want %s", got.State, err, Waiting)
		}
		got, err = w.no(a)
		if err != nil || got.State != Waiting {
			w.Errorf("No: %s, %v, want %s", got.State, err, Waiting)
		}
		time.Sleep(time.Minute)
		w.provider.wantApprovals(0)
		w.provider.wantPolls(0)
		w.wantUnchanged(a, before)
	})
}

// The question may be on a phone while its code has come to stand for another
// attempt. The answer is to the question that was shown.
func TestAnswerToAnotherAttempt(t *testing.T) {
	inBubble(t, func(w *world) {
		other := w.start()
		a := w.open(w.start())
		before := w.record(a)
		for _, fingerprint := range []string{other.Fingerprint(), other.Ref, "", a.Ref + "x"} {
			answer := answerOf(a, richard, tablet)
			answer.Fingerprint = fingerprint
			if _, err := w.m.Yes(w.Context(), answer); !errors.Is(err, ErrChanged) {
				w.Errorf("Yes to %q: %v, want %v", fingerprint, err, ErrChanged)
			}
			if _, err := w.m.No(w.Context(), answer); !errors.Is(err, ErrChanged) {
				w.Errorf("No to %q: %v, want %v", fingerprint, err, ErrChanged)
			}
		}
		w.wantUnchanged(a, before)
		w.provider.wantApprovals(0)
	})
}

// An approval counts for the laptop that was shown, and for no other.
func TestLaptopChangesUnderTheQuestion(t *testing.T) {
	for name, changed := range map[string]browser.Browser{"address": elsewhere, "user agent": otherAgent} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.open(w.start())
				w.noError(w.m.CheckLaptop(w.Context(), a.ID, changed))
				if _, err := w.yes(a); !errors.Is(err, ErrChanged) {
					w.Errorf("Yes to the old question: %v, want %v", err, ErrChanged)
				}
				w.provider.wantApprovals(0)
				now := w.open(a)
				if now.Laptop != changed {
					w.Errorf("the question is about %+v, want %+v", now.Laptop, changed)
				}
				if got, err := w.yes(now); err != nil || got.State != Yes {
					w.Errorf("Yes to the new question: %s, %v", got.State, err)
				}
				// A denial counts however the laptop has changed.
				if got, err := w.no(a); err != nil || got.State != Denied {
					w.Errorf("No to the old question: %s, %v, want %s", got.State, err, Denied)
				}
			})
		})
	}
}
