package tests

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// A change on the laptop's page is announced to screen readers, and shown in the
// tab's title for those who look at another tab.
func TestAnnouncements(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, _ := windows(t, startChromium(t))
	phone := b.browserOf(t, richard).as(iPhoneAgent)
	announced := func() string {
		return evaluate[string](laptop, `document.querySelector("#announce[role=status]").textContent`)
	}
	title := func() string { return evaluate[string](laptop, `document.title`) }

	link := laptop.showCode(b)
	waiting := title()
	if got := announced(); got != "" {
		t.Errorf("before any change %q is announced", got)
	}
	phone.get(link)
	laptop.awaitState("opened")
	opened := title()
	if got := announced(); !strings.Contains(got, laptop.text(`#login-state`)) || !strings.Contains(got, "iPhone") {
		t.Errorf("%q is announced, want the new state and the phone", got)
	}
	phone.deny(link)
	laptop.awaitState("denied")
	if denied := title(); opened == waiting || denied == opened || !strings.Contains(denied, "iPhone") {
		t.Errorf("the tab's titles are %q, %q and %q", waiting, opened, denied)
	}
	if laptop.has(`#qr-code`) {
		t.Error("a useless code can still be scanned")
	}
}

// The page says that its connection is lost, and catches up when it is back.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	laptop, _ := windows(t, startChromium(t))
	laptop.expect("Failed to load resource") // while the bank is stopped
	phone := b.browserOf(t, richard)
	link := laptop.showCode(b)

	b.stop()
	laptop.await(`#login-note:not([hidden])`)
	b.start()
	laptop.do("wait for the connection", chromedp.WaitNotPresent(chromedp.CSS(`#login-note:not([hidden])`)))
	phone.deny(link)
	laptop.awaitState("denied")
}

// A page refreshes when its code expires, as after a sleep, and when someone
// returns to it, although its stream tells of no change.
func TestPageWakes(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	chromium := startChromium(t)
	phone := b.browserOf(t, richard)
	for _, wake := range []string{
		`Date.now = () => 1e15`,
		`document.dispatchEvent(new Event("visibilitychange"))`,
	} {
		laptop := newWindow(t, chromium, "laptop", 1280, 800)
		laptop.beforeEachPage(`window.EventSource = class { readyState = 1; addEventListener(name, f) { if (name === "alive") setInterval(f, 1000) } close() {} }`)
		phone.deny(laptop.showCode(b))
		if laptop.has(`[data-state="denied"]`) {
			t.Fatal("the page shows the denial although its stream is silent")
		}
		laptop.run(wake)
		laptop.awaitState("denied")
	}
}

// A tab notices that another tab of its browser has logged in.
func TestOtherTabLogsIn(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, _ := windows(t, startChromium(t))
	laptop.showCode(b)
	laptop.newTab().logIn(b, erlich)
	laptop.await(`.balance`)
}

// The question, with every warning, fits on the screen of a small phone, and
// its two buttons have the same size and look.
func TestQuestionFits(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	chromium := startChromium(t)
	phone := newWindow(t, chromium, "phone", 360, 640)
	phone.as(iPhoneAgent)
	phone.at(awayAddr)
	phone.logIn(b, richard)
	phone.open(b.browser(t).code())
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

// The page of a second person notices that the first has answered, and then
// stops asking the server.
func TestSecondPersonsPage(t *testing.T) {
	t.Parallel()
	b, laptop, first := pair(t)
	_, second := windows(t, startChromium(t))
	second.expect("status of 403")
	link := laptop.code()
	question := first.get(link)
	second.logIn(b, erlich)
	second.open(link)
	second.await(`#approve`)
	first.answer(question, "yes")
	second.await(`#error`)
	if second.has(`script[src*="activate"]`) {
		t.Error("the page keeps asking the server")
	}
}
