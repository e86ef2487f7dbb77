package devicegrant

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// An attacker says yes himself, makes his approval fail, and mails the victim
// the provider's own link: then the tokens are the victim's, and the laptop
// the attacker's.
func TestTokensOfAnotherPerson(t *testing.T) {
	for name, other := range map[string]idp.Person{
		"another person":         mallory,
		"of the same address":    {Issuer: issuer, Subject: "3", Email: richard.Email, Name: richard.Name},
		"of another issuer":      {Issuer: "https://evil.example", Subject: richard.Subject, Email: richard.Email},
		"nobody":                 {},
		"nobody of this issuer":  {Issuer: issuer, Email: richard.Email},
		"somebody of no issuer":  {Subject: richard.Subject},
		"a longer name, as such": {Issuer: issuer, Subject: richard.Subject + "0"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.verdicts = script{{after: verifyTime, person: other}}
				wantRejected(w, ReasonOtherPerson)
			})
		})
	}
}

func TestTokensThatDoNotVerify(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{after: verifyTime, err: errForged}}
		wantRejected(w, ReasonUnverified)
	})
}

// A person beside the error is not to be believed either.
func TestTokensThatDoNotVerifyForTheRightPerson(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{person: richard, err: errForged}}
		wantRejected(w, ReasonUnverified)
	})
}

func wantRejected(w *world, reason Reason) {
	w.Helper()
	a := w.open(w.start())
	page := w.watch(w.bank, a.ID)
	w.noError(w.yes(a))
	time.Sleep(10 * time.Minute)
	seen, over, _ := page.saw()
	var states []State
	for _, s := range seen {
		states = append(states, s.State)
	}
	if want := []State{Opened, Yes, Failed}; !slices.Equal(states, want) || !over {
		w.Errorf("the laptop saw %v (over: %v), want %v", states, over, want)
	}
	w.wantEnd(a, Failed, reason)
	w.provider.wantRevoked(1)
	w.provider.wantPolls(1)
	w.provider.wantVerdicts(1)
}

// Keys that cannot be fetched say nothing against the tokens: who takes that
// for a forgery ends a login because of a restart at the provider.
func TestKeysAreAwayForAMoment(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{after: verifyTime, err: errKeysAway}, {after: verifyTime, person: richard}}
		a := w.open(w.start())
		page := w.watch(w.bank, a.ID)
		w.noError(w.yes(a))
		time.Sleep(time.Minute)
		seen, _, _ := page.saw()
		silent := approveTime + pollTime + verifyTime
		want := []sight{
			{Opened, false, 0}, {Yes, false, 0}, {Yes, true, silent}, {Approved, false, silent + 10*time.Second + verifyTime},
		}
		if !slices.Equal(seen, want) {
			w.Errorf("the laptop saw\n%v, want\n%v", seen, want)
		}
		w.wantFirstTokens(w.bank, a)
	})
}

// They never come back: then our clock ends it, and the tokens are nobody's.
func TestKeysStayAway(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{err: errKeysAway}}
		a := w.agreed()
		began := pollTime
		for i, after := range []time.Duration{10 * time.Second, 20 * time.Second, 40 * time.Second, time.Minute, time.Minute} {
			time.Sleep(began + after - time.Nanosecond)
			w.provider.wantVerdicts(i + 1)
			began = time.Nanosecond
		}
		time.Sleep(time.Until(a.Expires))
		synctest.Wait()
		w.wantEnd(a, Expired, ReasonUnfinished)
		w.provider.wantRevoked(1)
		w.provider.wantPolls(1)
	})
}

// A yes that is said once more while the tokens cannot be verified must not
// have the device code redeemed once more.
func TestYesAgainWhileTheKeysAreAway(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.approvals = script{{}, {err: &idp.Error{Status: 400, Code: "invalid_request"}}}
		w.provider.verdicts = script{{err: errKeysAway}, {err: errKeysAway}, {person: richard}}
		a := w.agreed()
		time.Sleep(time.Second)
		if got, err := w.yes(a); err != nil || got.State != Yes {
			w.Errorf("Yes again: %s, %v, want %s", got.State, err, Yes)
		}
		time.Sleep(time.Minute)
		w.wantFirstTokens(w.bank, a)
	})
}

// Revoking is a courtesy: the attempt has ended even if it cannot be done, and
// Close waits for it, but not for long.
func TestRevokingCanFail(t *testing.T) {
	tests := []struct {
		name   string
		answer reply
		wait   time.Duration
		done   int
	}{
		{"refused", reply{err: &idp.Error{Status: 503}}, 0, 0},
		{"slow", reply{after: 3 * time.Second}, 3 * time.Second, 1},
		{"silent", reply{after: time.Hour}, 5 * time.Second, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.revocations = script{tt.answer}
				w.provider.verdicts = script{{after: verifyTime, person: mallory}}
				a := w.agreed()
				time.Sleep(pollTime + verifyTime)
				synctest.Wait()
				w.wantEnd(a, Failed, ReasonOtherPerson)
				w.wantCloseTakes(tt.wait)
				if n := len(w.provider.revoked); n != tt.done {
					w.Errorf("%d sets of tokens revoked when Close returned, want %d", n, tt.done)
				}
			})
		})
	}
}
