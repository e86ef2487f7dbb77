package tests

import (
	"slices"
	"strings"
	"testing"
	"time"

	"changebank/internal/testpeer"
)

// The issuer has a path, and the provider names no interval. Then it is five
// seconds (RFC 8628, section 3.2).
func TestPeerDefaults(t *testing.T) {
	t.Parallel()
	b, laptop, states, link := showing(t, testpeer.Options{IssuerPath: "/oidc"})
	if !strings.HasPrefix(link, b.provider.Issuer+"/device?") || !strings.HasSuffix(b.provider.Issuer, "/oidc") {
		t.Errorf("the code leads to %s, want a page of %s", link, b.provider.Issuer)
	}
	phone := b.browser(t)
	phone.approveAtPeer(phone.atPeer(link))
	states.want("approved")
	laptop.claim(jaredsMail)
	start, poll := b.provider.State(t).Requests[0], b.provider.Polls(t)[0]
	if wait := poll.Time().Sub(start.Time()); wait < 5*time.Second {
		t.Errorf("the first poll came %v after the start, want at least 5s", wait)
	}
}

// While a person takes their time, the provider is never polled too soon.
func TestPeerPace(t *testing.T) {
	t.Parallel()
	b, laptop, states, link := showing(t, testpeer.Options{Interval: 4})
	phone := b.browser(t)
	question := phone.atPeer(link)
	for _, p := range b.awaitPolls(3) {
		if p.Error != "authorization_pending" {
			t.Fatalf("a poll was answered %d %q, want authorization_pending", p.Status, p.Error)
		}
	}
	phone.approveAtPeer(question)
	states.want("approved")
	if polls := b.provider.Polls(t); polls[len(polls)-1].Status != 200 {
		t.Errorf("the last poll was answered %+v, want tokens", polls[len(polls)-1])
	}
	laptop.claim(jaredsMail)
}

// slow_down adds five seconds to the interval (RFC 8628, section 3.5).
func TestPeerSlowDown(t *testing.T) {
	t.Parallel()
	b, laptop, states, link := showing(t, testpeer.Options{Interval: 1, SlowDowns: 1})
	phone := b.browser(t)
	phone.approveAtPeer(phone.atPeer(link))
	states.want("approved")
	polls := b.provider.Polls(t)
	if len(polls) != 2 || polls[0].Error != "slow_down" || polls[1].Status != 200 {
		t.Fatalf("the polls were answered %+v, want slow_down and tokens", polls)
	}
	if wait := polls[1].Time().Sub(polls[0].Time()); wait < 6*time.Second {
		t.Errorf("%v between the polls, want at least 6s", wait)
	}
	laptop.claim(jaredsMail)
}

// The provider is not polled for a page that nobody looks at, until someone
// looks again.
func TestPeerUnwatched(t *testing.T) {
	t.Parallel()
	b, laptop, states, link := showing(t, testpeer.Options{Interval: 1})
	b.awaitPolls(1)
	states.close()
	left := time.Now()
	const silence = 2500 * time.Millisecond // in which two polls would come
	last := func() time.Time {
		polls := b.provider.Polls(t)
		return polls[len(polls)-1].Time()
	}
	for time.Since(last()) < silence {
		if time.Since(left) > 20*time.Second {
			t.Fatal("the provider is polled although nobody looks")
		}
		time.Sleep(100 * time.Millisecond)
	}
	// Twelve seconds are for a page that is reloaded or loses its connection.
	if after := last().Sub(left); after > 14*time.Second {
		t.Errorf("the provider was polled %v after the page was left", after)
	}

	n := len(b.provider.Polls(t))
	states = laptop.events()
	states.want("waiting")
	b.awaitPolls(n + 1)
	phone := b.browser(t)
	phone.approveAtPeer(phone.atPeer(link))
	states.want("approved")
	laptop.claim(jaredsMail)
}

// The person approves while the bank is stopped. The laptop's stream comes back
// after the restart, and the tokens are fetched no sooner than allowed.
func TestPeerRestart(t *testing.T) {
	t.Parallel()
	// The margin is a share of the interval, and must be longer than a busy
	// machine takes to deliver a poll.
	b, laptop, states, link := showing(t, testpeer.Options{Interval: 2})
	phone := b.browser(t)
	question := phone.atPeer(link)
	b.awaitPolls(1)

	b.stop()
	states.wantEnd()
	phone.approveAtPeer(question)
	b.start()
	b.awaitProvider()

	states = laptop.events()
	states.wantEventually("approved") // after waiting, if the stream is quicker than the poll
	laptop.claim(jaredsMail)
	if slices.ContainsFunc(b.provider.Polls(t), func(r testpeer.Request) bool { return r.Error == "slow_down" }) {
		t.Error("the provider was polled too soon")
	}
}
