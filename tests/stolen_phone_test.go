package tests

import (
	"net/url"
	"testing"
)

// ends are what the owner of a stolen phone can do about it, on the phone or on
// another device.
var ends = map[string]func(phone, desk *browser){
	"the phone logs out":             func(phone, _ *browser) { phone.logOut() },
	"the phone is ended elsewhere":   func(phone, desk *browser) { desk.endDevice(phone.ref()) },
	"all others are ended elsewhere": func(_, desk *browser) { desk.post("/devices/others/end", nil) },
}

// stolenPhone returns a thief's laptop, which must type a number when it is far,
// the phone that was stolen, and another device of the phone's owner.
func stolenPhone(t *testing.T, far bool) (laptop, phone, desk *browser) {
	t.Helper()
	start := map[bool]func(testing.TB, ...string) (*bank, *browser, *browser){true: farPair, false: pair}[far]
	b, laptop, phone := start(t)
	return laptop, phone, b.browserOf(t, richard)
}

// A thief approves on a stolen phone. Each way in which the owner can end the
// phone's session stops that login, even if the thief types the right number.
func TestStolenPhoneAtTheNumber(t *testing.T) {
	t.Parallel()
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			laptop, phone, desk := stolenPhone(t, true)
			number := phone.approve(laptop.code()).number()
			end(phone, desk)
			laptop.typeNumber(number)
			laptop.wantNoLogin("after the number")
			if p := laptop.get(qrPage); p.state() != "failed" || !p.says("logged out before this was finished") || !p.has("new-code") {
				t.Errorf("the laptop's page: %v, want that the phone logged out, and a new code", p)
			}
			desk.wantPerson(richard)
		})
	}
}

// The same after the approval, when the laptop only has to claim its session.
func TestStolenPhoneBeforeTheClaim(t *testing.T) {
	t.Parallel()
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			laptop, phone, desk := stolenPhone(t, false)
			phone.approve(laptop.code())
			laptop.awaitApproved()
			end(phone, desk)
			laptop.wantNoLogin("after the approval")
			if p := laptop.get(qrPage); p.state() != "failed" || !p.has("new-code") {
				t.Errorf("the laptop's page: %v, want failed and a new code", p)
			}
			desk.wantPerson(richard)
			desk.wantDevices("afterwards", desk.ref())
		})
	}
}

// A login that was approved and not claimed yet is on the list of devices, and
// can be ended there.
func TestEndPendingLogin(t *testing.T) {
	t.Parallel()
	laptop, phone, desk := stolenPhone(t, false)
	phone.approve(laptop.code())
	laptop.awaitApproved()
	known := map[string]bool{desk.ref(): true, phone.ref(): true}
	var pending string
	for _, d := range desk.devices() {
		if !known[d.ref] {
			pending = d.ref
		}
	}
	if pending == "" {
		t.Fatalf("the pending login is not listed: %+v", desk.devices())
	}
	desk.endDevice(pending)
	laptop.wantNoLogin("after its pending session was ended")
	if got := laptop.get(qrPage).state(); got != "failed" {
		t.Errorf("the laptop's page is %q, want failed", got)
	}
	phone.wantPerson(richard)
}

// A new login of the same person in the phone's browser keeps the approval: the
// provider may ask for one in the middle.
func TestPhoneLogsInAgain(t *testing.T) {
	t.Parallel()
	laptop, phone, _ := stolenPhone(t, true)
	number := phone.approve(laptop.code()).number()
	phone.logInAgain(richard)
	laptop.confirm(number, richard)
}

// A login of another person on the phone ends it.
func TestPhoneSwitchesAccount(t *testing.T) {
	t.Parallel()
	laptop, phone, _ := stolenPhone(t, true)
	number := phone.approve(laptop.code()).number()
	phone.logInAgain(erlich)
	laptop.typeNumber(number)
	laptop.wantNoLogin("after the phone switched to another account")
}

// logInAgain logs in once more in a browser that is logged in.
func (b *browser) logInAgain(email string) {
	b.t.Helper()
	p := b.submit(b.get("/login?switch=1"), "", url.Values{"email": {email}, "password": {b.bank.password}})
	if p.person() != email {
		b.t.Fatalf("logged in as %q, want %s: %v", p.person(), email, p)
	}
}
