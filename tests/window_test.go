package tests

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// What a person does in a window of Chromium.

func (w *window) open(url string) {
	w.t.Helper()
	w.do("open "+url, chromedp.Navigate(url))
}

// await waits until an element is visible.
func (w *window) await(selector string) {
	w.t.Helper()
	w.do("wait for "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
}

// awaitState waits until the page shows a state of the login.
func (w *window) awaitState(state string) {
	w.t.Helper()
	w.await(`#login-state[data-state="` + state + `"]`)
}

// awaitPerson waits until the page says that this person is logged in.
func (w *window) awaitPerson(email string) {
	w.t.Helper()
	w.await(`#account-email`)
	if got := w.text(`#account-email`); got != email {
		w.t.Errorf("%s is logged in as %q, want %s", w.name, got, email)
	}
}

func (w *window) click(selector string) {
	w.t.Helper()
	w.do("click "+selector, chromedp.Click(chromedp.CSS(selector)))
}

// answer presses yes or no on the phone's page.
func (w *window) answer(answer string) {
	w.t.Helper()
	w.click(`#approve button[value="` + answer + `"]:not([aria-disabled])`) // which it is for a moment
}

// fill types text into a field. "\r" is the Enter key.
func (w *window) fill(selector, text string) {
	w.t.Helper()
	w.do("type into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
}

// typeNumber types into the field for the number.
func (w *window) typeNumber(text string) {
	w.t.Helper()
	w.fill(`#confirm-number input[name="number"]`, text)
}

// press types keys where the focus is.
func (w *window) press(keys string) {
	w.t.Helper()
	w.do("press "+keys, chromedp.KeyEvent(keys))
}

// tabTo presses Tab until an element has the focus, and checks that the focus
// is visible.
func (w *window) tabTo(selector string) {
	w.t.Helper()
	w.await(selector)
	quoted, err := json.Marshal(selector)
	if err != nil {
		w.t.Fatal(err)
	}
	for range 30 {
		if evaluate[bool](w, `document.activeElement.matches(`+string(quoted)+`)`) {
			if !evaluate[bool](w, `getComputedStyle(document.activeElement).outlineStyle !== "none" && parseFloat(getComputedStyle(document.activeElement).outlineWidth) >= 2`) {
				w.t.Errorf("%s at %s: the focus on %s is invisible", w.name, w.location(), selector)
			}
			return
		}
		w.press(kb.Tab)
	}
	w.t.Fatalf("%s at %s: no Tab leads to %s", w.name, w.location(), selector)
}

// logIn logs in with a password at the demo provider.
func (w *window) logIn(b *bank, email string) {
	w.t.Helper()
	w.open(b.URL + "/login")
	w.logInAtProvider(b, email)
}

// logInAtProvider fills in the demo provider's login page.
func (w *window) logInAtProvider(b *bank, email string) {
	w.t.Helper()
	w.fill(`input[name="email"]`, email)
	w.fill(`input[name="password"]`, b.password+"\r")
	w.awaitPerson(email)
}

// showCode opens the laptop's page, and returns the link that a phone reads off
// the screen.
func (w *window) showCode(b *bank) (link string) {
	w.t.Helper()
	w.open(b.URL + qrPage)
	w.awaitState("waiting")
	return w.scan()
}

func (w *window) text(selector string) string {
	w.t.Helper()
	text, err := chromedp.Run(w.ctx, chromedp.Text(chromedp.CSS(selector)))
	if err != nil {
		w.t.Fatalf("%s: read %s: %v", w.name, selector, err)
	}
	return strings.TrimSpace(text)
}

// has reports whether the page has such an element now.
func (w *window) has(selector string) bool {
	w.t.Helper()
	return evaluate[int](w, "document.querySelectorAll(`"+selector+"`).length") > 0
}

func (w *window) back() {
	w.t.Helper()
	w.do("go back", chromedp.NavigateBack())
}

// setHidden puts the page behind another tab, or in front again. Chromium without
// a screen shows every tab.
func (w *window) setHidden(hidden bool) {
	w.t.Helper()
	w.run(fmt.Sprintf(`Object.defineProperty(Document.prototype, "hidden", { configurable: true, get: () => %t });
		document.dispatchEvent(new Event("visibilitychange"))`, hidden))
}

// location returns the page's address.
func (w *window) location() string {
	w.t.Helper()
	at, err := chromedp.Run(w.ctx, chromedp.Location())
	if err != nil {
		w.t.Fatal(err)
	}
	return at
}

// run executes a statement in the window's page.
func (w *window) run(statement string) {
	w.t.Helper()
	evaluate[chromedp.Void](w, statement+"; 0")
}

// evaluate returns the value of an expression in the window's page.
func evaluate[T any](w *window, expression string) T {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, stepTimeout)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		w.t.Fatalf("%s at %s: %v", w.name, w.location(), err)
	}
	return value
}
