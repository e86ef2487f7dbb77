package tests

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

// A double click on another site: the first click opens our page in the same
// window, and the second hits Yes a moment later. A person cannot have read the
// question by then, so it is asked again, and approving after a moment works.
func TestApprovedTooSoon(t *testing.T) {
	t.Parallel()
	b, laptop, phone := pair(t)
	link := laptop.code()
	yes := url.Values{"answer": {"yes"}}
	question := phone.get(link)
	p := phone.submit(question, "approve", yes)
	if p.Status != http.StatusUnprocessableEntity || p.state() != "opened" || !p.says("very quick") {
		t.Fatalf("a yes at once: %v, want the question again and why", p)
	}
	if p.attr("approve", "action") != "/activate" || p.find("form", "approve") == nil {
		t.Fatalf("the question has no form: %v", p)
	}
	laptop.wantState("opened")

	// The redraw keeps the time of the first question.
	time.Sleep(time.Until(question.came.Add(readingTime)))
	if p = phone.submit(p, "approve", yes); p.state() == "opened" {
		t.Errorf("a yes after a moment: %v", p)
	}
	laptop.claim(richard)

	// A no needs no time, and neither a stamp of another question nor of another
	// person counts.
	other := b.browser(t)
	otherLink := other.code()
	stale := url.Values{"answer": {"yes"}, "shown": {inputOf(question, "shown")}}
	if p := phone.submit(phone.get(otherLink), "approve", stale); p.state() != "opened" {
		t.Errorf("a yes with another question's stamp: %v", p)
	}
	if p := phone.submit(phone.get(otherLink), "approve", url.Values{"answer": {"yes"}, "shown": {""}}); p.state() != "opened" {
		t.Errorf("a yes without a stamp: %v", p)
	}
	if p := phone.submit(phone.get(otherLink), "approve", url.Values{"answer": {"no"}}); p.state() != "denied" {
		t.Errorf("a no at once: %v", p)
	}
}

// inputOf returns the value of a form's field.
func inputOf(p page, name string) string {
	for node := range p.find("form", "approve").Descendants() {
		if attr(node, "name") == name {
			return attr(node, "value")
		}
	}
	return ""
}

// In a browser, the buttons do nothing until the page has been in front for a
// moment, and then work with a click and with the keyboard.
func TestDoubleClickInBrowser(t *testing.T) {
	t.Parallel()
	b, laptop, phone := windowPair(t)
	link := laptop.showCode(b)
	phone.open(link)
	phone.run(`document.querySelector('#approve button[value="yes"]').click()`)
	laptop.awaitState("opened")
	if !phone.has(`#approve button[aria-disabled]`) {
		t.Error("the buttons are not marked as disabled in the first moment")
	}
	enabled := `#approve button[value="yes"]:not([aria-disabled])`
	phone.await(enabled)
	phone.run(`dispatchEvent(new Event("blur")); document.querySelector('#approve button[value="yes"]').click()`)
	laptop.awaitState("opened")
	if phone.has(enabled) {
		t.Error("the buttons work while the page is behind another window")
	}
	phone.run(`dispatchEvent(new Event("focus"))`)
	phone.answer("yes")
	laptop.awaitPerson(richard)
}
