package devicegrant

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// A provider counts polls, and an approval that did not come by our page does
// not count: there is nothing to ask for.
func TestNobodyPollsBeforeYes(t *testing.T) {
	for name, prepare := range map[string]func(w *world) Attempt{
		"waiting": func(w *world) Attempt { return w.start() },
		"opened":  func(w *world) Attempt { return w.open(w.start()) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := prepare(w)
				w.watch(w.bank, a.ID)
				w.watch(w.process(), a.ID)
				for range 20 {
					time.Sleep(time.Minute)
					w.noError(w.bank.Get(w.Context(), a.ID))
				}
				w.provider.wantPolls(0)
				w.provider.wantApprovals(0)
			})
		})
	}
}

// From yes to the account page it takes as long as the provider takes.
func TestOnePollAtOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.open(w.start())
		page := w.watch(w.bank, a.ID)
		said := time.Now()
		if a, err := w.yes(a); err != nil || a.State != Yes {
			w.Fatalf("Yes: %s, %v, want %s", a.State, err, Yes)
		}
		time.Sleep(time.Second)
		seen, _, _ := page.saw()
		want := []sight{{Opened, false, 0}, {Yes, false, 0}, {Approved, false, approveTime + pollTime + verifyTime}}
		if !slices.Equal(seen, want) {
			w.Errorf("the laptop saw %v, want %v", seen, want)
		}
		time.Sleep(time.Minute)
		w.provider.wantApprovals(1)
		w.provider.wantPolls(1)
		r := w.want(a, Approved)
		if given := w.provider.first(); !r.Person.Is(richard) || r.Tokens.Access != given.Access || r.Tokens.ID != given.ID {
			w.Errorf("approved for %v, want Richard and his tokens", r.Person)
		}
		if got := w.provider.polled[0].Sub(said); got != approveTime {
			w.Errorf("the poll came %v after the yes, want %v: as soon as the provider had approved", got, approveTime)
		}
	})
}

// The person may have to do something more at the provider. Asked at exactly
// its interval, Dex answers slow_down.
func TestPace(t *testing.T) {
	server := &idp.Error{Status: 500, Code: "server_error"}
	tests := []struct {
		name     string
		interval time.Duration
		polls    script
		want     []time.Duration // between polls
	}{
		{
			"pending", interval,
			script{{err: pending}, {err: pending}, {err: pending}, {}},
			[]time.Duration{pace, pace, pace},
		},
		{
			"pending, as a provider with a long interval says it", 40 * time.Second,
			script{{err: pending}, {err: &idp.Error{Status: 200, Code: idp.CodePending}}, {err: &idp.Error{Status: 403, Code: idp.CodePending}}, {}},
			[]time.Duration{46 * time.Second, 46 * time.Second, 46 * time.Second},
		},
		{
			"pending, with slow answers", interval,
			script{{after: 2 * time.Second, err: pending}, {after: 2 * time.Second, err: pending}, {}},
			[]time.Duration{pace, pace},
		},
		{
			// RFC 8628, section 3.5: 5 seconds for this and all later requests.
			"slow_down", interval,
			script{{err: slowdown}, {err: pending}, {err: slowdown}, {err: pending}, {}},
			[]time.Duration{11500 * time.Millisecond, 11500 * time.Millisecond, 17250 * time.Millisecond, 17250 * time.Millisecond},
		},
		{
			// Some providers say by how much; less than five more it never is.
			"slow_down by as much as the provider says", interval,
			script{{err: slowdownTo(30 * time.Second)}, {err: pending}, {err: slowdownTo(time.Second)}, {}},
			[]time.Duration{34500 * time.Millisecond, 34500 * time.Millisecond, 40250 * time.Millisecond},
		},
		{
			"slow_down by more than a minute", interval,
			script{{err: slowdownTo(time.Hour)}, {err: pending}, {}},
			[]time.Duration{69 * time.Second, 69 * time.Second},
		},
		{
			"slow_down again and again", 58 * time.Second,
			script{{err: slowdownTo(0)}, {err: slowdownTo(0)}, {}},
			[]time.Duration{69 * time.Second, 69 * time.Second},
		},
		{
			// It doubles, up to a minute.
			"trouble", interval,
			script{
				{err: context.DeadlineExceeded}, {err: server}, {err: &idp.Error{Status: 429}},
				{err: &idp.Error{Status: 400}}, {err: errors.New("invalid character '<'")}, {err: server}, {},
			},
			[]time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute, time.Minute},
		},
		{
			"trouble that passes", interval,
			script{{err: server}, {err: server}, {err: server}, {err: pending}, {err: server}, {err: server}, {}},
			[]time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, pace, 10 * time.Second, 20 * time.Second},
		},
		{
			"trouble after slow_down", interval,
			script{{err: slowdown}, {err: server}, {err: server}, {}},
			[]time.Duration{11500 * time.Millisecond, 20 * time.Second, 40 * time.Second},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.change = func(c *idp.DeviceCode) { c.Interval = tt.interval }
				w.provider.polls = tt.polls
				a := w.agreed()
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				var got []time.Duration
				times := w.provider.pollTimes()
				for i := range times[1:] {
					got = append(got, times[i+1]-times[i])
				}
				if !slices.Equal(got, tt.want) {
					w.Errorf("waits between polls %v, want %v", got, tt.want)
				}
				if end := w.record(a).State; end != Approved && end != Expired {
					w.Errorf("the attempt is %s, want the login to go on when the provider is back", end)
				}
			})
		})
	}
}

