package devicegrant

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

const providerURI = issuer + "/device"

// onProviderPage is an attempt that the provider's own page asks the person
// about. We do not see the approval there, so any poll may bring the tokens.
func (w *world) onProviderPage() Attempt {
	w.Helper()
	w.provider.change = func(c *idp.DeviceCode) {
		c.URI, c.URIComplete = providerURI, providerURI+"?user_code="+c.User
	}
	a := w.start()
	if a.State != Waiting || !a.ProviderPage || a.URI != providerURI {
		w.Fatalf("Start: %s, provider's page %v, at %s, want %s there, at %s", a.State, a.ProviderPage, a.URI, Waiting, providerURI)
	}
	w.provider.set(func(p *provider) {
		for _, d := range p.devices {
			d.approved = true
		}
	})
	return a
}

// wantPollsAt checks when the polls came, counted from the start of the attempt.
func (w *world) wantPollsAt(a Attempt, want ...time.Duration) {
	w.Helper()
	synctest.Wait()
	w.provider.mu.Lock()
	defer w.provider.mu.Unlock()
	var got []time.Duration
	for _, at := range w.provider.polled {
		got = append(got, at.Sub(a.Started))
	}
	if !slices.Equal(got, want) {
		w.Errorf("polls at %v, want %v", got, want)
	}
}

// paces returns the first n multiples of the pace.
func paces(n int) []time.Duration {
	var times []time.Duration
	for i := range n {
		times = append(times, time.Duration(i+1)*pace)
	}
	return times
}

// Where the provider asks the person, nobody approves here. The login is the
// person's who approved there, and goes to one session.
func TestProviderPage(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}, {err: pending}, {after: pollTime}}
		w.provider.verdicts = script{{after: verifyTime, person: mallory}}
		a := w.onProviderPage()
		page := w.watch(w.m, a.ID)
		time.Sleep(pace - time.Nanosecond)
		w.wantPollsAt(a) // a provider counts a poll before its interval as one too fast
		time.Sleep(time.Minute)
		w.wantPollsAt(a, paces(3)...)
		w.wantSeen(page, false, sight{Waiting, false, 0}, sight{Approved, false, 3*pace + pollTime + verifyTime})
		w.provider.wantApprovals(0)
		if r := w.record(a); r.Person != mallory {
			w.Errorf("approved for %v, want Mallory", r.Person)
		}

		id, err := w.claim(a)
		if s := w.sessions.get(id); err != nil || !s.live || s.person != mallory || s.tokens.Access != w.provider.first().Access {
			w.Errorf("Claim: %+v, %v, want a session of Mallory, whose tokens they are", s, err)
		}
		again, err := w.newManager().Claim(w.Context(), a.ID, laptop)
		if err != nil || again != id {
			w.Errorf("Claim again: %q, %v, want the same session", again, err)
		}
		w.wantEnd(a, Claimed, "")
		time.Sleep(time.Hour / 2)
		synctest.Wait()
		w.provider.wantKept()
		w.provider.wantVerdicts(1)
		if w.sessions.asked != 0 {
			w.Error("Vouched was asked, and nobody approved on our page")
		}
	})
}

func TestProviderPageEnds(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer *idp.Error
		state  State
		reason Reason
	}{
		{"access_denied", &idp.Error{Status: 400, Code: idp.CodeDenied}, Denied, ""}, // the person denied
		{"expired_token", &idp.Error{Status: 400, Code: idp.CodeExpired}, Expired, ""},
		{"invalid_grant", spent, Failed, ReasonCodeGone},
		{"invalid_client", &idp.Error{Status: 401, Code: "invalid_client"}, Failed, ReasonClient},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{err: pending}, {err: tt.answer}}
				a := w.onProviderPage()
				page := w.watch(w.m, a.ID)
				time.Sleep(5 * time.Minute)
				w.wantSeen(page, true, sight{Waiting, false, 0}, sight{tt.state, false, 2 * pace})
				w.wantEnd(a, tt.state, tt.reason)
				w.provider.wantPolls(2)
			})
		})
	}
}

