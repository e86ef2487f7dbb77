package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// topFolder is where the tests were started, before TestMain leaves it.
var topFolder, _ = os.Getwd()

// needAxe returns the script that looks for what keeps people out.
func needAxe(t *testing.T) string {
	t.Helper()
	script, err := os.ReadFile(filepath.Join(topFolder, "internal/testaxe/node_modules/axe-core/axe.min.js"))
	if err != nil {
		lack(t, "axe-core is not installed (npm ci --prefix internal/testaxe), so the pages' accessibility is not tested.")
	}
	return string(script)
}

// shifts is how much of the page has moved under its reader's eyes.
const shifts = `new Promise((done) => {
	let sum = 0;
	new PerformanceObserver((list) => {
		for (const entry of list.getEntries()) if (!entry.hadRecentInput) sum += entry.value;
	}).observe({ type: "layout-shift", buffered: true });
	setTimeout(() => done(sum), 100);
})`

// violations asks axe for what it finds, with where it finds it.
const violations = `axe.run(document, %OPTIONS%).then((found) => found.violations.map((v) =>
	v.id + ": " + v.help + "\n" + v.nodes.map((n) => "\t" + n.html + "\n\t" + n.failureSummary).join("\n")))`

// Every page, in every state that it can come to, on a laptop and on a phone,
// light and dark: no barrier that axe knows of, nothing that moves while it
// loads, nothing cut off on the narrowest phone.
func TestAccessibility(t *testing.T) {
	axe := needAxe(t)
	all := strings.ReplaceAll(violations, "%OPTIONS%", `{}`)
	colours := strings.ReplaceAll(violations, "%OPTIONS%", `{ runOnly: ["color-contrast"] }`)
	seen := 0
	tour(t, startChromium(t), func(w *window, name string) {
		seen++
		if moved := evaluate[float64](w, shifts); moved != 0 {
			t.Errorf("%s: the layout shifts by %.3f", name, moved)
		}
		evaluate[chromedp.Void](w, axe+";0")
		for _, view := range []struct {
			width, height int64
			scheme, rules string
		}{
			{1280, 800, "light", all},
			{1280, 800, "dark", colours},
			{390, 844, "dark", colours},
			{390, 844, "light", all},
		} {
			w.resize(view.width, view.height, view.scheme)
			for _, found := range evaluate[[]string](w, view.rules) {
				t.Errorf("%s, %dx%d, %s: %s", name, view.width, view.height, view.scheme, found)
			}
		}
		for _, width := range []int64{320, 2560} {
			w.resize(width, 640, "light")
			if got := evaluate[int64](w, `document.documentElement.scrollWidth`); got > width {
				t.Errorf("%s is %d pixels wide in a window of %d", name, got, width)
			}
		}
		w.resize(w.width, w.height, "light")
	})
	if seen < 35 {
		t.Errorf("the tour has shown %d pages only", seen)
	}
}

// Two people log in by keyboard alone, and see where they are.
func TestByKeyboard(t *testing.T) {
	chromium := startChromium(t)
	b := startBank(t)
	laptop := newWindow(t, chromium, "laptop", 1280, 800)
	phone := newWindow(t, chromium, "phone", 390, 844)

	phone.open(b.URL)
	phone.tabTo(`main a[href="/login"]`)
	phone.press(kb.Enter)
	phone.await(`input[name="email"]`)
	phone.press(richard)
	phone.tabTo(`input[name="password"]`)
	phone.press(b.password + kb.Enter)
	phone.await(`#account-email`)
	phone.tabTo(`main a[href="/activate"]`)
	phone.press(kb.Enter)
	phone.await(`#activate`)

	laptop.open(b.URL)
	laptop.tabTo(`.skip`)
	laptop.press(kb.Enter)
	laptop.tabTo(`main a[href="/logged-out-qr-login"]`)
	laptop.press(kb.Enter)
	laptop.await(`[data-state="waiting"]`)
	code := laptop.text(`#user-code`)
	laptop.tabTo(`form[action$="/cancel"] button`)
	laptop.press(" ")
	laptop.await(`[data-state="cancelled"]`)
	laptop.tabTo(`#new-code button`)
	laptop.press(kb.Enter)
	laptop.await(`[data-state="waiting"]`)
	if again := laptop.text(`#user-code`); again == code {
		t.Errorf("the new code is the old one, %s", code)
	}

	phone.press(strings.ToLower(laptop.text(`#user-code`)) + kb.Enter)
	phone.await(`#approve`)
	phone.tabTo(`#approve button[value="yes"]`)
	phone.press(kb.Enter)
	laptop.await(`#account-email`)
	phone.await(`[data-state="claimed"]`)
	laptop.tabTo(`.who a[href="/logout"]`)
	laptop.press(kb.Enter)
	laptop.await(`#logout button`)
	laptop.tabTo(`#logout button`)
	laptop.press(kb.Enter)
	laptop.await(`.who a[href="/login"]`)
}

// A whole login without a script: the pages refresh, and end up there.
func TestWithoutJavaScript(t *testing.T) {
	chromium := startChromium(t)
	b := startBank(t)
	laptop := newWindow(t, chromium, "laptop", 1280, 800)
	phone := newWindow(t, chromium, "phone", 390, 844)
	for _, w := range []*window{laptop, phone} {
		w.do("switch JavaScript off", func(ctx context.Context, _ *chromedp.Target) (chromedp.Void, error) {
			_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
			return chromedp.Void{}, err
		})
	}
	phone.open(b.URL + "/login")
	phone.logInAtProvider(b, richard)
	laptop.open(b.URL + "/logged-out-qr-login")
	phone.open(laptop.scan())
	laptop.await(`[data-state="opened"]`)
	phone.click(`#approve button[value="yes"]`)
	laptop.await(`#account-email`)
	phone.await(`[data-state="claimed"]`)
	if got := laptop.text(`#account-email`); got != richard {
		t.Errorf("the laptop is logged in as %q, want %s", got, richard)
	}
}

// press types keys where the focus is.
func (w *window) press(keys string) {
	w.t.Helper()
	w.do("press "+keys, chromedp.KeyEvent(keys))
}

// tabTo presses Tab until the element has the focus, and sees that it shows.
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
				w.t.Errorf("%s at %s: the focus on %s cannot be seen", w.name, w.at(), selector)
			}
			return
		}
		w.press(kb.Tab)
	}
	w.t.Fatalf("%s at %s: no Tab leads to %s", w.name, w.at(), selector)
}
