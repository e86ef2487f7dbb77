package tests

import (
	"testing"
)

func TestWalkthrough(t *testing.T) {
	t.Parallel()
	laptop, phone := windows(t, startChromium(t))
	walkThrough(t, startBank(t), laptop, phone)
}

// walkThrough does with a mouse and a keyboard what two people do: it uses
// everything that has a button.
func walkThrough(t *testing.T, b *bank, laptop, phone *window) {
	t.Helper()
	phone.logIn(b, richard)
	laptop.open(b.URL)
	laptop.click(`main a[href^="/logged-out-qr-login"]`)
	laptop.awaitState("waiting")
	laptop.click(`form[action$="/cancel"] button`)
	laptop.awaitState("cancelled")
	laptop.click(`#new-code button`)
	laptop.awaitState("waiting")

	phone.open(laptop.scan())
	laptop.awaitState("opened")
	phone.answer("no")
	phone.awaitState("denied")
	laptop.awaitState("denied") // without a reload, as from here on
	laptop.click(`#new-code button`)
	laptop.awaitState("waiting")

	phone.open(laptop.scan())
	phone.answer("yes")
	laptop.awaitPerson(richard)
	if got := laptop.location(); got != b.URL+"/account" {
		t.Errorf("the laptop is at %s, want /account", got)
	}
	laptop.await(`#by-phone`)
	phone.awaitState("claimed")

	phone.open(b.URL + "/account")
	phone.click(`.new-device form[action$="/confirm"] button`)
	phone.click(`#devices li:not([data-here]) button`)
	phone.await(`main a[href="/devices"]`)
	laptop.open(b.URL + "/account")
	laptop.await(`#ended`)
	laptop.logIn(b, richard)

	laptop.click(`.who a[href="/logout"]`)
	laptop.click(`#logout button`)
	laptop.await(`.who a[href="/login"]`)
	if got := laptop.location(); got != b.URL+"/" {
		t.Errorf("logging out leads to %s, want the home page by way of the provider", got)
	}
	laptop.logIn(b, erlich) // without a restart of the browser
	phone.open(b.URL + "/devices")
	phone.click(`#devices li[data-here] button`)
	phone.await(`.who a[href="/login"]`)

	laptop.click(`main a[href="/make-change"]`)
	laptop.fill(`#make-change input[name="amount"]`, "0.30")
	laptop.click(`#make-change button`)
	laptop.await(`#change`)
}

// A whole login without JavaScript: the pages refresh, and lead to the account.
func TestWithoutJavaScript(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := windows(t, startChromium(t))
	laptop.disableScript()
	phone.disableScript()
	phone.logIn(b, richard)
	phone.open(laptop.showCode(b))
	laptop.awaitState("opened")
	phone.answer("yes")
	laptop.awaitPerson(richard)
	phone.awaitState("claimed")
}
