package main

import (
	"context"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// Two windows in two networks: the laptop asks for the number by itself, with
// the cursor in the field, and a slip costs no more than another try.
func TestNumberInBrowsers(t *testing.T) {
	chromium := startChromium(t)
	b := startBank(t)
	laptop, phone := twoNetworks(t, chromium, b)

	laptop.open(b.URL + "/logged-out-qr-login")
	phone.open(laptop.scan())
	phone.await(`#far`)
	laptop.await(`#login-state[data-state="opened"]`)
	laptop.run("window.unmoved = true")
	phone.click(`#approve button[value="yes"]`)
	phone.await(`#number`)
	laptop.await(`#confirm-number`)
	if !laptop.run("window.unmoved === true") {
		t.Error("the page was loaded anew, and did not change by itself")
	}
	laptop.wantFocus()

	number := strings.TrimSpace(phone.text(`#number`))
	wrong := "0000"
	if number == wrong {
		wrong = "1111"
	}
	laptop.expect("422") // which browsers report, and is right for a slip
	laptop.typeNumber(wrong + "\r")
	laptop.await(`#problem`)
	laptop.wantFocus()
	laptop.typeNumber(number[:2] + " " + number[2:] + "\r") // as it is read aloud
	laptop.await(`#account-email`)
	if got := laptop.text(`#account-email`); got != richard {
		t.Errorf("the laptop is logged in as %q, want %s", got, richard)
	}
	phone.await(`#login-state[data-state="claimed"]`) // by itself
}

// The person at the phone thinks again while somebody types at the laptop:
// that takes the field away, by itself.
func TestNoWhileTyping(t *testing.T) {
	chromium := startChromium(t)
	b := startBank(t)
	laptop, phone := twoNetworks(t, chromium, b)
	laptop.open(b.URL + "/logged-out-qr-login")
	phone.open(laptop.scan())
	laptop.await(`#login-state[data-state="opened"]`)
	laptop.run(`document.querySelector(".who a").focus(), true`) // wherever the cursor is
	phone.click(`#approve button[value="yes"]`)
	laptop.await(`#confirm-number`)
	laptop.wantFocus()
	laptop.typeNumber("12")
	phone.click(`#approve button[value="no"]`)
	phone.await(`#login-state[data-state="denied"]`)
	laptop.await(`#login-state[data-state="denied"]`)
	laptop.await(`#new-code button`)
}

// Without JavaScript the laptop's page refreshes, but not under the fingers of
// who types.
func TestNumberWithoutScript(t *testing.T) {
	chromium := startChromium(t)
	b := startBank(t)
	laptop, phone := twoNetworks(t, chromium, b)
	laptop.do("turn JavaScript off", func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return chromedp.Void{}, err
	})
	laptop.open(b.URL + "/logged-out-qr-login")
	laptop.await(`main noscript`)
	phone.open(laptop.scan())
	laptop.await(`#login-state[data-state="opened"]`)
	phone.click(`#approve button[value="yes"]`)
	laptop.await(`#confirm-number`)
	laptop.typeNumber(phone.text(`#number`) + "\r")
	laptop.await(`#account-email`)
	if got := laptop.text(`#account-email`); got != richard {
		t.Errorf("the laptop is logged in as %q, want %s", got, richard)
	}
}

// twoNetworks opens a laptop's window, and elsewhere a phone's that is logged in.
func twoNetworks(t *testing.T, chromium context.Context, b *bank) (laptop, phone *window) {
	t.Helper()
	laptop = newWindow(t, chromium, "laptop", 1280, 800)
	laptop.from(attackers)
	phone = newWindow(t, chromium, "phone", 390, 844)
	phone.from(victims)
	phone.open(b.URL + "/login")
	phone.logInAtProvider(b, richard)
	return laptop, phone
}

// from has the window's requests come from an address, as a proxy would tell.
func (w *window) from(addr string) {
	w.t.Helper()
	w.do("say where it is", func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
		_, err := chromedp.Call(ctx, network.SetExtraHTTPHeaders, network.SetExtraHTTPHeadersParams{
			Headers: network.Headers{"X-Forwarded-For": addr},
		})
		return chromedp.Void{}, err
	})
}

// run returns what a script comes to.
func (w *window) run(script string) bool {
	w.t.Helper()
	is, err := chromedp.Run(w.ctx, chromedp.Evaluate[bool](script))
	if err != nil {
		w.t.Fatalf("%s: %s: %v", w.name, script, err)
	}
	return is
}

// wantFocus wants the cursor in the field for the number.
func (w *window) wantFocus() {
	w.t.Helper()
	if !w.run(`document.activeElement.id === "the-number"`) {
		w.t.Errorf("%s: the cursor is not in the field", w.name)
	}
}

func (w *window) typeNumber(text string) {
	w.t.Helper()
	w.do("type a number", chromedp.SendKeys(chromedp.CSS(`#the-number`), text))
}
