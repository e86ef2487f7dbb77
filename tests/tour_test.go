package tests

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// tourist walks through the pages.
type tourist struct {
	t                        *testing.T
	b                        *bank
	laptop, forgotten, phone *window
	look                     func(w *window, name string)
}

// tour takes two people through every page in every state, and shows each to
// look.
func tour(t *testing.T, look func(w *window, name string)) {
	t.Helper()
	b := startProxied(t, "GEOIP_DB="+geoIPFile(t), "CODE_LIFETIME=30s", "LIMIT_WRONG_NUMBERS=2", "LIMIT_CODES_PER_ADDRESS=15")
	chromium := startChromium(t, fakeCamera...)
	laptop, phone := windows(t, chromium)
	forgotten := newWindow(t, chromium, "another laptop", 1280, 800)
	for w, agent := range map[*window]string{laptop: windowsAgent, forgotten: windowsAgent, phone: iPhoneAgent} {
		w.as(agent)
		w.at(homeAddr)
	}
	laptop.expect("status of 400", "status of 404", "status of 422", "status of 429")
	phone.expect("status of 404", "status of 422")
	tour := &tourist{t, b, laptop, forgotten, phone, look}

	codeMade := time.Now()
	forgotten.open(b.URL + qrPage)
	forgotten.await(`#qr-code`)
	tour.beforeTheLogin()
	tour.account()
	tour.denied()
	tour.number()
	tour.loggedIn()
	tour.errors()

	// The first code expires, and its page notices.
	forgotten.awaitState("expired")
	if waited := time.Since(codeMade); waited < 30*time.Second {
		t.Errorf("the code expired after %v", waited)
	}
	tour.state(forgotten, "expired")
}

// see waits for an element and shows its page.
func (tour *tourist) see(w *window, name, selector string) {
	tour.t.Helper()
	w.await(selector)
	tour.look(w, name)
}

// state waits for a state of the login and shows its page.
func (tour *tourist) state(w *window, state string) {
	tour.t.Helper()
	w.awaitState(state)
	tour.look(w, w.name+" "+state)
}

// link returns the link in the laptop's QR code. Reading it off the screen is
// for other tests.
func (tour *tourist) link() string {
	tour.t.Helper()
	tour.laptop.await(`#qr-code`)
	link, err := chromedp.Run(tour.laptop.ctx, chromedp.JavascriptAttribute[string](chromedp.CSS(`#verification-link`), "href"))
	if err != nil {
		tour.t.Fatal(err)
	}
	return link
}

func (tour *tourist) beforeTheLogin() {
	b, laptop, phone := tour.b, tour.laptop, tour.phone
	laptop.open(b.URL)
	tour.see(laptop, "home", `.hero`)
	phone.open(b.URL)
	tour.see(phone, "home on a phone", `.hero`)
	phone.open(b.URL + qrPage)
	tour.see(phone, "this phone", `#this-phone`)
	phone.open(b.URL + "/login")
	tour.see(phone, "demo login", `input[name="password"]`)
	phone.fill(`input[name="password"]`, "wrong\r")
	phone.fill(`input[name="email"]`, "x@example.com\r")
	tour.see(phone, "demo login refused", `#error`)
}

func (tour *tourist) account() {
	b, phone := tour.b, tour.phone
	phone.logIn(b, richard)
	tour.see(phone, "account", `.balance`)
	phone.click(`main a[href="/make-change"]`)
	tour.see(phone, "make change", `#make-change`)
	phone.fill(`#amount`, "much\r")
	tour.see(phone, "make change of nothing", `#problem`)
	phone.open(b.URL + "/make-change")
	phone.fill(`#amount`, "0.41\r")
	tour.see(phone, "change made", `#change`)
	phone.open(b.URL + "/activate")
	tour.see(phone, "activate", `#activate`)
	phone.beforeEachPage(fakeDetector)
	phone.open(b.URL + "/activate")
	tour.see(phone, "activate with a camera", scanButton)
	phone.startScan()
	tour.look(phone, "activate scanning")
	phone.click(scanButton)
	phone.fill(`#code`, "no such code\r")
	tour.see(phone, "activate unknown", `#problem`)
	phone.open(b.URL + "/logout")
	tour.see(phone, "logout", `#logout button`)
}

