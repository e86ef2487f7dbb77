package session_test

import "testing"

// TestCrashInCreate: the next process repeats what was not stored. A session that
// is not listed cannot be claimed.
func TestCrashInCreate(t *testing.T) {
	t.Run("then another try", func(t *testing.T) {
		atEveryFault(t, create, nil, func(s *scene) {
			s.do(create)
			if !s.created {
				s.t.Error("second CreatePending = false")
			}
			s.do(claim)
			s.laptop.wantPerson(s.Manager, richard, "the laptop")
			s.wantSound()
			if n := len(s.sessionsOf(richard)); n != 3 {
				s.t.Errorf("%d sessions are listed, want the phone's, the PC's and the laptop's", n)
			}
		})
	})
	t.Run("then a claim", func(t *testing.T) {
		atEveryFault(t, create, nil, func(s *scene) {
			s.do(claim)
			if s.laptop.load(s.Manager).LoggedIn() && theLaptopsRef(s) == "" {
				s.t.Error("a session that is not listed went live")
			}
			s.wantSound()
			s.do(endOthers(thePC))
			s.wantNoLaptop()
		})
	})
	// Not even a caller that claims without another try gets a session then.
	t.Run("after EndOthers", func(t *testing.T) {
		atEveryFault(t, create, endOthers(thePC), func(s *scene) {
			s.wantNoLaptop()
			s.wantSound()
		})
	})
	for name, breaks := range breakers {
		t.Run("then "+name, func(t *testing.T) {
			atEveryFault(t, create, nil, func(s *scene) {
				s.do(breaks)
				s.do(create)
				if s.created {
					s.t.Error("second CreatePending = true with a broken voucher")
				}
				s.wantNoLaptop()
				s.wantSound()
			})
		})
	}
	t.Run("then Discard", func(t *testing.T) {
		atEveryFault(t, create, nil, func(s *scene) {
			existed := theLaptopsRef(s) != ""
			s.do(discard)
			s.wantNoLaptop()
			if s.do(create); existed && s.created {
				s.t.Error("second CreatePending = true after Discard")
			}
			s.wantSound()
		})
	})
}

// TestCrashInClaim: the laptop tries again.
func TestCrashInClaim(t *testing.T) {
	atEveryFault(t, claim, create, func(s *scene) {
		s.do(claim)
		s.laptop.wantPerson(s.Manager, richard, "the laptop")
		s.wantSound()
	})
}

// TestCrashInEnd: the person tries again.
func TestCrashInEnd(t *testing.T) {
	ended := func(again action) func(s *scene) {
		return func(s *scene) {
			s.wantSound()
			s.do(again)
			s.wantNoLaptop()
			s.do(create)
			s.wantNoLaptop()
			s.laptop.wantNone(s.Manager, "the laptop")
			s.wantSound()
		}
	}
	use := func(s *scene) error { s.laptop.load(s.Manager); return nil }
	for name, ends := range map[string]action{
		"End": end(theLaptopsRef), "EndOthers": endOthers(thePC), "Logout": logout(theLaptop),
	} {
		t.Run(name, func(t *testing.T) { atEveryFault(t, ends, then(create, claim, use), ended(ends)) })
	}
	for name, ends := range map[string]action{"End": end(theLaptopsRef), "EndOthers": endOthers(thePC), "Discard": discard} {
		t.Run(name+" of a pending session", func(t *testing.T) { atEveryFault(t, ends, create, ended(ends)) })
	}
}

// TestCrashInBreak: the phone's logout, or its end, is tried again. Then the
// voucher is broken.
func TestCrashInBreak(t *testing.T) {
	for name, breaks := range breakers {
		t.Run(name, func(t *testing.T) {
			atEveryFault(t, breaks, nil, func(s *scene) {
				s.wantSound()
				s.do(breaks)
				if s.vouched(s.voucher) {
					s.t.Error("the voucher holds")
				}
				s.do(create)
				s.wantNoLaptop()
				s.wantSound()
			})
		})
	}
}

// TestCrashInLogIn: the browser keeps its session, or has none, and no login is
// left that the PC cannot end.
func TestCrashInLogIn(t *testing.T) {
	for name, logsIn := range map[string]action{"the same person": login(richard), "another person": login(erlich)} {
		t.Run(name, func(t *testing.T) {
			var id string // of the new session, the same in each scene
			t.Run("without a fault", func(t *testing.T) {
				s := newScene(t)
				s.do(logsIn)
				id = s.phone.load(s.Manager).ID
			})
			atEveryFault(t, logsIn, nil, func(s *scene) {
				s.wantSound(id)
				old := s.phone.thief()
				if s.phone.load(s.Manager).LoggedIn() && !s.vouched(s.voucher) {
					s.t.Error("the phone is still logged in, and its voucher does not hold")
				}
				s.do(logsIn)
				if !s.phone.load(s.Manager).LoggedIn() {
					s.t.Error("the phone is not logged in after a second try")
				}
				old.wantNone(s.Manager, "the cookie of before the login")
				s.wantSound()
				s.do(endOthers(thePC))
				if s.phone.load(s.Manager).Person == richard {
					s.t.Error("the PC cannot end the phone's session")
				}
				if n := len(s.sessionsOf(richard)); n != 1 {
					s.t.Errorf("%d sessions are listed, want the PC's", n)
				}
				if s.vouched(s.voucher) {
					s.t.Error("the voucher holds")
				}
			})
		})
	}
}

// TestLogInThatFails: after any failure the browser keeps its cookie, and the
// tokens are revoked.
func TestLogInThatFails(t *testing.T) {
	atEveryFault(t, login(richard), nil, func(s *scene) {
		revoked := false
		for _, access := range s.revoked {
			revoked = revoked || access == tokensOf("phone again").Access
		}
		if !revoked {
			s.t.Errorf("the revoked tokens are %q, want the ones of the login that failed", s.revoked)
		}
		if set := s.phone.cookie(); len(set.Value) == 0 {
			s.t.Error("the phone lost its cookie")
		}
	})
}
