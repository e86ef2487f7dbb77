package devicegrant

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
)

func TestOpen(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		got := w.open(a)
		if got.ID != a.ID || got.Ref != a.Ref || got.Laptop != laptop || got.Phone != phone || got.Person != richard {
			w.Errorf("Open: %+v, want the attempt, its laptop, this phone and Richard", got)
		}
		// Again, on another of his: a reload, or a link passed on.
		got, err := w.bank.Open(w.Context(), a.UserCode, tablet, richard)
		if err != nil || got.State != Opened || got.Phone != tablet {
			w.Errorf("Open again: %s on %v, %v, want %s on the tablet", got.State, got.Phone, err, Opened)
		}
	})
}

// People type codes as they like, and the provider gets them as it wrote them.
func TestCodesAreTakenAsPeopleTypeThem(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.userCodes = []string{"WdjB-mjHt"}
		a := w.start()
		for _, typed := range []string{"WdjB-mjHt", "WDJBMJHT", "wdjb mjht", " w-d-j-b–MJHT\n"} {
			got, err := w.bank.Open(w.Context(), typed, phone, richard)
			if err != nil || got.ID != a.ID {
				w.Errorf("Open(%q): %q, %v, want the attempt", typed, got.ID, err)
			}
		}
		if _, err := w.bank.Yes(w.Context(), "wdjb mjht", a.Shown(), phone, richard, phoneToken); err != nil {
			w.Errorf("Yes: %v", err)
		}
		if got := w.provider.approved; !slices.Equal(got, []string{"WdjB-mjHt"}) {
			w.Errorf("the provider was asked to approve %q, want WdjB-mjHt", got)
		}
	})
}

// A code that we do not know may be live at the provider all the same: its
// device endpoint is anonymous, and an attacker started it in our name.
func TestForeignCodeIsNotApproved(t *testing.T) {
	inBubble(t, func(w *world) {
		foreign, err := w.provider.StartDevice(w.Context())
		if err != nil {
			w.Fatal(err)
		}
		a := w.open(w.start())
		if _, err := w.bank.Open(w.Context(), foreign.User, phone, richard); !errors.Is(err, ErrUnknownCode) {
			w.Errorf("Open: %v, want %v", err, ErrUnknownCode)
		}
		if _, err := w.bank.Yes(w.Context(), foreign.User, a.Shown(), phone, richard, phoneToken); !errors.Is(err, ErrUnknownCode) {
			w.Errorf("Yes: %v, want %v", err, ErrUnknownCode)
		}
		if _, err := w.bank.No(w.Context(), foreign.User, a.Shown(), phone, richard); !errors.Is(err, ErrUnknownCode) {
			w.Errorf("No: %v, want %v", err, ErrUnknownCode)
		}
		w.provider.wantApprovals(0)
		w.want(a, Opened)
	})
}

// Who opens an attempt first is the only one who can answer: else an attacker
// who has seen the code over a shoulder says yes with his own account, and the
// victim works in it.
func TestSecondPerson(t *testing.T) {
	for _, state := range []State{Opened, Yes, Approved} {
		t.Run(string(state), func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{err: pending}, {}}
				a := w.open(w.start())
				if state != Opened {
					w.noError(w.yes(a))
					synctest.Wait()
				}
				if state == Approved {
					time.Sleep(time.Minute)
					synctest.Wait()
				}
				before := w.want(a, state)
				approvals := len(w.provider.approved)
				for name, answer := range map[string]func() (Attempt, error){
					"Open": func() (Attempt, error) { return w.bank.Open(w.Context(), a.UserCode, tablet, mallory) },
					"Yes": func() (Attempt, error) {
						return w.bank.Yes(w.Context(), a.UserCode, a.Shown(), tablet, mallory, phoneToken)
					},
					"No": func() (Attempt, error) { return w.bank.No(w.Context(), a.UserCode, a.Shown(), tablet, mallory) },
				} {
					got, err := answer()
					if !errors.Is(err, ErrOtherPerson) || got != (Attempt{}) {
						w.Errorf("%s: %+v, %v, want nothing and %v", name, got, err, ErrOtherPerson)
					}
				}
				synctest.Wait()
				if after := w.record(a); after != before {
					w.Errorf("the attempt was %+v, is %+v, want it unchanged", before, after)
				}
				w.provider.wantApprovals(approvals)
			})
		})
	}
}

