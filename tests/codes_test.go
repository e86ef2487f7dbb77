package tests

import (
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// spoken returns what a screen reader reads of the page's main part, which has
// no CSS that matters to it.
func (p page) spoken() string {
	p.t.Helper()
	var text strings.Builder
	var read func(node *html.Node)
	read = func(node *html.Node) {
		if node.Type == html.TextNode {
			text.WriteString(node.Data + " ")
		}
		if attr(node, "aria-hidden") == "true" {
			return
		}
		for child := range node.ChildNodes() {
			read(child)
		}
	}
	read(p.find("main", ""))
	return strings.Join(strings.Fields(text.String()), " ")
}

// Codes and numbers are read out character by character, and no translator
// changes them. What is seen, copied and read by scripts is the code as given.
func TestSpokenCodes(t *testing.T) {
	t.Parallel()
	_, laptop, phone := farPair(t)
	shown, link := laptop.showCode()
	code := shown.text("user-code")
	question := phone.get(link)
	number := phone.answer(question, "yes")
	for name, tt := range map[string]struct {
		page page
		id   string
	}{
		"laptop": {shown, "user-code"}, "question": {question, "user-code"}, "number": {number, "number"},
	} {
		whole := tt.page.text(tt.id)
		spaced := strings.Join(strings.Split(whole, ""), " ")
		spoken := strings.ReplaceAll(tt.page.spoken(), ",", "")
		if !strings.Contains(spoken, spaced) || strings.Contains(spoken, whole) {
			t.Errorf("%s: %q is read, want %q, and not as a word", name, spoken, spaced)
		}
		if tt.page.attr(tt.id, "translate") != "no" {
			t.Errorf("%s: a translator may change the code", name)
		}
	}
	if question.text("user-code") != code || number.number() == "" {
		t.Errorf("the phone shows the code %q, want %q", question.text("user-code"), code)
	}
}

// The phone announces what has changed: the number digit by digit, and no
// button.
func TestPhoneAnnouncements(t *testing.T) {
	t.Parallel()
	b, laptop, phone := farWindows(t)
	link := laptop.showCode(b)
	phone.open(link)
	phone.answer("yes")
	phone.awaitState("number")
	laptop.click(`form[action$="/cancel"] button`)
	phone.awaitState("cancelled")
	announced := func() string { return evaluate[string](phone, `document.getElementById("announce").textContent`) }
	if got := announced(); !strings.Contains(got, phone.text(`#login-state h1`)) || strings.Contains(got, "Your account") {
		t.Errorf("%q is announced, want what happened and no button", got)
	}
}

// The code is seen whole, and a camera reads it, on the lowest and narrowest
// screen: a page at 400 % on a small laptop, or a phone on its side.
func TestCodeFits(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, _ := windows(t, startChromium(t))
	link := laptop.showCode(b)
	for _, size := range [][2]int64{{1280, 800}, {640, 330}, {390, 844}, {844, 390}, {320, 256}, {320, 568}} {
		for _, scheme := range []string{"light", "dark"} {
			laptop.resize(size[0], size[1], scheme)
			laptop.run(`document.getElementById("qr-code").scrollIntoView({ block: "center" })`)
			if !evaluate[bool](laptop, `(() => {
				const box = document.querySelector(".paper").getBoundingClientRect();
				return box.top >= 0 && box.left >= 0 && box.bottom <= innerHeight && box.right <= innerWidth && box.width >= 190;
			})()`) {
				t.Errorf("in a window of %dx%d no scroll position shows the whole code", size[0], size[1])
			}
			if got := laptop.scan(); got != link {
				t.Errorf("in a window of %dx%d, %s, the code reads %q, want %q", size[0], size[1], scheme, got, link)
			}
		}
	}
}
