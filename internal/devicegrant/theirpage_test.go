package devicegrant

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

const theirURI = issuer + "/device"

// theirs is an attempt that the provider's own page asks the person about. A
// yes there is none that we hear of: the first poll may bring the tokens.
func (w *world) theirs() Attempt {
	w.Helper()
	w.provider.change = func(c *idp.DeviceCode) {
		c.URI, c.URIComplete = theirURI, theirURI+"?user_code="+c.User
	}
	a := w.start()
	if a.State != Waiting || !a.OnTheirPage || a.URI != theirURI {
		w.Fatalf("Start: %s, on their page %v, at %s, want %s, there, at %s", a.State, a.OnTheirPage, a.URI, Waiting, theirURI)
	}
	w.provider.mu.Lock()
	defer w.provider.mu.Unlock()
	for _, d := range w.provider.devices {
		d.approved = true
	}
	return a
}

// answers changes what the provider says to all later polls.
func (w *world) answers(r reply) {
	w.Helper()
	synctest.Wait()
	w.provider.mu.Lock()
	defer w.provider.mu.Unlock()
	w.provider.polls = script{r}
}

// wantPollsAt checks when the polls came, since the attempt began.
func (w *world) wantPollsAt(a Attempt, want ...time.Duration) {
	w.Helper()
	synctest.Wait()
	w.provider.mu.Lock()
	defer w.provider.mu.Unlock()
	var got []time.Duration
	for _, at := range w.provider.polled {
		got = append(got, at.Sub(a.Started))
	}
	if !slices.Equal(got, want) {
		w.Errorf("polls at %v, want %v", got, want)
	}
}

// paces returns the first n multiples of the pace.
func paces(n int) []time.Duration {
	var times []time.Duration
	for i := range n {
		times = append(times, time.Duration(i+1)*pace)
	}
	return times
}

func (w *world) wantSeen(page *watcher, over bool, want ...sight) {
	w.Helper()
	seen, gotOver, err := page.saw()
	if !slices.Equal(seen, want) || gotOver != over || err != nil {
		w.Errorf("the laptop saw\n%v (over: %v, %v), want\n%v (over: %v)", seen, gotOver, err, want, over)
	}
}

// Where the provider asks the person, nobody says yes here: the login is of
// whoever said it there, and it goes to one session.
func TestTheirPage(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}, {err: pending}, {after: pollTime}}
		w.provider.verdicts = script{{after: verifyTime, person: mallory}}
		a := w.theirs()
		page := w.watch(w.bank, a.ID)
		time.Sleep(pace - time.Nanosecond)
		w.wantPollsAt(a) // a provider counts a poll before its interval as one too fast
		time.Sleep(time.Minute)
		w.wantPollsAt(a, paces(3)...)
		w.wantSeen(page, false, sight{Waiting, false, 0}, sight{Approved, false, 3*pace + pollTime + verifyTime})
		w.provider.wantApprovals(0)

		session, claimed, err := w.bank.Claim(w.Context(), a.ID, func(person idp.Person, tokens idp.Tokens) (string, error) {
			if person != mallory || tokens.Access != w.provider.first().Access || tokens.Refresh != w.provider.first().Refresh {
				w.Errorf("given to %+v, want Mallory, whose tokens they are, and what the provider gave", person)
			}
			return "first", nil
		})
		if err != nil || session != "first" || !claimed {
			w.Errorf("Claim: %q, %v, %v, want first, true", session, claimed, err)
		}
		session, claimed, err = w.process().Claim(w.Context(), a.ID, w.neverGive)
		if err != nil || session != "first" || claimed {
			w.Errorf("Claim again: %q, %v, %v, want first, false", session, claimed, err)
		}
		w.wantEnd(a, Claimed, "")
		time.Sleep(time.Hour / 2)
		synctest.Wait()
		w.provider.wantKept()
		w.provider.wantVerdicts(1)
	})
}

