package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"changebank/internal/testpeer"
)

// wantWait wants the page of a limit: it says when to come back, and does
// nothing by itself, since a page that asks again would keep the limit busy.
func (p page) wantWait(what, words string, least, most int) {
	p.t.Helper()
	wait, err := strconv.Atoi(p.Header.Get("Retry-After"))
	if p.Status != http.StatusTooManyRequests || err != nil || wait < least || wait > most {
		p.t.Errorf("%s: %d with Retry-After %q, want 429 and %d to %d seconds", what, p.Status, p.Header.Get("Retry-After"), least, most)
	}
	if got := p.text("error"); !strings.Contains(got, words) {
		p.t.Errorf("%s: the page says %q, want %q", what, got, words)
	}
	if strings.Contains(p.Body, "http-equiv") || strings.Contains(p.Body, "<script") {
		p.t.Errorf("%s: the page goes on by itself", what)
	}
}

// wantRefused wants so many lines in the log that name the rule.
func (b *bank) wantRefused(t *testing.T, rule string, want int) {
	t.Helper()
	quoted := rule
	if strings.Contains(rule, " ") {
		quoted = strconv.Quote(rule)
	}
	if got := strings.Count(b.log.String(), `level=WARN msg="qr login" step=refused rule=`+quoted+" "); got != want {
		t.Errorf("the log names the rule %q %d times, want %d", rule, got, want)
	}
}

// Whoever asks for codes without end, with a new browser each time, is one
// address; of IPv6 one network. The next address is somebody else.
func TestLimitOfCodesPerAddress(t *testing.T) {
	t.Parallel()
	b := startBank(t, "LIMIT_CODES_PER_ADDRESS=2")
	for _, addrs := range [][]string{{victims, victims, victims}, {"2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:ffff::3"}, {"::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"}} {
		b.browser(t).at(addrs[0]).showCode()
		b.browser(t).at(addrs[1]).showCode()
		late := b.browser(t).at(addrs[2])
		p := late.get("/logged-out-qr-login")
		p.wantWait(addrs[2], "10 minutes, or log in here instead", 500, 600)
		if !strings.Contains(p.Body, `href="/login"`) {
			t.Errorf("the page shows no other way: %s", p.text("main"))
		}
		late.logIn(richard) // which has nothing to do with it
	}
	b.browser(t).at("2001:db8:1:3::1").showCode()
	b.wantRefused(t, "new codes for one address", 3)
}

// The same with one browser, wherever it says it is.
func TestLimitOfCodesPerBrowser(t *testing.T) {
	t.Parallel()
	b := startBank(t, "LIMIT_CODES_PER_BROWSER=2")
	laptop := b.browser(t)
	for i := range 3 {
		laptop.at(fmt.Sprintf("192.0.2.%d", i+1))
		p := laptop.get("/logged-out-qr-login")
		if i == 0 && p.state() != "waiting" {
			t.Fatalf("the first code: %d %s", p.Status, p.text("main"))
		}
		if i > 0 {
			p = laptop.post("/logged-out-qr-login", nil)
		}
		if i == 2 {
			p.wantWait("the third code", "10 minutes", 500, 600)
			break
		}
		if p = laptop.post("/logged-out-qr-login/cancel", nil); p.state() != "cancelled" {
			t.Fatalf("cancel: %s", p.text("main"))
		}
	}
	b.wantRefused(t, "new codes for one browser", 1)
	b.browser(t).at("192.0.2.3").showCode()
}

// A crowd of codes that wait fills one address's share, or everybody's; each
// that ends makes room.
func TestLimitOfLiveLogins(t *testing.T) {
	t.Parallel()
	b := startBank(t, "LIMIT_LIVE_PER_ADDRESS=1", "LIMIT_LIVE=2")
	first, second, third := b.browser(t).at(victims), b.browser(t).at(victims), b.browser(t).at(elsewhere)
	first.showCode()
	second.get("/logged-out-qr-login").wantWait("another of one address", "a minute", 1, 60)
	third.showCode()
	b.browser(t).at(attackers).get("/logged-out-qr-login").wantWait("another of anybody", "a minute", 1, 60)
	first.post("/logged-out-qr-login/cancel", nil)
	second.showCode()
	b.wantRefused(t, "live codes for one address", 1)
	b.wantRefused(t, "live codes", 1)
}

