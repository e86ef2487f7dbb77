package tests

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
)

// claimCookie claims the login, and returns the cookie of the session.
func (b *browser) claimCookie() *http.Cookie {
	b.t.Helper()
	p := b.getOnce("/reload")
	for _, c := range (&http.Response{Header: p.Header}).Cookies() {
		if c.Name == b.bank.cookieName() {
			return c
		}
	}
	b.t.Fatalf("the claim sets no session: %v", p)
	return nil
}

// choosePublic presses the button of the QR page.
func (b *browser) choosePublic(want string) page {
	b.t.Helper()
	p := b.get(qrPage)
	p = b.submit(p, "public", url.Values{"public": {p.button("public").value}})
	if got := p.button("public").pressed; got != want || p.URL.Path != qrPage {
		b.t.Errorf("after the button was pressed: %v, pressed: %q; want the page again with %q", p, got, want)
	}
	return p
}

type button struct{ value, pressed, words string }

// button returns the one button in the form with that id.
func (p page) button(form string) button {
	p.t.Helper()
	f := p.find("form", form)
	if f == nil {
		p.t.Fatalf("no form %q: %v", form, p)
	}
	for node := range f.Descendants() {
		if node.Data == "button" {
			return button{attr(node, "value"), attr(node, "aria-pressed"), textOf(node)}
		}
	}
	p.t.Fatalf("no button in the form %q", form)
	return button{}
}

// A person at a public computer chooses this before the login. The session then ends
// with the browser, and the pages say that it is short.
func TestPublicComputer(t *testing.T) {
	t.Parallel()
	_, laptop, phone := pair(t)
	p, link := laptop.showCode()
	if b := p.button("public"); b.pressed != "false" || b.words != "This is a public computer" {
		t.Errorf("the button is %+v, want one that is not pressed", b)
	}
	states := laptop.events()
	states.want("waiting")
	code := p.text("user-code")
	laptop.choosePublic("true")
	laptop.choosePublic("false")
	if p = laptop.choosePublic("true"); p.text("user-code") != code || !strings.Contains(p.text("public-words"), "15 minutes") {
		t.Errorf("after the choice the page is %v, want the same code, and what it means", p)
	}
	question := phone.get(link)
	states.want("opened")
	if got := laptop.get(qrPage).button("public").pressed; got != "true" {
		t.Errorf("while the phone asks, pressed is %q, want true", got)
	}
	phone.answer(question, "yes")
	laptop.awaitApproved()
	if c := laptop.claimCookie(); c.MaxAge != 0 || !c.Expires.IsZero() || !c.HttpOnly {
		t.Errorf("the session's cookie is %v, want one that ends with the browser", c)
	}
	p = laptop.get("/account")
	if p.person() != richard || !strings.Contains(p.text("public-computer"), "15 minutes") {
		t.Errorf("the account page is %v, want that this is a public computer", p)
	}
	for _, d := range phone.devices() {
		if got := strings.Contains(d.text, "Public computer"); got == d.here {
			t.Errorf("the card %q is marked: %t", d.text, got)
		}
	}

	// Another login is another decision.
	laptop.logIn(richard)
	if p := laptop.get("/account"); p.has("public-computer") {
		t.Error("after a login with a password it is still a public computer")
	}
	laptop.post("/logout", nil)
	laptop.logInWith(phone)
	if p := laptop.get("/account"); p.has("public-computer") {
		t.Error("the choice outlived its login")
	}
}

// The choice survives a new code, and an answer to the claim that is lost.
func TestPublicComputerChoiceIsKept(t *testing.T) {
	t.Parallel()
	b, laptop, phone := pair(t)
	laptop.showCode()
	laptop.choosePublic("true")
	laptop.post(qrPage+"/cancel", nil)
	p := laptop.post(qrPage, nil)
	if p.state() != "waiting" || p.button("public").pressed != "true" {
		t.Fatalf("with a new code: %v, pressed: %q, want true", p, p.button("public").pressed)
	}
	phone.approve(laptop.code())
	laptop.awaitApproved()
	private := b.browser(t) // the same browser, before its choice
	private.setCookies(laptop.cookies())
	private.doOnce(private.request(http.MethodPost, qrPage+"/public", url.Values{"public": {"no"}}, "Sec-Fetch-Site", "same-origin"))
	laptop.claimCookie() // whose answer is lost
	if c := private.claimCookie(); c.MaxAge != 0 || !c.Expires.IsZero() {
		t.Errorf("a claim that was repeated without the choice sets %v, want a cookie that ends with the browser", c)
	}
	if p := private.get("/account"); p.person() != richard || !p.has("public-computer") {
		t.Errorf("the account page is %v, want a public computer", p)
	}
}