func (tour *tourist) denied() {
	laptop, phone := tour.laptop, tour.phone
	laptop.click(`main a[href^="/logged-out-qr-login"]`)
	tour.state(laptop, "waiting")
	phone.open(tour.link())
	tour.state(phone, "opened")
	tour.state(laptop, "opened")
	phone.answer("no")
	tour.state(phone, "denied")
	tour.state(laptop, "denied")

	// The laptop cancels while the phone asks.
	laptop.click(`#new-code button`)
	phone.open(tour.link())
	phone.await(`#approve`)
	laptop.awaitState("opened")
	laptop.click(`form[action$="/cancel"] button`)
	tour.state(laptop, "cancelled")
	tour.state(phone, "cancelled")
}

func (tour *tourist) number() {
	laptop, phone := tour.laptop, tour.phone
	laptop.click(`#new-code button`)
	phone.at(awayAddr)
	phone.open(tour.link())
	tour.see(phone, "phone opened on a different network", `#far`)
	phone.answer("yes")
	tour.state(phone, "number")
	tour.state(laptop, "number")
	wrong := wrongNumber(phone.text(`#number`))
	laptop.typeNumber(wrong + "\r")
	tour.see(laptop, "laptop wrong number", `#problem`)
	laptop.typeNumber(wrong + "\r")
	tour.state(laptop, "failed")
	tour.state(phone, "failed")
}

func (tour *tourist) loggedIn() {
	b, laptop, phone := tour.b, tour.laptop, tour.phone
	// The provider is down at the approval, and comes back.
	laptop.click(`#new-code button`)
	laptop.await(`#qr-code`)
	laptop.click(`#public button`)
	tour.see(laptop, "laptop on a public computer", `#public [aria-pressed="true"]`)
	phone.at(homeAddr)
	phone.open(tour.link())
	phone.await(`#approve`)
	b.demo.answers(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/oauth2/token" {
			return false
		}
		http.Error(w, "down", http.StatusServiceUnavailable)
		return true
	})
	phone.answer("yes")
	tour.state(phone, "yes")
	laptop.await(`#login-note:not([hidden])`)
	tour.state(laptop, "yes")
	b.demo.answers(nil)
	tour.see(laptop, "account by phone on a public computer", `#by-phone + #public-computer`)
	tour.state(phone, "claimed")

	tour.secondLaptop()
	phone.open(b.URL + "/account")
	tour.see(phone, "account with two new devices", `.new-device + .new-device`)
	phone.open(b.URL + "/devices")
	tour.see(phone, "devices", `.new-device + .new-device`)
	phone.click(`#devices li:not([data-here]) summary`)
	tour.see(phone, "devices with a name to fill in", `.naming[open]`)
	phone.fill(`.naming[open] input`, "The laptop in the kitchen of my parents\r")
	phone.await(`#devices`)
	phone.click(`#end-others`)
	tour.see(phone, "log out all others", `form#end-others button`)
	phone.click(`main a[href="/devices"]`)
	phone.click(`#devices li:not([data-here]) button`)
	tour.see(phone, "device ended", `#advice`)
	phone.open(b.URL + "/devices")
	phone.click(`#devices li:not([data-here]) button`)
	phone.await(`#advice`)
	laptop.open(b.URL + "/account")
	tour.see(laptop, "home after the end", `#ended`)
}

// secondLaptop logs in another laptop with the same name and address.
func (tour *tourist) secondLaptop() {
	other := tour.b.browser(tour.t).as(windowsAgent).at(homeAddr)
	tour.phone.open(other.code())
	tour.phone.answer("yes")
	other.claim(richard)
}

func (tour *tourist) errors() {
	b, laptop := tour.b, tour.laptop
	laptop.open(b.URL + "/no-such-page")
	tour.see(laptop, "not found", `#error`)
	laptop.open(b.URL + qrPage)
	laptop.open(tour.link())
	tour.see(laptop, "own code", `main a[href="/login"]`)
	laptop.open(b.URL + qrPage)
	for !laptop.has(`#error`) { // until the limit is reached
		laptop.click(`form[action$="/cancel"] button`)
		laptop.awaitState("cancelled")
		laptop.click(`#new-code button`)
		laptop.await(`#qr-code, #error`)
	}
	tour.see(laptop, "too many", `#error`)
	laptop.open(b.DemoURL + "/login?id=used")
	tour.see(laptop, "demo login is over", `main a[href="`+b.URL+`"]`)
	for _, page := range []string{"/", "/oauth2/device", "/logged-out"} {
		laptop.open(b.DemoURL + page)
		tour.see(laptop, "demo "+strings.Trim(page, "/"), `main`)
	}
}
