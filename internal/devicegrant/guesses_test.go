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
	_, err := w.m.Open(w.Context(), code, phone, person)
	return err
}

func (w *world) wantUnknown(person idp.Person, times int) {
	w.Helper()
	for i := range times {
		if err := w.guess(person, fmt.Sprintf("NONE-%04d", i)); !errors.Is(err, ErrUnknownCode) {
			w.Errorf("guess %d: %v, want %v", i+1, err, ErrUnknownCode)
		}
	}
}

// User codes are short (RFC 8628, section 5.1): a script that may try all of
// them finds one that someone is about to open.
func TestGuessing(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		w.wantUnknown(richard, 4)
		time.Sleep(time.Minute)
		w.wantUnknown(richard, 7) // one has been forgotten
		w.wantTooMany(w.guess(richard, "NONE-9999"), guessesRule, time.Minute)
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
		w.wantTooMany(w.guess(richard, "NONE-9999"), guessesRule, time.Nanosecond)
		time.Sleep(time.Nanosecond)
		w.wantUnknown(richard, 1)
		w.wantTooMany(w.guess(richard, "NONE-9999"), guessesRule, time.Minute)
		time.Sleep(time.Hour)
		w.wantUnknown(richard, 10)
		w.wantTooMany(w.guess(richard, "NONE-9999"), guessesRule, time.Minute)
	})
}

// The limit holds over all processes and restarts.
func TestGuessingAtTwoProcesses(t *testing.T) {
	inBubble(t, func(w *world) {
		first := w.m
		w.wantUnknown(richard, 5)
		w.m = w.newManager()
		w.wantUnknown(richard, 5)
		w.wantTooMany(w.guess(richard, "NONE"), guessesRule, time.Minute)
		first.Close()
		w.m = w.newManager()
		w.wantTooMany(w.guess(richard, "NONE"), guessesRule, time.Minute)
	})
}

// A refusal is no guess: asking does not make the wait longer.
func TestRefusedGuessesDoNotCount(t *testing.T) {
	inBubble(t, func(w *world) {
		w.wantUnknown(richard, 10)
		for i := range 10 {
			w.wantTooMany(w.guess(richard, "NONE"), guessesRule, time.Minute-time.Duration(i)*time.Second)
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
		w.noError(w.m.Open(w.Context(), other.UserCode, phone, mallory))
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
				_, err := managers[i%2].Open(w.Context(), fmt.Sprintf("NONE-%d", i), phone, richard)
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

// The phone leaves while its known code is looked up.
func TestAbandonedLookupsDoNotCount(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		for range 20 {
			ctx, cancel := context.WithCancel(w.Context())
			reads := 0
			w.backend.read = func() {
				if reads++; reads == 3 { // of the code, after the counter
					cancel()
				}
			}
			_, _ = w.m.Open(ctx, a.UserCode, phone, richard)
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
		paid := false
		w.backend.wrote = func() {
			if !paid {
				w.backend.readsFail.Store(1) // of the code; the refund's works
			}
			paid = !paid
		}
		for range 30 {
			if err := w.guess(richard, "NONE"); !errors.Is(err, errAway) {
				w.Fatalf("Open: %v, want %v", err, errAway)
			}
		}
		w.backend.wrote = nil
		w.open(a)
	})
}
