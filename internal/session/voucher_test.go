package session_test

import (
	"context"
	"crypto/rand"
	"errors"
	"testing"
	"time"

	"changebank/internal/idp"
	"changebank/internal/session"
)

// afterApproval is what may happen after the phone approved, and whether its
// voucher holds then.
var afterApproval = []struct {
	name string
	then func(b *bank, phone, pc *browser) // after the phone approved
	want bool
}{
	{"nothing", func(*bank, *browser, *browser) {}, true},
	{"a new login of the same person", func(b *bank, phone, _ *browser) { phone.logIn(b.Manager, richard) }, true},
	{"two new logins of the same person", func(b *bank, phone, _ *browser) {
		phone.logIn(b.Manager, richard)
		phone.logIn(b.Manager, richard)
	}, true},
	{"a new login, and a logout", func(b *bank, phone, _ *browser) {
		phone.logIn(b.Manager, richard)
		phone.logOut(b.Manager)
	}, false},
	{"another person's login", func(b *bank, phone, _ *browser) { phone.logIn(b.Manager, erlich) }, false},
	{"another person's login, and the first's again", func(b *bank, phone, _ *browser) {
		phone.logIn(b.Manager, erlich)
		phone.logIn(b.Manager, richard)
	}, false},
	{"a login by phone", func(b *bank, phone, _ *browser) { phone.claim(b.Manager, richard) }, false},
	{"Logout", func(b *bank, phone, _ *browser) { phone.logOut(b.Manager) }, false},
	{"Logout, and a new login", func(b *bank, phone, _ *browser) {
		phone.logOut(b.Manager)
		phone.logIn(b.Manager, richard)
	}, false},
	{"End elsewhere", func(b *bank, phone, pc *browser) { b.end(pc, b.refOf(phone), nil) }, false},
	{"End elsewhere, and a new login", func(b *bank, phone, pc *browser) {
		b.end(pc, b.refOf(phone), nil)
		phone.logIn(b.Manager, richard)
	}, false},
	{"EndOthers elsewhere", func(b *bank, _, pc *browser) { b.endOthers(pc, 1) }, false},
	{"EndOthers there", func(b *bank, phone, _ *browser) { b.endOthers(phone, 1) }, false},
	{"EndOthers twice", func(b *bank, phone, pc *browser) {
		b.endOthers(phone, 1)
		b.endOthers(phone, 0)
	}, false},
	{"EndOthers of another person", func(b *bank, _, pc *browser) {
		pc.logIn(b.Manager, erlich)
		b.endOthers(pc, 0)
	}, true},
	{"Logout elsewhere", func(b *bank, _, pc *browser) { pc.logOut(b.Manager) }, true},
	{"End of another session", func(b *bank, phone, pc *browser) { b.end(phone, b.refOf(pc), nil) }, true},
	{"a login elsewhere", func(b *bank, _, _ *browser) { newBrowser(b.t).logIn(b.Manager, richard) }, true},
	{"a restart", func(b *bank, _, _ *browser) { b.sleep(time.Minute) }, true},
	{"a day without a visit", func(b *bank, _, _ *browser) { b.sleep(24 * time.Hour) }, false},
	{"the end of all sessions, and of the list", func(b *bank, phone, _ *browser) {
		b.sleep(8 * 24 * time.Hour)
		phone.logIn(b.Manager, richard)
	}, false},
	{"the provider ended the login", func(b *bank, phone, _ *browser) {
		b.refresh = func(context.Context, idp.Tokens, idp.Person) (idp.Tokens, error) {
			return idp.Tokens{}, &idp.Error{Status: 400, Code: "invalid_grant"}
		}
		s := phone.load(b.Manager)
		b.sleep(time.Hour)
		if _, err := b.Token(b.t.Context(), s); !errors.Is(err, session.ErrLoginEnded) {
			b.t.Errorf("Token: %v, want %v", err, session.ErrLoginEnded)
		}
	}, false},
}

