package main

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Where people are: RFC 5737 keeps these addresses for examples.
const (
	victims   = "203.0.113.7"
	attackers = "198.51.100.66"
	elsewhere = "192.0.2.99"
)

// The mailed QR code. An attacker starts a login and mails its code to a
// victim, who scans it at home and says yes. What lets the laptop in is then a
// number that nothing but the victim's phone shows, and the mail is long sent.
func TestMailedCode(t *testing.T) {
	t.Parallel()
	b := startRestartable(t, startBank)
	attacker, victim := b.browser(t).at(attackers), b.browser(t).at(victims)
	victim.logIn(richard)
	p, link := attacker.showCode()
	if got := p.text("main"); !strings.Contains(got, "we never send one by mail or chat") {
		t.Errorf("the QR page does not say where a code is never to be had: %s", got)
	}
	states := attacker.events()
	states.want("waiting")
	polls := b.demo.once("/oauth2/token", "device_code", nil)

	question := victim.get(link)
	states.want("opened")
	if got := question.text("main"); !strings.Contains(got, "If somebody sent you this code, stop") {
		t.Errorf("the question does not say when to stop: %s", got)
	}
	if question.find("", "far") == nil || question.text("asking-from") != attackers {
		t.Errorf("the victim is told of %q, and nothing of another network: %s", question.text("asking-from"), question.text("main"))
	}
	number := victim.submit(question, "approve", url.Values{"answer": {"yes"}}).wantNumber()
	states.want("number")
	if p := attacker.get("/logged-out-qr-login"); p.state() != "number" || p.find("form", "confirm-number") == nil || p.find("svg", "qr-code") != nil {
		t.Errorf("the attacker's page is %q, want number, its form and no code", p.state())
	}
	attacker.wantNoWayIn("after the victim's yes")
	if got := attacker.get("/logged-out-qr-login").state(); got != "number" {
		t.Errorf("the attacker's page is %q at last, want number", got)
	}
	if got := polls.Load(); got != 0 {
		t.Errorf("the tokens were asked for %d times, want never before the number", got)
	}
	b.stop()
	if !says(victim.seen.String(), number) {
		t.Fatal("the number is not even in what the victim saw; is anything kept?")
	}
	if says(attacker.seen.String(), number) {
		t.Error("the number is in something that the attacker's browser got")
	}
	if says(b.log.String(), number) {
		t.Error("the number is in the log")
	}
}

