package follow

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/browser"
	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/teststore"
)

// providerOfCodes is a provider where nobody has approved yet.
type providerOfCodes struct {
	devicegrant.Provider
	uri   string // of verification
	polls atomic.Int32
}

func (p *providerOfCodes) StartDevice(context.Context) (idp.DeviceCode, error) {
	return idp.DeviceCode{
		Device: "device", User: "ABC234", URI: p.uri, URIComplete: p.uri + "?user_code=ABC234",
		Expires: time.Now().Add(10 * time.Minute), Interval: 5 * time.Second,
	}, nil
}

func (p *providerOfCodes) PollDevice(context.Context, string) (idp.Tokens, error) {
	p.polls.Add(1)
	return idp.Tokens{}, &idp.Error{Status: http.StatusBadRequest, Code: idp.CodePending}
}

func (p *providerOfCodes) Owns(string) bool  { return true }
func (p *providerOfCodes) Revoke(idp.Tokens) {}

const ourPage = "https://bank.example/activate"

var laptop = browser.Browser{Addr: "192.0.2.1"}

// eventsTest is a laptop that shows a code.
type eventsTest struct {
	*testing.T
	f        *Follower
	grants   *devicegrant.Manager
	provider *providerOfCodes
	a        devicegrant.Attempt
	id       string // that the browser has
}

// withEvents runs a test in a bubble, in which time passes only while everything
// waits.
func withEvents(t *testing.T, verificationURI string, test func(e *eventsTest)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		kept := teststore.In(t, teststore.File(t))
		provider := &providerOfCodes{uri: verificationURI}
		log := slog.New(slog.NewTextHandler(t.Output(), nil))
		grants := devicegrant.New(devicegrant.Config{
			Provider: provider, Store: kept, VerificationURI: ourPage, ConfirmNumber: devicegrant.NumberNever,
			Limits: devicegrant.Limits{CodesPerAddress: 10, Live: 10, WrongCodes: 10, WrongNumbers: 3}, CodeLifetime: 5 * time.Minute, Log: log,
		})
		t.Cleanup(grants.Close)
		a, err := grants.Start(t.Context(), laptop)
		if err != nil {
			t.Fatal(err)
		}
		test(&eventsTest{t, New(grants, log), grants, provider, a, a.ID})
	})
}

// answered is what a request got, and after how long.
type answered struct {
	*httptest.ResponseRecorder
	after time.Duration
}

// ask sends a request of the laptop. It is answered in the channel.
func (e *eventsTest) ask(ctx context.Context, query string) <-chan answered {
	e.Helper()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/events"+query, nil)
	answer := make(chan answered, 1)
	began := time.Now()
	go func() {
		w := httptest.NewRecorder()
		if err := e.f.Serve(w, r, e.id, laptop); err != nil {
			e.Error(err)
		}
		answer <- answered{w, time.Since(began)}
	}()
	return answer
}

// want checks an answer, when it came, and that its length is announced: some
// proxies hold back what has none.
func (e *eventsTest) want(what string, answer <-chan answered, after time.Duration, state devicegrant.State) {
	e.Helper()
	got := <-answer
	var told event
	if err := json.Unmarshal(got.Body.Bytes(), &told); err != nil || got.Code != http.StatusOK || told.State != state || got.after != after {
		e.Errorf("%s: %d %q after %v (%v), want %s after %v", what, got.Code, got.Body, got.after, err, state, after)
	}
	if length := got.Header().Get("Content-Length"); length != strconv.Itoa(got.Body.Len()) || got.Header().Get("Content-Type") != "application/json" || got.Flushed {
		e.Errorf("%s: headers %v, flushed: %t, want the length of JSON", what, got.Header(), got.Flushed)
	}
}

func (e *eventsTest) cancel() {
	e.Helper()
	if err := e.grants.Cancel(e.Context(), e.a.ID); err != nil {
		e.Fatal(err)
	}
}

// A question about changes is answered at the first change, or after 25 s. A
// page that shows another state, or no state at all, learns the present one at
// once, and so does one whose login has ended.
func TestLongPoll(t *testing.T) {
	withEvents(t, ourPage, func(e *eventsTest) {
		e.want("nothing changes", e.ask(e.Context(), "?since=waiting"), longPoll, devicegrant.Waiting)
		for _, since := range []string{"opened", "", "nosuch", "WAITING"} {
			e.want("since "+since, e.ask(e.Context(), "?since="+since), 0, devicegrant.Waiting)
		}
		e.want("since this attempt's state", e.ask(e.Context(), "?since=opened&attempt="+e.a.Ref), 0, devicegrant.Waiting)
		e.want("hidden", e.ask(e.Context(), "?since=waiting&hidden=1"), 0, devicegrant.Waiting)

		change := e.ask(e.Context(), "?since=waiting")
		time.Sleep(10 * time.Second)
		e.cancel()
		e.want("cancelled", change, 10*time.Second, devicegrant.Cancelled)
		e.want("ended", e.ask(e.Context(), "?since=cancelled"), 0, devicegrant.Cancelled)
	})
}

// Nobody changes an attempt when it expires, and yet the page learns of it.
func TestLongPollAtExpiry(t *testing.T) {
	withEvents(t, ourPage, func(e *eventsTest) {
		time.Sleep(time.Until(e.a.Expires) - 10*time.Second)
		e.want("expired", e.ask(e.Context(), "?since=waiting"), 10*time.Second, devicegrant.Expired)
	})
}

