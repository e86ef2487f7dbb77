// Package shown proves how long a question has been on the screen.
package shown

import (
	"strconv"
	"time"

	"changebank/internal/cookies"
)

// readingTime is how long a question must have been on the screen. The second
// click of a double click that began on another site, or before our page came
// to the front, must not approve anything.
const readingTime = time.Second

// Stamps makes and checks stamps: sealed times at which questions were first shown.
// A stamp is part of the question's form. Create Stamps with [New].
type Stamps struct{ kind *cookies.Kind }

// New returns Stamps whose stamps are valid for lifetime.
func New(jar *cookies.Jar, lifetime time.Duration) Stamps {
	return Stamps{jar.Kind("shown", lifetime)}
}

// Stamp returns the stamp for a question in a session: sent, the one in the form, if
// it is valid, and otherwise a new one.
func (s Stamps) Stamp(sent, session, question string) (string, error) {
	if s.open(sent, session, question) != nil {
		return sent, nil
	}
	return s.kind.Seal(cookies.Values{
		"session":  session,
		"question": question,
		"at":       strconv.FormatInt(time.Now().UnixMilli(), 10),
	})
}

// TooSoon reports whether the stamp in the answered form does not prove that the
// question was on the screen for a second.
func (s Stamps) TooSoon(sent, session, question string) bool {
	shown := s.open(sent, session, question)
	at, err := strconv.ParseInt(shown["at"], 10, 64)
	return err != nil || time.Since(time.UnixMilli(at)) < readingTime
}

// open returns a stamp's values, or nil if it is not for this session and question.
func (s Stamps) open(sealed, session, question string) cookies.Values {
	values := s.kind.Open(sealed)
	if values["session"] != session || values["question"] != question {
		return nil
	}
	return values
}
