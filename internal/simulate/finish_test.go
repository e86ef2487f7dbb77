package simulate

import (
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/session"
)

// finish stops everything, and checks what must be true at the end.
func (w *world) finish() {
	w.mu.Lock()
	w.over = true
	last := slices.Clone(w.replicas)
	w.mu.Unlock()
	w.model.mu.Lock()
	attempts := slices.Clone(w.model.attempts)
	w.model.mu.Unlock()
	for _, a := range attempts {
		w.checkEnd(a)
	}
	w.checkSessions(attempts)
	for _, r := range last {
		if r != nil {
			r.stop()
		}
	}
	w.wg.Wait()
	w.sleep("world", time.Minute) // for answers that nobody waits for
	w.checkLog(attempts)
}

// checkEnd checks that an attempt has reached its end, that its laptop knows, that
// it was not lost without a cause, and that its tokens are where they belong.
func (w *world) checkEnd(a *attempt) {
	now, err := w.observer.grants.CheckHidden(as(w.t.Context(), observer), a.ID, a.laptop.seen())
	switch {
	case errors.Is(err, devicegrant.ErrNone):
		w.violated("the attempt %s is gone", a.UserCode)
		return
	case err != nil:
		w.violated("the attempt %s cannot be read: %v", a.UserCode, err)
		return
	}
	slices.Sort(a.excuses)
	w.tell("world", "%s ended as %s %s; excuses: %s", a.UserCode, now.State, now.Reason, strings.Join(slices.Compact(a.excuses), ", "))
	w.model.mu.Lock()
	defer w.model.mu.Unlock()
	switch {
	case !now.State.Ended():
		w.violated("%s is still %s", a.UserCode, now.State)
	case !a.left && a.sawState != now.State && a.session == "":
		w.violated("%s ended as %s, and its laptop shows %s", a.UserCode, now.State, a.sawState)
	}
	if len(a.yeses) > 0 && now.State != devicegrant.Claimed && !a.left && !w.excused(a, now) {
		w.violated("%s was approved, and ended as %s %s without a cause", a.UserCode, now.State, now.Reason)
	}
	w.checkReason(a, now)
	w.checkTokens(a, now)
	a.end = now.State
}

// checkReason checks that what the laptop's page says of the end is true.
func (w *world) checkReason(a *attempt, now devicegrant.Attempt) {
	is := true
	switch {
	case now.State == devicegrant.Denied:
		is = a.denies
	case now.State == devicegrant.Cancelled:
		is = a.cancels
	case now.Reason == devicegrant.ReasonLoggedOut, now.Reason == devicegrant.ReasonSessionEnded:
		is = slices.ContainsFunc(a.yeses, func(y *yes) bool { return !w.model.restless[y.person.Subject].Before(y.vouched) })
	case now.Reason == devicegrant.ReasonOtherPerson:
		is = w.provider.approver(a.UserCode) != now.Person.Subject
	case now.Reason == devicegrant.ReasonMoved:
		is = slices.ContainsFunc(a.looks, func(l *look) bool { return l.Browser != a.laptop.seen() })
	case now.Reason == devicegrant.ReasonNumber:
		is = a.guesses >= wrongNumbers
	}
	if !is {
		w.violated("%s ended as %s %s, which is not true", a.UserCode, now.State, now.Reason)
	}
}

// excused reports whether something that happened may have ended an attempt.
func (w *world) excused(a *attempt, now devicegrant.Attempt) bool {
	switch {
	case a.strict:
		return false
	case len(a.excuses) > 0:
		return true
	}
	for _, y := range a.yeses {
		if at := w.model.restless[y.person.Subject]; !at.Before(y.vouched) {
			return true
		}
	}
	w.provider.mu.Lock()
	defer w.provider.mu.Unlock()
	d := w.provider.byUser[a.UserCode]
	if f := d.redeemed; f != nil && !f.arrived {
		return true // the answer with the tokens was lost, and they are given only once
	}
	if f := d.redeemed; f != nil && (f.by.isDead() || f.revoked && (w.faultSince(f.given) || f.by.frozen.since(f.given))) {
		return true // those who had them were killed, or could not store them in time
	}
	// Two minutes of calm are enough for everything.
	if a.asked && a.confirmed.IsZero() {
		return true // nobody typed the number
	}
	return now.State == devicegrant.Expired && d.expires.Before(w.calm.Add(2*time.Minute))
}