// Each start is a code that would be asked about until it expires: without an
// end to that with the page's, anybody who starts many has us busy with the provider,
// and it has a reason to shut us out.
func TestTheirPageIsPolledWhileSomebodyLooks(t *testing.T) {
	t.Run("nobody does", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.polls = script{{err: pending}}
			a := w.theirs()
			time.Sleep(9 * time.Minute)
			w.wantPollsAt(a)
		})
	})
	t.Run("one look", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.polls = script{{err: pending}}
			a := w.theirs()
			w.noError(w.bank.Get(w.Context(), a.ID))
			time.Sleep(9 * time.Minute)
			w.wantPollsAt(a, paces(2)...) // the third would come 17 s after it
			w.bank.mu.Lock()
			if n := len(w.bank.pollers); n != 0 {
				w.Errorf("%d goroutines still redeem, want 0", n)
			}
			w.bank.mu.Unlock()
		})
	})
	t.Run("a look every ten seconds", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.polls = script{{err: pending}}
			a := w.theirs()
			for range 12 {
				w.noError(w.bank.Get(w.Context(), a.ID))
				time.Sleep(10 * time.Second)
			}
			w.wantPollsAt(a, paces(20)...)
		})
	})
	t.Run("an event stream", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.polls = script{{err: pending}}
			a := w.theirs()
			w.watch(w.bank, a.ID)
			time.Sleep(5 * time.Minute)
			w.wantPollsAt(a, paces(52)...)
		})
	})
	t.Run("an event stream, and a slow provider", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.polls = script{{err: slowdownTo(time.Minute)}, {err: pending}}
			a := w.theirs()
			w.watch(w.bank, a.ID)
			time.Sleep(3 * time.Minute)
			// Nothing changes for longer than a look is remembered.
			w.wantPollsAt(a, pace, pace+69*time.Second, pace+138*time.Second)
		})
	})
	t.Run("it is closed, and opened again", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.polls = script{{err: pending}}
			a := w.theirs()
			page := w.watch(w.bank, a.ID)
			time.Sleep(18 * time.Second)
			page.cancel()
			time.Sleep(2 * time.Minute)
			w.wantPollsAt(a, paces(5)...) // its last look was at the third poll
			w.want(a, Waiting)

			w.answers(reply{after: pollTime})
			again := w.watch(w.bank, a.ID)
			time.Sleep(time.Second)
			w.wantPollsAt(a, append(paces(5), 138*time.Second)...) // long due
			w.wantSeen(again, false, sight{Waiting, false, 0}, sight{Approved, false, pollTime + verifyTime})
		})
	})
}

func TestTheirPageEnds(t *testing.T) {
	tests := []struct {
		name   string
		answer *idp.Error
		state  State
		reason Reason
	}{
		{"access_denied", &idp.Error{Status: 400, Code: idp.CodeDenied}, Denied, ""}, // the person's no
		{"expired_token", &idp.Error{Status: 400, Code: idp.CodeExpired}, Expired, ""},
		{"invalid_grant", &idp.Error{Status: 400, Code: "invalid_grant"}, Failed, ReasonGone},
		{"invalid_client", &idp.Error{Status: 401, Code: "invalid_client"}, Failed, ReasonClient},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{err: pending}, {err: tt.answer}}
				a := w.theirs()
				page := w.watch(w.bank, a.ID)
				time.Sleep(5 * time.Minute)
				w.wantSeen(page, true, sight{Waiting, false, 0}, sight{tt.state, false, 2 * pace})
				w.wantEnd(a, tt.state, tt.reason)
				w.provider.wantPolls(2)
			})
		})
	}
}

// A server in trouble cannot say no in the person's place.
func TestTheirPageOutlivesTrouble(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: &idp.Error{Status: 503, Code: idp.CodeDenied}}, {err: context.DeadlineExceeded}, {after: pollTime}}
		a := w.theirs()
		page := w.watch(w.bank, a.ID)
		time.Sleep(time.Minute)
		w.wantPollsAt(a, pace, pace+10*time.Second, pace+30*time.Second)
		w.wantSeen(page, false,
			sight{Waiting, false, 0}, sight{Waiting, true, pace}, sight{Approved, false, pace + 30*time.Second + pollTime + verifyTime})
	})
}

// A slow_down is for good here as well, whoever asks next.
func TestTheirPageSlowDownSurvivesARestart(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: slowdown}, {err: slowdown}, {err: pending}, {err: pending}, {}}
		a := w.theirs()
		w.watch(w.bank, a.ID)
		time.Sleep(20 * time.Second)
		w.bank.Close()
		w.watch(w.process(), a.ID)
		time.Sleep(2 * time.Minute)
		const slow = 11500 * time.Millisecond
		const slower = 17250 * time.Millisecond
		w.wantPollsAt(a, pace, pace+slow, pace+slow+slower, pace+slow+2*slower, pace+slow+3*slower)
		w.want(a, Approved)
	})
}

// A page that is open at each of two replicas is one device to the provider.
func TestTheirPageWithTwoReplicas(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{
			{after: 4 * time.Second, err: pending}, {err: pending}, {after: time.Second, err: pending}, {err: slowdown}, {after: time.Second},
		}
		a := w.theirs()
		other := w.process()
		pages := []*watcher{w.watch(w.bank, a.ID), w.watch(other, a.ID), w.watch(w.bank, a.ID)}
		for range 120 {
			w.noError(w.bank.Get(w.Context(), a.ID))
			w.noError(other.Get(w.Context(), a.ID))
			time.Sleep(time.Second / 2)
		}
		last := 4*pace + 11500*time.Millisecond
		w.wantPollsAt(a, append(paces(4), last)...)
		for _, page := range pages {
			w.wantSeen(page, false, sight{Waiting, false, 0}, sight{Approved, false, last + time.Second + verifyTime})
		}
		w.provider.wantVerdicts(1)
	})
}

