package devicegrant

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

var states = []State{Waiting, Opened, Number, Yes, Approved, Claimed, Denied, Expired, Cancelled, Failed}

// The transitions decide what an attacker can make of an attempt: a login that
// comes back from the dead, or one that skips the question.
func TestTransitions(t *testing.T) {
	transitions := map[State][]State{
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
		if answered := slices.Contains([]State{Number, Yes, Approved}, from); from.Answered() != answered {
			t.Errorf("%s.Answered: %v, want %v", from, from.Answered(), answered)
		}
		for _, to := range states {
			r := record{
				Attempt: Attempt{State: from, ProviderDown: true},
				Number:  "1234",
				Device:  idp.DeviceCode{Device: "d", User: "u"},
				Tokens:  idp.Tokens{Access: "a", Refresh: "r", ID: "i"},
			}
			before := r
			err := r.to(to)
			allowed := slices.Contains(transitions[from], to)
			secrets := r.Tokens != (idp.Tokens{}) || r.Device.Device != ""
			switch {
			case allowed && err != nil:
				t.Errorf("from %s to %s: %v, want it allowed", from, to, err)
			case !allowed && !errors.Is(err, errTransition):
				t.Errorf("from %s to %s: %v, want %v", from, to, err, errTransition)
			case !allowed && !reflect.DeepEqual(r, before):
				t.Errorf("from %s to %s: refused, but changed to %+v", from, to, r)
			case allowed && (r.State != to || r.ProviderDown):
				t.Errorf("from %s to %s: is %s with the provider down %v", from, to, r.State, r.ProviderDown)
			case allowed && secrets != slices.Contains([]State{Opened, Number, Yes}, to):
				t.Errorf("from %s to %s: device code %q, tokens %v: want them until the approval", from, to, r.Device.Device, r.Tokens)
			case allowed && (r.Number != "") != (to == Number):
				t.Errorf("from %s to %s: number %q", from, to, r.Number)
			}
		}
	}
}

// actions are the things that can be done to an attempt by those who may.
var actions = map[string]func(w *world, a Attempt){
	"open": func(w *world, a Attempt) { w.noError(w.m.Open(w.Context(), visit(a.UserCode, phone, richard))) },
	"yes":  func(w *world, a Attempt) { w.noError(w.yes(a)) },
	"no":   func(w *world, a Attempt) { w.noError(w.no(a)) },
	"look": func(w *world, a Attempt) { w.noError(w.m.CheckLaptop(w.Context(), a.ID, laptop)) },
	"confirm": func(w *world, a Attempt) {
		w.noError(w.m.Confirm(w.Context(), a.ID, w.record(a).Number))
	},
	"cancel": func(w *world, a Attempt) { w.noError(a, w.m.Cancel(w.Context(), a.ID)) },
	"claim": func(w *world, a Attempt) {
		if _, err := w.claim(a); err != nil && !errors.Is(err, ErrNotApproved) {
			w.Errorf("Claim: %v", err)
		}
	},
	"time": func(w *world, a Attempt) {
		time.Sleep(time.Until(w.record(a).Expires))
		w.noError(w.m.Refresh(w.Context(), a.ID))
	},
}

// reach has a way to each state.
var reach = map[State]func(w *world) Attempt{
	Waiting: func(w *world) Attempt { return w.start() },
	Opened:  func(w *world) Attempt { return w.open(w.start()) },
	Number: func(w *world) Attempt {
		a, _ := w.asked()
		return a
	},
	Yes: func(w *world) Attempt {
		w.provider.polls = script{{err: pending}}
		return w.answered()
	},
	Approved: func(w *world) Attempt { return w.approved() },
	Claimed: func(w *world) Attempt {
		a := w.approved()
		actions["claim"](w, a)
		return a
	},
	Denied: func(w *world) Attempt {
		a := w.open(w.start())
		actions["no"](w, a)
		return a
	},
	Expired: func(w *world) Attempt {
		a := w.start()
		actions["time"](w, a)
		return a
	},
	Cancelled: func(w *world) Attempt {
		a := w.start()
		actions["cancel"](w, a)
		return a
	},
	Failed: func(w *world) Attempt {
		w.provider.approvals = script{{err: errInvalidUserCode}}
		a := w.open(w.start())
		actions["yes"](w, a)
		return a
	},
}

// leads says where an action leads. What is missing leads nowhere.
var leads = map[State]map[string]State{
	Waiting:  {"open": Opened, "cancel": Cancelled, "time": Expired},
	Opened:   {"yes": Yes, "no": Denied, "cancel": Cancelled, "time": Expired},
	Number:   {"confirm": Yes, "no": Denied, "cancel": Cancelled, "time": Expired},
	Yes:      {"no": Denied, "cancel": Cancelled, "time": Expired},
	Approved: {"no": Denied, "claim": Claimed, "cancel": Cancelled, "time": Expired},
}

// The same through the exported methods: what each caller can do to an attempt,
// in each state.
func TestActionsInEachState(t *testing.T) {
	for _, from := range states {
		for action := range actions {
			t.Run(string(from)+" "+action, func(t *testing.T) {
				inBubble(t, func(w *world) {
					a := reach[from](w)
					synctest.Wait()
					w.want(a, from)
					if from == Opened || from == Number { // or it is approved at once
						w.provider.set(func(p *provider) { p.polls = script{{err: pending}} })
					}
					actions[action](w, a)
					synctest.Wait()
					want := from
					if to := leads[from][action]; to != "" {
						want = to
					}
					w.want(a, want)
				})
			})
		}
	}
}
