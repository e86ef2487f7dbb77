package tests

import (
	"testing"
)

// farWindows is windowPair with the laptop on another network than the phone.
func farWindows(t *testing.T) (b *bank, laptop, phone *window) {
	t.Helper()
	b, laptop, phone = windowPair(t)
	laptop.at(awayAddr)
	phone.at(homeAddr)
	return b, laptop, phone
}

// wantNumberFocus checks that the cursor is in the field for the number.
func (w *window) wantNumberFocus() {
	w.t.Helper()
	if !evaluate[bool](w, `document.activeElement.matches('#confirm-number input[name="number"]')`) {
		w.t.Errorf("%s: the cursor is not in the field", w.name)
	}
}

// On different networks the laptop asks for the number without a reload, with
// the cursor in the field, and a slip costs one try.
func TestNumber(t *testing.T) {
	t.Parallel()
	b, laptop, phone := farWindows(t)
	phone.open(laptop.showCode(b))
	phone.await(`#far`)
	laptop.awaitState("opened")
	laptop.run("window.sameDocument = true")
	phone.answer("yes")
	phone.await(`#number`)
	laptop.await(`#confirm-number`)
	if !evaluate[bool](laptop, "window.sameDocument === true") {
		t.Error("the page was reloaded")
	}
	laptop.wantNumberFocus()

	number := phone.text(`#number`)
	laptop.expect("422") // which browsers report
	laptop.typeNumber(wrongNumber(number) + "\r")
	laptop.await(`#problem`)
	laptop.wantNumberFocus()
	laptop.typeNumber(number[:2] + " " + number[2:] + "\r") // as it is read aloud
	laptop.awaitPerson(richard)
	phone.awaitState("claimed")
}

// A denial on the phone while someone types on the laptop removes the field.
func TestDenyWhileTyping(t *testing.T) {
	t.Parallel()
	b, laptop, phone := farWindows(t)
	phone.open(laptop.showCode(b))
	laptop.awaitState("opened")
	laptop.run(`document.querySelector(".who a").focus()`) // the field takes the focus from there
	phone.answer("yes")
	laptop.await(`#confirm-number`)
	laptop.wantNumberFocus()
	laptop.typeNumber("12")
	phone.answer("no")
	phone.awaitState("denied")
	laptop.awaitState("denied")
	laptop.await(`#new-code button`)
}

// Without JavaScript the laptop's page refreshes, but not while someone types
// the number.
func TestNumberWithoutJavaScript(t *testing.T) {
	t.Parallel()
	b, laptop, phone := farWindows(t)
	laptop.disableScript()
	phone.open(laptop.showCode(b))
	laptop.awaitState("opened")
	const refresh = `meta[http-equiv="refresh"]`
	if !laptop.has(refresh) {
		t.Error("the page does not refresh while it waits")
	}
	phone.answer("yes")
	laptop.await(`#confirm-number`)
	if laptop.has(refresh) {
		t.Error("the page refreshes while someone types")
	}
	laptop.typeNumber(phone.text(`#number`) + "\r")
	laptop.awaitPerson(richard)
}

// The operator decides whether the number is asked for on one network, too, or
// never.
func TestConfirmNumber(t *testing.T) {
	t.Parallel()
	t.Run("always", func(t *testing.T) {
		t.Parallel()
		_, laptop, phone := pair(t, "CONFIRM_NUMBER=always")
		question := phone.get(laptop.code())
		if question.has("far") {
			t.Error("the question warns of another network")
		}
		number := phone.answer(question, "yes").number()
		laptop.wantNoLogin("before the number")
		laptop.confirm(number, richard)
	})
	t.Run("never", func(t *testing.T) {
		t.Parallel()
		_, laptop, phone := farPair(t, "CONFIRM_NUMBER=never")
		question := phone.get(laptop.code())
		if !question.has("far") {
			t.Error("the question does not warn of another network")
		}
		phone.answer(question, "yes")
		laptop.claim(richard)
	})
}
