package devicegrant

import (
	"errors"
	"testing"
	"time"

	"changebank/internal/idp"
)

// sameBrowser is a person in the browser that opened the attempt first.
func sameBrowser(a Attempt, person idp.Person) Visit {
	v := visit(a.UserCode, nearPhone, person)
	v.Opened = a.Ref
	return v
}

// A person opens the code, sees the wrong account, and switches. Nobody else has
// the code, so no number is asked for, and where none ever is, they may answer.
func TestAccountIsSwitched(t *testing.T) {
	for _, confirm := range []string{NumberAuto, NumberNever} {
		t.Run(confirm, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.reconfigure(func(w *world) { w.confirm = confirm })
				a := w.start()
				w.noError(w.m.Open(w.Context(), visit(a.UserCode, nearPhone, mallory)))
				time.Sleep(codeLifetime) // spent at the login page
				got, err := w.m.Open(w.Context(), sameBrowser(a, richard))
				if err != nil || got.State != Opened || got.OpenedByOthers || !got.Person.Is(mallory) {
					w.Fatalf("Open after the switch: %+v, %v, want the question, unmarked, and who opened it first", got, err)
				}
				answer := answerOf(got, richard, nearPhone)
				answer.Visit = sameBrowser(a, richard)
				got, err = w.m.Yes(w.Context(), answer)
				if err != nil || got.State != Yes || !got.Person.Is(richard) {
					w.Errorf("Yes after the switch: %s by %s, %v", got.State, got.Person, err)
				}
				if n := len(w.lines("step=\"opened by a second person\"")); n != 0 {
					w.Errorf("%d log lines about a second person, want none", n)
				}
			})
		})
	}
}

// A phisher opens his code first. The victim's browser has not opened it, or has
// opened another.
func TestPhisherOpensFirst(t *testing.T) {
	inBubble(t, func(w *world) {
		w.reconfigure(func(w *world) { w.confirm = NumberAuto })
		other := w.start()
		for _, opened := range []string{"", other.Ref, "x"} {
			a := w.start()
			w.noError(w.m.Open(w.Context(), visit(a.UserCode, nearPhone, mallory)))
			v := visit(a.UserCode, nearPhone, richard)
			v.Opened = opened
			if got, err := w.m.Open(w.Context(), v); err != nil || !got.OpenedByOthers {
				w.Errorf("Open in a browser that has opened %q: %+v, %v, want it marked", opened, got, err)
			}
			answer := answerOf(a, richard, nearPhone)
			answer.Visit = v
			if got, err := w.m.Yes(w.Context(), answer); err != nil || got.State != Number {
				w.Errorf("Yes in a browser that has opened %q: %s, %v, want %s", opened, got.State, err, Number)
			}
		}
	})
}

// A switch does not make up for a second person in another browser.
func TestSwitchAndSecondPerson(t *testing.T) {
	inBubble(t, func(w *world) {
		w.reconfigure(func(w *world) { w.confirm = NumberAuto })
		a := w.start()
		third := idp.Person{Issuer: issuer, Subject: "3"}
		w.noError(w.m.Open(w.Context(), visit(a.UserCode, nearPhone, mallory)))
		w.noError(w.m.Open(w.Context(), visit(a.UserCode, tablet, third)))
		if got, err := w.m.Open(w.Context(), sameBrowser(a, richard)); err != nil || !got.OpenedByOthers {
			w.Errorf("Open after the switch: %+v, %v, want it marked", got, err)
		}
	})
}

// After an answer, a switch makes nobody its owner.
func TestSwitchAfterTheAnswer(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.answered()
		answer := answerOf(a, mallory, phone)
		answer.Visit = sameBrowser(a, mallory)
		for name, call := range map[string]func() (Attempt, error){
			"Open": func() (Attempt, error) { return w.m.Open(w.Context(), answer.Visit) },
			"Yes":  func() (Attempt, error) { return w.m.Yes(w.Context(), answer) },
			"No":   func() (Attempt, error) { return w.m.No(w.Context(), answer) },
		} {
			if got, err := call(); !errors.Is(err, ErrOtherPerson) || got != (Attempt{}) {
				w.Errorf("%s: %+v, %v, want nothing and %v", name, got, err, ErrOtherPerson)
			}
		}
		if r := w.want(a, Yes); !r.Person.Is(richard) || r.OpenedByOthers {
			w.Errorf("the attempt is now %+v", r.Attempt)
		}
	})
}