// The same address is not the same person, and neither is the same number at
// another provider.
func TestSecondPersonIsToldByIssuerAndSubject(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.open(w.start())
		for _, other := range []idp.Person{
			{Issuer: issuer, Subject: "3", Email: richard.Email, Name: richard.Name},
			{Issuer: "https://evil.example", Subject: richard.Subject, Email: richard.Email},
			{Issuer: issuer, Email: richard.Email},
		} {
			if _, err := w.bank.Yes(w.Context(), a.UserCode, a.Shown(), phone, other, phoneToken); !errors.Is(err, ErrOtherPerson) {
				w.Errorf("Yes by %+v: %v, want %v", other, err, ErrOtherPerson)
			}
		}
		w.want(a, Opened)
		renamed := idp.Person{Issuer: issuer, Subject: richard.Subject, Email: "new@example.com"}
		if _, err := w.bank.Yes(w.Context(), a.UserCode, a.Shown(), phone, renamed, phoneToken); err != nil {
			w.Errorf("Yes by Richard with a new address: %v", err)
		}
	})
}

func TestTwoPeopleOpenAtOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		for range 20 {
			a := w.start()
			people := []idp.Person{richard, mallory}
			errs := make([]error, len(people))
			var wg sync.WaitGroup
			for i, person := range people {
				wg.Go(func() { _, errs[i] = w.bank.Open(w.Context(), a.UserCode, phone, person) })
			}
			wg.Wait()
			r := w.want(a, Opened)
			for i, person := range people {
				if person.Is(r.Person) && errs[i] != nil || !person.Is(r.Person) && !errors.Is(errs[i], ErrOtherPerson) {
					w.Errorf("%v opened it, and %v was told %v", r.Person, person, errs[i])
				}
			}
		}
	})
}

// A yes to a question that was never shown is errForged.
func TestYesWithoutHavingOpened(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.start()
		before := w.record(a)
		got, err := w.yes(a)
		if err != nil || got.State != Waiting {
			w.Errorf("Yes: %s, %v, want %s", got.State, err, Waiting)
		}
		got, err = w.bank.No(w.Context(), a.UserCode, a.Shown(), phone, richard)
		if err != nil || got.State != Waiting {
			w.Errorf("No: %s, %v, want %s", got.State, err, Waiting)
		}
		time.Sleep(time.Minute)
		w.provider.wantApprovals(0)
		w.provider.wantPolls(0)
		if after := w.want(a, Waiting); after != before {
			w.Errorf("the attempt was %+v, is %+v, want no trace of a phone or a person", before, after)
		}
	})
}

// A no counts as long as the laptop has not got through.
func TestNoAfterApproval(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		got, err := w.bank.No(w.Context(), a.UserCode, a.Shown(), phone, richard)
		if err != nil || got.State != Denied {
			w.Errorf("No: %s, %v, want %s", got.State, err, Denied)
		}
		synctest.Wait()
		w.wantEnd(a, Denied, "")
		w.provider.wantRevoked(1)
		if _, claimed, err := w.bank.Claim(w.Context(), a.ID, nil); claimed || !errors.Is(err, ErrNotApproved) {
			w.Errorf("Claim after it: %v, %v, want %v", claimed, err, ErrNotApproved)
		}
	})
}