// Another tab has started another code, or the browser has none.
func TestLongPollOfAnotherAttempt(t *testing.T) {
	withEvents(t, ourPage, func(e *eventsTest) {
		if got := <-e.ask(e.Context(), "?since=waiting&attempt=ANOTHER"); got.Code != http.StatusConflict || got.after != 0 {
			t.Errorf("another attempt: %d after %v, want 409 at once", got.Code, got.after)
		}
		e.id = "forged"
		if got := <-e.ask(e.Context(), "?since=waiting"); got.Code != http.StatusNoContent || got.after != 0 || got.Body.Len() > 0 {
			t.Errorf("no attempt: %d after %v, want 204 at once", got.Code, got.after)
		}
	})
}

// Streams and long polls count together. A ninth is refused, and told when to
// come back. A browser that leaves makes room at once.
func TestLongPollsPerAttempt(t *testing.T) {
	withEvents(t, ourPage, func(e *eventsTest) {
		ctx, leave := context.WithCancel(e.Context())
		waiting := []<-chan answered{e.ask(ctx, "")}
		for range maxWaiting - 1 {
			waiting = append(waiting, e.ask(ctx, "?since=waiting"))
		}
		synctest.Wait()
		for _, query := range []string{"?since=waiting", "", "?since=waiting&hidden=1"} {
			if got := <-e.ask(e.Context(), query); got.Code != http.StatusTooManyRequests || got.Header().Get("Retry-After") == "" || got.after != 0 {
				t.Errorf("a ninth, %q: %d %v after %v, want 429 at once and when to retry", query, got.Code, got.Header(), got.after)
			}
		}
		leave()
		for _, answer := range waiting {
			if got := <-answer; got.after != 0 {
				t.Errorf("a browser that left is served for %v", got.after)
			}
		}
		e.want("after they have left", e.ask(e.Context(), "?since=waiting"), longPoll, devicegrant.Waiting)
	})
}

// A server that stops answers at once, so that nothing waits for the page.
func TestLongPollAtStop(t *testing.T) {
	withEvents(t, ourPage, func(e *eventsTest) {
		answer := e.ask(e.Context(), "?since=waiting")
		time.Sleep(3 * time.Second)
		e.f.End()
		e.want("stopped", answer, 3*time.Second, devicegrant.Waiting)
	})
}

// A script that hears nothing for 40 s takes the stream for held back. Comments
// do not reach it, so the stream sends events.
func TestStreamSignsOfLife(t *testing.T) {
	withEvents(t, ourPage, func(e *eventsTest) {
		ctx, leave := context.WithCancel(e.Context())
		stream := e.ask(ctx, "")
		time.Sleep(time.Minute - time.Second)
		leave()
		const alive = "event: alive\ndata: {}\n\n"
		state, _ := json.Marshal(eventOf(&e.a))
		if got, want := (<-stream).Body.String(), "retry: 1000\n\nevent: state\ndata: "+string(state)+"\n\n"+alive+alive+alive; got != want {
			t.Errorf("the stream is\n%s\nwant\n%s", got, want)
		}
	})
}

// Nobody changes an attempt when it expires, and yet the stream says so then, not
// at its next sign of life.
func TestStreamAtExpiry(t *testing.T) {
	withEvents(t, ourPage, func(e *eventsTest) {
		time.Sleep(keepAlive / 2)
		left := time.Until(e.a.Expires)
		got := <-e.ask(e.Context(), "")
		if got.after != left || !strings.Contains(got.Body.String(), `"state":"expired"`) {
			t.Errorf("the stream lasted %v, want %v and the end:\n%s", got.after, left, got.Body)
		}
	})
}

// The provider's own page is polled while someone looks: for a long poll, and not
// for a page that nobody sees.
func TestHiddenPageIsNotPolledFor(t *testing.T) {
	const theirs = "https://provider.example/device"
	for name, tt := range map[string]struct {
		query string
		pause time.Duration
		polls bool
	}{
		"long poll": {"?since=waiting", 0, true},
		"hidden":    {"?since=waiting&hidden=1", 15 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			withEvents(t, theirs, func(e *eventsTest) {
				for began := time.Now(); time.Since(began) < 2*time.Minute; time.Sleep(tt.pause) {
					if got := <-e.ask(e.Context(), tt.query); got.Code != http.StatusOK {
						t.Fatalf("status %d", got.Code)
					}
				}
				polls := e.provider.polls.Load()
				if tt.polls && polls < 18 || !tt.polls && polls > 0 {
					t.Errorf("%d polls in two minutes, want some: %t", polls, tt.polls)
				}
			})
		})
	}
}

// A server's WriteTimeout is for whole responses, and may be shorter than a long
// poll.
func TestLongPollOutlivesWriteTimeout(t *testing.T) {
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	grants := devicegrant.New(devicegrant.Config{
		Provider: &providerOfCodes{uri: ourPage}, Store: teststore.In(t, teststore.File(t)), VerificationURI: ourPage,
		Limits: devicegrant.Limits{CodesPerAddress: 10, Live: 10}, CodeLifetime: 5 * time.Minute, Log: log,
	})
	defer grants.Close()
	a, err := grants.Start(t.Context(), laptop)
	if err != nil {
		t.Fatal(err)
	}
	f := New(grants, log)
	const timeout = 100 * time.Millisecond
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.AfterFunc(3*timeout, func() { _ = grants.Cancel(context.Background(), a.ID) })
		if err := f.Serve(w, r, a.ID, laptop); err != nil {
			t.Error(err)
		}
	}))
	server.Config.WriteTimeout = timeout
	server.Start()
	defer server.Close()
	resp, err := http.Get(server.URL + "?since=waiting")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var told event
	if err := json.NewDecoder(resp.Body).Decode(&told); err != nil || told.State != devicegrant.Cancelled {
		t.Errorf("the answer is %+v, %v; want cancelled", told, err)
	}
}