// The guessed user code. A code has six characters, and whoever hits one could
// say yes to it. One person may miss ten times, with however many browsers and
// from wherever; a right code that was typed in between costs nothing.
func TestGuessedUserCode(t *testing.T) {
	t.Parallel()
	b := startBank(t, "LIMIT_WRONG_CODES=4")
	laptop, phone, tablet := b.browser(t), b.browser(t).at(victims), b.browser(t).at(attackers)
	phone.logIn(erlich)
	tablet.logIn(erlich)
	_, link := laptop.showCode()
	for i := range 4 {
		phone.get(link)
		guesser := []*browser{phone, tablet}[i%2]
		if p := guesser.get(fmt.Sprintf("/activate?user_code=NOSUCH%d", i)); p.Status != http.StatusNotFound {
			t.Fatalf("guess %d is answered with %d: %s", i, p.Status, p.text("main"))
		}
	}
	phone.get(link).wantWait("the fifth code", "10 minutes", 500, 600)
	tablet.get("/activate?user_code=NOSUCH").wantWait("the fifth code elsewhere", "10 minutes", 500, 600)
	form := url.Values{"user_code": {"NOSUCH"}, "attempt": {"x"}, "answer": {"yes"}}
	phone.post("/activate", form).wantWait("a code that is posted", "10 minutes", 500, 600)
	b.wantRefused(t, "unknown code", 4)
	b.wantRefused(t, "wrong codes", 3)
	if got := laptop.get("/logged-out-qr-login").state(); got != "opened" {
		t.Errorf("the laptop is %q, want opened", got)
	}
}

// A login can be started only from where the operator allows it, and finished
// with a phone anywhere.
func TestOnlyFromCertainNetworks(t *testing.T) {
	t.Parallel()
	b := startBank(t, "QR_ALLOW_FROM=203.0.113.0/24, 2001:db8::/32")
	inside, outside, phone := b.browser(t).at(victims), b.browser(t).at(attackers), b.browser(t).at(attackers)
	p := outside.get("/logged-out-qr-login")
	if p.Status != http.StatusForbidden || !strings.Contains(p.text("error"), "only from certain networks") || !strings.Contains(p.Body, `href="/login"`) {
		t.Errorf("from outside the QR page is %d: %s", p.Status, p.text("main"))
	}
	if p := outside.post("/logged-out-qr-login", nil); p.Status != http.StatusForbidden {
		t.Errorf("from outside a new code is answered with %d", p.Status)
	}
	b.wantRefused(t, "QR_ALLOW_FROM", 2)
	phone.logIn(richard)
	_, link := inside.showCode()
	number := phone.answer(link, "yes").wantNumber()
	if got := inside.confirms(number).text("account-email"); got != richard {
		t.Errorf("the laptop inside is logged in as %q, want %s", got, richard)
	}
	b.browser(t).at("2001:db8::7").showCode()
	// What the list does not have is nobody's: not a proxy's own address either.
	if p := b.browser(t).get("/logged-out-qr-login"); p.Status != http.StatusForbidden {
		t.Errorf("without an address of the list the QR page is %d", p.Status)
	}
}

// The number is asked for in one network, too, or never, as the operator says.
func TestNumberAlwaysOrNever(t *testing.T) {
	t.Parallel()
	for setting, where := range map[string]string{"always": victims, "never": attackers} {
		t.Run(setting, func(t *testing.T) {
			t.Parallel()
			b := startBank(t, "CONFIRM_NUMBER="+setting)
			laptop, phone := b.browser(t).at(where), b.browser(t).at(victims)
			phone.logIn(richard)
			_, link := laptop.showCode()
			question := phone.get(link)
			if far := question.find("", "far") != nil; far != (setting == "never") {
				t.Errorf("the question warns of another network: %t", far)
			}
			p := phone.submit(question, "approve", url.Values{"answer": {"yes"}})
			var account page
			if setting == "always" {
				laptop.wantNoWayIn("before the number")
				account = laptop.confirms(p.wantNumber())
			} else {
				account = laptop.awaitReload()
			}
			if got := account.text("account-email"); got != richard {
				t.Errorf("the laptop is logged in as %q, want %s", got, richard)
			}
		})
	}
}

// Where the provider's own page asks the person, nobody shows a number: an
// operator who wants one always gets no login by phone, and is told so.
func TestPeerHasNoNumber(t *testing.T) {
	t.Parallel()
	b := startWithPeer(t, testpeer.Options{Interval: 1}, "CONFIRM_NUMBER=always")
	laptop := b.browser(t)
	p := laptop.get("/logged-out-qr-login")
	if p.Status != http.StatusForbidden || !strings.Contains(p.text("error"), "cannot show one") || !strings.Contains(p.Body, `href="/login"`) {
		t.Errorf("the QR page is %d: %s", p.Status, p.text("main"))
	}
	if p.find("svg", "qr-code") != nil || p.text("user-code") != "" {
		t.Error("a code is shown")
	}
	if account := laptop.signIn(laptop.get("/login"), jared); account.text("account-email") != jaredsMail {
		t.Errorf("the ordinary login leads to %s as %q", account.URL, account.text("account-email"))
	}
}