// Who said yes, and saw that it did not get through, may think again: even if
// the provider did hear it, and tokens come, nobody is logged in.
func TestNoAfterASilentYes(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.approvals = script{{after: approveTime, err: context.DeadlineExceeded}}
		w.provider.polls = script{{after: time.Minute}}
		a := w.open(w.start())
		if _, err := w.yes(a); !errors.Is(err, ErrSilent) {
			w.Fatalf("Yes: %v, want %v", err, ErrSilent)
		}
		if got, err := w.bank.Open(w.Context(), a.UserCode, phone, richard); err != nil || got.State != Yes || got.Heard {
			w.Errorf("Open: %s, heard %v, %v, want %s to be asked again", got.State, got.Heard, err, Yes)
		}
		synctest.Wait() // a poll is in flight
		if got, err := w.bank.No(w.Context(), a.UserCode, a.Shown(), phone, richard); err != nil || got.State != Denied {
			w.Errorf("No: %s, %v, want %s", got.State, err, Denied)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		w.wantEnd(a, Denied, "")
		w.provider.wantRevoked(1)
	})
}

// Of two yeses at the same moment the provider takes the second one first, and
// refuses the other, which is the one that began: the login is not lost.
func TestDoubledYesIsNotARefusal(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.approvals = script{
			{after: time.Second, err: &idp.Error{Status: 400, Code: "invalid_request", Reason: "invalid_user_code"}},
			{after: approveTime},
		}
		a := w.open(w.start())
		var both sync.WaitGroup
		both.Go(func() { w.noError(w.yes(a)) })
		synctest.Wait()
		both.Go(func() { w.noError(w.yes(a)) })
		both.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		w.want(a, Approved)
	})
}

// The question may be on a phone while its code has come to stand for another
// attempt: the answer is to what was shown.
func TestAnswerToAnotherAttempt(t *testing.T) {
	inBubble(t, func(w *world) {
		other := w.start()
		a := w.open(w.start())
		before := w.record(a)
		for _, ref := range []string{other.Ref, "", a.Ref + "x"} {
			if _, err := w.bank.Yes(w.Context(), a.UserCode, ref, tablet, richard, phoneToken); !errors.Is(err, ErrChanged) {
				w.Errorf("Yes to %q: %v, want %v", ref, err, ErrChanged)
			}
			if _, err := w.bank.No(w.Context(), a.UserCode, ref, tablet, richard); !errors.Is(err, ErrChanged) {
				w.Errorf("No to %q: %v, want %v", ref, err, ErrChanged)
			}
		}
		if after := w.record(a); after != before {
			w.Errorf("the attempt was %+v, is %+v, want it unchanged", before, after)
		}
		w.provider.wantApprovals(0)
	})
}

func TestNoEndsItAtOnce(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.open(w.start())
		page := w.watch(w.bank, a.ID)
		time.Sleep(20 * time.Second)
		got, err := w.bank.No(w.Context(), a.UserCode, a.Shown(), phone, richard)
		if err != nil || got.State != Denied {
			w.Errorf("No: %s, %v, want %s", got.State, err, Denied)
		}
		seen, over, _ := page.saw()
		if want := []sight{{Opened, false, 0}, {Denied, false, 20 * time.Second}}; !slices.Equal(seen, want) || !over {
			w.Errorf("the laptop saw %v (over: %v), want %v", seen, over, want)
		}
		got, err = w.yes(a)
		if err != nil || got.State != Denied {
			w.Errorf("Yes after it: %s, %v, want %s", got.State, err, Denied)
		}
		time.Sleep(time.Minute)
		w.wantEnd(a, Denied, "")
		w.provider.wantApprovals(0)
		w.provider.wantPolls(0)
	})
}

func TestApproveRefused(t *testing.T) {
	for name, answer := range map[string]*idp.Error{
		"refused":       {Status: 400, Code: "invalid_request", Reason: "invalid_user_code"},
		"no such call":  {Status: 404},
		"forbidden":     {Status: 403},
		"gone":          {Status: 410},
		"409 page":      {Status: 409},
		"said with 200": {Status: 200, Code: "access_denied"},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.approvals = script{{after: approveTime, err: answer}}
				a := w.open(w.start())
				got, err := w.yes(a)
				if err != nil || got.State != Failed || got.Reason != ReasonRefused {
					w.Errorf("Yes: %s %q, %v, want %s %q", got.State, got.Reason, err, Failed, ReasonRefused)
				}
				w.watch(w.bank, a.ID)
				time.Sleep(10 * time.Minute)
				w.wantEnd(a, Failed, ReasonRefused)
				w.provider.wantPolls(0)
			})
		})
	}
}