// The choice writes nothing to the store, and nobody else can make it.
func TestPublicComputerCostsNothing(t *testing.T) {
	t.Parallel()
	b := startBank(t, "QR_ALLOW_FROM=127.0.0.0/8, ::1")
	laptop, nobody := b.browser(t), b.browser(t)
	laptop.showCode()
	before := laptop.cookies()
	if p := laptop.do(laptop.request(http.MethodPost, qrPage+"/public", url.Values{"public": {"yes"}}, "Sec-Fetch-Site", "cross-site")); p.Status != http.StatusForbidden {
		t.Errorf("from another site: %v, want 403", p)
	}
	laptop.at(awayAddr)
	if p := laptop.post(qrPage+"/public", url.Values{"public": {"yes"}}); p.Status != http.StatusForbidden {
		t.Errorf("from a network that is not allowed: %v, want 403", p)
	}
	laptop.at("")
	if p := laptop.get(qrPage); p.button("public").pressed != "false" {
		t.Error("someone else made the choice")
	}
	if p := nobody.doOnce(nobody.request(http.MethodPost, qrPage+"/public", url.Values{"public": {"yes"}}, "Sec-Fetch-Site", "same-origin")); p.Status != http.StatusSeeOther || p.Header.Get("Set-Cookie") != "" {
		t.Errorf("a browser without a code: %v with the cookie %q, want only the page", p, p.Header.Get("Set-Cookie"))
	}
	laptop.setCookies(before)
	laptop.wantState("waiting")
}

// The limits of a session are settings, and its cookie follows.
func TestSessionLifetimeSetting(t *testing.T) {
	t.Parallel()
	_, laptop, phone := pair(t, "SESSION_LIFETIME=1h")
	phone.approve(laptop.code())
	laptop.awaitApproved()
	if c := laptop.claimCookie(); c.MaxAge != 60*60 {
		t.Errorf("the session's cookie is %v, want it to last an hour", c)
	}
}

// A person names a device, for their own list only.
func TestDeviceName(t *testing.T) {
	t.Parallel()
	b, laptop, phone := pair(t)
	desk := b.browser(t).as(linuxAgent)
	desk.logIn(richard)
	laptop.logInWith(phone)
	ref := laptop.ref()
	name := func(by *browser, name string) page {
		t.Helper()
		return by.post("/devices/"+ref+"/name", url.Values{"name": {name}})
	}
	if p := name(laptop, "Richard's phone"); p.Status != http.StatusForbidden {
		t.Errorf("a laptop that is in question names itself: %v, want 403", p)
	}
	if laptop.get("/devices").has("naming") {
		t.Error("a laptop that is in question is offered names")
	}
	const given = "Kitchen <laptop>\u202e"
	if p := name(phone, given); p.URL.Path != "/devices" || p.Status != http.StatusOK {
		t.Errorf("naming leads to %v, want the devices", p)
	}
	card := func() string {
		t.Helper()
		for _, d := range phone.devices() {
			if d.ref == ref {
				return d.text
			}
		}
		t.Fatal("the laptop is not listed")
		return ""
	}
	if got := card(); !strings.HasPrefix(got, "Kitchen <laptop>") || !strings.Contains(got, "Firefox on Windows") || strings.Contains(got, "\u202e") {
		t.Errorf("the card is %q, want the name, and the browser's own", got)
	}
	if _, text := phone.get("/account").questions(); !strings.Contains(text, "Firefox on Windows") || strings.Contains(text, "Kitchen") {
		t.Errorf("the person is asked %q, want about Firefox on Windows", text)
	}
	if p := phone.get("/devices/others/end"); !p.says("Kitchen <laptop>: Firefox on Windows") {
		t.Errorf("the question before all are ended is %v, want the name, and the browser's own", p)
	}
	laptop.logIn(richard)
	if got := card(); !strings.HasPrefix(got, "Kitchen <laptop>") {
		t.Errorf("after another login there the card is %q, want the name", got)
	}
	if p := phone.endDevice(ref); !p.says("Firefox on Windows") {
		t.Errorf("ending it: %v, want the browser's own name", p)
	}
	if p := name(phone, "Too late"); !p.says("Already") {
		t.Errorf("naming an ended device: %v", p)
	}
	ref = desk.ref()
	name(phone, "Desk")
	if p := name(phone, strings.Repeat("x", 100_000)); p.Status != http.StatusBadRequest || !strings.HasPrefix(card(), "Desk") {
		t.Errorf("a form that is too long: %v, want 400 and the name as it was; the card is %q", p, card())
	}
	name(phone, " ")
	if got := card(); !strings.HasPrefix(got, "Chrome on Linux") {
		t.Errorf("without a name the card is %q, want the browser's own", got)
	}
	if strings.Contains(b.log.String(), "Kitchen") {
		t.Error("the log has the name")
	}
}

// The choice works by keyboard, with and without JavaScript, and the page keeps the
// same code.
func TestPublicComputerInBrowser(t *testing.T) {
	t.Parallel()
	b, chromium := startBank(t), startChromium(t)
	laptop, phone := windows(t, chromium)
	phone.logIn(b, richard)
	plain := newWindow(t, chromium, "laptop without JavaScript", 1280, 800)
	plain.disableScript()
	for _, w := range []*window{laptop, plain} {
		link := w.showCode(b)
		code := w.text(`#user-code`)
		w.tabTo(`#public button`)
		w.press(" ")
		w.await(`#public [aria-pressed="true"]`)
		w.tabTo(`#public button`)
		w.press(kb.Enter)
		w.await(`#public [aria-pressed="false"]`)
		w.click(`#public button`)
		w.await(`#public [aria-pressed="true"]`)
		if got := w.text(`#user-code`); got != code {
			t.Errorf("%s: after the choice the code is %q, want %q", w.name, got, code)
		}
		phone.open(link)
		phone.answer("yes")
		w.await(`#public-computer`)
		w.awaitPerson(richard)
	}
}
