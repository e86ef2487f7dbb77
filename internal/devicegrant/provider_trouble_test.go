package devicegrant

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// The page says that the provider does not answer, and stops saying so when it
// is back.
func TestProviderDownShows(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: context.DeadlineExceeded}, {err: context.DeadlineExceeded}, {err: pending}, {after: pollTime}}
		a := w.open(w.start())
		page := w.watch(w.m, a.ID)
		w.noError(w.yes(a))
		time.Sleep(time.Minute)
		back := approveTime + 10*time.Second + 20*time.Second
		w.wantSeen(page, false,
			sight{Opened, false, 0}, sight{Yes, false, 0}, sight{Yes, true, approveTime}, sight{Yes, false, back},
			sight{Approved, false, back + pace + pollTime + verifyTime})
	})
}

// A server in trouble, or a proxy before it, may answer anything. It must
// neither end a login in progress nor slow it down for good.
func TestServerErrorsDecideNothing(t *testing.T) {
	for _, code := range []string{
		idp.CodePending, idp.CodeSlowDown, idp.CodeExpired, idp.CodeDenied, "invalid_grant", "invalid_client",
	} {
		t.Run(code, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{err: &idp.Error{Status: 503, Code: code, Interval: 10 * time.Second}}, {err: pending}, {after: pollTime}}
				a := w.open(w.start())
				page := w.watch(w.m, a.ID)
				w.noError(w.yes(a))
				time.Sleep(time.Minute)
				back := approveTime + 10*time.Second
				w.wantSeen(page, false,
					sight{Opened, false, 0}, sight{Yes, false, 0}, sight{Yes, true, approveTime}, sight{Yes, false, back},
					sight{Approved, false, back + pace + pollTime + verifyTime})
				if r := w.record(a); r.Device.Interval != interval {
					w.Errorf("interval %v, want %v as before", r.Device.Interval, interval)
				}
			})
		})
	}
}

// After any other error the client must stop polling (RFC 8628, section 3.5).
func TestProviderEndsTheAttempt(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer *idp.Error
		state  State
		reason Reason
	}{
		{"expired_token", &idp.Error{Status: 400, Code: idp.CodeExpired}, Expired, ReasonUnfinished},
		{"access_denied", &idp.Error{Status: 400, Code: idp.CodeDenied}, Failed, ReasonRefused},
		{"authorization_declined", &idp.Error{Status: 400, Code: idp.CodeDeclined}, Failed, ReasonRefused},
		{"invalid_grant", spent, Failed, ReasonCodeGone},
		{"FusionAuth's unknown code", &idp.Error{Status: 400, Code: "invalid_request", Reason: "invalid_device_code"}, Failed, ReasonCodeGone},
		{"invalid_client", &idp.Error{Status: 401, Code: "invalid_client"}, Failed, ReasonClient},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{err: pending}, {err: tt.answer}}
				a := w.open(w.start())
				page := w.watch(w.m, a.ID)
				w.noError(w.yes(a))
				time.Sleep(time.Minute)
				w.wantSeen(page, true, sight{Opened, false, 0}, sight{Yes, false, 0}, sight{tt.state, false, approveTime + pace})
				w.wantEnd(a, tt.state, tt.reason)
				w.provider.wantPolls(2)
			})
		})
	}
}

// Authelia answers every poll with 500 after a denial on its page. The laptop's
// page can say so, and the log has one warning, not one for each poll.
func TestServerErrorsAfterADenial(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}, {err: &idp.Error{Status: 500, Code: "server_error"}}}
		a := w.onProviderPage()
		w.watch(w.m, a.ID)
		time.Sleep(pace + time.Second)
		if r := w.record(a); r.ProviderErrors {
			w.Error("after a pending poll the attempt says that the provider answers with errors")
		}
		time.Sleep(5 * time.Minute)
		if r := w.record(a); r.State != Waiting || !r.ProviderErrors || !r.ProviderDown {
			w.Errorf("%s, errors %v and down %v, want %s with both", r.State, r.ProviderErrors, r.ProviderDown, Waiting)
		}
		time.Sleep(expiresIn)
		w.wantEnd(a, Expired, "")
		if r := w.record(a); r.ProviderErrors {
			w.Error("the attempt has ended and still says that the provider answers with errors")
		}
		synctest.Wait()
		if n := strings.Count(w.logged.String(), "level=WARN msg=\"the provider answers polls"); n != 1 {
			w.Errorf("%d warnings, want 1", n)
		}
	})
}

// A provider that has been asked too often has decided nothing, whatever code it
// adds. It is left alone for as long as it says.
func TestTooManyRequestsEndNothing(t *testing.T) {
	for _, code := range []string{"", "rate_limit_exceeded", idp.CodeDenied, idp.CodeExpired, "invalid_grant", "invalid_client"} {
		t.Run(code, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{err: &idp.Error{Status: 429, Code: code, Interval: 40 * time.Second}}, {err: pending}, {}}
				a := w.answered()
				time.Sleep(2 * time.Minute)
				w.wantPollTimes(0, 40*time.Second, 40*time.Second+pace)
				w.want(a, Approved)
			})
		})
	}
}
