package handlers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"changebank/internal/devicegrant"
)

const (
	keepAlive   = 15 * time.Second // between events of a stream: no proxy hangs up, and the page's script can tell that none is held back
	longPoll    = 25 * time.Second // an answer to ?since= comes by then: proxies often give up after 30
	streamWrite = 20 * time.Second // a browser that takes no bytes for so long is gone
)

// event is what the laptop's page is told.
type event struct {
	State   devicegrant.State `json:"state"`
	Note    string            `json:"note"`
	Title   string            `json:"text"`
	Expires time.Time         `json:"expires"`
}

func eventOf(a *devicegrant.Attempt) event {
	return event{State: a.State, Note: laptopNote(*a), Title: laptopWords(*a).Title, Expires: a.Expires.UTC().Round(0)}
}

// events tells the laptop's page about its attempt: as server-sent events, or
// with since in the query by one answer. A page that nobody sees says so
// (hidden): it is answered at once, and does not count as someone looking.
//
// Very many laptops may wait here at once, so what is on the stack while they do
// is kept small: an [devicegrant.Attempt] is handed on by its pointer, and
// nothing is read while waiting.
func (s *Server) events(w http.ResponseWriter, r *http.Request) error {
	a, err := s.followed(w, r)
	if err != nil || a == nil {
		return err
	}
	defer s.streams.close(a.ID)
	query := r.URL.Query()
	switch {
	case query.Has("hidden"):
		return answerEvent(w, a)
	case query.Has("since"):
		return answerEvent(w, s.changed(r.Context(), a, query.Get("since")))
	}
	s.stream(w, r, a)
	return nil
}

// followed returns the attempt that the page may wait for, and counts it as a
// stream. It returns nil after it has answered that there is none.
func (s *Server) followed(w http.ResponseWriter, r *http.Request) (*devicegrant.Attempt, error) {
	query := r.URL.Query()
	laptop, err := s.laptop(r)
	if err != nil {
		return nil, err
	}
	check := s.cfg.Grants.CheckLaptop
	if query.Has("hidden") {
		check = s.cfg.Grants.CheckHidden
	}
	a, err := s.attemptBy(r, laptop, check)
	if err != nil {
		return nil, err
	}
	if a.ID == "" {
		w.WriteHeader(http.StatusNoContent) // tells the browser not to reconnect
		return nil, nil
	}
	if ref := query.Get("attempt"); ref != "" && ref != a.Ref {
		// Two tabs started a code at the same moment, and the cookie is the
		// other's: the page must be fetched again.
		return nil, text(w, http.StatusConflict, "the page shows another attempt\n")
	}
	if !s.streams.open(a.ID) {
		w.Header().Set("Retry-After", "3")
		return nil, text(w, http.StatusTooManyRequests, "too many streams\n") // the page fetches itself instead
	}
	return &a, nil
}

// stream sends the present state, and each change until the attempt ends.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, a *devicegrant.Attempt) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	stream := eventStream{w: w, rc: http.NewResponseController(w)}
	if stream.send("retry: 1000\n\n") != nil {
		return // the browser has left
	}
	ticks := s.cfg.Grants.Watch(r.Context(), a.ID)
	for a != nil {
		if err := stream.tell(a); err != nil || a.State.Ended() {
			return
		}
		a = s.next(r.Context(), ticks, a, stream.sent.Add(keepAlive))
	} // the browser reconnects
}

// changed returns the attempt at its first change, or after longPoll. A page
// that shows another state than the present one is answered at once.
func (s *Server) changed(ctx context.Context, a *devicegrant.Attempt, since string) *devicegrant.Attempt {
	ctx, cancel := context.WithTimeout(ctx, longPoll)
	defer cancel()
	first := eventOf(a)
	ticks := s.cfg.Grants.Watch(ctx, a.ID)
	for string(a.State) == since && eventOf(a) == first && !a.State.Ended() {
		now := s.next(ctx, ticks, a, a.Expires)
		if now == nil {
			break
		}
		a = now
	}
	return a
}

// next returns the attempt as it is when it may have changed, at the latest at a
// given time. It returns nil when there is nothing more to wait for: the browser
// has left, the server stops, or the attempt cannot be read.
func (s *Server) next(ctx context.Context, ticks <-chan struct{}, a *devicegrant.Attempt, until time.Time) *devicegrant.Attempt {
	wake := time.NewTimer(min(time.Until(until), a.RefreshWithin()))
	defer wake.Stop()
	select {
	case <-s.stop:
		return nil
	case <-ctx.Done():
		return nil
	case <-ticks:
	case <-wake.C:
	}
	return s.refreshed(ctx, a.ID)
}

// refreshed returns the attempt as it is now, nil if it cannot be read.
func (s *Server) refreshed(ctx context.Context, id string) *devicegrant.Attempt {
	a, err := s.cfg.Grants.Refresh(ctx, id)
	if err == nil {
		return &a
	}
	if ctx.Err() == nil && !errors.Is(err, devicegrant.ErrNone) {
		s.log.Error("attempt not read for the page that follows it", "err", err)
	}
	return nil
}

// answerEvent answers with one event, and with its length: some proxies hold
// back an answer until they know where it ends.
func answerEvent(w http.ResponseWriter, a *devicegrant.Attempt) error {
	data, err := json.Marshal(eventOf(a))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // the browser may have left
	return nil
}

// maxStreams is how many requests about one attempt may wait in this process at
// the same time: one cookie must not use up the server's memory.
const maxStreams = 8

// streamCount counts the waiting requests about each attempt.
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
// is due. That is an event, since a page's script does not get to see comments.
func (e *eventStream) tell(a *devicegrant.Attempt) error {
	if now := eventOf(a); now != e.told {
		data, err := json.Marshal(now)
		if err != nil {
			return err
		}
		e.told = now
		return e.send(fmt.Sprintf("event: state\ndata: %s\n\n", data))
	}
	if time.Since(e.sent) >= keepAlive {
		return e.send("event: alive\ndata: {}\n\n") // browsers drop an event without data
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
