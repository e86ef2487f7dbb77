package session_test

import (
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"changebank/internal/idp"
	"changebank/internal/session"
)

// fromSID logs the browser in, from that session at the provider.
func (b *browser) fromSID(m *session.Manager, person idp.Person, sid string) {
	b.t.Helper()
	tokens := tokensOf(person.Email)
	tokens.SID = sid
	if _, err := b.visit(func(w http.ResponseWriter, r *http.Request) error { return m.LogIn(w, r, person, tokens) }); err != nil {
		b.t.Fatalf("LogIn: %v", err)
	}
}

// pendFromSID makes a pending session that a phone approved.
func (b *browser) pendFromSID(m *session.Manager, person idp.Person, sid, voucher string) (id string) {
	b.t.Helper()
	id = rand.Text()
	tokens := tokensOf(person.Email)
	tokens.SID = sid
	if ok, err := m.CreatePending(b.t.Context(), id, person, tokens, b.browser(), voucher); !ok || err != nil {
		b.t.Fatalf("CreatePending = %t, %v; want true", ok, err)
	}
	return id
}

func (b *bank) endByProvider(person idp.Person, sid string, want int) {
	b.t.Helper()
	n, err := b.replica().EndByProvider(b.t.Context(), person, sid) // in another process
	if n != want || err != nil {
		b.t.Errorf("EndByProvider = %d, %v; want %d", n, err, want)
	}
}

// TestEndByProvider: a logout token names the person, the session at the provider,
// or both.
func TestEndByProvider(t *testing.T) {
	only := func(person idp.Person) idp.Person {
		return idp.Person{Issuer: person.Issuer, Subject: person.Subject} // as in the token
	}
	nobody := idp.Person{Issuer: richard.Issuer}
	all := []string{"first", "second", "without", "claimed", "pending"}
	for name, tt := range map[string]struct {
		person idp.Person
		sid    string
		want   []string // the sessions that end
	}{
		"sub and sid":                 {only(richard), "one", []string{"first", "claimed", "pending"}},
		"sid":                         {nobody, "one", []string{"first", "claimed", "pending"}},
		"sub":                         {only(richard), "", all},
		"unknown sid":                 {nobody, "unknown", nil},
		"sub and unknown sid":         {only(richard), "unknown", nil},
		"sub and the sid of another":  {only(erlich), "one", nil},
		"unknown sub":                 {idp.Person{Issuer: richard.Issuer, Subject: "3"}, "", nil},
		"sub of another issuer":       {idp.Person{Issuer: "https://evil.example", Subject: richard.Subject}, "", nil},
		"sid of another issuer":       {idp.Person{Issuer: "https://evil.example"}, "one", nil},
		"neither, as no token may be": {nobody, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBank(t)
			sessions := make(map[string]*browser)
			for _, name := range all {
				sessions[name] = newBrowser(t)
			}
			stranger := newBrowser(t)
			sessions["first"].fromSID(b.Manager, richard, "one")
			sessions["second"].fromSID(b.Manager, richard, "two")
			sessions["without"].fromSID(b.Manager, richard, "")
			stranger.fromSID(b.Manager, erlich, "three")
			id := sessions["claimed"].pendFromSID(b.Manager, richard, "one", "")
			sessions["claimed"].activate(b.Manager, id, true)
			sessions["claimed"].setCookie(b.Manager, id)
			waiting := sessions["pending"].pendFromSID(b.Manager, richard, "one", "")

			b.endByProvider(tt.person, tt.sid, len(tt.want))
			ends := make(map[string]bool)
			for _, name := range tt.want {
				ends[name] = true
			}
			for name, browser := range sessions {
				switch {
				case name == "pending":
					browser.activate(b.Manager, waiting, !ends[name])
				case ends[name]:
					browser.wantNone(b.Manager, name)
					browser.wantWasEnded(b.Manager, session.EndedByProvider, name)
				default:
					browser.wantPerson(b.Manager, richard, name)
				}
			}
			stranger.wantPerson(b.Manager, erlich, "the other person")
			if got, want := len(b.sessionsOf(richard)), len(all)-len(tt.want); got != want {
				t.Errorf("%d sessions are listed, want %d", got, want)
			}
			if len(b.revoked) != len(tt.want) {
				t.Errorf("%d tokens are revoked, want %d", len(b.revoked), len(tt.want))
			}
		})
	}
}

// TestEndByProviderBreaksVouchers: a login by phone that the ended session
// approved does not come through afterwards.
func TestEndByProviderBreaksVouchers(t *testing.T) {
	for name, sid := range map[string]string{"sid": "one", "sub": ""} {
		t.Run(name, func(t *testing.T) {
			b, phone, laptop := newBank(t), newBrowser(t), newBrowser(t)
			phone.fromSID(b.Manager, richard, "one")
			voucher := b.voucherOf(phone)
			b.endByProvider(richard, sid, 1)
			if b.vouched(voucher) {
				t.Error("the phone's session still vouches")
			}
			laptop.createPending(b.Manager, rand.Text(), richard, voucher, false)
		})
	}
}

// TestEndByProviderLater: the index of a session that was ended, or that has
// expired, does no harm, and a later login in the same session at the provider
// is found.
func TestEndByProviderLater(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bank) {
		laptop := newBrowser(t)
		nobody := idp.Person{Issuer: richard.Issuer}
		laptop.fromSID(b.Manager, richard, "one")
		laptop.logOut(b.Manager)
		b.endByProvider(nobody, "one", 0)
		b.sleep(6 * 24 * time.Hour)
		laptop.fromSID(b.Manager, richard, "one")
		for range 6 { // the index outlives the first login's
			b.sleep(20 * time.Hour)
			laptop.wantPerson(b.Manager, richard, "while it is used")
		}
		b.endByProvider(nobody, "one", 1)
		laptop.wantNone(b.Manager, "after the logout")
	})
}

// TestSessionsWithoutSID: a login whose session at the provider has no name, or at
// a provider that sends no logout tokens, costs no index.
func TestSessionsWithoutSID(t *testing.T) {
	b := newBank(t)
	writes := func(sid string) int64 {
		before := b.tap.writes.Load()
		newBrowser(t).fromSID(b.Manager, richard, sid)
		return b.tap.writes.Load() - before
	}
	writes("") // the first makes the list
	if without, with := writes(""), writes("one"); with != without+1 {
		t.Errorf("a login costs %d writes without a sid and %d with one, want one more", without, with)
	}
}
