package tests

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// A browser has one live attempt: neither a reload nor a POST replaces it.
func TestOneAttemptPerBrowser(t *testing.T) {
	t.Parallel()
	laptop := startBank(t).browser(t)
	first, _ := laptop.showCode()
	again, _ := laptop.showCode()
	if first.text("user-code") != again.text("user-code") {
		t.Error("a reload shows another code")
	}
	if got := laptop.post(qrPage, nil).text("user-code"); got != first.text("user-code") {
		t.Error("a POST replaces a live code")
	}
	if got := laptop.post(qrPage+"/cancel", nil).state(); got != "cancelled" {
		t.Errorf("cancelling leads to %q, want cancelled", got)
	}
	laptop.wantState("cancelled") // until a new code is asked for
}

// Two tabs that ask for a code at the same moment may get one each. The browser
// keeps one of them, and the stream tells the other tab to fetch its page again.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	laptop := startBank(t).browser(t)
	laptop.getOnce(qrPage) // the cookie that shows that the browser keeps cookies
	cookies := laptop.cookies()
	first, _ := laptop.showCode()
	laptop.setCookies(cookies) // the second tab asked before the first had its answer
	second, _ := laptop.showCode()
	if first.text("user-code") == second.text("user-code") {
		t.Fatal("the tabs have one code: this test does not test two")
	}
	for _, p := range []page{first, second} {
		stream := laptop.request(http.MethodGet, qrPage+"/events?attempt="+p.attr("login-state", "data-attempt"), nil)
		resp, err := laptop.http.Do(stream)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		want := map[bool]int{true: http.StatusConflict, false: http.StatusOK}[p.text("user-code") == first.text("user-code")]
		if resp.StatusCode != want {
			t.Errorf("the stream of the code %s: %d, want %d", p.text("user-code"), resp.StatusCode, want)
		}
	}
	if got := laptop.get(qrPage).text("user-code"); got != second.text("user-code") {
		t.Errorf("the page shows the code %q, want that of the browser's cookie", got)
	}
}

// Another login in the browser cancels its attempt, so that nobody can log it
// in as someone else afterwards.
func TestOtherLoginCancels(t *testing.T) {
	t.Parallel()
	_, laptop, phone := pair(t)
	link := laptop.code()
	states := laptop.events()
	states.want("waiting")
	question := phone.get(link)
	states.want("opened")
	laptop.logIn(erlich)
	states.want("cancelled")
	if got := phone.answer(question, "yes").state(); got != "cancelled" {
		t.Errorf("an approval after the other login leads to %q, want cancelled", got)
	}
	laptop.get("/reload")
	laptop.wantPerson(erlich)
	if got := laptop.get(qrPage).URL.Path; got != "/account" {
		t.Errorf("the QR page leads a logged-in browser to %s, want /account", got)
	}
}

// A tab that is slow to start a code must not undo a login that another tab of
// the browser finishes in the meantime.
func TestSlowStart(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	person := b.browser(t)
	person.get("/login") // tabs without a cookie are different browsers
	started, finish := make(chan struct{}), make(chan struct{})
	var once sync.Once
	b.demo.answers(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/oauth2/device_authorize" {
			once.Do(func() {
				close(started)
				<-finish
			})
		}
		return false
	})
	slow := make(chan page)
	go func() { slow <- person.get(qrPage) }()
	<-started
	person.logIn(richard)
	close(finish)
	if p := <-slow; p.URL.Path != "/account" {
		t.Errorf("the slow tab shows %v, want the account", p)
	}
	person.wantPerson(richard)
}

