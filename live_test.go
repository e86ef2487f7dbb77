package main

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// The laptop's page says what has changed to who hears it, and in the tab's
// name to who is elsewhere.
func TestChangesAreSaid(t *testing.T) {
	chromium := startChromium(t)
	b := startBank(t)
	laptop := newWindow(t, chromium, "laptop", 1280, 800)
	phone := b.browser(t)
	phone.agent = iPhone
	phone.logIn(richard)
	laptop.open(b.URL + "/logged-out-qr-login")
	link := laptop.scan()
	if got := evaluate[string](laptop, `document.getElementById("announce").textContent`); got != "" {
		t.Errorf("before anything has changed %q is said", got)
	}
	phone.get(link)
	laptop.await(`[data-state="opened"]`)
	const said = "Your iPhone opened it. Say yes there, once you have seen that it shows the code below."
	if got := evaluate[string](laptop, `document.querySelector("#announce[role=status]").textContent`); got != said {
		t.Errorf("%q is said, want %q", got, said)
	}
	if got := evaluate[string](laptop, `document.title`); got != "Say yes on your phone · Changebank" {
		t.Errorf("the tab is named %q", got)
	}
	phone.answer(link, "no")
	laptop.await(`[data-state="denied"]`)
	if got := evaluate[string](laptop, `document.title`); got != "Your iPhone said no · Changebank" {
		t.Errorf("the tab is named %q", got)
	}
	if laptop.has(`#qr-code`) {
		t.Error("a code that is of no use can still be scanned")
	}
}

// A connection that is lost is said to be, and comes back with what happened
// meanwhile.
func TestConnectionLost(t *testing.T) {
	chromium := startChromium(t)
	b := startRestartable(t, startBank)
	laptop := newWindow(t, chromium, "laptop", 1280, 800)
	laptop.expect("Failed to load resource") // while the bank is away
	phone := b.browser(t)
	phone.logIn(richard)
	laptop.open(b.URL + "/logged-out-qr-login")
	link := laptop.scan()

	b.stop()
	b.app.behind.Store(nil)
	b.demo.behind.Store(nil)
	laptop.await(`#login-note:not([hidden])`)
	if got := laptop.text(`#login-note`); got != "The connection to Changebank is lost. Trying again." {
		t.Errorf("the page says %q", got)
	}
	b.start()
	laptop.do("wait for the connection", chromedp.WaitNotPresent(chromedp.CSS(`#login-note:not([hidden])`)))
	phone.answer(link, "no")
	laptop.await(`[data-state="denied"]`)
}

// A page whose time is over looks what has become of it although its stream is
// silent, as after a sleep, and one that somebody comes back to looks at once.
func TestPageWakes(t *testing.T) {
	chromium := startChromium(t)
	b := startBank(t)
	phone := b.browser(t)
	phone.logIn(richard)
	for _, wake := range []string{
		`Date.now = () => 1e15`, // its time is over
		`document.dispatchEvent(new Event("visibilitychange"))`,
	} {
		laptop := newWindow(t, chromium, "laptop", 1280, 800)
		// A stream that is open and says nothing.
		laptop.beforeEachPage(`window.EventSource = class { readyState = 1; addEventListener() {} close() {} }`)
		laptop.open(b.URL + "/logged-out-qr-login")
		link := laptop.scan()
		phone.answer(link, "no")
		if laptop.has(`[data-state="denied"]`) {
			t.Fatal("the page hears although its stream is silent")
		}
		evaluate[chromedp.Void](laptop, wake+"; 0")
		laptop.await(`[data-state="denied"]`)
	}
}

// A tab notices that another one of its browser has logged in.
func TestOtherTabLogsIn(t *testing.T) {
	chromium := startChromium(t)
	b := startBank(t)
	laptop := newWindow(t, chromium, "laptop", 1280, 800)
	laptop.open(b.URL + "/logged-out-qr-login")
	laptop.await(`[data-state="waiting"]`)
	tab := laptop.newTab()
	tab.open(b.URL + "/login")
	tab.logInAtProvider(b, erlich)
	laptop.await(`.balance`)
}

// The question, with all that can be said in it, is one screen of a small
// phone, and its two buttons are of one size and look.
func TestQuestionFits(t *testing.T) {
	chromium := startChromium(t)
	b := startBank(t)
	laptop := b.browser(t)
	_, link := laptop.showCode()
	phone := newWindow(t, chromium, "phone", 360, 640)
	phone.comesFrom(iPhone, "198.51.100.4")
	phone.open(b.URL + "/login")
	phone.logInAtProvider(b, richard)
	phone.open(link)
	phone.await(`#far`)
	if bottom := evaluate[float64](phone, `document.querySelector("#approve").getBoundingClientRect().bottom`); bottom > 640 {
		t.Errorf("the buttons end at %v pixels, below the screen's 640", bottom)
	}
	if !evaluate[bool](phone, `(() => {
		const [no, yes] = [...document.querySelectorAll("#approve button")].map((b) => [getComputedStyle(b), b.getBoundingClientRect()]);
		return no[0].backgroundColor === yes[0].backgroundColor && no[0].color === yes[0].color && no[0].fontWeight === yes[0].fontWeight &&
			no[1].width === yes[1].width && no[1].height === yes[1].height && no[1].height >= 44;
	})()`) {
		t.Error("one of the buttons weighs more than the other")
	}
}

// The page of a second person notices that somebody else has answered, and then
// asks no more: neither the person nor the server.
func TestSecondPersonsPageStops(t *testing.T) {
	chromium := startChromium(t)
	b := startBank(t)
	laptop, first := b.browser(t), b.browser(t)
	first.logIn(richard)
	_, link := laptop.showCode()
	question := first.get(link)
	second := newWindow(t, chromium, "second", 390, 844)
	second.expect("status of 403")
	second.open(b.URL + "/login")
	second.logInAtProvider(b, erlich)
	second.open(link)
	second.await(`#approve`)
	first.submit(question, "approve", map[string][]string{"answer": {"yes"}})
	second.await(`#error`) // by itself
	if second.has(`script[src*="activate"]`) {
		t.Error("the page goes on asking")
	}
}