// Nobody here said yes, so the signature is all that says whose login it is.
func TestTheirPageTokensThatDoNotVerify(t *testing.T) {
	for name, verdict := range map[string]reply{
		"nobody's":                    {after: verifyTime, err: errForged},
		"with a person beside it all": {after: verifyTime, err: errForged, person: richard},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.verdicts = script{verdict}
				a := w.theirs()
				page := w.watch(w.bank, a.ID)
				time.Sleep(5 * time.Minute)
				w.wantSeen(page, true, sight{Waiting, false, 0}, sight{Failed, false, pace + pollTime + verifyTime})
				w.wantEnd(a, Failed, ReasonUnverified)
				w.provider.wantRevoked(1)
				w.provider.wantPolls(1)
			})
		})
	}
}

// A phone that comes to our page with such a code is sent on, and changes
// nothing: an answer here would have FusionAuth's call made, with the phone's
// token, at a provider that asks the person itself.
func TestTheirCodeOnOurPage(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: pending}}
		a := w.theirs()
		before := w.record(a)
		for _, person := range []idp.Person{richard, mallory} {
			got, err := w.bank.Open(w.Context(), a.UserCode, phone, person)
			if !errors.Is(err, ErrTheirPage) || got.URIComplete != a.URIComplete || got.State != Waiting {
				w.Errorf("Open: %s at %s, %v, want %s at %s, %v", got.State, got.URIComplete, err, Waiting, a.URIComplete, ErrTheirPage)
			}
		}
		if got, err := w.yes(a); !errors.Is(err, ErrTheirPage) || got != (Attempt{}) {
			w.Errorf("Yes: %+v, %v, want %v", got, err, ErrTheirPage)
		}
		if got, err := w.bank.No(w.Context(), a.UserCode, a.Shown(), phone, richard); !errors.Is(err, ErrTheirPage) || got != (Attempt{}) {
			w.Errorf("No: %+v, %v, want %v", got, err, ErrTheirPage)
		}
		w.provider.wantApprovals(0)
		w.wantPollsAt(a)
		if r := w.record(a); r.Attempt != before.Attempt {
			w.Errorf("the attempt is %+v, want it as it was, %+v", r.Attempt, before.Attempt)
		}

		time.Sleep(expiresIn)
		if got, err := w.bank.Open(w.Context(), a.UserCode, phone, richard); !errors.Is(err, ErrTheirPage) || got.State != Expired {
			w.Errorf("Open: %s, %v, want %s, %v", got.State, err, Expired, ErrTheirPage)
		}
		w.wantEnd(a, Expired, "")
	})
}

// Nobody tells us when the person opens it: it may be read at the provider's
// for as long as the provider lets it.
func TestHowLongTheirCodeLives(t *testing.T) {
	t.Run("yes at the last moment", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.polls = script{{err: pending}}
			a := w.theirs()
			if want := a.Started.Add(expiresIn); !a.Expires.Equal(want) {
				w.Errorf("it expires after %v, want %v", a.Expires.Sub(a.Started), want.Sub(a.Started))
			}
			w.watch(w.bank, a.ID)
			time.Sleep(expiresIn - 10*time.Second)
			w.want(a, Waiting)
			w.answers(reply{after: pollTime})
			time.Sleep(10*time.Second - time.Nanosecond)
			synctest.Wait()
			r := w.want(a, Approved)
			if window := time.Until(r.Expires); window < time.Minute {
				w.Errorf("the laptop has %v more to come for it, want the whole claim window", window)
			}
		})
	})
	t.Run("watched to its end", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.polls = script{{err: pending}}
			a := w.theirs()
			page := w.watch(w.bank, a.ID)
			time.Sleep(expiresIn + 5*time.Minute)
			w.wantSeen(page, true, sight{Waiting, false, 0}, sight{Expired, false, expiresIn})
			w.wantEnd(a, Expired, "")
			w.wantPollsAt(a, paces(104)...)
		})
	})
	t.Run("looked at too late", func(t *testing.T) {
		inBubble(t, func(w *world) {
			a := w.theirs()
			time.Sleep(expiresIn)
			if got, err := w.bank.Get(w.Context(), a.ID); err != nil || got.State != Expired {
				w.Errorf("Get: %s, %v, want %s", got.State, err, Expired)
			}
			w.wantEnd(a, Expired, "")
			w.provider.wantPolls(0)
		})
	})
}

