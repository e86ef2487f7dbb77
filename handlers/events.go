package handlers

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"changebank/internal/devicegrant"
	"changebank/internal/session"
)

const (
	keepAlive   = 15 * time.Second // between signs of life, so that no proxy hangs up
	streamWrite = 20 * time.Second // a browser that takes no bytes for so long is gone
)

// event is what the laptop's page is told.
type event struct {
	State   devicegrant.State `json:"state"`
	Note    string            `json:"note"`
	Title   string            `json:"text"`
	Expires time.Time         `json:"expires"`
}

// events tells the laptop's page about its attempt as server-sent events: the
// present state, and each change until the attempt ends.
func (s *Server) events(w http.ResponseWriter, r *http.Request, _ session.Session) error {
	laptop, err := s.laptop(r)
	if err != nil {
		return err
	}
	a, err := s.attempt(r, laptop)
	if err != nil {
		return err
	}
	if a.ID == "" {
		w.WriteHeader(http.StatusNoContent) // tells the browser not to reconnect
		return nil
	}
	if ref := r.URL.Query().Get("attempt"); ref != "" && ref != a.Ref {
		// Two tabs started a code at the same moment, and the cookie is the
		// other's: the page must be fetched again.
		return text(w, http.StatusConflict, "the page shows another attempt\n")
	}
	if !s.streams.open(a.ID) {
		w.Header().Set("Retry-After", "3")
		return text(w, http.StatusTooManyRequests, "too many streams\n") // the page fetches itself instead
	}
	defer s.streams.close(a.ID)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	stream := eventStream{w: w, rc: http.NewResponseController(w)}
	if stream.send("retry: 1000\n\n") != nil {
		return nil // the browser has left
	}
	ticks := s.cfg.Grants.Watch(r.Context(), a.ID)
	for {
		if err := stream.tell(a); err != nil || a.State.Ended() {
			return nil
		}
		wake := time.NewTimer(min(time.Until(stream.sent.Add(keepAlive)), a.RefreshWithin()))
		select {
		case <-s.stop:
			return nil
		case <-r.Context().Done():
			return nil
		case <-ticks:
		case <-wake.C:
		}
		wake.Stop()
		if a, err = s.cfg.Grants.Refresh(r.Context(), a.ID); err != nil {
			if r.Context().Err() == nil && !errors.Is(err, devicegrant.ErrNone) {
				s.log.Error("attempt not read for its event stream", "err", err)
			}
			return nil // the browser reconnects
		}
	}
}

// maxStreams is how many event streams of one attempt this process keeps open:
// one cookie must not use up the server's memory.
const maxStreams = 8

// streamCount counts the open event streams of each attempt.
type streamCount struct {
	mu sync.Mutex
	of map[string]int // by the attempt's ID
}

func (c *streamCount) open(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[id] >= maxStreams {
		return false
	}
	c.of[id]++
	return true
}

func (c *streamCount) close(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[id]--; c.of[id] == 0 {
		delete(c.of, id)
	}
}

// eventStream writes an attempt's changes to one browser.
type eventStream struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	told event
	sent time.Time
}

// tell sends the attempt if it has changed, and otherwise a sign of life if one
// is due.
func (e *eventStream) tell(a devicegrant.Attempt) error {
	now := event{State: a.State, Note: laptopNote(a), Title: laptopWords(a).Title, Expires: a.Expires.UTC().Round(0)}
	if now != e.told {
		data, err := json.Marshal(now)
		if err != nil {
			return err
		}
		e.told = now
		return e.send(fmt.Sprintf("event: state\ndata: %s\n\n", data))
	}
	if time.Since(e.sent) >= keepAlive {
		return e.send(": keep-alive\n\n")
	}
	return nil
}

// send writes and flushes. Its deadline replaces the server's own, which is for
// whole responses.
func (e *eventStream) send(text string) error {
	if err := e.rc.SetWriteDeadline(time.Now().Add(streamWrite)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := e.w.Write([]byte(text)); err != nil {
		return err
	}
	e.sent = time.Now()
	return e.rc.Flush()
}
