package devicegrant

import (
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// An attacker approves, makes the provider refuse the approval, and mails the
// provider's own link to a victim. Then the tokens are the victim's, and the
// laptop is the attacker's.
func TestTokensOfAnotherPerson(t *testing.T) {
	for name, other := range map[string]idp.Person{
		"another person":         mallory,
		"of the same address":    {Issuer: issuer, Subject: "3", Email: richard.Email, Name: richard.Name},
		"of another issuer":      {Issuer: "https://evil.example", Subject: richard.Subject, Email: richard.Email},
		"nobody":                 {},
		"nobody of this issuer":  {Issuer: issuer, Email: richard.Email},
		"a person of no issuer":  {Subject: richard.Subject},
		"with a longer subject":  {Issuer: issuer, Subject: richard.Subject + "0"},
		"with a shorter subject": {Issuer: issuer, Subject: ""},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.verdicts = script{{after: verifyTime, person: other}}
				w.wantTokensRejected(ReasonOtherPerson)
			})
		})
	}
}

func TestTokensThatDoNotVerify(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{after: verifyTime, err: errForged}}
		w.wantTokensRejected(ReasonUnverified)
	})
}

// A person that is returned with an error does not count.
func TestTokensThatDoNotVerifyForTheRightPerson(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{after: verifyTime, person: richard, err: errForged}}
		w.wantTokensRejected(ReasonUnverified)
	})
}

func (w *world) wantTokensRejected(reason Reason) {
	w.Helper()
	a := w.open(w.start())
	page := w.watch(w.m, a.ID)
	w.noError(w.yes(a))
	time.Sleep(10 * time.Minute)
	w.wantSeen(page, true,
		sight{Opened, false, 0}, sight{Yes, false, 0}, sight{Failed, false, approveTime + pollTime + verifyTime})
	w.wantEnd(a, Failed, reason)
	w.provider.wantRevoked(1)
	w.provider.wantPolls(1)
	w.provider.wantVerdicts(1)
	if w.sessions.count() != 0 {
		w.Error("a session was made of the rejected tokens")
	}
}

// Keys that cannot be fetched say nothing against the tokens. Taking that for a
// forgery would end logins whenever the provider restarts.
func TestKeysAreAwayForAMoment(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{after: verifyTime, err: errKeysAway}, {after: verifyTime, person: richard}}
		a := w.open(w.start())
		page := w.watch(w.m, a.ID)
		w.noError(w.yes(a))
		time.Sleep(time.Minute)
		down := approveTime + pollTime + verifyTime
		w.wantSeen(page, false,
			sight{Opened, false, 0}, sight{Yes, false, 0}, sight{Yes, true, down}, sight{Approved, false, down + 10*time.Second + verifyTime})
		w.wantClaim(w.m, a)
		w.provider.wantPolls(1)
	})
}

// The keys never come back: our clock ends the attempt, and the tokens are
// revoked.
func TestKeysStayAway(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{err: errKeysAway}}
		a := w.answered()
		began := pollTime - pollQuickly
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

// Approving again while the tokens cannot be verified must not have the device
// code redeemed again.
func TestYesAgainWhileTheKeysAreAway(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.approvals = script{{}, {err: errInvalidUserCode}}
		w.provider.verdicts = script{{err: errKeysAway}, {err: errKeysAway}, {person: richard}}
		a := w.answered()
		time.Sleep(time.Second)
		if got, err := w.yes(a); err != nil || got.State != Yes {
			w.Errorf("Yes again: %s, %v, want %s", got.State, err, Yes)
		}
		time.Sleep(time.Minute)
		w.wantClaim(w.m, a)
		w.provider.wantPolls(1)
	})
}
