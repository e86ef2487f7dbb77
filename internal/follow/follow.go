// Package follow tells the laptop's page how its attempt stands: in server-sent
// events, or in long polls where something on the way holds those back.
package follow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"changebank/internal/browser"
	"changebank/internal/devicegrant"
	"changebank/internal/words"
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
	return event{State: a.State, Note: words.Note(*a), Title: words.Laptop(*a).Title, Expires: a.Expires.UTC().Round(0)}
}

// A Follower answers the requests of the pages that wait for their attempts.
type Follower struct {
	grants *devicegrant.Manager
	log    *slog.Logger
	stop   chan struct{} // closed when the waiting must end
	counts counts
	open   struct{ streams, longPolls atomic.Int64 }
}

// New returns a Follower of the attempts of grants.
func New(grants *devicegrant.Manager, log *slog.Logger) *Follower {
	return &Follower{grants: grants, log: log, stop: make(chan struct{}), counts: counts{of: make(map[string]int)}}
}

// End ends the waiting, which would otherwise keep a server from shutting down.
// The browsers come back to its successor. Call it once.
func (f *Follower) End() { close(f.stop) }

// Streams returns how many event streams are open.
func (f *Follower) Streams() int64 { return f.open.streams.Load() }

// LongPolls returns how many requests wait for an attempt to change.
func (f *Follower) LongPolls() int64 { return f.open.longPolls.Load() }

// Serve tells the laptop's page about the attempt with that ID: as server-sent
// events, or with since in the query by one answer. A page that nobody sees says
// so (hidden): it is answered at once, and does not count as someone looking.
// laptop is the browser that asks; see [devicegrant.Manager.CheckLaptop].
//
// Very many laptops may wait here at once, so what is on the stack while they do
// is kept small: an [devicegrant.Attempt] is handed on by its pointer, and
// nothing is read while waiting.
func (f *Follower) Serve(w http.ResponseWriter, r *http.Request, id string, laptop browser.Browser) error {
	a, err := f.followed(w, r, id, laptop)
	if err != nil || a == nil {
		return err
	}
	defer f.counts.remove(a.ID)
	query := r.URL.Query()
	switch {
	case query.Has("hidden"):
		return answer(w, a)
	case query.Has("since"):
		return answer(w, f.changed(r.Context(), a, query.Get("since")))
	}
	f.stream(w, r, a)
	return nil
}

// followed returns the attempt that the page may wait for, and counts the
// request. It returns nil after it has answered that there is none.
func (f *Follower) followed(w http.ResponseWriter, r *http.Request, id string, laptop browser.Browser) (*devicegrant.Attempt, error) {
	query := r.URL.Query()
	check := f.grants.CheckLaptop
	if query.Has("hidden") {
		check = f.grants.CheckHidden
	}
	a, err := check(r.Context(), id, laptop)
	if errors.Is(err, devicegrant.ErrNone) {
		w.WriteHeader(http.StatusNoContent) // tells the browser not to reconnect
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if ref := query.Get("attempt"); ref != "" && ref != a.Ref {
		// Two tabs started a code at the same moment, and the cookie is the
		// other's: the page must be fetched again.
		http.Error(w, "the page shows another attempt", http.StatusConflict)
		return nil, nil
	}
	if !f.counts.add(a.ID) {
		w.Header().Set("Retry-After", "3")
		http.Error(w, "too many streams", http.StatusTooManyRequests) // the page fetches itself instead
		return nil, nil
	}
	return &a, nil
}

// stream sends the present state, and each change until the attempt ends.
func (f *Follower) stream(w http.ResponseWriter, r *http.Request, a *devicegrant.Attempt) {
	f.open.streams.Add(1)
	defer f.open.streams.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	stream := eventStream{w: w, rc: http.NewResponseController(w)}
	if stream.send("retry: 1000\n\n") != nil {
		return // the browser has left
	}
	ticks := f.grants.Watch(r.Context(), a.ID)
	for a != nil {
		if err := stream.tell(a); err != nil || a.State.Ended() {
			return
		}
		a = f.next(r.Context(), ticks, a, stream.sent.Add(keepAlive))
	} // the browser reconnects
}

// changed returns the attempt at its first change, or after longPoll. A page
// that shows another state than the present one is answered at once.
func (f *Follower) changed(ctx context.Context, a *devicegrant.Attempt, since string) *devicegrant.Attempt {
	f.open.longPolls.Add(1)
	defer f.open.longPolls.Add(-1)
	ctx, cancel := context.WithTimeout(ctx, longPoll)
	defer cancel()
	first := eventOf(a)
	ticks := f.grants.Watch(ctx, a.ID)
	for string(a.State) == since && eventOf(a) == first && !a.State.Ended() {
		now := f.next(ctx, ticks, a, a.Expires)
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
func (f *Follower) next(ctx context.Context, ticks <-chan struct{}, a *devicegrant.Attempt, until time.Time) *devicegrant.Attempt {
	wake := time.NewTimer(min(time.Until(until), a.RefreshWithin()))
	defer wake.Stop()
	select {
	case <-f.stop:
		return nil
	case <-ctx.Done():
		return nil
	case <-ticks:
	case <-wake.C:
	}
	return f.refreshed(ctx, a.ID)
}

// refreshed returns the attempt as it is now, nil if it cannot be read.
func (f *Follower) refreshed(ctx context.Context, id string) *devicegrant.Attempt {
	a, err := f.grants.Refresh(ctx, id)
	if err == nil {
		return &a
	}
	if ctx.Err() == nil && !errors.Is(err, devicegrant.ErrNone) {
		f.log.Error("attempt not read for the page that follows it", "err", err)
	}
	return nil
}

// answer answers with one event, and with its length: some proxies hold
// back an answer until they know where it ends.
func answer(w http.ResponseWriter, a *devicegrant.Attempt) error {
	data, err := json.Marshal(eventOf(a))
	if err != nil {
		return err
	}
	if err := extend(http.NewResponseController(w)); err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) // the browser may have left
	return nil
}

// maxWaiting is how many requests about one attempt may wait in this process at
// the same time: one cookie must not use up the server's memory.
const maxWaiting = 8

// counts counts the waiting requests about each attempt.
type counts struct {
	mu sync.Mutex
	of map[string]int // by the attempt's ID
}

func (c *counts) add(id string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.of[id] >= maxWaiting {
		return false
	}
	c.of[id]++
	return true
}

func (c *counts) remove(id string) {
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

// send writes and flushes.
func (e *eventStream) send(text string) error {
	if err := extend(e.rc); err != nil {
		return err
	}
	if _, err := e.w.Write([]byte(text)); err != nil {
		return err
	}
	e.sent = time.Now()
	return e.rc.Flush()
}

// extend gives the next write its own deadline. The server's is for a whole
// response, and may have passed while nothing changed.
func extend(rc *http.ResponseController) error {
	err := rc.SetWriteDeadline(time.Now().Add(streamWrite))
	if errors.Is(err, http.ErrNotSupported) {
		return nil
	}
	return err
}