// Nobody approved here, so the signature alone says whose login it is.
func TestProviderPageTokensThatDoNotVerify(t *testing.T) {
	for name, verdict := range map[string]reply{
		"nobody's":                {after: verifyTime, err: errForged},
		"with a person beside it": {after: verifyTime, err: errForged, person: richard},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.verdicts = script{verdict}
				a := w.onProviderPage()
				page := w.watch(w.m, a.ID)
				time.Sleep(5 * time.Minute)
				w.wantSeen(page, true, sight{Waiting, false, 0}, sight{Failed, false, pace + pollTime + verifyTime})
				w.wantEnd(a, Failed, ReasonUnverified)
				w.provider.wantRevoked(1)
				w.provider.wantPolls(1)
			})
		})
	}
}

// A phone that comes to our page with such a code is sent on, and changes
// nothing. An answer here would call FusionAuth's approval with the phone's
// token at a provider that asks the person itself.
func TestProviderPageCodeOnOurPage(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}}
		a := w.onProviderPage()
		before := w.record(a)
		for _, person := range []idp.Person{richard, mallory} {
			got, err := w.m.Open(w.Context(), visit(a.UserCode, phone, person))
			if !errors.Is(err, ErrProviderPage) || got.URIComplete != a.URIComplete || got.State != Waiting {
				w.Errorf("Open: %s at %s, %v, want %s at %s, %v", got.State, got.URIComplete, err, Waiting, a.URIComplete, ErrProviderPage)
			}
		}
		if got, err := w.yes(a); !errors.Is(err, ErrProviderPage) || got != (Attempt{}) {
			w.Errorf("Yes: %+v, %v, want %v", got, err, ErrProviderPage)
		}
		if got, err := w.no(a); !errors.Is(err, ErrProviderPage) || got != (Attempt{}) {
			w.Errorf("No: %+v, %v, want %v", got, err, ErrProviderPage)
		}
		w.provider.wantApprovals(0)
		w.wantPollsAt(a)
		if r := w.record(a); !reflect.DeepEqual(r.Attempt, before.Attempt) {
			w.Errorf("the attempt is %+v, want it as it was, %+v", r.Attempt, before.Attempt)
		}

		time.Sleep(expiresIn)
		if got, err := w.m.Open(w.Context(), visit(a.UserCode, phone, richard)); !errors.Is(err, ErrProviderPage) || got.State != Expired {
			w.Errorf("Open: %s, %v, want %s, %v", got.State, err, Expired, ErrProviderPage)
		}
		w.wantEnd(a, Expired, "")
	})
}

// The laptop left while the answer was on its way: nobody gets the tokens.
func TestCancelOnTheProviderPage(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{after: 2 * time.Second}}
		a := w.onProviderPage()
		w.watch(w.m, a.ID)
		time.Sleep(pace + time.Second)
		w.cancel(a)
		time.Sleep(time.Minute)
		synctest.Wait()
		w.wantEnd(a, Cancelled, "")
		w.provider.wantRevoked(1)
		w.provider.wantPolls(1)
	})
}

// A laptop that moves ends nothing here: nobody was shown where it is.
func TestLaptopMovesOnTheProviderPage(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.onProviderPage()
		w.watch(w.m, a.ID)
		time.Sleep(pace)
		w.settle()
		w.want(a, Approved)
		if got, err := w.m.CheckLaptop(w.Context(), a.ID, elsewhere); err != nil || got.State != Approved {
			w.Errorf("CheckLaptop: %s, %v, want %s", got.State, err, Approved)
		}
	})
}

// An approval there that is never claimed is discarded in time, by the process
// that looks once after a restart.
func TestProviderPageApprovedBeforeARestart(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.onProviderPage()
		w.watch(w.m, a.ID)
		time.Sleep(pace)
		w.settle()
		w.wantCloseTakes(0)
		w.m = w.newManager()
		w.noError(w.m.Refresh(w.Context(), a.ID))
		time.Sleep(claimWindow - time.Nanosecond)
		synctest.Wait()
		w.want(a, Approved)
		w.provider.wantKept()
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		w.wantEnd(a, Expired, ReasonUnfinished)
		w.provider.wantRevoked(1)
		w.provider.wantPolls(1)
	})
}
