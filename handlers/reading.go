package handlers

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"changebank/internal/cookies"
	"changebank/internal/session"
)

// errTooSoon says that an approval came before the question can have been read.
var errTooSoon = errors.New("approved too soon")

// readingTime is how long a question must have been on the screen. The second
// click of a double click that began on another site, or before our page came
// to the front, must not approve anything.
const readingTime = time.Second

// shownAt returns the sealed time at which this session was first shown the
// question: the one in the form that was sent, or the present.
func (s *Server) shownAt(r *http.Request, sess session.Session, question string) (string, error) {
	sent := r.PostFormValue("shown")
	if shown := s.shown.Open(sent); shown["session"] == sess.Ref && shown["question"] == question {
		return sent, nil
	}
	return s.shown.Seal(cookies.Values{
		"session":  sess.Ref,
		"question": question,
		"at":       strconv.FormatInt(time.Now().UnixMilli(), 10),
	})
}

// tooSoon reports whether the question that was answered was not on the screen
// for readingTime, as far as the form proves.
func (s *Server) tooSoon(r *http.Request, sess session.Session, question string) bool {
	shown := s.shown.Open(r.PostFormValue("shown"))
	at, err := strconv.ParseInt(shown["at"], 10, 64)
	return err != nil || shown["session"] != sess.Ref || shown["question"] != question || time.Since(time.UnixMilli(at)) < readingTime
}
