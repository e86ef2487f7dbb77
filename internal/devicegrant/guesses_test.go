package devicegrant

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"changebank/internal/idp"
)

const guessesRule = "wrong codes"

func (w *world) guess(person idp.Person, code string) error {
	_, err := w.m.Open(w.Context(), visit(code, phone, person))
	return err
}

// unknown returns a user code that nobody has tried.
func (w *world) unknown() string {
	w.guessed++
	return fmt.Sprintf("NONE-%04d", w.guessed)
}

func (w *world) wantUnknown(person idp.Person, times int) {
	w.Helper()
	for i := range times {
		if err := w.guess(person, w.unknown()); !errors.Is(err, ErrUnknownCode) {
			w.Errorf("guess %d: %v, want %v", i+1, err, ErrUnknownCode)
		}
	}
}

// follow is a person following a link on another site.
func (w *world) follow(person idp.Person, code string) (Attempt, error) {
	v := visit(code, phone, person)
	v.Linked = true
	return w.m.Open(w.Context(), v)
}

// User codes are short (RFC 8628, section 5.1): a script that may try all of
// them finds one that someone is about to open.
func TestGuessing(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		w.wantUnknown(richard, 4)
		time.Sleep(time.Minute)
		w.wantUnknown(richard, 7) // one has been forgotten
		w.wantTooMany(w.guess(richard, w.unknown()), guessesRule, time.Minute)
		// A code that exists is refused as well, or the refusal would reveal it.
		w.wantTooMany(w.guess(richard, a.UserCode), guessesRule, time.Minute)
		_, err := w.yes(a)
		w.wantTooMany(err, guessesRule, time.Minute)
		_, err = w.no(a)
		w.wantTooMany(err, guessesRule, time.Minute)
		// A changed e-mail address does not help, and nobody else is limited.
		renamed := idp.Person{Issuer: issuer, Subject: richard.Subject, Email: "new@example.com"}
		w.wantTooMany(w.guess(renamed, a.UserCode), guessesRule, time.Minute)
		w.wantUnknown(mallory, 10)
		w.wantUnknown(idp.Person{Issuer: "https://other.example", Subject: richard.Subject}, 1)

		time.Sleep(time.Minute - time.Nanosecond)
		w.wantTooMany(w.guess(richard, w.unknown()), guessesRule, time.Nanosecond)
		time.Sleep(time.Nanosecond)
		w.wantUnknown(richard, 1)
		w.wantTooMany(w.guess(richard, w.unknown()), guessesRule, time.Minute)
		time.Sleep(time.Hour)
		w.wantUnknown(richard, 10)
		w.wantTooMany(w.guess(richard, w.unknown()), guessesRule, time.Minute)
	})
}

// The limit holds over all processes and restarts.
func TestGuessingAtTwoProcesses(t *testing.T) {
	inBubble(t, func(w *world) {
		first := w.m
		w.wantUnknown(richard, 5)
		w.m = w.newManager()
		w.wantUnknown(richard, 5)
		w.wantTooMany(w.guess(richard, w.unknown()), guessesRule, time.Minute)
		first.Close()
		w.m = w.newManager()
		w.wantTooMany(w.guess(richard, w.unknown()), guessesRule, time.Minute)
	})
}

// A refusal is no guess: asking does not make the wait longer.
func TestRefusedGuessesDoNotCount(t *testing.T) {
	inBubble(t, func(w *world) {
		w.wantUnknown(richard, 10)
		for i := range 10 {
			w.wantTooMany(w.guess(richard, w.unknown()), guessesRule, time.Minute-time.Duration(i)*time.Second)
			time.Sleep(time.Second)
		}
		time.Sleep(50 * time.Second)
		w.wantUnknown(richard, 1)
	})
}

func TestKnownCodesDoNotCount(t *testing.T) {
	inBubble(t, func(w *world) {
		a, other := w.start(), w.start()
		w.wantUnknown(richard, 9)
		w.noError(w.m.Open(w.Context(), visit(other.UserCode, phone, mallory)))
		for range 30 {
			w.open(a)
			if err := w.guess(richard, other.UserCode); !errors.Is(err, ErrOtherPerson) {
				w.Errorf("Open of another's code: %v, want %v", err, ErrOtherPerson)
			}
		}
		w.wantUnknown(richard, 1)
		w.wantTooMany(w.guess(richard, a.UserCode), guessesRule, time.Minute)
	})
}

// Of a hundred guesses at once, at two processes, no more are looked up than
// of a hundred in a row.
func TestManyGuessesAtOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		managers := []*Manager{w.m, w.newManager()}
		var unknown atomic.Int64
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				_, err := managers[i%2].Open(w.Context(), visit(fmt.Sprintf("NONE-%d", i), phone, richard))
				switch {
				case errors.Is(err, ErrUnknownCode):
					unknown.Add(1)
				case !isTooMany(err):
					w.Errorf("Open: %v, want a refusal", err)
				}
			})
		}
		wg.Wait()
		if n := unknown.Load(); n == 0 || n > 10 {
			w.Errorf("%d codes were looked up, want between 1 and 10", n)
		}
	})
}

