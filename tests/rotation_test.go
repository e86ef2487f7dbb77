package tests

import (
	"strings"
	"testing"
)

const (
	firstKey  = "the-first-key-of-32-characters-or-more"
	secondKey = "the-second-key-of-32-characters-or-more"
)

// restartWith restarts the program with other settings.
func (b *bank) restartWith(settings ...string) {
	b.t.Helper()
	b.stop()
	b.env = append(b.env, settings...)
	b.start()
}

// The drill in docs/operations.md: the first two roll-outs log nobody out, and the
// login in progress continues. When the old key is dropped, people who have logged in
// since the second stay logged in.
func TestKeyRotationDrill(t *testing.T) {
	t.Parallel()
	b, before, phone := proxiedPair(t, "APP_SECRET_KEY="+firstKey)
	during, after := b.browser(t), b.browser(t)
	before.logInWith(phone)
	ref := before.ref()
	loggedIn := func(when string, browsers ...*browser) {
		t.Helper()
		for i, who := range browsers {
			if got := who.person(); got != richard {
				t.Errorf("%s: browser %d is logged in as %q, want %s", when, i, got, richard)
			}
		}
	}
	p, link := during.showCode()
	code := p.text("user-code")

	b.restartWith("APP_SECRET_KEY=" + firstKey + " " + secondKey)
	loggedIn("with the new key last", phone, before)
	if p, _ := during.showCode(); p.text("user-code") != code {
		t.Error("with the new key last, the laptop shows another code")
	}
	question := phone.get(link)
	during.wantState("opened")

	b.restartWith("APP_SECRET_KEY=" + secondKey + " " + firstKey)
	loggedIn("with the new key first", phone, before)
	during.wantState("opened")
	phone.answer(question, "yes")
	during.claim(richard)
	if p := phone.endDevice(ref); !p.says("logged out") {
		t.Errorf("ending a session from before: %v", p)
	}
	before.wantPerson("")
	phone.get("/login") // the provider knows the person
	after.logInWith(phone)

	b.restartWith("APP_SECRET_KEY=" + secondKey)
	loggedIn("with the new key alone", phone, during, after)
	if n := len(phone.devices()); n != 3 {
		t.Errorf("with the new key alone %d devices are listed, want 3", n)
	}
	phone.logIn(richard) // since the demo provider has lost its own records, too
	b.browser(t).logInWith(phone)

	// The old key opens nothing any longer, and does not start over either.
	b.stop()
	if said := refusal(t, append(b.env, "APP_SECRET_KEY="+firstKey)...); !strings.Contains(said, "APP_SECRET_KEY") {
		t.Errorf("with the old key the program says %q, want what is wrong", said)
	}
	b.start()
	loggedIn("after a start with the wrong key", phone, during, after)
}