// A client that may not ask for an approval may not ask for tokens either.
func TestApproveRefusesTheClient(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.page = "https://idp.example/oauth2/device"
		w.provider.approvals = script{{err: &idp.Error{Status: 401, Code: "invalid_client"}}}
		a := w.open(w.start())
		got, err := w.yes(a)
		if err != nil || got.State != Failed || got.Reason != ReasonClient {
			w.Errorf("Yes: %s %q, %v, want %s %q", got.State, got.Reason, err, Failed, ReasonClient)
		}
		w.provider.wantPolls(0)
	})
}

// A provider that does not take the yes may take it on a page of its own. What
// comes of that is asked for at its pace, while somebody looks, and counts only
// for the person who said yes here.
func TestGoesOnAtTheProvidersPage(t *testing.T) {
	refused := reply{err: &idp.Error{Status: 404}}
	setUp := func(w *world) Attempt {
		w.provider.page = "https://idp.example/oauth2/device?user_code=X"
		w.provider.approvals = script{refused}
		got, err := w.yes(w.open(w.start()))
		if err != nil || got.State != Yes || !got.Heard || got.Continue != w.provider.page {
			w.Errorf("Yes: %s, heard %v, go on at %q, %v; want %s and the provider's page", got.State, got.Heard, got.Continue, err, Yes)
		}
		return got
	}
	t.Run("watched", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.polls = script{{err: pending}, {err: pending}, {}}
			a := setUp(w)
			page := w.watch(w.bank, a.ID)
			time.Sleep(time.Minute)
			w.want(a, Approved)
			w.wantPollTimes(0, pace, 2*pace)
			if seen, _, _ := page.saw(); len(seen) < 2 || seen[len(seen)-1].State != Approved {
				w.Errorf("the laptop saw %v, want it to end with %s", seen, Approved)
			}
		})
	})
	t.Run("nobody looks", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.polls = script{{err: pending}}
			setUp(w)
			time.Sleep(time.Minute)
			if n := len(w.provider.pollTimes()); n > 3 {
				w.Errorf("%d polls in a minute in which nobody looked", n)
			}
		})
	})
	t.Run("by another person", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.verdicts = script{{person: mallory}}
			a := setUp(w)
			w.watch(w.bank, a.ID)
			time.Sleep(time.Minute)
			w.wantEnd(a, Failed, ReasonOtherPerson)
			w.provider.wantRevoked(1)
		})
	})
	t.Run("no after all", func(t *testing.T) {
		inBubble(t, func(w *world) {
			a := setUp(w)
			got, err := w.bank.No(w.Context(), a.UserCode, a.Shown(), phone, richard)
			if err != nil || got.State != Denied {
				w.Errorf("No: %s, %v, want %s", got.State, err, Denied)
			}
		})
	})
	t.Run("silent at first", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.page = "https://idp.example/oauth2/device?user_code=X"
			w.provider.approvals = script{{err: &idp.Error{Status: 502}}, {}}
			w.provider.polls = script{{err: pending}, {}}
			a := w.open(w.start())
			got, err := w.yes(a)
			if !errors.Is(err, ErrSilent) || got.Heard || got.Continue != w.provider.page {
				w.Errorf("Yes: heard %v, go on at %q, %v; want %v and the page beside the question", got.Heard, got.Continue, err, ErrSilent)
			}
			if got, err = w.yes(a); err != nil || got.Continue != "" {
				w.Errorf("Yes again: go on at %q, %v; want it taken", got.Continue, err)
			}
		})
	})
}