// The live relay. The attacker's own site shows the victim a code that is
// always fresh, and his laptop asks at every moment whether it is in. Without
// the number it never is, and the victim's second thought still counts.
func TestLiveRelay(t *testing.T) {
	t.Parallel()
	b := startRestartable(t, startBank)
	attacker, victim := b.browser(t).at(attackers), b.browser(t).at(victims)
	victim.logIn(richard)
	_, stale := attacker.showCode()
	attacker.post("/logged-out-qr-login/cancel", nil)
	link := attacker.post("/logged-out-qr-login", nil).attr("verification-link", "href")
	if got := victim.get(stale).state(); got != "cancelled" {
		t.Errorf("the code before is %q, want cancelled", got)
	}
	polls := b.demo.once("/oauth2/token", "device_code", nil)

	var asking sync.WaitGroup
	over := make(chan struct{})
	for range 3 {
		asking.Go(func() {
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
	p := victim.answer(link, "yes")
	number := p.wantNumber()
	attacker.wantNoWayIn("after the victim's yes")
	if !strings.Contains(p.text("main"), "whoever asks you for it wants to be logged in as you") {
		t.Errorf("the victim's page says %q, want a warning", p.text("main"))
	}
	if got := victim.submit(p, "approve", url.Values{"answer": {"no"}}).state(); got != "denied" {
		t.Errorf("after the second thought the victim's page is %q, want denied", got)
	}
	close(over)
	asking.Wait()
	// Nor does the number help once it is withdrawn.
	if got := attacker.post("/logged-out-qr-login/confirm", url.Values{"number": {number}}).state(); got != "denied" {
		t.Errorf("the number leads to %q after the no, want denied", got)
	}
	attacker.wantNoWayIn("after the no")
	if got := polls.Load(); got != 0 {
		t.Errorf("the tokens were asked for %d times, want never", got)
	}
}

// The provider's own link. The attacker says yes to his own code here, makes
// the approval fail, and has the victim approve the code at the provider,
// where nobody sees us. The tokens are then the victim's, and not those of the
// person who said yes.
func TestProvidersOwnLink(t *testing.T) {
	t.Parallel()
	b := startRestartable(t, startBank)
	attacker, attackersPhone, victim := b.browser(t), b.browser(t), b.browser(t)
	attackersPhone.logIn(erlich)
	victim.logIn(richard)
	stolen := b.demo.seen("access_token")
	p, link := attacker.showCode()
	lured := url.Values{
		"client_id": {"e9fdb985-9173-4e01-9d73-ac2d60d1dc8e"}, "client_secret": {b.secret},
		"user_code": {p.text("user-code")}, "token": stolen[len(stolen)-1:],
	}
	approve := b.DemoURL + "/oauth2/device/approve"
	var approvals, revocations atomic.Int32
	spoil := func(w http.ResponseWriter, r *http.Request) bool {
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
	}
	b.demo.spoil.Store(&spoil)

	attackersPhone.answer(link, "yes")
	attacker.await("failed", func() string { return attacker.get("/logged-out-qr-login").state() })
	if got := attacker.get("/logged-out-qr-login").text("main"); !strings.Contains(got, "somebody else than the person who said yes") {
		t.Errorf("the laptop's page says %q", got)
	}
	attacker.wantNoWayIn("with the victim's tokens in the provider's answer")
	attacker.await("1", func() string { return fmt.Sprint(revocations.Load()) })
	if !strings.Contains(b.log.String(), "level=ERROR msg=\"the tokens are another person's\"") {
		t.Error("the log does not say whose tokens came")
	}
	if got := victim.devices(); len(got) != 1 {
		t.Errorf("the victim has %d sessions, want the phone's only", len(got))
	}
}

// The shoulder surfer. Somebody photographs the code on the victim's screen and
// opens it, too, in the same café's network. Then the number is asked for
// although all are near, and only the phone that said yes first shows it.
func TestShoulderSurfer(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	for _, victimFirst := range []bool{true, false} {
		laptop, phone, surfer := b.browser(t).at(victims), b.browser(t).at(victims), b.browser(t).at(victims)
		phone.logIn(richard)
		surfer.logIn(erlich)
		_, link := laptop.showCode()
		first, second := surfer.get(link), phone.get(link)
		if first.find("", "second") != nil || second.find("", "second") == nil {
			t.Errorf("the second to open the code is told %q", second.text("main"))
		}
		if surfer.get(link).find("", "second") == nil {
			t.Error("the first to open the code is not told of the second")
		}
		if victimFirst {
			number := phone.submit(second, "approve", url.Values{"answer": {"yes"}}).wantNumber()
			if p := surfer.submit(first, "approve", url.Values{"answer": {"yes"}}); p.Status != http.StatusForbidden || p.text("number") != "" {
				t.Errorf("the surfer's yes, which is the second, shows %d: %s", p.Status, p.text("main"))
			}
			if p := surfer.submit(first, "approve", url.Values{"answer": {"no"}}); p.Status != http.StatusForbidden {
				t.Errorf("the surfer's no to what is not theirs shows %d: %s", p.Status, p.text("main"))
			}
			if got := laptop.confirms(number).text("account-email"); got != richard {
				t.Errorf("the laptop is logged in as %q, want %s", got, richard)
			}
			if says(surfer.seen.String(), number) {
				t.Error("the surfer has seen the number")
			}
			continue
		}
		surfer.submit(first, "approve", url.Values{"answer": {"yes"}}).wantNumber()
		if p := phone.submit(second, "approve", url.Values{"answer": {"yes"}}); p.Status != http.StatusForbidden || !strings.Contains(p.text("main"), "cancel there") {
			t.Errorf("the victim, who was second, is told %d: %s", p.Status, p.text("main"))
		}
		if got := laptop.get("/logged-out-qr-login").state(); got != "number" {
			t.Errorf("the laptop is %q, want number: it must not become the surfer's by itself", got)
		}
		laptop.wantNoWayIn("with the surfer's number unknown")
	}
	if got := strings.Count(b.log.String(), `step="opened by a second person"`); got != 2 {
		t.Errorf("the log tells of %d second people, want 2", got)
	}
	refused := regexp.MustCompile(`step=refused rule="other person" attempt=[A-Z2-7]{8} `)
	if got := len(refused.FindAllString(b.log.String(), -1)); got != 3 {
		t.Errorf("the log tells of %d answers that were another's to give, and of what, want 3", got)
	}
}

// The second phone. A code that somebody has said yes to is passed on: another
// person gets neither question nor number, another phone of the same person
// shows what the first one does, and there is one session in the end.
func TestSecondPhone(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone, tablet, other := b.browser(t).at(attackers), b.browser(t).at(victims), b.browser(t).at(elsewhere), b.browser(t).at(victims)
	phone.logIn(richard)
	tablet.logIn(richard)
	other.logIn(erlich)
	_, link := laptop.showCode()
	early := tablet.get(link)
	number := phone.answer(link, "yes").wantNumber()
	if p := other.get(link); p.Status != http.StatusForbidden || p.find("form", "approve") != nil {
		t.Errorf("another person is shown %d: %s", p.Status, p.text("main"))
	}
	if got := tablet.submit(early, "approve", url.Values{"answer": {"yes"}}).wantNumber(); got != number {
		t.Errorf("a second yes of the same person shows another number")
	}
	if got := laptop.confirms(number).text("account-email"); got != richard {
		t.Errorf("the laptop is logged in as %q, want %s", got, richard)
	}
	if got := phone.devices(); len(got) != 3 {
		t.Errorf("%d sessions, want the two phones' and the laptop's", len(got))
	}
	for name, p := range map[string]page{"phone": phone.get(link), "tablet": tablet.get(link)} {
		if p.state() != "claimed" || p.text("number") != "" {
			t.Errorf("at the end the %s shows %q and the number %q", name, p.state(), p.text("number"))
		}
	}
	if says(other.seen.String(), number) {
		t.Error("another person has seen the number")
	}
}

// The wrong account. A family's phone is logged in as somebody else than the
// one who scans; the provider must then ask who it is, although it knows one,
// or the laptop would become the wrong person's.
func TestWrongAccount(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(erlich)
	_, link := laptop.showCode()
	question := phone.get(link)
	if got := question.text("main"); !strings.Contains(got, "You are "+erlich) {
		t.Fatalf("the question does not say whose account it is: %s", got)
	}
	form := phone.get(b.URL + switchLink(question))
	if "http://"+form.URL.Host != b.DemoURL || form.find("form", "") == nil {
		t.Fatalf(`"Someone else?" leads to %s: %s, want the provider's form although it knows this browser`, form.URL, form.text("main"))
	}
	question = phone.atProvider(form, richard)
	if got := question.URL.String(); got != link || !strings.Contains(question.text("main"), "You are "+richard) {
		t.Fatalf("after the login the phone is at %s: %s", got, question.text("main"))
	}
	// It was opened as two people; how well they know each other nobody can tell.
	number := phone.submit(question, "approve", url.Values{"answer": {"yes"}}).wantNumber()
	if got := laptop.confirms(number).text("account-email"); got != richard {
		t.Errorf("the laptop is logged in as %q, want %s", got, richard)
	}
}

// Login CSRF. An attacker in the same network says yes to the victim's code
// with his own account, so that the victim does business in it. The laptop
// says whose account it is and how that came about, until somebody has seen it.
func TestApprovedByTheAttacker(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, attacker := b.browser(t).at(victims), b.browser(t).at(victims)
	attacker.logIn(erlich)
	_, link := laptop.showCode()
	attacker.answer(link, "yes")
	account := laptop.awaitReload()
	if got := account.text("account-email"); got != erlich {
		t.Errorf("the page names %q, want %s", got, erlich)
	}
	said := account.find("", "by-phone")
	if said == nil || !strings.Contains(textOf(said), "Not you? Log out.") {
		t.Fatalf("the account page says %q, want how the login came about", account.text("main"))
	}
	if got := laptop.submit(laptop.get("/logout"), "logout", nil); got.text("account-email") != "" || laptop.person() != "" {
		t.Errorf("after the way out the laptop is %q", laptop.person())
	}
}

// The guessed number. The attacker's laptop has three tries of ten thousand,
// in however many tabs and however fast; then the login is over for both, and
// even the right number is worth nothing.
func TestGuessedNumber(t *testing.T) {
	t.Parallel()
	for name, tabs := range map[string]int{"one after the other": 1, "in thirty tabs at once": 30} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startRestartable(t, startBank)
			attacker, victim := b.browser(t).at(attackers), b.browser(t).at(victims)
			victim.logIn(richard)
			_, link := attacker.showCode()
			states := attacker.events()
			states.want("waiting")
			question := victim.get(link)
			states.want("opened")
			right := victim.submit(question, "approve", url.Values{"answer": {"yes"}}).wantNumber()
			states.want("number")
			polls := b.demo.once("/oauth2/token", "device_code", nil)
			guess := func(i int) page {
				number := fmt.Sprintf("%04d", i)
				if number == right {
					number = "9999"
				}
				return attacker.post("/logged-out-qr-login/confirm", url.Values{"number": {number}})
			}
			for _, slip := range []string{"", "12", "12345", "abcd", "1e10", "-123"} {
				if p := attacker.post("/logged-out-qr-login/confirm", url.Values{"number": {slip}}); p.Status != http.StatusUnprocessableEntity {
					t.Errorf("%q is answered with %d, want 422", slip, p.Status)
				}
			}
			if tabs == 1 {
				for i := range 2 {
					if p := guess(i); p.Status != http.StatusUnprocessableEntity || p.find("form", "confirm-number") == nil || p.text("problem") == "" {
						t.Errorf("guess %d is answered with %d: %s", i, p.Status, p.text("main"))
					}
				}
				if p := guess(2); p.state() != "failed" {
					t.Errorf("the third guess leads to %q, want failed", p.state())
				}
			} else {
				var all sync.WaitGroup
				for i := range tabs {
					all.Go(func() { guess(i) })
				}
				all.Wait()
			}
			states.want("failed")
			states.wantEnd()
			if got := strings.Count(b.log.String(), `step="number wrong"`); got != 3 {
				t.Errorf("%d guesses counted, want 3", got)
			}
			if p := attacker.post("/logged-out-qr-login/confirm", url.Values{"number": {right}}); p.state() != "failed" || !strings.Contains(p.text("login-words"), "typed too often") {
				t.Errorf("the right number leads to %q after that: %s", p.state(), p.text("main"))
			}
			if p := victim.get(link); p.state() != "failed" || p.text("number") != "" || !strings.Contains(p.text("main"), "somebody tried to log in as you") {
				t.Errorf("the victim's phone is %q and says %s", p.state(), p.text("main"))
			}
			attacker.wantNoWayIn("after all that")
			if got := polls.Load(); got != 0 {
				t.Errorf("the tokens were asked for %d times, want never", got)
			}
		})
	}
}