// The laptop gave up while the answer was on its way: nobody may have it.
func TestCancelOnTheirPage(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{after: 2 * time.Second}}
		a := w.theirs()
		w.watch(w.bank, a.ID)
		time.Sleep(pace + time.Second)
		if err := w.bank.Cancel(w.Context(), a.ID); err != nil {
			w.Errorf("Cancel: %v", err)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		w.wantEnd(a, Cancelled, "")
		w.provider.wantRevoked(1)
		w.provider.wantPolls(1)
	})
}

func TestWhosePageItIs(t *testing.T) {
	for uri, theirs := range map[string]bool{
		issuer + "/device":                 true,
		issuer + "/activate":               true, // the path of ours, but the provider's for sure
		issuer + "/device?tenant=t":        true,
		"https://login.example/devicecode": true, // a name of the provider's that discovery does not tell

		// Ours, where the phone finds no page, or another's in its place.
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
				a, err := w.bank.Start(w.Context(), laptop, "")
				if theirs && (err != nil || !a.OnTheirPage || a.URI != uri) {
					w.Errorf("Start: %+v, %v, want it on their page", a, err)
				}
				if !theirs && (!errors.Is(err, ErrStrayPage) || a != (Attempt{})) {
					w.Errorf("Start: %+v, %v, want %v", a, err, ErrStrayPage)
				}
			})
		})
	}
}

// Tokens can be had once: who drops them because the store hiccups, and asks
// again, ends the login with the provider's "already used".
func TestStoreIsAwayWhenTokensCome(t *testing.T) {
	for name, start := range map[string]func(w *world) (a Attempt, polled time.Time){
		"our page": func(w *world) (Attempt, time.Time) {
			a := w.agreed()
			w.watch(w.bank, a.ID)
			return a, time.Now()
		},
		"their page": func(w *world) (Attempt, time.Time) {
			a := w.theirs()
			w.watch(w.bank, a.ID)
			time.Sleep(pace)
			return a, time.Now()
		},
	} {
		t.Run("for a moment, "+name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{after: 2 * time.Second}}
				a, _ := start(w)
				time.Sleep(time.Second)
				w.backend.noWrites.Store(true)
				time.Sleep(1500 * time.Millisecond)
				w.backend.noWrites.Store(false)
				time.Sleep(500 * time.Millisecond) // a second after they came
				synctest.Wait()
				if r := w.record(a); r.Tokens.Access != w.provider.first().Access {
					w.Error("the tokens are not stored a second after they came")
				}
				time.Sleep(time.Minute)
				w.wantFirstTokens(w.bank, a)
			})
		})
		// Close is no reason to drop them either.
		t.Run("for a moment, while we stop, "+name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{after: 2 * time.Second}}
				a, _ := start(w)
				time.Sleep(time.Second)
				w.backend.noWrites.Store(true)
				time.AfterFunc(3500*time.Millisecond, func() { w.backend.noWrites.Store(false) })
				w.wantCloseTakes(4*time.Second + verifyTime)
				w.wantFirstTokens(w.process(), a)
			})
		})
		// Given up on, they must not lie around at the provider.
		t.Run("for long, "+name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{after: 2 * time.Second}}
				a, polled := start(w)
				time.Sleep(time.Second)
				w.backend.noWrites.Store(true)
				time.Sleep(time.Until(polled.Add(6*time.Second - time.Nanosecond)))
				synctest.Wait()
				w.provider.wantKept()
				time.Sleep(time.Second)
				synctest.Wait()
				w.provider.wantRevoked(1)
				w.backend.noWrites.Store(false)
				if err := w.bank.Cancel(w.Context(), a.ID); err != nil {
					w.Errorf("Cancel: %v", err)
				}
				w.wantEnd(a, Cancelled, "")
				w.provider.wantVerdicts(0)
				w.provider.wantRevoked(1)
			})
		})
	}
}

// After a restart the page looks once and is closed: what it does not come for
// is revoked in time all the same.
func TestApprovedBeforeARestart(t *testing.T) {
	for name, approve := range map[string]func(w *world) Attempt{
		"our page": func(w *world) Attempt { return w.approved() },
		"their page": func(w *world) Attempt {
			a := w.theirs()
			w.watch(w.bank, a.ID)
			time.Sleep(pace + pollTime + verifyTime)
			synctest.Wait()
			w.want(a, Approved)
			return a
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := approve(w)
				w.wantCloseTakes(0)
				w.bank = w.process()
				time.Sleep(time.Minute)
				if got, err := w.bank.Get(w.Context(), a.ID); err != nil || got.State != Approved {
					w.Errorf("Get: %s, %v, want %s", got.State, err, Approved)
				}
				time.Sleep(time.Minute - time.Nanosecond)
				synctest.Wait()
				w.want(a, Approved)
				w.provider.wantKept()
				time.Sleep(time.Nanosecond)
				synctest.Wait()
				w.provider.wantRevoked(1)
				w.wantEnd(a, Expired, ReasonUnfinished)
				w.provider.wantPolls(1)
			})
		})
	}
}