// The yes may have got through although no answer came back: who takes the
// silence for a failure loses a login that the provider has let in.
func TestApproveTimesOut(t *testing.T) {
	timeouts := map[string]error{
		"no answer":         context.DeadlineExceeded,
		"500":               &idp.Error{Status: 500},
		"503 with a code":   &idp.Error{Status: 503, Code: "server_error"},
		"503, refusing":     &idp.Error{Status: 503, Code: "invalid_request"},
		"408":               &idp.Error{Status: 408},
		"429":               &idp.Error{Status: 429},
		"429 with a code":   &idp.Error{Status: 429, Code: "slow_down"},
		"301":               &idp.Error{Status: 301},
		"307":               &idp.Error{Status: 307},
		"another word":      errors.New("idp: approve: the answer says \"x\""),
		"not yet connected": idp.ErrNotReady,
	}
	for name, answer := range timeouts {
		t.Run(name+", heard", func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.approvals = script{{after: 10 * time.Second, err: answer}}
				a := w.open(w.start())
				if _, err := w.yes(a); !errors.Is(err, ErrSilent) {
					w.Errorf("Yes: %v, want %v", err, ErrSilent)
				}
				time.Sleep(pollTime + verifyTime)
				synctest.Wait()
				w.want(a, Approved)
				w.provider.wantPolls(1)
			})
		})
		t.Run(name+", not heard", func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.approvals = script{{after: 10 * time.Second, err: answer}, {after: approveTime}}
				w.provider.polls = script{{after: pollTime, err: pending}, {after: pollTime}}
				a := w.open(w.start())
				if _, err := w.yes(a); !errors.Is(err, ErrSilent) {
					w.Errorf("Yes: %v, want %v", err, ErrSilent)
				}
				time.Sleep(2 * time.Second)
				if got, err := w.yes(a); err != nil || got.State != Yes {
					w.Errorf("Yes again: %s, %v, want %s", got.State, err, Yes)
				}
				time.Sleep(pace)
				synctest.Wait()
				w.want(a, Approved)
				if got, want := w.provider.pollTimes(), []time.Duration{0, pace}; !slices.Equal(got, want) {
					w.Errorf("polls at %v, want %v", got, want)
				}
			})
		})
	}
}

// A provider that has approved once may refuse to do it again.
func TestYesAgainIsHarmless(t *testing.T) {
	inBubble(t, func(w *world) {
		refused := &idp.Error{Status: 400, Code: "invalid_request", Reason: "invalid_user_code"}
		w.provider.approvals = script{{}, {after: approveTime, err: refused}}
		w.provider.polls = script{{after: 3 * time.Second, err: pending}, {after: 3 * time.Second}}
		a := w.agreed()
		time.Sleep(time.Second)
		if got, err := w.yes(a); err != nil || got.State != Yes { // while a poll is under way
			w.Errorf("Yes again: %s, %v, want %s", got.State, err, Yes)
		}
		time.Sleep(3 * time.Second)
		if got, err := w.yes(a); err != nil || got.State != Yes { // between two polls
			w.Errorf("Yes again: %s, %v, want %s", got.State, err, Yes)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		w.want(a, Approved)
		approvals := len(w.provider.approved)
		if got, err := w.yes(a); err != nil || got.State != Approved {
			w.Errorf("Yes after all: %s, %v, want %s", got.State, err, Approved)
		}
		w.provider.wantApprovals(approvals)
		if got, want := w.provider.pollTimes(), []time.Duration{0, pace}; !slices.Equal(got, want) {
			w.Errorf("polls at %v, want %v", got, want)
		}
	})
}

func TestYesOnTwoPhonesOfOnePerson(t *testing.T) {
	inBubble(t, func(w *world) {
		for range 10 {
			polls := len(w.provider.pollTimes())
			a := w.open(w.start())
			var wg sync.WaitGroup
			for _, from := range []browser.Browser{phone, tablet} {
				wg.Go(func() {
					got, err := w.bank.Yes(w.Context(), a.UserCode, a.Shown(), from, richard, phoneToken)
					if err != nil || got.State != Yes {
						w.Errorf("Yes from %s: %s, %v, want %s", from.Agent, got.State, err, Yes)
					}
				})
			}
			wg.Wait()
			time.Sleep(time.Minute)
			synctest.Wait()
			w.want(a, Approved)
			w.provider.wantPolls(polls + 1)
		}
	})
}