// The stolen claim. A thief has the laptop's cookie and waits for the yes. It
// was given to a laptop in the victim's network: who comes with the cookie
// from another one ends the login, and both screens say why.
func TestStolenClaim(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	for name, steal := range map[string]func(thief *browser){
		"reload":        func(thief *browser) { thief.get("/reload") },
		"the QR page":   func(thief *browser) { thief.get("/logged-out-qr-login") },
		"events":        func(thief *browser) { thief.get("/logged-out-qr-login/events") },
		"any number":    func(thief *browser) { thief.post("/logged-out-qr-login/confirm", url.Values{"number": {"0000"}}) },
		"no real digit": func(thief *browser) { thief.post("/logged-out-qr-login/confirm", nil) },
	} {
		for _, where := range []string{victims, elsewhere} { // the laptop: near its phone, so that it is approved, or not
			laptop, phone, thief := b.browser(t).at(where), b.browser(t).at(victims), b.browser(t).at(attackers)
			phone.logIn(richard)
			_, link := laptop.showCode()
			phone.answer(link, "yes")
			if where == victims {
				laptop.awaitApproved()
			}
			thief.setCookie(laptop.cookie())
			steal(thief)
			if got := thief.person(); got != "" {
				t.Errorf("%s: the thief is %q", name, got)
			}
			thief.wantNoWayIn(name)
			if p := laptop.get("/logged-out-qr-login"); p.state() != "failed" || !strings.Contains(p.text("main"), "changed its network") {
				t.Errorf("%s: the laptop's page is %q and says %s", name, p.state(), p.text("main"))
			}
			if p := phone.get(link); p.state() != "failed" || !strings.Contains(p.text("main"), "changed its network") {
				t.Errorf("%s: the phone's page is %q and says %s", name, p.state(), p.text("main"))
			}
			laptop.wantNoWayIn(name + ", the laptop itself")
		}
	}
	if strings.Contains(b.log.String(), `step="number wrong"`) {
		t.Error("the thief's numbers were compared: who comes from elsewhere has no try")
	}
	if got := strings.Count(b.log.String(), `reason=moved`); got != 10 {
		t.Errorf("the log tells of %d laptops that moved, want 10", got)
	}
	if !regexp.MustCompile(`step=failed .*laptop.addr=` + attackers + ` .*reason=moved`).MatchString(b.log.String()) {
		t.Error("the log does not say where the thief was")
	}
}

