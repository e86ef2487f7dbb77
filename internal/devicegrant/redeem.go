package devicegrant

import (
	"context"
	"errors"
	"time"

	"changebank/internal/idp"
	"changebank/internal/store"
)

const (
	turn          = 15 * time.Second // how long one may speak to the provider; longer than a poll can take
	margin        = 1.15             // on the provider's interval: an exact ticker is told to slow down
	slowDown      = 5 * time.Second  // more from now on (RFC 8628, section 3.5)
	maxInterval   = time.Minute
	maxBackoff    = time.Minute
	storeRetry    = 5 * time.Second
	saveTries     = 5
	saveRetry     = time.Second
	lookEvery     = 5 * time.Second  // how often an open page shows that it is looked at
	lookGrace     = 12 * time.Second // without a look, nobody is there
	revokeTimeout = 5 * time.Second
)

// redeem has a goroutine fetch the tokens of an attempt, if none here does yet,
// and remembers that somebody looks.
func (m *Manager) redeem(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		return
	}
	_, running := m.pollers[id]
	m.pollers[id] = time.Now()
	if running {
		return
	}
	m.wg.Go(func() {
		m.redeemUntilDone(m.ctx, id)
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.pollers, id)
	})
}

// watched reports whether somebody has looked at the attempt just now.
func (m *Manager) watched(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Since(m.pollers[id]) < lookGrace
}

// redeemUntilDone takes a turn whenever one is due, until there is no more to
// ask, and then sees to it that approved tokens are claimed or revoked in time.
// It reads everything from the record, so it goes on where another process
// stopped.
func (m *Manager) redeemUntilDone(ctx context.Context, id string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ticks := m.attempts.Watch(ctx, id)
	for ctx.Err() == nil {
		wait, err := m.goOn(ctx, id)
		switch {
		case errors.Is(err, errDone):
			return
		case err != nil && ctx.Err() == nil:
			m.log.Error("an attempt cannot be read or changed, trying again", "err", err)
			wait = storeRetry
		}
		if wait > 0 {
			select {
			case <-ticks:
			case <-time.After(wait):
			case <-ctx.Done():
			}
		}
	}
}

var (
	// errTaken says that the turn is another's.
	errTaken = errors.New("devicegrant: somebody else's turn")
	// errDone says that an attempt needs nobody to go on with it.
	errDone = errors.New("devicegrant: nothing left to do")
)

// goOn does what is due, and returns how long nothing is.
func (m *Manager) goOn(ctx context.Context, id string) (wait time.Duration, err error) {
	r, err := m.attempts.Get(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return 0, errDone
	}
	if err != nil {
		return 0, err
	}
	if !r.State.Ended() && !time.Now().Before(r.Expires) {
		_, err := m.update(ctx, id, func(*record) error { return nil })
		return 0, skipTaken(err)
	}
	switch {
	case r.State == Approved:
		return time.Until(r.Expires), nil
	case !r.pollable():
		return 0, errDone
	case (r.OnTheirPage || r.refused()) && !m.watched(id):
		return 0, errDone // until somebody looks again
	}
	if wait := time.Until(later(r.Due, r.Lease)); wait > 0 {
		return min(wait, time.Until(r.Expires)), nil
	}
	// A turn is taken to its end even if we are stopping: tokens that the
	// provider has given out must not be lost with the answer.
	return 0, m.takeTurn(context.WithoutCancel(ctx), id)
}

// takeTurn asks the token endpoint once, or verifies the tokens that are here
// already: redeeming cannot be repeated, verifying can.
func (m *Manager) takeTurn(ctx context.Context, id string) error {
	var mine record
	_, err := m.update(ctx, id, func(r *record) error {
		now := time.Now()
		if !r.pollable() || now.Before(later(r.Due, r.Lease)) {
			return errTaken
		}
		r.Turn++
		r.Lease = now.Add(turn)
		if r.Tokens.Access == "" {
			r.Polled = now
		}
		mine = *r
		return nil
	})
	if err != nil {
		return skipTaken(err)
	}
	if mine.Tokens.Access == "" {
		tokens, err := m.cfg.Provider.PollDevice(ctx, mine.Device.Device)
		if err != nil {
			m.log.Info("the provider gave no tokens", "attempt", mine.Ref, "err", err)
			return skipTaken(m.inTurn(ctx, id, mine, func(r *record) error { return r.notYet(err) }))
		}
		mine.Tokens = tokens
		if err := m.save(ctx, id, mine); err != nil {
			m.revoke(tokens)
			return skipTaken(err)
		}
	}
	person, err := m.cfg.Provider.Verify(ctx, mine.Tokens, "")
	if err != nil {
		m.log.Error("the tokens are not verified", "attempt", mine.Ref, "err", err)
	} else if !mine.mayBeOf(person) {
		m.log.Error("the tokens are another person's", "attempt", mine.Ref, "yes_by", mine.Person, "tokens_of", person)
	}
	return skipTaken(m.inTurn(ctx, id, mine, func(r *record) error { return r.verified(person, err) }))
}