// TestVoucher: a voucher holds as long as the session that approved is logged
// in, and follows its person's next login in the same browser. Vouched and
// CreatePending agree about it.
func TestVoucher(t *testing.T) {
	for _, tt := range afterApproval {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bank) {
				phone, pc := newBrowser(t), newBrowser(t)
				phone.logIn(b.Manager, richard, "phone")
				pc.logIn(b.Manager, richard, "pc")
				pc.load(b.Manager)
				voucher := b.voucherOf(phone)
				tt.then(b, phone, pc)
				if got := b.vouched(voucher); got != tt.want {
					t.Errorf("Vouched = %t, want %t", got, tt.want)
				}
				laptop, id, before := newBrowser(t), rand.Text(), len(b.sessionsOf(richard))
				b.revoked = nil
				laptop.createPending(b.Manager, id, richard, voucher, tt.want)
				laptop.activate(b.Manager, id, tt.want)
				if n := len(b.sessionsOf(richard)) - before; n == 1 != tt.want {
					t.Errorf("%d sessions more are listed, want one: %t", n, tt.want)
				}
				// Without a session the tokens are the caller's to revoke.
				b.wantRevoked("after CreatePending")
			})
		})
	}
}

// TestForeignVoucher: no voucher but the person's own counts.
func TestForeignVoucher(t *testing.T) {
	b := newBank(t)
	phone, other := newBrowser(t), newBrowser(t)
	phone.logIn(b.Manager, richard)
	other.logIn(b.Manager, erlich)
	ref, voucher, foreign := b.refOf(phone), b.voucherOf(phone), b.voucherOf(other)
	for _, voucher := range []string{ref, ref + " ", " " + voucher, voucher + " ", " ", "garbage", foreign, voucher[:len(voucher)-1]} {
		if b.vouched(voucher) {
			t.Errorf("Vouched = true with %q, want only %q to hold", voucher, b.voucherOf(phone))
		}
		laptop, id := newBrowser(t), rand.Text()
		laptop.createPending(b.Manager, id, richard, voucher, false)
		laptop.activate(b.Manager, id, false)
	}
	if b.vouched("") {
		t.Error("Vouched = true without a voucher")
	}
	if ok, err := b.Vouched(t.Context(), erlich, voucher); ok || err != nil {
		t.Errorf("Vouched of another person = %t, %v; want false", ok, err)
	}
	b.wantListed(richard, "after all that", phone)
}

// TestVoucherOfPending: the voucher of a pending session holds only once the
// session is live.
func TestVoucherOfPending(t *testing.T) {
	b := newBank(t)
	laptop := newBrowser(t)
	id := laptop.pend(b.Manager, richard)
	voucher, err := b.Voucher(t.Context(), session.Session{ID: id, Ref: b.sessionsOf(richard)[0].Ref, Person: richard})
	if err != nil {
		t.Fatalf("Voucher: %v", err)
	}
	if b.vouched(voucher) {
		t.Error("Vouched = true for a pending session")
	}
	laptop.activate(b.Manager, id, true)
	if !b.vouched(voucher) {
		t.Error("Vouched = false for a live session")
	}
}

// TestNoVoucher: behind a provider's own page nobody vouches.
func TestNoVoucher(t *testing.T) {
	b := newBank(t)
	phone, laptop := newBrowser(t), newBrowser(t)
	phone.logIn(b.Manager, richard)
	b.endOthers(phone, 0)
	phone.logOut(b.Manager)
	laptop.claim(b.Manager, richard)
	laptop.wantPerson(b.Manager, richard, "after a claim without a voucher")
}

// TestApprovedAgain: the voucher broke, and the person approves again. The same
// session is made after all.
func TestApprovedAgain(t *testing.T) {
	b := newBank(t)
	phone, laptop := newBrowser(t), newBrowser(t)
	phone.logIn(b.Manager, richard)
	broken := b.voucherOf(phone)
	b.endOthers(phone, 0)
	id := rand.Text()
	laptop.createPending(b.Manager, id, richard, broken, false)
	laptop.activate(b.Manager, id, false)
	laptop.createPending(b.Manager, id, richard, b.voucherOf(phone), true)
	laptop.activate(b.Manager, id, true)
	laptop.setCookie(b.Manager, id)
	laptop.wantPerson(b.Manager, richard, "after the second approval")
}
