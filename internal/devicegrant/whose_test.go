package devicegrant

import (
	"errors"
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
		w.provider.verdicts = script{{after: verifyTime, err: errors.New("idp: verify: the signature is wrong")}}
		wantRejected(w, ReasonUnverified)
	})
}

// A person beside the error is not to be believed either.
func TestTokensThatDoNotVerifyForTheRightPerson(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{person: richard, err: errors.New("idp: verify: issued to another party")}}
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
}

// Revoking is a courtesy: nobody waits for it, and the attempt has ended even
// if it cannot be done.
func TestRevokingCanFail(t *testing.T) {
	for name, answer := range map[string]reply{
		"refused": {err: &idp.Error{Status: 503}},
		"silent":  {after: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.revocations = script{answer}
				w.provider.verdicts = script{{after: verifyTime, person: mallory}}
				a := w.agreed()
				time.Sleep(pollTime + verifyTime)
				synctest.Wait()
				w.wantEnd(a, Failed, ReasonOtherPerson)
				start := time.Now()
				w.bank.Close()
				if took := time.Since(start); took != 0 {
					w.Errorf("Close waited %v for a revocation", took)
				}
			})
		})
	}
}
