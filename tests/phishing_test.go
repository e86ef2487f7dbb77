package tests

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// An attacker starts a login and mails its code to a victim, who scans it at
// home and approves. Now the attacker's laptop needs a number that only the
// victim's phone shows.
func TestMailedCode(t *testing.T) {
	t.Parallel()
	b, attacker, victim := proxiedPair(t)
	attacker.at(awayAddr)
	victim.at(homeAddr)
	p, link := attacker.showCode()
	if !p.says("e-mail or chat") {
		t.Errorf("the QR page does not say where a code is never sent: %v", p)
	}
	states := attacker.events()
	states.want("waiting")
	polls := b.demo.once("/oauth2/token", "device_code", nil)

	question := victim.get(link)
	states.want("opened")
	if !question.says("sent you the code") {
		t.Errorf("the question does not say when to stop: %v", question)
	}
	if !question.has("far") || question.text("asking-from") != awayAddr {
		t.Errorf("the question names %q, and warns of another network: %t", question.text("asking-from"), question.has("far"))
	}
	number := victim.answer(question, "yes").number()
	states.want("number")
	if p := attacker.get(qrPage); p.state() != "number" || p.find("form", "confirm-number") == nil || p.find("svg", "qr-code") != nil {
		t.Errorf("the attacker's page is %q, want number with its form and without a code", p.state())
	}
	attacker.wantNoLogin("after the victim's approval")
	attacker.wantState("number")
	if got := polls.Load(); got != 0 {
		t.Errorf("%d polls, want none before the number", got)
	}
	seen := attacker.seen.String()
	attacker.confirm(number, richard) // as if the victim had read it aloud
	if got := polls.Load(); got != 1 {
		t.Errorf("%d polls after the number, want one", got)
	}
	b.stop()
	if !hasNumber(victim.seen.String(), number) {
		t.Fatal("what the victim saw was not kept")
	}
	if hasNumber(seen, number) {
		t.Error("the attacker's browser received the number")
	}
	if hasNumber(b.log.String(), number) {
		t.Error("the number is in the log")
	}
}

// The attacker's own site shows the victim a code that is always current, and his
// laptop tries to claim it all the time. Without the number it never can, and
// the victim can still deny.
func TestLiveRelay(t *testing.T) {
	t.Parallel()
	b, attacker, victim := proxiedPair(t)
	attacker.at(awayAddr)
	victim.at(homeAddr)
	stale := attacker.code()
	attacker.post(qrPage+"/cancel", nil)
	link := attacker.post(qrPage, nil).attr("verification-link", "href")
	if got := victim.get(stale).state(); got != "cancelled" {
		t.Errorf("the code before is %q, want cancelled", got)
	}
	polls := b.demo.once("/oauth2/token", "device_code", nil)

	var claiming sync.WaitGroup
	over := make(chan struct{})
	for range 3 {
		claiming.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					attacker.get("/reload")
				}
			}
		})
	}
	p := victim.approve(link)
	number := p.number()
	attacker.wantNoLogin("after the victim's approval")
	if !p.says("asks for it") {
		t.Errorf("the victim's page does not warn against telling the number: %v", p)
	}
	if got := victim.answer(p, "no").state(); got != "denied" {
		t.Errorf("after a no at the number the victim's page is %q, want denied", got)
	}
	close(over)
	claiming.Wait()
	if got := attacker.typeNumber(number).state(); got != "denied" {
		t.Errorf("after the denial the number leads to %q, want denied", got)
	}
	attacker.wantNoLogin("after the denial")
	if got := polls.Load(); got != 0 {
		t.Errorf("%d polls, want none", got)
	}
}

// The attacker's laptop has three tries of ten thousand, in any number of tabs.
// Then the login is over, and even the right number is useless.
func TestGuessedNumber(t *testing.T) {
	t.Parallel()
	for name, guess := range map[string]func(t *testing.T, attacker *browser, wrong func(i int) string){
		"one after the other": func(t *testing.T, attacker *browser, wrong func(i int) string) {
			for i := range 2 {
				if p := attacker.typeNumber(wrong(i)); p.Status != http.StatusUnprocessableEntity || p.find("form", "confirm-number") == nil || !p.has("problem") {
					t.Errorf("guess %d: %v, want 422 and another try", i+1, p)
				}
			}
			if p := attacker.typeNumber(wrong(2)); p.state() != "failed" {
				t.Errorf("guess 3: %v, want failed", p)
			}
		},
		"thirty at once": func(_ *testing.T, attacker *browser, wrong func(i int) string) {
			var tabs sync.WaitGroup
			for i := range 30 {
				tabs.Go(func() { attacker.typeNumber(wrong(i)) })
			}
			tabs.Wait()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			guessedNumber(t, guess)
		})
	}
}

func guessedNumber(t *testing.T, guess func(t *testing.T, attacker *browser, wrong func(i int) string)) {
	b, attacker, victim := proxiedPair(t)
	attacker.at(awayAddr)
	victim.at(homeAddr)
	link := attacker.code()
	right := victim.approve(link).number()
	states := attacker.events()
	states.want("number")
	polls := b.demo.once("/oauth2/token", "device_code", nil)
	for _, slip := range []string{"", "12", "12345", "abcd", "1e10", "-123"} {
		if p := attacker.typeNumber(slip); p.Status != http.StatusUnprocessableEntity {
			t.Errorf("%q is answered with %d, want 422", slip, p.Status)
		}
	}
	guess(t, attacker, func(i int) string {
		if number := fmt.Sprintf("%04d", i); number != right {
			return number
		}
		return "9999"
	})
	states.want("failed")
	states.wantEnd()
	b.wantSteps(t, "number wrong", 3)
	if p := attacker.typeNumber(right); p.state() != "failed" {
		t.Errorf("after three guesses the right number leads to %q: %v", p.state(), p)
	}
	if p := victim.get(link); p.state() != "failed" || p.has("number") || !p.says("tried to log in as you") {
		t.Errorf("the victim's phone is %q, want failed and a warning: %v", p.state(), p)
	}
	attacker.wantNoLogin("after three guesses")
	if got := polls.Load(); got != 0 {
		t.Errorf("%d polls, want none", got)
	}
}
