package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"changebank/internal/devicegrant"
)

const (
	keepAlive   = 15 * time.Second // between signs of life, so that no proxy hangs up
	streamWrite = 20 * time.Second // a browser that takes no bytes for so long is gone
)

// event is what the laptop's page hears.
type event struct {
	State   devicegrant.State `json:"state"`
	Note    string            `json:"note"`
	Text    string            `json:"text"`
	Expires time.Time         `json:"expires"`
}

// events tells the laptop's page how its attempt goes, as server-sent events.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	sess, err := s.cfg.Sessions.Load(r)
	if err != nil {
		return err
	}
	_, err = s.cfg.Grants.Look(r.Context(), sess.Attempt, s.browserOf(r))
	if errors.Is(err, devicegrant.ErrNone) {
		w.WriteHeader(http.StatusNoContent) // tells the browser not to come back
		return nil
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	changes := make(chan devicegrant.Attempt)
	go func() { // ends with ctx, at the latest
		defer close(changes)
		for a, err := range s.cfg.Grants.Watch(ctx, sess.Attempt) {
			if err != nil {
				s.log.Error("an attempt cannot be watched", "err", err)
				return
			}
			select {
			case changes <- a:
			case <-ctx.Done():
				return
			}
		}
	}()

	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	stream := eventStream{w, http.NewResponseController(w)}
	if stream.send("retry: 1000\n\n") != nil {
		return nil
	}
	alive := time.NewTicker(keepAlive)
	defer alive.Stop()
	for {
		message := ": still here\n\n"
		select {
		case <-s.stop:
			return nil
		case <-r.Context().Done():
			return nil
		case <-alive.C:
		case a, open := <-changes:
			if !open {
				return nil
			}
			data, err := json.Marshal(event{a.State, laptopNote(a), laptopWords(a).Title, a.Expires})
			if err != nil {
				return err
			}
			message = fmt.Sprintf("event: state\ndata: %s\n\n", data)
		}
		if stream.send(message) != nil {
			return nil // the browser has left
		}
	}
}

type eventStream struct {
	w  http.ResponseWriter
	rc *http.ResponseController
}

// send writes and flushes, in place of the server's own time-out, which is for
// whole answers.
func (e eventStream) send(text string) error {
	if err := e.rc.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := e.w.Write([]byte(text)); err != nil {
		return err
	}
	return e.rc.Flush()
}
