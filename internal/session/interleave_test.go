package session_test

import (
	"testing"
)

// both runs two actions in both orders, one in every gap of the other.
func both(t *testing.T, a, b, setUp action, check func(s *scene, order string, inside bool)) {
	t.Run("second in first", func(t *testing.T) {
		inEveryGap(t, a, b, setUp, func(s *scene, inside bool) { check(s, "second in first", inside) })
	})
	t.Run("first in second", func(t *testing.T) {
		inEveryGap(t, b, a, setUp, func(s *scene, inside bool) { check(s, "first in second", inside) })
	})
}

// breakers are the ways to break the phone's voucher.
var breakers = map[string]action{
	"Logout":             logout(thePhone),
	"End":                end(thePhonesRef),
	"EndOthers there":    endOthers(thePhone),
	"EndOthers on a PC":  endOthers(thePC),
	"another's login":    login(erlich),
	"Logout, then login": then(logout(thePhone), login(richard)),
}

// TestCreateMeetsBreak: a voucher that breaks while the session is made leaves
// no session, unless the session was made before.
func TestCreateMeetsBreak(t *testing.T) {
	for name, breaks := range breakers {
		t.Run(name, func(t *testing.T) {
			both(t, create, breaks, nil, func(s *scene, order string, inside bool) {
				s.wantSound()
				if s.vouched(s.voucher) {
					s.t.Error("the voucher holds")
				}
				othersEnded := name == "EndOthers there" || name == "EndOthers on a PC"
				switch {
				case order == "second in first" && inside && s.created && !othersEnded:
					s.t.Error("CreatePending = true, though the voucher broke before it returned")
				case !s.created || othersEnded:
					s.wantNoLaptop()
					// Another process tries once more.
					s.do(create)
					if s.created {
						s.t.Error("second CreatePending = true with a broken voucher")
					}
					s.wantNoLaptop()
				default:
					s.laptop.activate(s.Manager, s.id, true)
				}
			})
		})
	}
}

// TestEndMeetsClaim: of a session that is ended and claimed at the same moment,
// nothing is left, and its tokens are revoked once.
func TestEndMeetsClaim(t *testing.T) {
	for name, ends := range map[string]action{
		"Discard":           discard,
		"End":               end(theLaptopsRef),
		"EndOthers there":   endOthers(thePhone),
		"EndOthers on a PC": endOthers(thePC),
	} {
		t.Run(name, func(t *testing.T) {
			both(t, claim, ends, create, func(s *scene, _ string, _ bool) {
				s.wantNoLaptop()
				s.laptop.wantNone(s.Manager, "the laptop")
				s.wantSound()
				s.do(create)
				s.wantNoLaptop()
				n := 0
				for _, access := range s.revoked {
					if access == tokensOf("laptop").Access {
						n++
					}
				}
				if n != 1 {
					t.Errorf("the laptop's tokens are revoked %d times, want once", n)
				}
			})
		})
	}
}

// TestLogoutAfterApproval: once the login is approved, a logout of the phone
// does not touch it.
func TestLogoutAfterApproval(t *testing.T) {
	both(t, claim, logout(thePhone), create, func(s *scene, _ string, _ bool) {
		s.laptop.wantPerson(s.Manager, richard, "the laptop")
		s.wantSound()
	})
}

// TestLateCreate: a process that was stopped in the middle of CreatePending
// continues after the session was claimed and logged out. It brings nothing back.
func TestLateCreate(t *testing.T) {
	rest := func(s *scene) error {
		s.do(create)
		s.do(claim)
		s.laptop.wantPerson(s.Manager, richard, "after the claim")
		return logout(theLaptop)(s)
	}
	inEveryGap(t, create, rest, nil, func(s *scene, _ bool) {
		s.wantNoLaptop()
		s.wantSound()
	})
}

// TestLateCreateMeetsLogout: the session has been claimed, and then the phone
// was logged out. The late process leaves the session alone.
func TestLateCreateMeetsLogout(t *testing.T) {
	inEveryGap(t, create, then(create, claim, logout(thePhone)), nil, func(s *scene, _ bool) {
		s.laptop.wantPerson(s.Manager, richard, "the laptop")
		s.wantSound()
	})
}

// TestTwoCreate: two processes make the session at once. There is one, and the
// laptop gets it.
func TestTwoCreate(t *testing.T) {
	inEveryGap(t, create, create, nil, func(s *scene, _ bool) {
		if !s.created {
			t.Error("CreatePending = false")
		}
		s.do(claim)
		s.laptop.wantPerson(s.Manager, richard, "the laptop")
		s.wantSound()
		if n := len(s.sessionsOf(richard)); n != 3 {
			t.Errorf("%d sessions are listed, want the phone's, the PC's and the laptop's", n)
		}
	})
}

// TestVoucherDuringLogin: the phone logs in again while its voucher is asked
// for. The voucher holds all the time.
func TestVoucherDuringLogin(t *testing.T) {
	holds := func(s *scene) error {
		if !s.vouched(s.voucher) {
			t.Error("the voucher does not hold")
		}
		return nil
	}
	both(t, login(richard), holds, nil, func(s *scene, _ string, _ bool) {
		s.do(holds)
		s.wantSound()
	})
	both(t, login(richard), create, nil, func(s *scene, _ string, _ bool) {
		if !s.created {
			t.Error("CreatePending = false")
		}
		s.laptop.activate(s.Manager, s.id, true)
		s.wantSound()
	})
}

// TestLoginMeetsEnd: the phone logs in again while its session is ended. Its
// vouchers are broken for good, whichever is first, and a session that is left
// is listed.
func TestLoginMeetsEnd(t *testing.T) {
	for name, ends := range map[string]action{
		"End":               end(thePhonesRef),
		"EndOthers on a PC": endOthers(thePC),
		"Logout in another tab": func(s *scene) error {
			s.phone.thief().logOut(s.Manager)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			// Another tab sends the cookie that it has at the start.
			var old *browser
			both(t, login(richard), ends, func(s *scene) error { old = s.phone.thief(); return nil }, func(s *scene, order string, inside bool) {
				// A logout with the old cookie may come when the new session has
				// taken its place: then the phone stays logged in.
				gone := name != "Logout in another tab" || !s.phone.load(s.Manager).LoggedIn()
				if gone && s.vouched(s.voucher) {
					s.t.Error("the voucher holds")
				}
				s.wantSound()
				old.wantNone(s.Manager, "the cookie of before the login")
				if name == "End" && order == "second in first" && !inside {
					s.phone.wantNone(s.Manager, "the phone, ended after its login")
				}
			})
		})
	}
}

// TestUseMeetsThief: the laptop uses its new session while a thief with the
// cookie of the QR page claims it again. The thief gets nothing.
func TestUseMeetsThief(t *testing.T) {
	use := func(s *scene) error {
		s.laptop.wantPerson(s.Manager, richard, "the laptop")
		return nil
	}
	steal := func(s *scene) error {
		thief := *s.laptop
		thief.agent = "a thief"
		thief.activate(s.Manager, s.id, false)
		return nil
	}
	both(t, use, steal, then(create, claim), func(s *scene, _ string, _ bool) {
		s.laptop.activate(s.Manager, s.id, false)
		s.wantSound()
	})
}