// save puts the tokens of mine into the record. They cannot be had again, so a
// store that is away for a while is waited for; an attempt that ended while the
// answer was on its way is not.
func (m *Manager) save(ctx context.Context, id string, mine record) error {
	for tries := 1; ; tries++ {
		err := m.inTurn(ctx, id, mine, func(r *record) error {
			r.Tokens = mine.Tokens
			return nil
		})
		if skipTaken(err) == nil || tries == saveTries {
			return err
		}
		m.log.Error("tokens cannot be stored, trying again", "attempt", mine.Ref, "err", err)
		time.Sleep(saveRetry)
	}
}

// notYet decides what a poll without tokens means.
func (r *record) notYet(cause error) error {
	refusal, ok := errors.AsType[*idp.Error](cause)
	if !ok {
		refusal = new(idp.Error)
	}
	if !refusal.Final() {
		r.backOff(refusal.Interval)
		return nil
	}
	switch refusal.Code {
	case idp.CodePending:
		r.rest(0)
	case idp.CodeSlowDown:
		// For good (RFC 8628, section 3.5); some providers say by how much.
		r.Device.Interval = min(max(r.Device.Interval+slowDown, refusal.Interval), maxInterval)
		r.rest(0)
	case idp.CodeExpired:
		return r.to(Expired)
	case idp.CodeDenied:
		if r.OnTheirPage {
			return r.to(Denied)
		}
		return r.fail(ReasonRefused) // we know of no no
	default:
		return r.fail(reasonOf(refusal))
	}
	return nil
}

// reasonOf says what a refusal that ends an attempt was about.
func reasonOf(refusal *idp.Error) Reason {
	switch {
	case refusal.OfClient():
		return ReasonClient
	case refusal.OfCode():
		return ReasonGone
	}
	return ReasonRefused
}

// verified decides what it means whom the tokens stand for.
func (r *record) verified(person idp.Person, err error) error {
	switch {
	case errors.Is(err, idp.ErrInvalidToken):
		return r.fail(ReasonUnverified)
	case err != nil:
		r.backOff(0)
		return nil
	case !r.mayBeOf(person):
		return r.fail(ReasonOtherPerson)
	}
	r.Person = person
	r.Expires = time.Now().Add(claimWindow)
	return r.to(Approved)
}

// mayBeOf reports whether the tokens may be that person's: on our page, only
// the person's who said yes there. Else somebody has approved the code at the
// provider, where we do not see it: an attacker said yes here himself, and
// mailed the provider's own link to his victim.
func (r *record) mayBeOf(person idp.Person) bool {
	return r.OnTheirPage || person.Is(r.Person)
}

func (r *record) fail(reason Reason) error {
	r.Reason = reason
	return r.to(Failed)
}

// backOff ends a turn in which the provider was in trouble: the wait doubles,
// and is not shorter than the provider asked for.
func (r *record) backOff(asked time.Duration) {
	r.rest(min(max(2*r.Backoff, 2*r.Device.Interval, asked), maxBackoff))
}

// rest ends a turn and puts off the next one: by the provider's interval, or
// by backoff if that is longer.
func (r *record) rest(backoff time.Duration) {
	r.Backoff, r.Silent = backoff, backoff > 0
	r.Lease = time.Time{}
	r.Due = later(r.earliest(), time.Now().Add(backoff))
}

// earliest returns when the provider's interval allows the next poll: at once
// if there has been none.
func (r *record) earliest() time.Time {
	if r.Polled.IsZero() {
		return time.Now()
	}
	return r.Polled.Add(time.Duration(float64(r.Device.Interval) * margin))
}

// inTurn changes the attempt if the turn is still mine's.
func (m *Manager) inTurn(ctx context.Context, id string, mine record, change func(*record) error) error {
	_, err := m.update(ctx, id, func(r *record) error {
		if !r.pollable() || r.Turn != mine.Turn {
			return errTaken
		}
		return change(r)
	})
	return err
}

// revoke ends tokens that nobody may use. Nobody waits for it but Close, and
// nothing depends on it: without our secret and this store they are of no use
// anyway.
func (m *Manager) revoke(tokens idp.Tokens) {
	if tokens.Access == "" {
		return
	}
	revoke := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(m.ctx), revokeTimeout)
		defer cancel()
		if err := m.cfg.Provider.Revoke(ctx, tokens); err != nil {
			m.log.Warn("tokens that nobody uses could not be revoked", "err", err)
		}
	}
	m.mu.Lock()
	closing := m.ctx.Err() != nil
	if !closing {
		m.wg.Go(revoke)
	}
	m.mu.Unlock()
	if closing { // Close may be waiting already, and then nothing can be added
		revoke()
	}
}

func skipTaken(err error) error {
	if errors.Is(err, errTaken) || errors.Is(err, ErrNone) {
		return nil
	}
	return err
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
