package tests

import (
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// A link to the laptop's page from another page replaces a code that has ended,
// and never one that can be used. Everything else shows how the last one ended.
func TestLinkReplacesEndedCode(t *testing.T) {
	t.Parallel()
	_, laptop, phone := pair(t)
	link := laptop.get("/").menu()["Log In Using Mobile Device"]
	follow := func(state string) page {
		t.Helper()
		p := laptop.get(link)
		if p.state() != state || p.URL.String() != laptop.url(qrPage) {
			t.Fatalf("the link leads to %v, %q; want %s, at an address that asks for nothing", p, p.state(), state)
		}
		return p
	}
	first := follow("waiting").text("user-code")
	if got := follow("waiting").text("user-code"); got != first {
		t.Errorf("the link replaces the live code %s by %s", first, got)
	}
	phone.get(laptop.code())
	if got := follow("opened").text("user-code"); got != first {
		t.Errorf("the link replaces the opened code %s by %s", first, got)
	}
	for _, tt := range []struct {
		state string
		end   func()
	}{
		{"cancelled", func() { laptop.post(qrPage+"/cancel", nil) }},
		{"denied", func() { phone.deny(laptop.code()) }},
	} {
		ended := laptop.get(qrPage).text("user-code")
		tt.end()
		for range 2 { // a reload, or the refresh of a page without JavaScript
			laptop.wantState(tt.state)
		}
		for _, v := range visits {
			laptop.visit(v, link)
		}
		script := laptop.request("GET", qrPage, nil, "X-Requested-With", "qrlogin.js")
		if got := laptop.do(script).state(); got != tt.state {
			t.Errorf("the script's own request shows %q, want %s", got, tt.state)
		}
		if got := follow("waiting").text("user-code"); got == ended {
			t.Errorf("the link shows the ended code %s", got)
		}
	}
}

// A person who cancelled, went home and chose to log in by phone again gets a
// code. A reload shows how it ended, with JavaScript and without.
func TestEndedCodeInBrowser(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	chromium := startChromium(t)
	phone := b.browserOf(t, richard)
	for _, script := range []bool{true, false} {
		laptop := newWindow(t, chromium, "laptop", 1280, 800)
		if !script {
			laptop.disableScript()
		}
		laptop.open(b.URL)
		laptop.click(`main a[href^="/logged-out-qr-login"]`)
		laptop.awaitState("waiting")
		phone.deny(laptop.scan())
		laptop.awaitState("denied")
		laptop.do("reload", chromedp.Reload())
		laptop.awaitState("denied")

		laptop.click(`.brand`)
		laptop.click(`main a[href^="/logged-out-qr-login"]`)
		laptop.awaitState("waiting")
		laptop.click(`form[action$="/cancel"] button`)
		laptop.awaitState("cancelled")
		laptop.do("reload", chromedp.Reload())
		laptop.awaitState("cancelled")
		laptop.click(`.top nav a[href^="/logged-out-qr-login"]`)
		laptop.awaitState("waiting")
	}
}

// In its last minute a code says that it will expire, once to screen readers.
func TestExpiryIsAnnounced(t *testing.T) {
	t.Parallel()
	if got := startBank(t).browser(t).get(qrPage).text("login-note"); got != "" {
		t.Errorf("a code with minutes left says %q", got)
	}
	b := startBank(t, "CODE_LIFETIME=75s")
	laptop, _ := windows(t, startChromium(t))
	laptop.beforeEachPage(`
		window.said = [];
		addEventListener("DOMContentLoaded", () => new MutationObserver(() => said.push(document.getElementById("announce").textContent))
			.observe(document.getElementById("announce"), { childList: true }));`)
	laptop.showCode(b)
	laptop.await(`#login-note:not([hidden])`)
	note := laptop.text(`#login-note`)
	if !strings.Contains(note, "Expires in less than a minute") {
		t.Errorf("the last minute says %q", note)
	}
	if said := evaluate[[]string](laptop, `said`); !slices.Equal(said, []string{note}) {
		t.Errorf("%q is announced, want %q once", said, note)
	}
	laptop.do("reload", chromedp.Reload()) // as a page without JavaScript does
	if got := laptop.text(`#login-note`); got != note {
		t.Errorf("drawn by the server, the page says %q, want %q", got, note)
	}
}
