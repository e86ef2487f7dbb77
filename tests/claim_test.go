package tests

import (
	"regexp"
	"strings"
	"testing"
)

// If the answer to a claim is lost, claiming again works until the session is
// used. After that the old cookie is useless.
func TestLostClaimAnswer(t *testing.T) {
	t.Parallel()
	b, laptop, phone := pair(t)
	phone.approve(laptop.code())
	laptop.awaitApproved()
	before := laptop.cookies()

	lost := b.browser(t) // the laptop, whose answer does not arrive
	lost.setCookies(before)
	lost.getOnce("/reload")
	if lost.cookie() == laptop.cookie() {
		t.Fatal("/reload set no cookie")
	}
	if p := laptop.get("/reload"); p.person() != richard {
		t.Fatalf("claiming again: %v, want the account", p)
	}
	late := b.browser(t)
	late.setCookies(before)
	had := late.cookie()
	if p := late.get("/reload"); p.state() != "claimed" || late.cookie() != had {
		t.Errorf("once the session is used, the old cookie leads to %v", p)
	}
}

// A thief has the laptop's cookie and waits for the approval. The laptop is on
// the victim's network, so a request from elsewhere with its cookie ends the login,
// and both screens say why.
func TestStolenCookie(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	for name, steal := range map[string]func(thief *browser){
		"claim":        func(thief *browser) { thief.get("/reload") },
		"the QR page":  func(thief *browser) { thief.get(qrPage) },
		"the stream":   func(thief *browser) { thief.get(qrPage + "/events") },
		"a number":     func(thief *browser) { thief.typeNumber("0000") },
		"not a number": func(thief *browser) { thief.typeNumber("") },
	} {
		for _, where := range []string{homeAddr, thirdAddr} { // approved at once, and waiting for the number
			laptop, phone := b.pair(t)
			laptop.at(where)
			phone.at(homeAddr)
			thief := b.browser(t).at(awayAddr)
			link := laptop.code()
			phone.approve(link)
			if where == homeAddr {
				laptop.awaitApproved()
			}
			thief.setCookies(laptop.cookies())
			steal(thief)
			thief.wantNoLogin(name)
			laptop.wantState("failed")
			if p := phone.get(link); p.state() != "failed" || !p.says("network") {
				t.Errorf("%s: the phone's page is %q, want failed and why: %v", name, p.state(), p)
			}
			laptop.wantNoLogin(name + ", on the laptop itself")
		}
	}
	b.wantSteps(t, "number wrong", 0) // one from elsewhere is no guess
	log := b.log.String()
	if got := strings.Count(log, `reason=moved`); got != 10 {
		t.Errorf("the log has %d laptops that moved, want 10", got)
	}
	if !regexp.MustCompile(`step=failed .*laptop.addr=` + awayAddr + ` .*reason=moved`).MatchString(log) {
		t.Error("the log does not say where the thief was")
	}
}

// Since a lost answer can be claimed again, a thief with the old cookie might
// try that from elsewhere, before the session is used.
func TestStolenCookieAfterClaim(t *testing.T) {
	t.Parallel()
	b, laptop, phone := pair(t)
	laptop.at(homeAddr)
	phone.at(homeAddr)
	thief := b.browser(t).at(awayAddr)
	link := laptop.code()
	thief.setCookies(laptop.cookies())
	phone.approve(link)
	laptop.awaitApproved()
	if got := laptop.getOnce("/reload").Header.Get("Location"); got != "/account" {
		t.Fatalf("the claim leads to %q, want /account", got)
	}
	thief.get("/reload")
	thief.wantPerson("")
	laptop.wantPerson(richard)
}

// Someone uses the laptop's cookie elsewhere before the approval. The question
// then names another laptop than the one that the person read about, so the
// approval does not count, and the phone asks again.
func TestLaptopChangesBeforeYes(t *testing.T) {
	t.Parallel()
	b, laptop, phone := pair(t)
	laptop.at(homeAddr)
	phone.at(homeAddr)
	thief := b.browser(t).at(awayAddr)
	question := phone.get(laptop.code())
	if question.has("far") || question.text("asking-from") != homeAddr {
		t.Errorf("the question is about %s: %v", question.text("asking-from"), question)
	}
	thief.setCookies(laptop.cookies())
	thief.get(qrPage)
	again := phone.answer(question, "yes")
	if again.state() != "opened" || again.text("asking-from") != awayAddr || !again.has("far") {
		t.Fatalf("the approval leads to %q about %s, want the question about %s: %v", again.state(), again.text("asking-from"), awayAddr, again)
	}
	thief.wantNoLogin("after an approval of another laptop")
	// A denial counts for any laptop.
	if got := phone.answer(question, "no").state(); got != "denied" {
		t.Errorf("the denial leads to %q, want denied", got)
	}
}