// checkTokens checks that the tokens of an attempt that ended without a session
// are revoked, unless a crash or a fault has lost them.
func (w *world) checkTokens(a *attempt, now devicegrant.Attempt) {
	if now.State == devicegrant.Claimed {
		return
	}
	w.provider.mu.Lock()
	defer w.provider.mu.Unlock()
	for _, f := range w.provider.families {
		if f.device == nil || f.device.user != a.UserCode || f.revoked || f.torn || !f.arrived {
			continue
		}
		if !f.by.isDead() && !w.faultSince(f.given) {
			w.violated("%s ended as %s, and its tokens are not revoked", a.UserCode, now.State)
		}
	}
}

// checkSessions checks that each live session that came by phone is a claimed
// attempt's, unless a fault kept the claim from ending it, and that it is of a
// person who approved.
func (w *world) checkSessions(attempts []*attempt) {
	for n := range people {
		sessions, err := w.observer.sessions.Of(as(w.t.Context(), observer), person(n))
		if err != nil {
			w.violated("the sessions of %s cannot be read: %v", person(n).Subject, err)
		}
		for _, s := range sessions {
			if s.By != session.ByPhone || s.Pending || w.faultSince(s.Began.Add(-storeLimit)) {
				continue
			}
			if !slices.ContainsFunc(attempts, func(a *attempt) bool {
				return a.end == devicegrant.Claimed && a.laptop.agent == s.Browser.Agent &&
					slices.ContainsFunc(a.yeses, func(y *yes) bool { return y.person.Is(s.Person) })
			}) {
				w.violated("a session of %s by %s is live, and no attempt of theirs was claimed", s.Person.Subject, s.Browser.Agent)
			}
		}
	}
}

// checkWaiting checks that no session waits for its laptop that was approved
// before all others of the person were logged out, which began then.
func (w *world) checkWaiting(person idp.Person, began time.Time) {
	sessions, err := w.observer.sessions.Of(as(w.t.Context(), observer), person)
	if err != nil {
		w.violated("the sessions of %s cannot be read: %v", person.Subject, err)
	}
	w.model.mu.Lock()
	defer w.model.mu.Unlock()
	for _, s := range sessions {
		if s.Pending && !slices.ContainsFunc(w.model.attempts, func(a *attempt) bool {
			return a.laptop.agent == s.Browser.Agent &&
				slices.ContainsFunc(a.yeses, func(y *yes) bool { return y.person.Is(person) && !y.vouched.Before(began) })
		}) {
			w.violated("a session of %s for %s waits, and was approved before all others were logged out", person.Subject, s.Browser.Agent)
		}
	}
}

// end is a line of the log that tells of an attempt's end.
var end = regexp.MustCompile(`time=(\S+) .*msg="qr login" step=(?:denied|expired|cancelled|failed) attempt=(\w+)`)

// checkLog checks that no secret is in the log, and that laptops heard of the
// end of their attempts in time.
func (w *world) checkLog(attempts []*attempt) {
	w.mu.Lock()
	logged := w.logged.String()
	w.mu.Unlock()
	secrets := []string{"SECRET"}
	for _, a := range attempts {
		secrets = append(secrets, a.ID)
		if a.session != "" {
			secrets = append(secrets, a.session)
		}
	}
	for _, secret := range secrets {
		if at := strings.Index(logged, secret); at >= 0 {
			w.violated("a secret is in the log: %.200s", logged[max(0, at-150):])
		}
	}
	for _, number := range w.model.numbers {
		if number != "" && regexp.MustCompile(`[=" ]`+number+`["\s]`).MatchString(logged) {
			w.violated("a number is in the log")
		}
	}
	for line := range strings.Lines(logged) {
		w.checkHeard(attempts, line)
	}
}

// checkHeard checks that the laptop heard of an end in the calm within a moment. The
// laptop of this world hears nothing while its person types a number.
func (w *world) checkHeard(attempts []*attempt, line string) {
	found := end.FindStringSubmatch(line)
	if found == nil {
		return
	}
	at, err := time.Parse(time.RFC3339, found[1])
	if err != nil {
		w.violated("the log has the time %s", found[1])
		return
	}
	for _, a := range attempts {
		moment := 10 * time.Second
		if a.asked {
			moment += longestTyping
		}
		if a.Ref == found[2] && !a.left && w.isCalm(at) && a.session == "" && a.awake.Before(at) && a.sawAt.Sub(at) > moment {
			w.violated("the laptop of %s heard of the end after %v", a.UserCode, a.sawAt.Sub(at))
		}
	}
}

// said is an error in a few words.
func said(err error) string {
	if err == nil {
		return "ok"
	}
	text := err.Error()
	if refusal, ok := errors.AsType[*idp.Error](err); ok {
		text = refusal.Error()
	}
	return text
}
