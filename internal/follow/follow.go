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
	open   requests
}

// New returns a Follower of the attempts of grants.
func New(grants *devicegrant.Manager, log *slog.Logger) *Follower {
	return &Follower{grants: grants, log: log, stop: make(chan struct{}), open: requests{about: make(map[string]int)}}
}

// End ends the waiting, which would otherwise keep a server from shutting down.
// The browsers come back to its successor. Call it once.
func (f *Follower) End() { close(f.stop) }

// Streams returns how many event streams are open.
func (f *Follower) Streams() int64 { return f.open.count(eventStreams) }

// LongPolls returns how many requests wait for an attempt to change.
func (f *Follower) LongPolls() int64 { return f.open.count(longPolls) }

// Serve tells the laptop's page about the attempt with that ID: as server-sent
// events, or with since in the query by one answer. A page that nobody sees says
// so (hidden): it is answered at once, and does not count as someone looking.
// laptop is the browser that asks; see [devicegrant.Manager.CheckLaptop].
//
// Very many laptops may wait here at once, so little is on the stack while they
// do: a [devicegrant.Attempt] is passed by its pointer, and a function that waits
// reads no records itself.
func (f *Follower) Serve(w http.ResponseWriter, r *http.Request, id string, laptop browser.Browser) error {
	k := kindOf(r)
	a, err := f.followed(w, r, k, id, laptop)
	if err != nil || a == nil {
		return err
	}
	defer f.open.remove(k, a.ID)
	switch k {
	case hiddenPages:
		return answer(w, a)
	case longPolls:
		return answer(w, f.changed(r, a))
	}
	f.stream(w, r, a)
	return nil
}

// followed returns the attempt that the page may wait for, and counts the
// request. It returns nil after it has answered that there is none.
func (f *Follower) followed(w http.ResponseWriter, r *http.Request, k kind, id string, laptop browser.Browser) (*devicegrant.Attempt, error) {
	check := f.grants.CheckLaptop
	if k == hiddenPages {
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
	if ref := r.URL.Query().Get("attempt"); ref != "" && ref != a.Ref {
		// Two tabs started a code at the same moment, and the cookie is the
		// other's: the page must be fetched again.
		http.Error(w, "the page shows another attempt", http.StatusConflict)
		return nil, nil
	}
	if !f.open.add(k, a.ID) {
		w.Header().Set("Retry-After", "3")
		http.Error(w, "too many streams", http.StatusTooManyRequests) // the page fetches itself instead
		return nil, nil
	}
	return &a, nil
}

// stream sends the present state, and each change until the attempt ends.
func (f *Follower) stream(w http.ResponseWriter, r *http.Request, a *devicegrant.Attempt) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	stream := eventStream{w: w, rc: http.NewResponseController(w)}
	if stream.send("retry: 1000\n\n") != nil {
		return // the browser has left
	}
	ctx, id := r.Context(), a.ID
	for ticks := f.grants.Watch(ctx, id); a != nil; a = f.refreshed(ctx, id) {
		wait, err := stream.tell(a)
		if err != nil || a.State.Ended() || !f.wait(ctx, ticks, wait) {
			return // the browser reconnects, unless the attempt has ended
		}
	}
}

// changed returns the attempt at its first change, or after longPoll. A page
// that shows another state than the present one is answered at once.
func (f *Follower) changed(r *http.Request, a *devicegrant.Attempt) *devicegrant.Attempt {
	ctx, cancel := context.WithTimeout(r.Context(), longPoll)
	defer cancel()
	since, first := r.URL.Query().Get("since"), eventOf(a)
	ticks := f.grants.Watch(ctx, a.ID)
	for string(a.State) == since && eventOf(a) == first && !a.State.Ended() && f.wait(ctx, ticks, a.RefreshWithin()) {
		now := f.refreshed(ctx, a.ID)
		if now == nil {
			break
		}
		a = now
	}
	return a
}

// wait returns when the attempt may have changed, or after a given time. It
// reports false if there is nothing more to wait for: the browser has left, or
// the server stops.
func (f *Follower) wait(ctx context.Context, ticks <-chan struct{}, most time.Duration) bool {
	select {
	case <-f.stop:
		return false
	case <-ctx.Done():
		return false
	case <-ticks:
	case <-time.After(most):
	}
	return true
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

// kind is how a page wants to be told.
type kind int

const (
	eventStreams kind = iota
	longPolls
	hiddenPages // by one answer, at once
	kinds
)

func kindOf(r *http.Request) kind {
	query := r.URL.Query()
	switch {
	case query.Has("hidden"):
		return hiddenPages
	case query.Has("since"):
		return longPolls
	}
	return eventStreams
}

// maxWaiting is how many requests about one attempt may wait in this process at
// the same time: one cookie must not use up the server's memory.
const maxWaiting = 8

// requests counts those that are being answered.
type requests struct {
	mu    sync.Mutex
	about map[string]int // by the attempt's ID
	of    [kinds]int64
}

func (n *requests) add(k kind, id string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.about[id] >= maxWaiting {
		return false
	}
	n.about[id]++
	n.of[k]++
	return true
}

func (n *requests) remove(k kind, id string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.of[k]--
	if n.about[id]--; n.about[id] == 0 {
		delete(n.about, id)
	}
}

func (n *requests) count(k kind) int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.of[k]
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
// It returns how long to wait for a change, at most, until it must be called
// again.
func (e *eventStream) tell(a *devicegrant.Attempt) (wait time.Duration, err error) {
	if now := eventOf(a); now != e.told {
		e.told = now
		var data []byte
		if data, err = json.Marshal(now); err == nil {
			err = e.send(fmt.Sprintf("event: state\ndata: %s\n\n", data))
		}
	} else if time.Since(e.sent) >= keepAlive {
		err = e.send("event: alive\ndata: {}\n\n") // browsers drop an event without data
	}
	return min(time.Until(e.sent.Add(keepAlive)), a.RefreshWithin()), err
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
