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

// Stamps seal when a question was first shown. The stamp is in the question's
// form. Make them with [New].
type Stamps struct{ kind *cookies.Kind }

// New returns Stamps that last as long as lifetime.
func New(jar *cookies.Jar, lifetime time.Duration) Stamps {
	return Stamps{jar.Kind("shown", lifetime)}
}

// Stamp returns the sealed time at which the session was first shown the
// question: the one in the form that was sent, or the present.
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

// TooSoon reports whether the question that was answered was not on the screen
// for a second, as far as the stamp in its form proves.
func (s Stamps) TooSoon(sent, session, question string) bool {
	shown := s.open(sent, session, question)
	at, err := strconv.ParseInt(shown["at"], 10, 64)
	return err != nil || time.Since(time.UnixMilli(at)) < readingTime
}

// open opens a stamp, nil if it is for another session or another question.
func (s Stamps) open(sealed, session, question string) cookies.Values {
	values := s.kind.Open(sealed)
	if values["session"] != session || values["question"] != question {
		return nil
	}
	return values
}
