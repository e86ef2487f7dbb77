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

// Before the approval on our page there is nothing to poll for, and a provider
// counts polls.
func TestNoPollsBeforeTheApproval(t *testing.T) {
	for name, prepare := range map[string]func(w *world) Attempt{
		"waiting": func(w *world) Attempt { return w.start() },
		"opened":  func(w *world) Attempt { return w.open(w.start()) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := prepare(w)
				w.watch(w.m, a.ID)
				w.watch(w.newManager(), a.ID)
				for range 20 {
					time.Sleep(time.Minute)
					w.noError(w.m.Refresh(w.Context(), a.ID))
				}
				w.provider.wantPolls(0)
				w.provider.wantApprovals(0)
			})
		})
	}
}

var errServer = &idp.Error{Status: 500, Code: "server_error"}

// paceTests are answers to polls, and the waits between the polls.
var paceTests = []struct {
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
		// Some providers say by how much. It is never less than five more.
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
			{err: context.DeadlineExceeded}, {err: errServer}, {err: &idp.Error{Status: 429}},
			{err: &idp.Error{Status: 400}}, {err: errors.New("invalid character '<'")}, {err: errServer}, {},
		},
		[]time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute, time.Minute},
	},
	{
		"trouble that passes", interval,
		script{{err: errServer}, {err: errServer}, {err: errServer}, {err: pending}, {err: errServer}, {err: errServer}, {}},
		[]time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, pace, 10 * time.Second, 20 * time.Second},
	},
	{
		"trouble after slow_down", interval,
		script{{err: slowdown}, {err: errServer}, {err: errServer}, {}},
		[]time.Duration{11500 * time.Millisecond, 20 * time.Second, 40 * time.Second},
	},
}

// The person may have to do something more at the provider. Some providers
// answer a poll at exactly their interval with slow_down.
func TestPace(t *testing.T) {
	for _, tt := range paceTests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.change = func(c *idp.DeviceCode) { c.Interval = tt.interval }
				w.provider.polls = tt.polls
				a := w.answered()
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
					w.Errorf("the attempt is %s, want the login to resume when the provider is back", end)
				}
			})
		})
	}
}

func slowdownTo(interval time.Duration) error {
	return &idp.Error{Status: 400, Code: idp.CodeSlowDown, Interval: interval}
}

// A provider in trouble may say how long to leave it alone. It holds once.
func TestRetryAfter(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: &idp.Error{Status: 429, Interval: 40 * time.Second}}, {err: pending}, {}}
		a := w.answered()
		time.Sleep(2 * time.Minute)
		w.wantPollTimes(0, 40*time.Second, 40*time.Second+pace)
		w.want(a, Approved)
	})
}

// A slow_down is for good: the next process keeps to it as well.
func TestSlowDownSurvivesARestart(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: slowdown}, {err: slowdown}, {err: pending}, {err: pending}, {}}
		a := w.answered()
		time.Sleep(12 * time.Second) // the second one is at 11.5 s
		w.m.Close()
		w.watch(w.newManager(), a.ID)
		time.Sleep(5 * time.Minute)
		w.wantPollTimes(0, 11500*time.Millisecond, 28750*time.Millisecond, 46*time.Second, 63250*time.Millisecond)
	})
}