// The cookie that is used elsewhere before the yes. The question then tells of
// another laptop than the person read about, so the yes to the old one is not
// taken, but asked again.
func TestCookieUsedBeforeTheYes(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone, thief := b.browser(t).at(victims), b.browser(t).at(victims), b.browser(t).at(attackers)
	phone.logIn(richard)
	_, link := laptop.showCode()
	question := phone.get(link)
	if question.find("", "far") != nil || question.text("asking-from") != victims {
		t.Errorf("the question is about %s: %s", question.text("asking-from"), question.text("main"))
	}
	thief.setCookie(laptop.cookie())
	thief.get("/logged-out-qr-login")
	again := phone.submit(question, "approve", url.Values{"answer": {"yes"}})
	if again.state() != "opened" || again.text("asking-from") != attackers || again.find("", "far") == nil {
		t.Fatalf("the yes to another laptop leads to %q, about %s: %s", again.state(), again.text("asking-from"), again.text("main"))
	}
	thief.wantNoWayIn("after the yes that was not meant for it")
	// A no is a no, whatever it was about.
	if got := phone.submit(question, "approve", url.Values{"answer": {"no"}}).state(); got != "denied" {
		t.Errorf("the no leads to %q, want denied", got)
	}
}

// Session fixation. An attacker has planted his own cookie in the victim's
// browser, and waits for the victim to log in with it. Each login, by password
// or by phone, gives another cookie, and the planted one is worth nothing.
func TestPlantedCookie(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	phone := b.browser(t)
	phone.logIn(richard)
	for name, logIn := range map[string]func(victim *browser){
		"by password": func(victim *browser) { victim.logIn(richard) },
		"by phone":    func(victim *browser) { victim.claims(phone) },
	} {
		attacker, victim := b.browser(t), b.browser(t)
		_, link := attacker.showCode()
		planted := attacker.cookie()
		victim.setCookie(planted)
		logIn(victim)
		if got := victim.cookie(); got == planted || victim.person() != richard {
			t.Errorf("%s: the victim is %q with the planted cookie: %t", name, victim.person(), got == planted)
		}
		attacker.wantNoWayIn(name)
		if attacker.setCookie(planted); attacker.get("/reload").URL.Path == "/account" {
			t.Errorf("%s: the planted cookie gets the victim's session", name)
		}
		// Nor can the attacker's own yes turn the victim into somebody else.
		attackersPhone := b.browser(t)
		attackersPhone.logIn(erlich)
		if p := attackersPhone.get(link); p.find("form", "approve") != nil {
			t.Errorf("%s: the planted code can still be answered: %s", name, p.text("main"))
		}
		if got := victim.person(); got != richard {
			t.Errorf("%s: the victim has become %q", name, got)
		}
	}
}

