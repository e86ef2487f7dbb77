package devicegrant

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/store"
)

func TestStart(t *testing.T) {
	inBubble(t, func(w *world) {
		now := time.Now()
		a := w.start()
		want := Attempt{
			ID: a.ID, Ref: a.Ref, // random
			State:    Waiting,
			UserCode: "WDJB-0001", URI: verifyURI, URIComplete: verifyURI + "?user_code=WDJB-0001",
			Laptop:  laptop,
			Started: now, Expires: now.Add(codeLifetime),
		}
		if !reflect.DeepEqual(a, want) {
			w.Errorf("Start: %+v, want %+v", a, want)
		}
		b := w.start()
		// The holder of the ID can claim. The name in the log must not lead to it.
		if len(a.ID) < 26 || a.ID == b.ID || a.Ref == "" || a.Ref == b.Ref || strings.Contains(a.ID, a.Ref) {
			w.Errorf("IDs %q and %q, refs %q and %q: want 128 random bits, and refs that do not reveal them", a.ID, b.ID, a.Ref, b.Ref)
		}
		got, err := w.m.Refresh(w.Context(), a.ID)
		if err != nil || got.ID != a.ID || got.UserCode != a.UserCode || got.State != Waiting {
			w.Errorf("Refresh: %+v, %v, want the attempt", got, err)
		}
	})
}

// A tunnel has changed its name: a phone that goes there never reaches us.
func TestStrayPage(t *testing.T) {
	for _, uri := range []string{
		"https://old-tunnel.example/activate", verifyURI + "/", "http://bank.example/activate", "https://bank.example:8443/activate",
	} {
		t.Run(uri, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.change = func(c *idp.DeviceCode) { c.URI = uri }
				a, err := w.m.Start(w.Context(), laptop)
				if !errors.Is(err, ErrStrayPage) || a != (Attempt{}) {
					w.Errorf("Start: %+v, %v, want %v", a, err, ErrStrayPage)
				}
				if w.provider.started != 1 {
					w.Errorf("%d codes asked for, want 1: another is no better", w.provider.started)
				}
			})
		})
	}
}

func TestIsProviderPage(t *testing.T) {
	for uri, want := range map[string]bool{
		issuer + "/device":                 true,
		issuer + "/activate":               true, // the path of our page, but surely the provider's
		issuer + "/device?tenant=t":        true,
		"https://login.example/devicecode": true, // a host of the provider's that discovery does not name

		// Our page at another address, where the phone finds nothing or an attacker's page.
		verifyURI + "?tenant=t":                     false,
		verifyURI + "#x":                            false,
		"https://bank.example":                      false,
		"https://bank.example/":                     false,
		"https://bank.example/device":               false,
		"http://bank.example/device":                false,
		"https://someone@bank.example/activate":     false,
		"https://new-tunnel.example/activate":       false,
		"https://new-tunnel.example/activate?x=1":   false,
		"https://idp.example.evil.example/activate": false,
		"https://[": false,
	} {
		t.Run(uri, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.change = func(c *idp.DeviceCode) { c.URI = uri }
				a, err := w.m.Start(w.Context(), laptop)
				if want && (err != nil || !a.ProviderPage || a.URI != uri) {
					w.Errorf("Start: %+v, %v, want it on the provider's page", a, err)
				}
				if !want && (!errors.Is(err, ErrStrayPage) || a != (Attempt{})) {
					w.Errorf("Start: %+v, %v, want %v", a, err, ErrStrayPage)
				}
			})
		})
	}
}

// A code that folds to nothing would be found by typing nothing.
func TestUntypableUserCode(t *testing.T) {
	for _, code := range []string{"----", " ", "–", "\u200b", "код"} {
		t.Run(code, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.change = func(c *idp.DeviceCode) { c.User = code }
				a, err := w.m.Start(w.Context(), laptop)
				if err == nil || a != (Attempt{}) {
					w.Errorf("Start: %+v, %v, want an error", a, err)
				}
				if errors.Is(err, store.ErrExists) || w.provider.started != 1 {
					w.Errorf("%d codes asked for (%v), want 1", w.provider.started, err)
				}
				for _, typed := range []string{code, "", "-"} {
					if got, err := w.m.Open(w.Context(), visit(typed, phone, richard)); !errors.Is(err, ErrUnknownCode) || got != (Attempt{}) {
						w.Errorf("Open(%q): %+v, %v, want %v", typed, got, err, ErrUnknownCode)
					}
				}
			})
		})
	}
}