// The page says that the provider is silent, and no more when it is back.
func TestSilenceShows(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: context.DeadlineExceeded}, {err: context.DeadlineExceeded}, {err: pending}, {after: pollTime}}
		a := w.open(w.start())
		page := w.watch(w.bank, a.ID)
		w.noError(w.yes(a))
		time.Sleep(time.Minute)
		seen, _, _ := page.saw()
		silent := approveTime
		back := silent + 10*time.Second + 20*time.Second
		want := []sight{
			{Opened, false, 0}, {Yes, false, 0}, {Yes, true, silent}, {Yes, false, back},
			{Approved, false, back + pace + pollTime + verifyTime},
		}
		if !slices.Equal(seen, want) {
			w.Errorf("the laptop saw\n%v, want\n%v", seen, want)
		}
	})
}

func slowdownTo(interval time.Duration) error {
	return &idp.Error{Status: 400, Code: idp.CodeSlowDown, Interval: interval}
}

// A server in trouble, or a proxy before it, may say what it likes: a login
// that is on its way must neither end by that nor become slower for good.
func TestServerErrorsAreNotTheProvidersWord(t *testing.T) {
	for _, code := range []string{
		idp.CodePending, idp.CodeSlowDown, idp.CodeExpired, idp.CodeDenied, "invalid_grant", "invalid_client",
	} {
		t.Run(code, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{err: &idp.Error{Status: 503, Code: code, Interval: 10 * time.Second}}, {err: pending}, {after: pollTime}}
				a := w.open(w.start())
				page := w.watch(w.bank, a.ID)
				w.noError(w.yes(a))
				time.Sleep(time.Minute)
				seen, _, _ := page.saw()
				back := approveTime + 10*time.Second
				want := []sight{
					{Opened, false, 0}, {Yes, false, 0}, {Yes, true, approveTime}, {Yes, false, back},
					{Approved, false, back + pace + pollTime + verifyTime},
				}
				if !slices.Equal(seen, want) {
					w.Errorf("the laptop saw\n%v, want\n%v", seen, want)
				}
				if r := w.record(a); r.Device.Interval != interval {
					w.Errorf("interval %v, want %v as before", r.Device.Interval, interval)
				}
			})
		})
	}
}

// A provider in trouble may say how long to leave it alone, once.
func TestRetryAfterIsHonoured(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: &idp.Error{Status: 429, Interval: 40 * time.Second}}, {err: pending}, {}}
		a := w.agreed()
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		w.want(a, Approved)
		times := w.provider.pollTimes()
		if len(times) != 3 || times[1] != 40*time.Second || times[2]-times[1] != pace {
			w.Errorf("polls at %v, want the second 40 s after the first and the third %v later", times, pace)
		}
	})
}

// A slow_down is for good: the next process keeps to it as well.
func TestSlowDownSurvivesARestart(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: slowdown}, {err: slowdown}, {err: pending}, {err: pending}, {}}
		a := w.agreed()
		time.Sleep(12 * time.Second) // the second one is at 11.5 s
		w.bank.Close()
		w.watch(w.process(), a.ID)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		want := []time.Duration{0, 11500 * time.Millisecond, 28750 * time.Millisecond, 46 * time.Second, 63250 * time.Millisecond}
		if got := w.provider.pollTimes(); !slices.Equal(got, want) {
			w.Errorf("polls at %v, want %v", got, want)
		}
	})
}

// RFC 8628, section 3.5: after any other error the client must stop polling.
func TestTheProviderEndsIt(t *testing.T) {
	tests := []struct {
		name   string
		answer *idp.Error
		state  State
		reason Reason
	}{
		{"expired_token", &idp.Error{Status: 400, Code: idp.CodeExpired}, Expired, ""},
		{"access_denied", &idp.Error{Status: 400, Code: idp.CodeDenied}, Failed, ReasonRefused},
		{"invalid_grant", &idp.Error{Status: 400, Code: "invalid_grant"}, Failed, ReasonGone},
		{"FusionAuth's unknown code", &idp.Error{Status: 400, Code: "invalid_request", Reason: "invalid_device_code"}, Failed, ReasonGone},
		{"invalid_client", &idp.Error{Status: 401, Code: "invalid_client"}, Failed, ReasonClient},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{err: pending}, {err: tt.answer}}
				a := w.open(w.start())
				page := w.watch(w.bank, a.ID)
				w.noError(w.yes(a))
				time.Sleep(time.Minute)
				seen, over, err := page.saw()
				want := []sight{{Opened, false, 0}, {Yes, false, 0}, {tt.state, false, approveTime + pace}}
				if !slices.Equal(seen, want) || !over || err != nil {
					w.Errorf("the laptop saw %v (over: %v, %v), want %v", seen, over, err, want)
				}
				w.wantEnd(a, tt.state, tt.reason)
				w.provider.wantPolls(2)
			})
		})
	}
}