// wantNumber returns the number that the phone's page shows.
func (p page) wantNumber() string {
	p.t.Helper()
	number := p.text("number")
	if !regexp.MustCompile(`^[0-9]{4}$`).MatchString(number) || p.state() != "number" {
		p.t.Fatalf("the phone's page is %q and shows %q, want a number of four digits: %s", p.state(), number, p.text("main"))
	}
	return number
}

// confirms types the number on the laptop, and waits until it is logged in: the
// answer may be the account already.
func (b *browser) confirms(number string) page {
	b.t.Helper()
	if p := b.post("/logged-out-qr-login/confirm", url.Values{"number": {number}}); p.URL.Path == "/account" {
		return p
	}
	return b.awaitReload()
}

// wantNoWayIn tries every page that could let a browser in, with all but a
// guess at the number.
func (b *browser) wantNoWayIn(when string) {
	b.t.Helper()
	for _, path := range []string{"/reload", "/account", "/devices", "/", "/logged-out-qr-login", "/device_grant_finished"} {
		if p := b.get(path); p.text("account-email") != "" || strings.Contains(p.Body, "reload\"") {
			b.t.Errorf("%s: %s leads to %s as %q: %s", when, path, p.URL, p.text("account-email"), p.text("main"))
		}
	}
	for _, path := range []string{"/activate", "/logged-out-qr-login/confirm"} {
		if p := b.post(path, url.Values{"answer": {"yes"}}); p.text("account-email") != "" {
			b.t.Errorf("%s: a POST to %s leads to %s as %q", when, path, p.URL, p.text("account-email"))
		}
	}
	if got := b.person(); got != "" {
		b.t.Errorf("%s: the browser is logged in as %q", when, got)
	}
}

