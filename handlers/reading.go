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
	if sent := r.PostFormValue("shown"); s.openShown(sent, sess, question) != nil {
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
	shown := s.openShown(r.PostFormValue("shown"), sess, question)
	at, err := strconv.ParseInt(shown["at"], 10, 64)
	return err != nil || time.Since(time.UnixMilli(at)) < readingTime
}

// openShown opens what shownAt has sealed, nil if that was for another session
// or another question.
func (s *Server) openShown(sealed string, sess session.Session, question string) cookies.Values {
	shown := s.shown.Open(sealed)
	if shown["session"] != sess.Ref || shown["question"] != question {
		return nil
	}
	return shown
}
