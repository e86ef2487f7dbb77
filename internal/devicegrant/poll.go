package devicegrant

import (
	"errors"
	"time"

	"changebank/internal/idp"
)

const (
	margin      = 1.15            // on the provider's interval: polled at exactly that, some providers answer slow_down
	slowDown    = 5 * time.Second // more from now on (RFC 8628, section 3.5)
	maxInterval = time.Minute
	maxBackoff  = time.Minute
)

// pace returns how long the provider's interval keeps two polls apart.
func (r *record) pace() time.Duration {
	return time.Duration(float64(r.Device.Interval) * margin)
}

// noTokens decides what a poll without tokens means (RFC 8628, section 3.5).
func (r *record) noTokens(cause error) error {
	refusal, ok := errors.AsType[*idp.Error](cause)
	if !ok {
		refusal = new(idp.Error) // no answer at all, which is not final
	}
	if !refusal.Final() {
		r.backOff(refusal.Interval)
		r.ProviderErrors = refusal.Status >= 500
		return nil
	}
	switch refusal.Code {
	case idp.CodePending:
		r.rest()
	case idp.CodeSlowDown:
		// For good. Some providers say by how much.
		before := r.pace()
		r.Device.Interval = min(max(r.Device.Interval+slowDown, refusal.Interval), maxInterval)
		r.Due = r.Due.Add(r.pace() - before)
		r.rest()
	case idp.CodeExpired:
		return r.timeOut()
	case idp.CodeDenied, idp.CodeDeclined:
		if r.ProviderPage {
			return r.to(Denied)
		}
		return r.fail(ReasonRefused) // nobody denied it here
	default:
		return r.fail(reasonOf(refusal))
	}
	return nil
}

// isPending reports whether a poll was answered that the person has not approved
// yet.
func isPending(err error) bool {
	refusal, ok := errors.AsType[*idp.Error](err)
	return ok && refusal.Final() && refusal.Code == idp.CodePending
}

// reasonOf says what a refusal that ends an attempt was about.
func reasonOf(refusal *idp.Error) Reason {
	switch {
	case refusal.OfClient():
		return ReasonClient
	case refusal.OfCode():
		return ReasonCodeGone
	}
	return ReasonRefused
}

// notVerified decides what a failed verification means. Invalid tokens end the
// attempt. Tokens that could not be checked, for example because the provider's
// keys were not available, are checked again later.
func (r *record) notVerified(cause error) error {
	if errors.Is(cause, idp.ErrInvalidToken) {
		return r.fail(ReasonUnverified)
	}
	r.backOff(0)
	return nil
}

// mayBeOf reports whether tokens of that person count. With our page, only the
// approver's do: an attacker could approve here, and mail the provider's own link
// to a victim, who approves there.
func (r *record) mayBeOf(person idp.Person) bool {
	return r.ProviderPage || person.Is(r.Person)
}

// inTrouble reports whether an earlier poll had no usable answer.
func (r *record) inTrouble() bool { return r.Backoff > 0 || r.ProviderDown || r.ProviderErrors }

// rest ends a poll: the next one comes when it is due.
func (r *record) rest() {
	r.Backoff, r.ProviderDown, r.ProviderErrors = 0, false, false
	r.Lease.Release()
}

// backOff ends a poll in which the provider was in trouble: the wait doubles,
// and is not shorter than the provider asked for.
func (r *record) backOff(asked time.Duration) {
	r.Backoff = min(max(2*r.Backoff, 2*r.Device.Interval, asked), maxBackoff)
	r.ProviderDown, r.ProviderErrors = true, false
	r.Due = later(r.Due, time.Now().Add(r.Backoff))
	r.Lease.Release()
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