// dates is what looks like a number, and is a year.
var dates = regexp.MustCompile(`\d{4}-\d\d-\d\dT|[A-Z][a-z][a-z] \d{4} `)

// says reports whether text has the number as a word of its own.
func says(text, number string) bool {
	return regexp.MustCompile(`\b` + number + `\b`).MatchString(dates.ReplaceAllString(text, ""))
}

// switchLink returns where "Someone else?" leads.
func switchLink(question page) string {
	for node := range question.doc.Descendants() {
		if node.Data == "a" && strings.HasSuffix(attr(node, "href"), "&switch=1") {
			return attr(node, "href")
		}
	}
	return ""
}

// The claim's answer may get lost, so the old cookie is good for it once more:
// a thief who has that cookie elsewhere must not get the session.
func TestStolenCookieAfterTheClaim(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone, thief := b.browser(t).at(victims), b.browser(t).at(victims), b.browser(t).at(attackers)
	phone.logIn(richard)
	_, link := laptop.showCode()
	thief.setCookie(laptop.cookie())
	phone.answer(link, "yes")
	laptop.awaitApproved()
	laptop.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if got := laptop.get("/reload").Header.Get("Location"); got != "/account" { // and nobody has used the session yet
		t.Fatalf("the claim leads to %q, want /account", got)
	}
	thief.get("/reload")
	if got := thief.person(); got != "" {
		t.Errorf("the thief is logged in as %s", got)
	}
	if got := laptop.person(); got != richard {
		t.Errorf("the laptop is logged in as %q, want %s", got, richard)
	}
}
