package tests

import (
	"os"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"changebank/internal/testneed"
)

// needAxe returns the script that finds barriers in a page.
func needAxe(t *testing.T) string {
	t.Helper()
	script, err := os.ReadFile("../internal/testaxe/node_modules/axe-core/axe.min.js")
	if err != nil {
		testneed.Missing(t, "axe-core is not installed (npm ci --prefix internal/testaxe), so accessibility is not tested.")
	}
	return string(script)
}

// layoutShifts says what of the page has moved since it was opened, and by how
// much.
const layoutShifts = `new Promise((done) => {
	const moved = [];
	new PerformanceObserver((list) => {
		for (const entry of list.getEntries()) if (!entry.hadRecentInput) {
			const rect = (r) => [r.x, r.y, r.width, r.height].join(" ");
			moved.push(entry.value + ": " + entry.sources.map((s) =>
				(s.node?.outerHTML ?? s.node?.textContent ?? "").slice(0, 80) + " from " + rect(s.previousRect) + " to " + rect(s.currentRect)).join("; "));
		}
	}).observe({ type: "layout-shift", buffered: true });
	setTimeout(() => done(moved), 100);
})`

// violations asks axe what it finds, and where.
const violations = `axe.run(document, %OPTIONS%).then((found) => found.violations.map((v) =>
	v.id + ": " + v.help + "\n" + v.nodes.map((n) => "\t" + n.html + "\n\t" + n.failureSummary).join("\n")))`

// sameNames returns the names that several buttons have: in a list of a page's
// buttons, a screen reader says nothing else about them.
const sameNames = `[...document.querySelectorAll("button")].map((b) => b.ariaLabel || b.textContent.trim()).filter((name, i, all) => all.indexOf(name) !== i)`

// On every page in every state, on a laptop and on a phone, light and dark: axe
// finds no barrier, nothing moves while the page loads, and nothing is cut off
// on the narrowest phone.
func TestAccessibility(t *testing.T) {
	t.Parallel()
	axe := needAxe(t)
	all := strings.ReplaceAll(violations, "%OPTIONS%", `{}`)
	colors := strings.ReplaceAll(violations, "%OPTIONS%", `{ runOnly: ["color-contrast"] }`)
	seen := 0
	tour(t, func(w *window, name string) {
		seen++
		for _, moved := range evaluate[[]string](w, layoutShifts) {
			t.Errorf("%s: the layout shifts by %s", name, moved)
		}
		evaluate[chromedp.Void](w, axe+";0")
		for _, view := range []struct {
			width, height int64
			scheme, rules string
		}{
			{1280, 800, "light", all},
			{1280, 800, "dark", colors},
			{390, 844, "dark", colors},
			{390, 844, "light", all},
		} {
			w.resize(view.width, view.height, view.scheme)
			for _, found := range evaluate[[]string](w, view.rules) {
				t.Errorf("%s, %dx%d, %s: %s", name, view.width, view.height, view.scheme, found)
			}
		}
		if same := evaluate[[]string](w, sameNames); len(same) > 0 {
			t.Errorf("%s: several buttons have the name %q", name, same)
		}
		for _, width := range []int64{320, 2560} {
			w.resize(width, 640, "light")
			if got := evaluate[int64](w, `document.documentElement.scrollWidth`); got > width {
				t.Errorf("%s is %d pixels wide in a window of %d", name, got, width)
			}
		}
		w.resize(w.width, w.height, "light")
	})
	if seen < 40 {
		t.Errorf("the tour shows only %d pages", seen)
	}
}

// Two people log in with the keyboard alone, and see where the focus is.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := windows(t, startChromium(t))

	phone.open(b.URL)
	phone.tabTo(`main a[href="/login"]`)
	phone.press(kb.Enter)
	phone.await(`input[name="email"]`)
	phone.press(richard)
	phone.tabTo(`input[name="password"]`)
	phone.press(b.password + kb.Enter)
	phone.awaitPerson(richard)
	phone.tabTo(`main a[href="/activate"]`)
	phone.press(kb.Enter)
	phone.await(`#activate`)

	laptop.open(b.URL)
	laptop.tabTo(`.skip`)
	laptop.press(kb.Enter)
	laptop.tabTo(`main a[href^="/logged-out-qr-login"]`)
	laptop.press(kb.Enter)
	laptop.awaitState("waiting")
	code := laptop.text(`#user-code`)
	laptop.tabTo(`form[action$="/cancel"] button`)
	laptop.press(" ")
	laptop.awaitState("cancelled")
	laptop.tabTo(`#new-code button`)
	laptop.press(kb.Enter)
	laptop.awaitState("waiting")
	next := laptop.text(`#user-code`)
	if next == code {
		t.Errorf("the new code is the cancelled one, %s", code)
	}

	phone.press(strings.ToLower(next) + kb.Enter)
	phone.await(`#approve`)
	phone.tabTo(`#approve button[value="yes"]`)
	phone.await(`#approve button[value="yes"]:not([aria-disabled])`)
	phone.press(kb.Enter)
	laptop.awaitPerson(richard)
	phone.awaitState("claimed")
	laptop.tabTo(`.who a[href="/logout"]`)
	laptop.press(kb.Enter)
	laptop.await(`#logout button`)
	laptop.tabTo(`#logout button`)
	laptop.press(kb.Enter)
	laptop.await(`.who a[href="/login"]`)
}
