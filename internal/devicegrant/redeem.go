package devicegrant

import (
	"context"
	"errors"
	"time"

	"changebank/internal/idp"
)

const (
	turn          = 15 * time.Second // how long one may speak to the provider; longer than a request can take
	margin        = 1.15             // on the provider's interval: an exact ticker is told to slow down
	slowDown      = 5 * time.Second  // more from now on (RFC 8628, section 3.5)
	maxBackoff    = time.Minute
	revokeTimeout = 5 * time.Second
)

// redeem has a goroutine fetch the tokens of an attempt in state [Yes], if
// none here does yet.
func (m *Manager) redeem(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.pollers[id] || m.ctx.Err() != nil {
		return
	}
	m.pollers[id] = true
	m.wg.Go(func() {
		m.redeemUntilDone(m.ctx, id)
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.pollers, id)
	})
}

// redeemUntilDone takes a turn whenever one is due, until the attempt has left
// the state Yes. It reads everything from the record, so it goes on where
// another process stopped.
func (m *Manager) redeemUntilDone(ctx context.Context, id string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ticks := m.attempts.Watch(ctx, id)
	for ctx.Err() == nil {
		r, err := m.attempts.Get(ctx, id)
		if err != nil {
			m.log.Error("an attempt cannot be read; its laptop's page will try again", "err", err)
			return
		}
		if r.expire(time.Now()); r.State != Yes {
			return
		}
		if wait := time.Until(later(r.Due, r.Lease)); wait > 0 {
			select {
			case <-ticks:
			case <-time.After(wait):
			case <-ctx.Done():
			}
			continue
		}
		if err := m.takeTurn(ctx, id); err != nil {
			m.log.Error("an attempt cannot be changed; its laptop's page will try again", "attempt", r.Ref, "err", err)
			return
		}
	}
}

// errTaken says that the turn is another's.
var errTaken = errors.New("devicegrant: somebody else's turn")

// takeTurn asks the token endpoint once, or verifies the tokens that are here
// already: redeeming cannot be repeated, verifying can.
func (m *Manager) takeTurn(ctx context.Context, id string) error {
	var mine record
	_, err := m.update(ctx, id, func(r *record) error {
		now := time.Now()
		if r.State != Yes || now.Before(later(r.Due, r.Lease)) {
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
	if errors.Is(err, errTaken) || errors.Is(err, ErrNone) {
		return nil
	}
	if err != nil {
		return err
	}
	if mine.Tokens.Access == "" {
		tokens, err := m.cfg.Provider.PollDevice(ctx, mine.Device.Device)
		if err != nil {
			return m.notYet(ctx, id, mine, err)
		}
		mine.Tokens = tokens
		err = m.inTurn(ctx, id, mine, func(r *record) error {
			r.Tokens = tokens
			return nil
		})
		if err != nil {
			m.revoke(tokens) // the attempt ended while the answer was on its way
			return skipTaken(err)
		}
	}
	person, err := m.cfg.Provider.Verify(ctx, mine.Tokens, "")
	switch {
	case ctx.Err() != nil:
		return nil // we are stopping; the next process verifies
	case err != nil:
		m.log.Error("the tokens do not verify", "attempt", mine.Ref, "err", err)
		err = m.reject(ctx, id, mine, ReasonUnverified)
	case !person.Is(mine.Person):
		// Somebody else approved this code at the provider, where we do not
		// see it: an attacker who said yes here himself, and mailed the
		// provider's own link to his victim.
		m.log.Warn("the tokens are another person's", "attempt", mine.Ref, "yes_by", mine.Person, "tokens_of", person)
		err = m.reject(ctx, id, mine, ReasonOtherPerson)
	default:
		err = m.inTurn(ctx, id, mine, func(r *record) error {
			r.Person = person
			r.Expires = time.Now().Add(claimWindow)
			return r.to(Approved)
		})
	}
	return skipTaken(err)
}

// notYet decides what a poll without tokens means.
func (m *Manager) notYet(ctx context.Context, id string, mine record, cause error) error {
	if ctx.Err() != nil {
		return nil
	}
	refusal, ok := errors.AsType[*idp.Error](cause)
	decided := ok && refusal.Final()
	return skipTaken(m.inTurn(ctx, id, mine, func(r *record) error {
		switch {
		case ok && refusal.Code == idp.CodePending:
			r.rest(0)
		case ok && refusal.Code == idp.CodeSlowDown:
			r.Device.Interval += slowDown
			r.rest(0)
		case ok && refusal.Code == idp.CodeExpired:
			return r.to(Expired)
		case decided:
			m.log.Error("the provider refused the device code", "attempt", r.Ref, "err", cause)
			r.Reason = ReasonRefused
			return r.to(Failed)
		default:
			m.log.Warn("the provider did not answer a poll", "attempt", r.Ref, "err", cause)
			r.rest(min(max(2*r.Backoff, r.Device.Interval), maxBackoff))
		}
		return nil
	}))
}

// rest ends a turn and puts off the next one: by the provider's interval, or
// by backoff if the provider is in trouble.
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
		if r.State != Yes || r.Turn != mine.Turn {
			return errTaken
		}
		return change(r)
	})
	return err
}

// reject ends an attempt whose tokens may not count, and the tokens.
func (m *Manager) reject(ctx context.Context, id string, mine record, reason Reason) error {
	m.revoke(mine.Tokens)
	return m.inTurn(ctx, id, mine, func(r *record) error {
		r.Reason = reason
		return r.to(Failed)
	})
}

// fail ends an attempt in state Yes.
func (m *Manager) fail(ctx context.Context, id string, reason Reason) (Attempt, error) {
	return m.update(ctx, id, func(r *record) error {
		if r.State == Yes {
			r.Reason = reason
			return r.to(Failed)
		}
		return nil
	})
}

// revoke ends tokens that nobody may use. Nobody waits for it, and nothing
// depends on it: without our secret and this store they are of no use anyway.
func (m *Manager) revoke(tokens idp.Tokens) {
	if tokens.Access == "" {
		return
	}
	m.wg.Go(func() {
		ctx, cancel := context.WithTimeout(m.ctx, revokeTimeout)
		defer cancel()
		if err := m.cfg.Provider.Revoke(ctx, tokens); err != nil {
			m.log.Warn("tokens that nobody uses could not be revoked", "err", err)
		}
	})
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
