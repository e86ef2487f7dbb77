package devicegrant

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

func (w *world) guess(person idp.Person, code string) error {
	_, err := w.bank.Open(w.Context(), code, phone, person)
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

func (w *world) wantTooMany(person idp.Person, code string, wait time.Duration) {
	w.Helper()
	tooMany, ok := errors.AsType[*TooManyError](w.guess(person, code))
	if !ok {
		w.Errorf("guess of %q: not refused, want %v of waiting", code, wait)
		return
	}
	if tooMany.Wait != wait {
		w.Errorf("guess of %q: %v, want %v", code, tooMany, wait)
	}
}

// User codes are short (RFC 8628, section 5.1): a script that may try them all
// finds one that somebody is about to open.
func TestGuessing(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		w.wantUnknown(richard, 4)
		time.Sleep(time.Minute)
		w.wantUnknown(richard, 6)
		w.wantTooMany(richard, "NONE-9999", 9*time.Minute)
		// A code that exists is no way out, or it could be told by that.
		w.wantTooMany(richard, a.UserCode, 9*time.Minute)
		if _, err := w.bank.Yes(w.Context(), a.UserCode, a.Shown(), phone, richard, phoneToken); !isTooMany(err) {
			w.Errorf("Yes: %v, want a %T", err, new(TooManyError))
		}
		if _, err := w.bank.No(w.Context(), a.UserCode, a.Shown(), phone, richard); !isTooMany(err) {
			w.Errorf("No: %v, want a %T", err, new(TooManyError))
		}
		// His new address does not help him, and does not hurt anybody else.
		w.wantTooMany(idp.Person{Issuer: issuer, Subject: richard.Subject, Email: "new@example.com"}, a.UserCode, 9*time.Minute)
		w.wantUnknown(mallory, 10)
		w.wantUnknown(idp.Person{Issuer: "https://other.example", Subject: richard.Subject}, 1)

		time.Sleep(9*time.Minute - time.Nanosecond)
		w.wantTooMany(richard, "NONE-9999", time.Nanosecond)
		time.Sleep(time.Nanosecond)
		w.wantUnknown(richard, 4) // the first four have been forgotten
		w.wantTooMany(richard, "NONE-9999", time.Minute)
		time.Sleep(time.Minute)
		w.wantUnknown(richard, 6)
		time.Sleep(time.Hour)
		w.wantUnknown(richard, 10)
		w.wantTooMany(richard, "NONE-9999", 10*time.Minute)
	})
}

// Who is turned away has not guessed: waiting must not get longer by asking.
func TestRefusedGuessesDoNotCount(t *testing.T) {
	inBubble(t, func(w *world) {
		w.wantUnknown(richard, 10)
		for range 10 {
			time.Sleep(time.Minute - time.Nanosecond)
			_ = w.guess(richard, "NONE")
		}
		time.Sleep(time.Second)
		w.wantUnknown(richard, 10)
	})
}

func TestKnownCodesDoNotCount(t *testing.T) {
	inBubble(t, func(w *world) {
		a, other := w.start(), w.start()
		w.wantUnknown(richard, 9)
		w.noError(w.bank.Open(w.Context(), other.UserCode, phone, mallory))
		for range 30 {
			w.open(a)
			if err := w.guess(richard, other.UserCode); !errors.Is(err, ErrOtherPerson) {
				w.Errorf("Open of another's code: %v, want %v", err, ErrOtherPerson)
			}
		}
		w.wantUnknown(richard, 1)
		w.wantTooMany(richard, a.UserCode, 10*time.Minute)
	})
}

// A hundred at once, of which each is looked up before the first is counted,
// are a hundred guesses.
func TestManyGuessesAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newLimits(Limits{WrongCodes: 10})
		var looked, refused atomic.Int64
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() {
				_, err := g.guess(richard, func() (string, error) {
					looked.Add(1)
					time.Sleep(time.Second) // a slow store
					return "", ErrUnknownCode
				})
				if isTooMany(err) {
					refused.Add(1)
				}
			})
		}
		wg.Wait()
		if looked.Load() != 10 || refused.Load() != 90 {
			t.Errorf("%d looked and %d were refused, want 10 and 90", looked.Load(), refused.Load())
		}
	})
	inBubble(t, func(w *world) {
		var unknown atomic.Int64
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				if err := w.guess(richard, fmt.Sprintf("NONE-%d", i)); errors.Is(err, ErrUnknownCode) {
					unknown.Add(1)
				}
			})
		}
		wg.Wait()
		if unknown.Load() != 10 {
			w.Errorf("%d codes were looked up, want 10", unknown.Load())
		}
	})
}

// What the store could not answer was no guess.
func TestTroubleDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newLimits(Limits{WrongCodes: 10})
		trouble := errors.New("the store is away")
		for range 30 {
			if _, err := g.guess(richard, func() (string, error) { return "", trouble }); !errors.Is(err, trouble) {
				t.Fatalf("look: %v, want %v", err, trouble)
			}
		}
	})
}

// Whoever logs in is a person to remember: not for ever.
func TestGuessersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newLimits(Limits{WrongCodes: 10})
		none := func() (string, error) { return "", ErrUnknownCode }
		for i := range 1000 {
			_, _ = g.guess(idp.Person{Issuer: issuer, Subject: fmt.Sprint(i)}, none)
		}
		time.Sleep(limitWindow + time.Second)
		_, _ = g.guess(richard, none)
		if n := len(g.guessers.when); n != 1 {
			t.Errorf("%d people remembered, want 1", n)
		}
	})
}

func isTooMany(err error) bool {
	_, ok := errors.AsType[*TooManyError](err)
	return ok
}
