package tests

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// stream is the laptop's event stream.
type stream struct {
	t      testing.TB
	states chan string // closed at the end of the stream
	body   io.Closer
}

// events opens the browser's event stream.
func (b *browser) events() stream {
	b.t.Helper()
	client := *b.http
	client.Timeout = 0
	resp, err := client.Do(b.request(http.MethodGet, qrPage+"/events", nil))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" || resp.StatusCode != http.StatusOK {
		b.t.Fatalf("events: %d %s", resp.StatusCode, got)
	}
	s := stream{b.t, make(chan string, 16), resp.Body}
	go func() {
		defer close(s.states)
		name := ""
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			switch key, value, _ := strings.Cut(lines.Text(), ": "); key {
			case "event":
				name = value
			case "data":
				if name == "alive" {
					continue // a sign of life
				}
				s.states <- name + eventState(value)
			}
		}
	}()
	return s
}

// eventState returns the state that an event carries, after a space. It says
// so if the event has other keys than the page's script expects.
func eventState(data string) string {
	var event map[string]any
	err := json.Unmarshal([]byte(data), &event)
	if keys := slices.Sorted(maps.Keys(event)); err != nil || !slices.Equal(keys, []string{"expires", "note", "state", "text"}) {
		return " unexpected: " + data
	}
	return fmt.Sprintf(" %v", event["state"])
}

// want checks the next events' states.
func (s stream) want(states ...string) {
	s.t.Helper()
	for _, state := range states {
		select {
		case got, open := <-s.states:
			if got != "state "+state {
				s.t.Fatalf("the stream sends %q (open: %t), want %s", got, open, state)
			}
		case <-time.After(time.Minute):
			s.t.Fatalf("the stream does not send %s", state)
		}
	}
}

// wantEventually checks that the stream sends a state, perhaps after others.
func (s stream) wantEventually(state string) {
	s.t.Helper()
	timeout := time.After(time.Minute)
	for {
		select {
		case got, open := <-s.states:
			if got == "state "+state {
				return
			}
			if !open {
				s.t.Fatalf("the stream ends without %s", state)
			}
		case <-timeout:
			s.t.Fatalf("the stream does not send %s", state)
		}
	}
}

// wantEnd checks that the stream closes without another event.
func (s stream) wantEnd() {
	s.t.Helper()
	select {
	case got, open := <-s.states:
		if open {
			s.t.Fatalf("the stream sends %q after the end", got)
		}
	case <-time.After(time.Minute):
		s.t.Fatal("the stream stays open")
	}
}

// close hangs up.
func (s stream) close() { _ = s.body.Close() }

// One cookie cannot keep the server busy with streams: a ninth is refused, and
// its page fetches itself instead. A stream that ends makes room.
func TestStreamsPerAttempt(t *testing.T) {
	t.Parallel()
	b, laptop, phone := pair(t)
	link := laptop.code()
	var streams []stream
	for range 8 {
		streams = append(streams, laptop.events())
	}
	ninth := func() string { return fmt.Sprint(laptop.get(qrPage + "/events").Status) }
	if got := ninth(); got != "429" {
		t.Errorf("a ninth stream: %s, want 429", got)
	}
	other := b.browser(t)
	other.code()
	other.events().want("waiting")

	phone.deny(link) // which ends the streams
	for _, s := range streams {
		s.wantEventually("denied")
		s.wantEnd()
	}
	laptop.await("200", ninth)
}