// A person reloads the page of a dead link, in another spelling, with the back
// button or from the history. Only codes that they had not tried before count.
func TestTriedCodesCountOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		for range 30 {
			for _, code := range []string{"DEAD-LINK", "dead link", "ＤＥＡＤＬＩＮＫ"} {
				if err := w.guess(richard, code); !errors.Is(err, ErrUnknownCode) {
					w.Fatalf("reloading: %v, want %v", err, ErrUnknownCode)
				}
			}
			if _, err := w.follow(richard, "DEAD-LINK"); !errors.Is(err, ErrUnknownCode) {
				w.Fatalf("following the link again: %v, want %v", err, ErrUnknownCode)
			}
		}
		if n := len(w.lines(`rule="unknown code"`)); n != 1 {
			w.Errorf("%d lines about the unknown code, want 1", n)
		}
		w.wantUnknown(richard, 9)
		w.wantTooMany(w.guess(richard, w.unknown()), guessesRule, time.Minute)
		w.wantTooMany(w.guess(richard, a.UserCode), guessesRule, time.Minute)
		if err := w.guess(richard, "DEAD-LINK"); !errors.Is(err, ErrUnknownCode) {
			w.Errorf("reloading at the limit: %v, want %v", err, ErrUnknownCode)
		}
		w.wantUnknown(mallory, 10) // who has tried none of them
	})
}

// The same dead link in thirty tabs at once is one try.
func TestTriedAtOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() { _ = w.guess(richard, "DEAD-LINK") })
		}
		wg.Wait()
		w.wantUnknown(richard, 9)
		w.wantTooMany(w.guess(richard, w.unknown()), guessesRule, time.Minute)
	})
}

// A reload must not be a free look either: a guesser would ask again and again
// until somebody gets the code.
func TestTriedCodeIsNotAwaited(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.userCodes = []string{"WDJB-MJHT"}
		if err := w.guess(mallory, "WDJB-MJHT"); !errors.Is(err, ErrUnknownCode) {
			w.Fatalf("before it exists: %v, want %v", err, ErrUnknownCode)
		}
		a := w.start()
		if err := w.guess(mallory, a.UserCode); !errors.Is(err, ErrUnknownCode) {
			w.Errorf("a second look: %v, want %v", err, ErrUnknownCode)
		}
		w.want(a, Waiting)
		w.open(a) // by the person whose it is
	})
}

// Another site opens one made-up link after the other. The person can still
// scan and type codes. Guessers, who can pretend to come from there, get twice
// the limit in all: then such a link shows nothing, whether its code exists or
// not.
func TestLinkedGuesses(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		for i := range 10 {
			if got, err := w.follow(richard, a.UserCode); err != nil || got.State != Opened {
				w.Errorf("a link with a known code: %s, %v", got.State, err)
			}
			if _, err := w.follow(richard, w.unknown()); !errors.Is(err, ErrUnknownCode) {
				w.Errorf("link %d: %v, want %v", i+1, err, ErrUnknownCode)
			}
		}
		const linksRule = "wrong codes in links"
		for _, code := range []string{w.unknown(), a.UserCode} {
			got, err := w.follow(richard, code)
			w.wantTooMany(err, linksRule, time.Minute)
			if got != (Attempt{}) {
				w.Errorf("a refused link shows %+v", got)
			}
		}
		w.open(a)
		w.wantUnknown(richard, 10)
		w.wantTooMany(w.guess(richard, w.unknown()), guessesRule, time.Minute)
		_, err := w.follow(richard, w.unknown())
		w.wantTooMany(err, linksRule, time.Minute)
		if _, err := w.follow(mallory, w.unknown()); !errors.Is(err, ErrUnknownCode) {
			w.Errorf("another person's link: %v, want %v", err, ErrUnknownCode)
		}
	})
}

// The phone leaves while its known code is looked up.
func TestAbandonedLookupsDoNotCount(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		for range 20 {
			ctx, cancel := context.WithCancel(w.Context())
			reads := 0
			w.backend.read = func() {
				if reads++; reads == 3 { // of the code, after the person's tries and the counter
					cancel()
				}
			}
			_, _ = w.m.Open(ctx, visit(a.UserCode, phone, richard))
			cancel()
		}
		w.backend.read = nil
		w.open(a)
	})
}

// A lookup that the store could not answer was no guess.
func TestFailedLookupsDoNotCount(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		for range 30 {
			reads := 0
			w.backend.read = func() {
				if reads++; reads == 2 { // of the counter, before the code
					w.backend.readsFail.Store(1)
				}
			}
			if err := w.guess(richard, w.unknown()); !errors.Is(err, errAway) {
				w.Fatalf("Open: %v, want %v", err, errAway)
			}
		}
		w.backend.read = nil
		w.open(a)
	})
}

// The phone leaves while its unknown code is looked up. A guesser must not get
// more guesses that way.
func TestAbandonedGuessesCount(t *testing.T) {
	inBubble(t, func(w *world) {
		for range 10 {
			ctx, cancel := context.WithCancel(w.Context())
			reads := 0
			w.backend.read = func() {
				if reads++; reads == 3 { // of the code
					cancel()
				}
			}
			_, _ = w.m.Open(ctx, visit(w.unknown(), phone, richard))
			cancel()
		}
		w.backend.read = nil
		w.wantTooMany(w.guess(richard, w.unknown()), guessesRule, time.Minute)
	})
}
