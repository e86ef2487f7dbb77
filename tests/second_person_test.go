package tests

import (
	"net/http"
	"net/url"
	"regexp"
	"testing"
)

// Someone photographs the code on the victim's screen and opens it, too, on
// the same network. Now the number is required although all are near, and only
// the phone that approved first shows it.
func TestShoulderSurfer(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	victim := func() (laptop, phone, surfer *browser, theirs, mine page) {
		laptop, phone = b.pair(t)
		surfer = b.browserOf(t, erlich)
		link := laptop.code()
		theirs, mine = surfer.get(link), phone.get(link)
		if theirs.has("second") || !mine.has("second") || !surfer.get(link).has("second") {
			t.Error("one of the two is not told that someone else opened the code")
		}
		return laptop, phone, surfer, theirs, mine
	}

	laptop, phone, surfer, theirs, mine := victim()
	number := phone.answer(mine, "yes").number()
	for _, answer := range []string{"yes", "no"} {
		if p := surfer.answer(theirs, answer); p.Status != http.StatusForbidden || p.has("number") {
			t.Errorf("the surfer answers %s after the victim's approval: %v, want 403", answer, p)
		}
	}
	laptop.confirm(number, richard)
	if hasNumber(surfer.seen.String(), number) {
		t.Error("the surfer has seen the number")
	}

	laptop, phone, surfer, theirs, mine = victim()
	surfer.answer(theirs, "yes").number()
	if p := phone.answer(mine, "yes"); p.Status != http.StatusForbidden || !p.says("cancel") {
		t.Errorf("the victim's approval after the surfer's: %v, want 403 and what to do", p)
	}
	laptop.wantState("number")
	laptop.wantNoLogin("without the surfer's number")

	b.wantSteps(t, "opened by a second person", 2)
	refused := regexp.MustCompile(`step=refused rule="other person" attempt=[A-Z2-7]{8} `)
	if got := len(refused.FindAllString(b.log.String(), -1)); got != 3 {
		t.Errorf("the log has %d answers by the wrong person, want 3", got)
	}
}

// A code that is approved but not yet logged in is passed on. Another person
// gets neither question nor number, another phone of the same person shows what
// the first one shows, and one session comes of it.
func TestSecondPhone(t *testing.T) {
	t.Parallel()
	b, laptop, phone := farPair(t)
	tablet, other := b.browserOf(t, richard).at(thirdAddr), b.browserOf(t, erlich).at(homeAddr)
	link := laptop.code()
	early := tablet.get(link)
	number := phone.approve(link).number()
	if p := other.get(link); p.Status != http.StatusForbidden || p.find("form", "approve") != nil {
		t.Errorf("another person is shown %v, want 403", p)
	}
	if got := tablet.answer(early, "yes").number(); got != number {
		t.Error("a second approval by the same person shows another number")
	}
	laptop.confirm(number, richard)
	if got := len(phone.devices()); got != 3 {
		t.Errorf("%d sessions, want the two phones' and the laptop's", got)
	}
	for name, p := range map[string]page{"phone": phone.get(link), "tablet": tablet.get(link)} {
		if p.state() != "claimed" || p.has("number") {
			t.Errorf("in the end the %s is %q, and shows a number: %t", name, p.state(), p.has("number"))
		}
	}
	if hasNumber(other.seen.String(), number) {
		t.Error("another person has seen the number")
	}
}

// Where no number is asked for, only the first person who opens a code can
// answer.
func TestSecondPerson(t *testing.T) {
	t.Parallel()
	b, laptop, first := pair(t, "CONFIRM_NUMBER=never")
	second := b.browserOf(t, erlich)
	link := laptop.code()
	question := first.get(link)
	if p := second.get(link); p.Status != http.StatusForbidden || p.find("form", "approve") != nil {
		t.Errorf("a second person is shown %v, want 403", p)
	}
	form := url.Values{"user_code": {question.text("user-code")}, "attempt": {attemptOf(question)}, "answer": {"yes"}}
	if p := second.post("/activate", form); p.Status != http.StatusForbidden {
		t.Errorf("a second person's approval: %v, want 403", p)
	}
	first.answer(question, "yes")
	laptop.claim(richard)
}

// attemptOf returns the attempt that the phone's form is about.
func attemptOf(question page) string {
	for node := range question.find("form", "approve").Descendants() {
		if attr(node, "name") == "attempt" {
			return attr(node, "value")
		}
	}
	return ""
}
