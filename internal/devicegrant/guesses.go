package devicegrant

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"changebank/internal/idp"
)

// What a person may guess: user codes are short, and every one that is hit
// could be answered (RFC 8628, section 5.1).
const (
	maxGuesses  = 10
	guessWindow = 10 * time.Minute
)

// TooManyError says that a person named too many unknown codes.
type TooManyError struct {
	Wait time.Duration // until the next try
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("devicegrant: too many unknown user codes; wait %v", e.Wait)
}

// guesses remembers when each person named an unknown code, in the memory of
// this process.
type guesses struct {
	mu    sync.Mutex
	when  map[idp.Person][]time.Time // by what identifies a person
	swept time.Time
}

// look calls find unless the person must wait, and remembers an [ErrUnknownCode].
func (g *guesses) look(person idp.Person, find func() (string, error)) (string, error) {
	person = idp.Person{Issuer: person.Issuer, Subject: person.Subject}
	// Paid before looking and given back after a hit, so that many requests
	// at once cannot look for free.
	if wait := g.pay(person); wait > 0 {
		return "", &TooManyError{wait}
	}
	id, err := find()
	if !errors.Is(err, ErrUnknownCode) {
		g.giveBack(person)
	}
	return id, err
}

func (g *guesses) pay(person idp.Person) (wait time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.sweep(now)
	recent := since(g.when[person], now.Add(-guessWindow))
	if len(recent) >= maxGuesses {
		return recent[0].Add(guessWindow).Sub(now)
	}
	g.when[person] = append(recent, now)
	return 0
}

func (g *guesses) giveBack(person idp.Person) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if n := len(g.when[person]); n > 0 {
		g.when[person] = g.when[person][:n-1]
	}
}

// sweep forgets the people who have not guessed for a while.
func (g *guesses) sweep(now time.Time) {
	if g.when != nil && now.Sub(g.swept) < guessWindow {
		return
	}
	g.swept = now
	kept := make(map[idp.Person][]time.Time)
	for person, times := range g.when {
		if recent := since(times, now.Add(-guessWindow)); len(recent) > 0 {
			kept[person] = recent
		}
	}
	g.when = kept
}

// since returns the times after start; times are in order.
func since(times []time.Time, start time.Time) []time.Time {
	for len(times) > 0 && !times[0].After(start) {
		times = times[1:]
	}
	return times
}
