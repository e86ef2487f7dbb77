package devicegrant

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

var states = []State{Waiting, Opened, Number, Yes, Approved, Claimed, Denied, Expired, Cancelled, Failed}

// Which steps there are decides what an attacker can make of an attempt: a
// login that comes back from the dead, or that skips the question.
func TestOnlyTheseSteps(t *testing.T) {
	steps := map[State][]State{
		Waiting:  {Opened, Approved, Denied, Cancelled, Expired, Failed},
		Opened:   {Number, Yes, Denied, Cancelled, Expired, Failed},
		Number:   {Yes, Denied, Cancelled, Expired, Failed},
		Yes:      {Approved, Denied, Cancelled, Expired, Failed},
		Approved: {Claimed, Denied, Cancelled, Expired, Failed},
	}
	ends := []State{Claimed, Denied, Expired, Cancelled, Failed}
	for _, from := range states {
		if from.Ended() != slices.Contains(ends, from) {
			t.Errorf("%s.Ended: %v, want %v", from, from.Ended(), !from.Ended())
		}
		for _, to := range states {
			r := record{
				Attempt: Attempt{State: from, Silent: true},
				Device:  idp.DeviceCode{Device: "d", User: "u"},
				Tokens:  idp.Tokens{Access: "a", Refresh: "r", ID: "i"},
			}
			before := r
			err := r.to(to)
			allowed := slices.Contains(steps[from], to)
			switch {
			case allowed && err != nil:
				t.Errorf("from %s to %s: %v, want it allowed", from, to, err)
			case !allowed && !errors.Is(err, errStep):
				t.Errorf("from %s to %s: %v, want %v", from, to, err, errStep)
			case !allowed && r != before:
				t.Errorf("from %s to %s: refused, but changed to %+v", from, to, r)
			case allowed && (r.State != to || r.Silent):
				t.Errorf("from %s to %s: is %s and silent %v", from, to, r.State, r.Silent)
			case allowed && (r.Tokens == (idp.Tokens{}) || r.Device.Device == "") != slices.Contains(ends, to):
				t.Errorf("from %s to %s: device code %q, tokens %v: want them until an end and no longer", from, to, r.Device.Device, r.Tokens)
			}
		}
	}
}

// The same through the front door: what everybody can do to an attempt, in
// each state that it can be in.
func TestWhatCanBeDoneInEachState(t *testing.T) {
	// Ways to get there.
	reach := map[State]func(w *world) Attempt{
		Waiting: func(w *world) Attempt { return w.start() },
		Opened:  func(w *world) Attempt { return w.open(w.start()) },
		Yes: func(w *world) Attempt {
			w.provider.polls = script{{err: pending}}
			return w.agreed()
		},
		Approved: func(w *world) Attempt { return w.approved() },
		Claimed: func(w *world) Attempt {
			a := w.approved()
			act["claim"](w, a)
			return a
		},
		Denied: func(w *world) Attempt {
			a := w.open(w.start())
			act["no"](w, a)
			return a
		},
		Expired: func(w *world) Attempt {
			a := w.start()
			act["time"](w, a)
			return a
		},
		Cancelled: func(w *world) Attempt {
			a := w.start()
			act["cancel"](w, a)
			return a
		},
		Failed: func(w *world) Attempt {
			w.provider.approvals = script{{err: &idp.Error{Status: 400, Code: "invalid_request"}}}
			a := w.open(w.start())
			act["yes"](w, a)
			return a
		},
	}
	tests := []struct {
		from State
		to   map[string]State // where from is not left, it is not named
	}{
		{Waiting, map[string]State{"open": Opened, "cancel": Cancelled, "time": Expired}},
		{Opened, map[string]State{"yes": Yes, "no": Denied, "cancel": Cancelled, "time": Expired}},
		{Yes, map[string]State{"no": Denied, "cancel": Cancelled, "time": Expired}},
		{Approved, map[string]State{"no": Denied, "claim": Claimed, "cancel": Cancelled, "time": Expired}},
		{Claimed, nil},
		{Denied, nil},
		{Expired, nil},
		{Cancelled, nil},
		{Failed, nil},
	}
	for _, tt := range tests {
		for action := range act {
			t.Run(string(tt.from)+" "+action, func(t *testing.T) {
				inBubble(t, func(w *world) {
					a := reach[tt.from](w)
					synctest.Wait()
					w.want(a, tt.from)
					if action == "yes" && tt.to["yes"] != "" {
						w.provider.polls = script{{err: pending}} // or it is approved at once
					}
					act[action](w, a)
					synctest.Wait()
					want := tt.from
					if to := tt.to[action]; to != "" {
						want = to
					}
					w.want(a, want)
				})
			})
		}
	}
}

// act are the things that can be done to an attempt by those who may.
var act = map[string]func(w *world, a Attempt){
	"open": func(w *world, a Attempt) {
		w.noError(w.bank.Open(w.Context(), a.UserCode, phone, richard))
	},
	"yes": func(w *world, a Attempt) {
		w.noError(w.yes(a))
	},
	"no": func(w *world, a Attempt) {
		w.noError(w.bank.No(w.Context(), a.UserCode, a.Shown(), phone, richard))
	},
	"cancel": func(w *world, a Attempt) {
		w.noError(a, w.bank.Cancel(w.Context(), a.ID))
	},
	"claim": func(w *world, a Attempt) {
		_, _, err := w.bank.Claim(w.Context(), a.ID, func(idp.Person, idp.Tokens) (string, error) { return "session", nil })
		if err != nil && !errors.Is(err, ErrNotApproved) {
			w.Errorf("Claim: %v", err)
		}
	},
	"time": func(w *world, a Attempt) {
		time.Sleep(time.Until(w.record(a).Expires))
		w.noError(w.bank.Get(w.Context(), a.ID))
	},
}

func (w *world) noError(_ Attempt, err error) {
	w.Helper()
	if err != nil {
		w.Errorf("error %v, want none", err)
	}
}