// A browser that did not start the attempt learns nothing about it in any state,
// with or without an attempt of its own.
func TestStrangers(t *testing.T) {
	t.Parallel()
	b, laptop, phone := pair(t)
	stranger, other := b.browser(t), b.browser(t)
	other.showCode()
	link := laptop.code()

	check := func(state string) {
		t.Helper()
		for _, who := range []*browser{stranger, other} {
			had := who.cookie()
			if got := strings.TrimSpace(who.get("/device_grant_finished").Body); got != "{}" {
				t.Errorf("%s: /device_grant_finished tells a stranger %s", state, got)
			}
			if p := who.get("/reload"); p.URL.Path == "/account" {
				t.Errorf("%s: /reload logs a stranger in", state)
			}
			if who == stranger {
				who.typeNumber("1234")
				who.post(qrPage+"/cancel", nil)
			}
			who.wantPerson("")
			if who.cookie() != had {
				t.Errorf("%s: a stranger got a cookie", state)
			}
		}
		if p := stranger.get(qrPage + "/events"); p.Status != http.StatusNoContent || p.Body != "" {
			t.Errorf("%s: the stream tells a stranger %d %q", state, p.Status, p.Body)
		}
	}
	check("waiting")
	question := phone.get(link)
	check("opened")
	phone.answer(question, "yes")
	laptop.awaitApproved()
	check("approved")
	laptop.claim(richard)
	check("claimed")
}

// A phone that opens the laptop's page is offered the ordinary login. No code
// is started until the person asks for one.
func TestPhoneOpensQRPage(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][]string{
		"named a phone": {"User-Agent", iPhoneAgent},
		"client hint":   {"Sec-CH-UA-Mobile", "?1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBank(t)
			phone := b.browser(t)
			p := phone.do(phone.request(http.MethodGet, qrPage, nil, header...))
			if !p.has("this-phone") {
				t.Fatalf("the phone is shown %v, want the ordinary login", p)
			}
			b.wantSteps(t, "started", 0)
			if p = phone.submit(p, "new-code", nil); p.state() != "waiting" {
				t.Errorf("asking for a code shows %v", p)
			}
			b.wantSteps(t, "started", 1)
			phone.as(iPhoneAgent).wantState("waiting") // after a reload, too
		})
	}
}

// The laptop's page says which phone has the code, and so does its title. It
// does not count down while the person reads the question.
func TestLaptopNamesPhone(t *testing.T) {
	t.Parallel()
	_, laptop, phone := pair(t)
	phone.as(iPhoneAgent)
	p, link := laptop.showCode()
	if !p.has("time-left") {
		t.Error("a waiting code shows no time left")
	}
	title := textOf(p.find("title", ""))
	question := phone.get(link)
	p = laptop.get(qrPage)
	if got := p.text("login-state"); !strings.Contains(got, "iPhone") {
		t.Errorf("the laptop says %q, want that an iPhone opened the code", got)
	}
	if got := textOf(p.find("title", "")); got == title {
		t.Errorf("the title is still %q", got)
	}
	if p.has("time-left") {
		t.Error("a countdown hurries the person with the phone")
	}
	phone.answer(question, "no")
	if got := laptop.get(qrPage).text("login-state"); !strings.Contains(got, "iPhone") {
		t.Errorf("the laptop says %q, want that the iPhone denied", got)
	}
}

// The script of a tab from before another tab's login gets no cookie, which
// could replace that login's, and starts no code.
func TestScriptGetsNoCookie(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop := b.browser(t)
	laptop.showCode()
	before := laptop.cookies()
	laptop.logIn(erlich)
	after := laptop.cookies()

	for _, cookies := range [][]*http.Cookie{before, nil} {
		laptop.setCookies(cookies)
		p := laptop.doOnce(laptop.request(http.MethodGet, qrPage, nil, "X-Requested-With", "qrlogin.js"))
		if p.Header.Get("Set-Cookie") != "" {
			t.Errorf("the script gets the cookie %q", p.Header.Get("Set-Cookie"))
		}
	}
	b.wantSteps(t, "started", 1)
	laptop.setCookies(after)
	if got := laptop.get(qrPage).person(); got != erlich {
		t.Errorf("the tab then shows the account of %q, want %s", got, erlich)
	}
}

// On Android, an app's own browser names its app in the header that our script
// uses. It shows the page like any other.
func TestBrowserInsideAnApp(t *testing.T) {
	t.Parallel()
	visitor := startBank(t).browser(t)
	p := visitor.do(visitor.request(http.MethodGet, qrPage, nil, "X-Requested-With", "com.example.chat"))
	if p.state() != "waiting" {
		t.Errorf("the page is %v, want a code", p)
	}
}