func TestStartWithoutProvider(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.startErr = idp.ErrNotReady
		if a, err := w.m.Start(w.Context(), laptop); !errors.Is(err, idp.ErrNotReady) || a != (Attempt{}) {
			w.Errorf("Start: %+v, %v, want %v", a, err, idp.ErrNotReady)
		}
		if w.provider.started != 1 {
			w.Errorf("%d codes asked for, want 1", w.provider.started)
		}
	})
}

// Two codes that people would take for the same are the same. Nobody who types
// one of them may be asked about the other.
func TestUserCodeThatIsTaken(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.userCodes = []string{"AAAA-BBBB", "aaaa bbbb", "AAAABBBB", "CCCC-DDDD"}
		first := w.start()
		second := w.start()
		if second.UserCode != "CCCC-DDDD" {
			w.Errorf("the second attempt has the code %q, want CCCC-DDDD", second.UserCode)
		}
		for code, want := range map[string]Attempt{"AAAA-BBBB": first, "CCCC-DDDD": second} {
			got, err := w.m.Open(w.Context(), visit(code, phone, richard))
			if err != nil || got.ID != want.ID {
				w.Errorf("Open(%q): %q, %v, want %q", code, got.ID, err, want.ID)
			}
		}
	})
}

func TestUserCodesThatAreAllTaken(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.change = func(c *idp.DeviceCode) { c.User = "AAAA-BBBB" }
		first := w.start()
		a, err := w.m.Start(w.Context(), laptop)
		if !errors.Is(err, ErrNoCode) || a != (Attempt{}) {
			w.Errorf("Start: %+v, %v, want %v", a, err, ErrNoCode)
		}
		if n := w.provider.started - 1; n < 2 || n > 10 {
			w.Errorf("%d codes asked for, want a few", n)
		}
		w.open(first)
	})
}

// The provider gives out a user code again. The first attempt's ID does not lead to
// the second attempt, and neither does an ID that was made up from the code.
func TestIDOfAnotherAttempt(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.userCodes = []string{"AAAA-BBBB", "AAAA-BBBB"}
		first := w.start()
		time.Sleep(codeLifetime + time.Hour)
		a := w.open(w.start())
		if first.UserCode != a.UserCode || first.ID == a.ID {
			w.Fatalf("codes %q and %q, the same ID: %v; want one code and two IDs", first.UserCode, a.UserCode, first.ID == a.ID)
		}
		before := w.record(a)
		for _, id := range []string{first.ID, "", Fold(a.UserCode), idOf(Fold(a.UserCode), "")} {
			_, refreshed := w.m.Refresh(w.Context(), id)
			_, checked := w.m.CheckLaptop(w.Context(), id, phone)
			_, confirmed := w.m.Confirm(w.Context(), id, "1234")
			_, claimed := w.m.Claim(w.Context(), id, laptop)
			_, numbered := w.m.NumberFor(w.Context(), id, richard)
			for call, err := range map[string]error{
				"Refresh": refreshed, "CheckLaptop": checked, "Confirm": confirmed, "Claim": claimed, "NumberFor": numbered,
			} {
				if !errors.Is(err, ErrNone) {
					w.Errorf("%s: %v, want %v", call, err, ErrNone)
				}
			}
			if err := w.m.Cancel(w.Context(), id); err != nil {
				w.Errorf("Cancel: %v, want no error", err)
			}
		}
		w.wantUnchanged(a, before)
	})
}

// The code of an attempt that has ended still tells the phone what became of
// it, and no other attempt gets it yet.
func TestUserCodeOfAnEndedAttempt(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.userCodes = []string{"AAAA-BBBB", "AAAA-BBBB", "CCCC-DDDD"}
		a := w.start()
		if err := w.m.Cancel(w.Context(), a.ID); err != nil {
			w.Fatalf("Cancel: %v", err)
		}
		got, err := w.m.Open(w.Context(), visit(a.UserCode, phone, richard))
		if err != nil || got.ID != a.ID || got.State != Cancelled || got.Phone != (browser.Browser{}) {
			w.Errorf("Open: %+v, %v, want the cancelled attempt as it was", got, err)
		}
		if b := w.start(); b.UserCode != "CCCC-DDDD" {
			w.Errorf("the next attempt has the code %q, want CCCC-DDDD", b.UserCode)
		}

		time.Sleep(codeLifetime + time.Hour) // then it is forgotten
		if _, err := w.m.Refresh(w.Context(), a.ID); !errors.Is(err, ErrNone) {
			w.Errorf("Refresh: %v, want %v", err, ErrNone)
		}
		if _, err := w.m.Open(w.Context(), visit(a.UserCode, phone, richard)); !errors.Is(err, ErrUnknownCode) {
			w.Errorf("Open: %v, want %v", err, ErrUnknownCode)
		}
	})
}
