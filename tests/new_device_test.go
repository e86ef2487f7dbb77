package tests

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// questions returns the sessions that the page asks "Was that you?" about, and
// what it says.
func (p page) questions() (refs []string, text string) {
	for node := range p.doc.Descendants() {
		if strings.Contains(attr(node, "class"), "new-device") {
			refs, text = append(refs, attr(node, "data-ref")), text+textOf(node)
		}
	}
	return refs, text
}

// wantQuestions checks which sessions the account page and the page of devices
// ask about.
func (b *browser) wantQuestions(when string, refs ...string) {
	b.t.Helper()
	for _, path := range []string{"/account", "/devices"} {
		if got, _ := b.get(path).questions(); !slices.Equal(got, refs) {
			b.t.Errorf("%s: %s asks about %q, want %q", when, path, got, refs)
		}
	}
}

// After a QR login the person's other sessions ask about it, and the answer in
// one of them counts in all.
func TestNewDevice(t *testing.T) {
	t.Parallel()
	b, laptop, phone := pair(t)
	desk, other, stranger := b.browserOf(t, richard), b.browser(t).as(linuxAgent), b.browserOf(t, erlich)
	phone.wantQuestions("before any QR login")
	laptop.logInWith(phone)
	mine := laptop.ref()
	phone.wantQuestions("after a QR login, on the phone", mine)
	desk.wantQuestions("after a QR login, elsewhere", mine)
	laptop.wantQuestions("after a QR login, on the laptop itself")
	stranger.wantQuestions("after another person's QR login")
	if _, text := phone.get("/account").questions(); !strings.Contains(text, "Firefox on Windows") {
		t.Errorf("the phone is asked %q, want about Firefox on Windows", text)
	}

	other.logInWith(phone)
	theirs := other.ref()
	if p := phone.press(phone.get("/account"), "/devices/"+mine+"/confirm"); p.Status != http.StatusOK || !p.has("devices") {
		t.Errorf("confirming leads to %v, want the devices", p)
	}
	phone.wantQuestions("after the answer", theirs)
	desk.wantQuestions("after the answer, elsewhere", theirs)
	laptop.wantQuestions("after the answer, on the laptop that it was about", theirs)
	if p := laptop.press(laptop.get("/account"), "/devices/"+theirs+"/end"); p.Status != http.StatusOK || !p.says("Chrome on Linux") {
		t.Errorf("ending the unknown device: %v, want which one", p)
	}
	other.wantPerson("")
	phone.wantQuestions("after the denial")
	if p := phone.post("/devices/"+theirs+"/confirm", nil); !p.says("Already") {
		t.Errorf("confirming an ended session: %v, want that it had ended already", p)
	}

	// A laptop that logs in by password is no longer in question.
	third := b.browser(t)
	third.logInWith(phone)
	third.logIn(richard)
	phone.wantQuestions("after the laptop's own login")
}

// A phone that was tricked has logged in several laptops. None of them may
// confirm itself or another, or log out those who could end it.
func TestUnconfirmedDevice(t *testing.T) {
	t.Parallel()
	b, laptop, phone := pair(t)
	accomplice := b.browser(t)
	laptop.logInWith(phone)
	accomplice.logInWith(phone)
	first, second := laptop.ref(), accomplice.ref()
	accomplice.wantQuestions("on a laptop that is in question itself")
	for _, path := range []string{
		"/devices/" + first + "/confirm", "/devices/" + second + "/confirm",
		"/devices/" + phone.ref() + "/end", "/devices/others/end",
	} {
		for name, by := range map[string]*browser{"first": laptop, "second": accomplice} {
			if p := by.post(path, nil); p.Status != http.StatusForbidden || !strings.Contains(p.text("error"), "phone") {
				t.Errorf("%s by the %s laptop: %v, want 403 and where to do it", path, name, p)
			}
		}
	}
	phone.wantQuestions("after all that", second, first)
	phone.wantPerson(richard)
}

// Every button names its device, also where two devices have the same name: a
// screen reader lists buttons without what is around them.
func TestButtonNames(t *testing.T) {
	t.Parallel()
	b, first, phone := pair(t)
	first.logInWith(phone)
	b.browser(t).logInWith(phone)
	for path, want := range map[string]int{"/account": 4, "/devices": 10} {
		var names []string
		for node := range phone.get(path).find("main", "").Descendants() {
			if node.Data != "button" {
				continue
			}
			name := attr(node, "aria-label")
			if words := textOf(node); !strings.HasPrefix(name, words) {
				t.Errorf("%s: the button %q is called %q, which does not begin with its words", path, words, name)
			}
			names = append(names, name)
		}
		slices.Sort(names)
		if len(names) != want || len(slices.Compact(slices.Clone(names))) != want {
			t.Errorf("%s: the buttons are called %q, want %d different names", path, names, want)
		}
	}
}
