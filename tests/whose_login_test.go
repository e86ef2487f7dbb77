package tests

import (
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
)

// The attacker approves his own code here, makes the approval fail, and has
// the victim approve the code at the provider, whose page knows nothing of us.
// The tokens are then the victim's, not those of the person who approved.
func TestProviderPageLink(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	attacker, attackersPhone, victim := b.browser(t), b.browserOf(t, erlich), b.browserOf(t, richard)
	stolen := b.demo.seen("access_token")
	p, link := attacker.showCode()
	lured := url.Values{
		"client_id": {clientID}, "client_secret": {b.secret},
		"user_code": {p.text("user-code")}, "token": stolen[len(stolen)-1:],
	}
	approve := b.DemoURL + "/oauth2/device/approve"
	var approvals, revocations atomic.Int32
	b.demo.answers(func(w http.ResponseWriter, r *http.Request) bool {
		switch {
		case r.URL.Path == "/oauth2/revoke":
			revocations.Add(1)
		case r.URL.Path == "/oauth2/device/approve" && approvals.Add(1) == 1:
			resp, err := http.PostForm(approve, lured)
			if err != nil || resp.StatusCode != http.StatusOK {
				t.Errorf("the victim's approval: %v %v", resp, err)
			}
			_ = resp.Body.Close()
			http.NotFound(w, r)
			return true
		}
		return false
	})

	attackersPhone.approve(link)
	attacker.await("failed", attacker.state)
	attacker.wantNoLogin("with the victim's tokens in the provider's answer")
	attacker.awaitCount("revocations", &revocations, 1)
	if !strings.Contains(b.log.String(), "level=ERROR msg=\"the tokens are another person's\"") {
		t.Error("the log does not say whose tokens came")
	}
	if got := len(victim.devices()); got != 1 {
		t.Errorf("the victim has %d sessions, want the phone's only", got)
	}
}

// A family's phone is logged in as someone other than the person who scans. The
// provider must then ask who it is although it knows one of them, or the laptop
// would become the wrong person's.
func TestSwitchAccount(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browserOf(t, erlich)
	link := laptop.code()
	question := phone.get(link)
	if !question.says(erlich) {
		t.Fatalf("the question does not say whose account it is: %v", question)
	}
	form := phone.get(switchLink(question))
	if "http://"+form.URL.Host != b.DemoURL || form.find("form", "") == nil {
		t.Fatalf("switching the account leads to %v, want the provider's form although it knows this browser", form)
	}
	question = phone.atProvider(form, richard)
	if got := question.URL.String(); got != link || !question.says(richard) {
		t.Fatalf("after the login the phone shows %v, want the question", question)
	}
	if as := question.text("opened-as"); !strings.Contains(as, erlich) || question.has("second") {
		t.Errorf("the question says %q, and warns of a second person: %t", as, question.has("second"))
	}
	// Nobody else has the code, so it takes no number.
	phone.answer(question, "yes")
	laptop.claim(richard)
	b.wantSteps(t, "opened by a second person", 0)
}

// Switching accounts by logging out first is the same.
func TestSwitchAccountByLogout(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browserOf(t, erlich)
	link := laptop.code()
	phone.get(link)
	phone.logOut()
	question := phone.atProvider(phone.get(link), richard)
	if as := question.text("opened-as"); !strings.Contains(as, erlich) || question.has("second") {
		t.Errorf("the question says %q, and warns of a second person: %t", as, question.has("second"))
	}
	phone.answer(question, "yes")
	laptop.claim(richard)
}

// A phisher on the same network opens his code first, in a browser of his own,
// and logs out again. The victim's browser has opened another code before, which
// proves nothing about this one: two people have it, and the number is asked for.
func TestPhisherOpensFirst(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phisher, victim := b.browser(t), b.browserOf(t, erlich), b.browserOf(t, richard)
	victim.deny(b.browser(t).code())
	link := laptop.code()
	phisher.get(link)
	phisher.logOut()
	var question page
	for _, time := range []string{"first", "second"} {
		question = victim.get(link)
		if !question.has("second") || question.has("opened-as") || strings.Contains(question.Body, erlich) {
			t.Errorf("the %s time, the victim is not warned, or is told a name: %v", time, question)
		}
	}
	number := victim.answer(question, "yes").number()
	laptop.wantState("number")
	laptop.wantNoLogin("before the number")
	if hasNumber(phisher.seen.String(), number) {
		t.Error("the phisher has seen the number")
	}
	// After the victim's yes, the browser that opened the code first is refused.
	phisher.logIn(erlich)
	if p := phisher.get(link); p.Status != http.StatusForbidden {
		t.Errorf("the phisher after the victim's yes: %v, want 403", p)
	}
}

// switchLink returns where the question leads to switch the account.
func switchLink(question page) string {
	for node := range question.doc.Descendants() {
		if node.Data == "a" && strings.HasSuffix(attr(node, "href"), "&switch=1") {
			return attr(node, "href")
		}
	}
	return ""
}

// Login CSRF: an attacker on the same network approves the victim's code with
// his own account, so that the victim does business in it. The laptop shows
// whose account it is, and that a phone logged it in.
func TestLoginCSRF(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, attacker := b.browser(t), b.browserOf(t, erlich)
	attacker.approve(laptop.code())
	account := laptop.claim(erlich)
	said := account.find("", "by-phone")
	if said == nil || !strings.Contains(textOf(said), "Log out") || !account.links("/logout") {
		t.Fatalf("the account page does not say that a phone logged it in: %v", account)
	}
	laptop.logOut()
	laptop.wantPerson("")
}

// Session fixation: an attacker plants his own cookie in the victim's browser
// and waits for a login. Every login, by password or by phone, sets another
// cookie, and the planted one becomes useless.
func TestPlantedCookie(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	phone := b.browserOf(t, richard)
	for name, logIn := range map[string]func(victim *browser){
		"by password": func(victim *browser) { victim.logIn(richard) },
		"by phone":    func(victim *browser) { victim.logInWith(phone) },
	} {
		attacker, victim := b.browser(t), b.browser(t)
		link := attacker.code()
		planted := attacker.cookies()
		victim.setCookies(planted)
		logIn(victim)
		victim.wantPerson(richard)
		if victim.cookie() == attacker.cookie() {
			t.Errorf("%s: the victim is logged in with the planted cookie", name)
		}
		attacker.wantNoLogin(name)
		attacker.setCookies(planted)
		if attacker.get("/reload").URL.Path == "/account" {
			t.Errorf("%s: the planted cookie gets the victim's session", name)
		}
		// Nor can the attacker's own approval log the victim in as someone else.
		if p := b.browserOf(t, erlich).get(link); p.find("form", "approve") != nil {
			t.Errorf("%s: the planted code can still be approved: %v", name, p)
		}
		victim.wantPerson(richard)
	}
}
