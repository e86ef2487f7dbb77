package main

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

const (
	iPhone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
	windows = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)

// tour walks two people through every page in every state that it can come to,
// and shows each to look.
func tour(t *testing.T, chromium context.Context, look func(w *window, name string)) {
	demo := newFront(t)
	b := startBank(t, "DEMO_URL="+demo.URL, "CODE_LIFETIME=30s", "LIMIT_CODES_PER_BROWSER=5", "LIMIT_WRONG_NUMBERS=2", "LOG_LEVEL=debug")
	demo.toPort(b.log.await(t, `demo_port=(\d+)`, nil))
	b.log.await(t, `(identity provider found)`, nil)

	laptop := newWindow(t, chromium, "laptop", 1280, 800)
	laptop.comesFrom(windows, "203.0.113.7")
	forgotten := newWindow(t, chromium, "another laptop", 1280, 800)
	forgotten.comesFrom(windows, "203.0.113.8")
	phone := newWindow(t, chromium, "phone", 390, 844)
	phone.comesFrom(iPhone, "203.0.113.7")
	laptop.expect("status of 400", "status of 404", "status of 422", "status of 429")
	phone.expect("status of 404", "status of 422")
	const qrPage = "/logged-out-qr-login"
	see := func(w *window, name, selector string) {
		t.Helper()
		w.await(selector)
		look(w, name)
	}
	state := func(w *window, state string) {
		t.Helper()
		see(w, w.name+" "+state, `#login-state[data-state="`+state+`"]`)
	}
	show := func() (link string) {
		t.Helper()
		laptop.await(`#qr-code`)
		link, err := chromedp.Run(laptop.ctx, chromedp.JavascriptAttribute[string](chromedp.CSS(`#verification-link`), "href"))
		if err != nil {
			t.Fatal(err)
		}
		return link
	}

	// Before anybody is logged in.
	codeMade := time.Now()
	forgotten.open(b.URL + qrPage)
	forgotten.await(`#qr-code`)
	laptop.open(b.URL)
	see(laptop, "home", `.hero`)
	phone.open(b.URL + qrPage)
	see(phone, "this phone", `#this-phone`)
	phone.open(b.URL + "/login")
	see(phone, "demo login", `input[name="password"]`)
	phone.do("type a wrong password", chromedp.SendKeys(chromedp.CSS(`input[name="password"]`), "wrong\r"))
	phone.do("type an e-mail address", chromedp.SendKeys(chromedp.CSS(`input[name="email"]`), "x@example.com\r"))
	see(phone, "demo login refused", `#error`)
	phone.open(b.URL + "/login")
	phone.logInAtProvider(b, richard)
	see(phone, "account", `.balance`)
	phone.click(`main a[href="/make-change"]`)
	see(phone, "make change", `#make-change`)
	phone.do("type no amount", chromedp.SendKeys(chromedp.CSS(`#amount`), "much\r"))
	see(phone, "make change of nothing", `#problem`)
	phone.open(b.URL + "/make-change")
	phone.do("type an amount", chromedp.SendKeys(chromedp.CSS(`#amount`), "0.41\r"))
	see(phone, "change made", `#change`)
	phone.open(b.URL + "/activate")
	see(phone, "activate", `#activate`)
	phone.do("type a wrong code", chromedp.SendKeys(chromedp.CSS(`#code`), "no such code\r"))
	see(phone, "activate unknown", `#problem`)
	phone.open(b.URL + "/logout")
	see(phone, "logout", `#logout button`)

	// Waiting, opened, no.
	laptop.click(`main a[href="` + qrPage + `"]`)
	state(laptop, "waiting")
	phone.open(show())
	state(phone, "opened")
	state(laptop, "opened")
	phone.click(`#approve button[value="no"]`)
	state(phone, "denied")
	state(laptop, "denied")

	// The laptop gives up while the phone asks.
	laptop.click(`#new-code button`)
	phone.open(show())
	phone.await(`#approve`)
	laptop.await(`[data-state="opened"]`)
	laptop.click(`form[action$="/cancel"] button`)
	state(laptop, "cancelled")
	state(phone, "cancelled") // by itself

	// Far from each other: a number, and the wrong ones.
	laptop.click(`#new-code button`)
	phone.comesFrom(iPhone, "198.51.100.4")
	phone.open(show())
	see(phone, "phone opened far away", `#far`)
	phone.click(`#approve button[value="yes"]`)
	state(phone, "number")
	state(laptop, "number")
	number := phone.text(`#number`)
	wrong := "0000"
	if number == wrong {
		wrong = "0001"
	}
	laptop.do("type a wrong number", chromedp.SendKeys(chromedp.CSS(`#the-number`), wrong+"\r"))
	see(laptop, "laptop wrong number", `#problem`)
	laptop.do("type it again", chromedp.SendKeys(chromedp.CSS(`#the-number`), wrong+"\r"))
	state(laptop, "failed")
	state(phone, "failed") // by itself

	// Yes, while the provider is away, and then the rest of the way.
	laptop.click(`#new-code button`)
	phone.comesFrom(iPhone, "203.0.113.7")
	phone.open(show())
	phone.await(`#approve`)
	away := func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/oauth2/token" {
			return false
		}
		http.Error(w, "away", http.StatusServiceUnavailable)
		return true
	}
	demo.spoil.Store(&away)
	phone.click(`#approve button[value="yes"]`)
	state(phone, "yes")
	laptop.await(`#login-note:not([hidden])`)
	state(laptop, "yes")
	demo.spoil.Store(nil)
	see(laptop, "account by phone", `#by-phone`)
	state(phone, "claimed") // by itself
	phone.click(`#not-me`)
	see(phone, "devices", `.new-device`)
	phone.click(`#devices li:not([data-here]) button`)
	see(phone, "device ended", `main a[href="/devices"]`)
	laptop.open(b.URL + "/account")
	see(laptop, "home after the end", `#ended`)

	// What goes wrong.
	laptop.open(b.URL + "/no-such-page")
	see(laptop, "not found", `#error`)
	laptop.open(b.URL + qrPage)
	laptop.await(`#qr-code`)
	own := show()
	laptop.open(own)
	see(laptop, "own code", `main a[href="/login"]`)
	laptop.open(b.URL + qrPage)
	for range 5 {
		laptop.click(`form[action$="/cancel"] button`)
		laptop.await(`[data-state="cancelled"]`)
		laptop.click(`#new-code button`)
		laptop.await(`#qr-code, #error`)
	}
	see(laptop, "too many", `#error`)
	laptop.open(demo.URL + "/login?id=used")
	see(laptop, "demo login is over", `main a[href="`+b.URL+`"]`)
	for _, page := range []string{"/", "/oauth2/device", "/logged-out"} {
		laptop.open(demo.URL + page)
		see(laptop, "demo "+strings.Trim(page, "/"), `main`)
	}

	// The page hears of its end by itself.
	forgotten.await(`[data-state="expired"]`)
	if waited := time.Since(codeMade); waited < 30*time.Second {
		t.Errorf("the code was too old after %v", waited)
	}
	state(forgotten, "expired")
}
