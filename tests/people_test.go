package tests

import (
	"net/url"
	"regexp"
	"strings"
	"time"
)

// What people do with their browsers.

// logIn logs in with a password at the demo provider, and returns the account.
func (b *browser) logIn(email string) page {
	b.t.Helper()
	p := b.atProvider(b.get("/login"), email)
	if p.person() != email {
		b.t.Fatalf("logged in as %q, want %s: %v", p.person(), email, p)
	}
	return p
}

// atProvider fills in the demo provider's login page.
func (b *browser) atProvider(p page, email string) page {
	b.t.Helper()
	return b.submit(p, "", url.Values{"email": {email}, "password": {b.bank.password}})
}

// logOut logs out, and returns the page that follows.
func (b *browser) logOut() page {
	b.t.Helper()
	return b.submit(b.get("/logout"), "logout", nil)
}

// person returns who is logged in on this browser, "" for nobody.
func (b *browser) person() string {
	b.t.Helper()
	return b.get("/account").person()
}

// wantPerson checks who is logged in on this browser.
func (b *browser) wantPerson(email string) {
	b.t.Helper()
	if got := b.person(); got != email {
		b.t.Errorf("logged in as %q, want %q", got, email)
	}
}

// showCode opens the laptop's page with a new code, and returns the page and
// the link in its QR code.
func (b *browser) showCode() (p page, link string) {
	b.t.Helper()
	p = b.get(qrPage)
	if p.state() != "waiting" {
		b.t.Fatalf("the QR page is %q, want waiting: %v\n%s", p.state(), p, p.Body)
	}
	return p, p.attr("verification-link", "href")
}

// code shows a code and returns its link.
func (b *browser) code() (link string) {
	b.t.Helper()
	_, link = b.showCode()
	return link
}

// state returns the state of the login that the laptop's page shows.
func (b *browser) state() string {
	b.t.Helper()
	return b.get(qrPage).state()
}

// wantState checks the state that the laptop's page shows.
func (b *browser) wantState(want string) {
	b.t.Helper()
	if p := b.get(qrPage); p.state() != want {
		b.t.Errorf("the laptop's page is %q, want %s: %v", p.state(), want, p)
	}
}

// readingTime is how long the question must be on the screen before a yes.
const readingTime = time.Second

// answer answers the question on the phone's page: yes or no.
func (b *browser) answer(question page, answer string) page {
	b.t.Helper()
	time.Sleep(time.Until(question.came.Add(readingTime)))
	return b.submit(question, "approve", url.Values{"answer": {answer}})
}

// approve opens a link on the phone and approves.
func (b *browser) approve(link string) page {
	b.t.Helper()
	return b.answer(b.get(link), "yes")
}

// deny opens a link on the phone and denies.
func (b *browser) deny(link string) page {
	b.t.Helper()
	return b.answer(b.get(link), "no")
}

// awaitApproved waits until the login can be claimed, by the example's own
// JSON.
func (b *browser) awaitApproved() {
	b.t.Helper()
	b.await(`{"reload":"true"}`, func() string { return strings.TrimSpace(b.get("/device_grant_finished").Body) })
}

// claim waits until the login can be claimed, claims it, and checks whose it
// is. It returns the account page.
func (b *browser) claim(email string) page {
	b.t.Helper()
	b.awaitApproved()
	p := b.get("/reload")
	if p.URL.Path != "/account" || p.person() != email {
		b.t.Fatalf("the laptop is logged in as %q, want %s on /account: %v", p.person(), email, p)
	}
	return p
}

// confirm types the number on the laptop, and claims the login.
func (b *browser) confirm(number, email string) page {
	b.t.Helper()
	p := b.typeNumber(number)
	if p.URL.Path == "/account" && p.person() == email { // the tokens were quick
		return p
	}
	return b.claim(email)
}

// typeNumber types a number on the laptop.
func (b *browser) typeNumber(number string) page {
	b.t.Helper()
	return b.post(qrPage+"/confirm", url.Values{"number": {number}})
}

// logInWith logs the laptop in as richard with the phone, on the same network.
func (b *browser) logInWith(phone *browser) page {
	b.t.Helper()
	phone.approve(b.code())
	return b.claim(richard)
}

// wantNoLogin tries every page that could log the browser in, except guessing
// the number.
func (b *browser) wantNoLogin(when string) {
	b.t.Helper()
	for _, path := range []string{"/reload", "/account", "/devices", "/", qrPage, "/device_grant_finished"} {
		if p := b.get(path); p.person() != "" || strings.Contains(p.Body, `"reload":`) {
			b.t.Errorf("%s: %s logs in %q: %v", when, path, p.person(), p)
		}
	}
	for _, path := range []string{"/activate", qrPage + "/confirm"} {
		if p := b.post(path, url.Values{"answer": {"yes"}}); p.person() != "" {
			b.t.Errorf("%s: POST %s logs in %q: %v", when, path, p.person(), p)
		}
	}
	if got := b.person(); got != "" {
		b.t.Errorf("%s: logged in as %q", when, got)
	}
}

// dates are numbers of four digits that are no secret.
var dates = regexp.MustCompile(`\d{4}-\d\d-\d\dT|[A-Z][a-z][a-z] \d{4} `)

// hasNumber reports whether text has the number as a word of its own.
func hasNumber(text, number string) bool {
	return regexp.MustCompile(`\b` + number + `\b`).MatchString(dates.ReplaceAllString(text, ""))
}
