package devicegrant

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"time"

	"changebank/internal/idp"
)

const (
	leaseDuration = 15 * time.Second // of a poll
	longestPoll   = 10 * time.Second // the timeout of the provider's client
	storeRetry    = 5 * time.Second
	verifyQuickly = 200 * time.Millisecond // enough unless the provider must be asked
	saveTries     = 5
	saveRetry     = time.Second
	claimWindow   = 5 * time.Minute  // how long an approved attempt waits for its laptop
	lookEvery     = 5 * time.Second  // how often an open page shows that someone is looking
	lookGrace     = 12 * time.Second // after so long without a look, nobody is
)

// startPoller makes sure that the attempt has a poller here: a goroutine that
// redeems the device code and sees the attempt to its end. It also notes that
// someone is looking at the attempt.
func (m *Manager) startPoller(id string) {
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
		m.runPoller(m.ctx, id)
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.pollers, id)
	})
}

// poll starts a poller, and polls at once with a lease that was just taken, if
// held says so.
func (m *Manager) poll(id string, mine record, held bool) {
	m.startPoller(id)
	m.mu.Lock()
	defer m.mu.Unlock()
	if !held || m.ctx.Err() != nil {
		return
	}
	m.wg.Go(func() {
		// A failure changes nothing: the poller continues after the lease.
		if err := m.pollAs(context.WithoutCancel(m.ctx), id, mine); err != nil && !isLost(err) {
			m.log.Error("poll not finished, trying again", "attempt", mine.Ref, "err", err)
		}
	})
}

// watched reports whether someone has looked at the attempt recently.
func (m *Manager) watched(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Since(m.pollers[id]) < lookGrace
}

// runPoller does each step when it is due. It reads everything from the record,
// so it continues where another process stopped.
func (m *Manager) runPoller(ctx context.Context, id string) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ticks := m.Watch(ctx, id)
	for ctx.Err() == nil {
		wait, err := m.stepApart(ctx, id)
		switch {
		case errors.Is(err, errDone):
			return
		case isLost(err): // the next step sees what became of the attempt
		case err != nil && ctx.Err() == nil:
			m.log.Error("attempt not read or changed, trying again", "err", err)
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

// stepApart does a step in a goroutine of its own, whose stack goes with it. A
// poll needs several times the stack that waiting does, and very many attempts
// may wait.
func (m *Manager) stepApart(ctx context.Context, id string) (wait time.Duration, err error) {
	var step sync.WaitGroup
	step.Go(func() { wait, err = m.step(ctx, id) })
	step.Wait()
	return wait, err
}

var (
	// errNotHolder says that this process does not hold the lease, or that there
	// is nothing to hold it for any longer.
	errNotHolder = errors.New("devicegrant: another process holds the lease")
	// errDone says that the attempt needs no poller.
	errDone = errors.New("devicegrant: nothing left to do")
)

// step does what is due: it polls, or ends an attempt whose time is over. It
// returns how long to wait before the next step, unless the record changes
// first.
func (m *Manager) step(ctx context.Context, id string) (wait time.Duration, err error) {
	r, err := m.get(ctx, id)
	if errors.Is(err, ErrNone) {
		return 0, errDone
	}
	if err != nil {
		return 0, err
	}
	if r.overdue() {
		_, err := m.update(ctx, id, unchanged) // which expires it
		return 0, err
	}
	switch {
	case r.State == Approved:
		return time.Until(r.Expires), nil
	case !r.pollable():
		return 0, errDone
	case r.mustBeWatched() && !m.watched(id):
		return 0, errDone // until someone looks again
	}
	if wait := time.Until(later(r.Due, r.Lease.Until)); wait > 0 {
		return min(wait, time.Until(r.Expires)), nil
	}
	if ok, err := m.vouched(ctx, id, r); err != nil || !ok {
		return 0, err
	}
	// A poll is finished even if we are stopping: tokens that the provider has
	// given out must not be lost with the answer.
	return 0, m.pollOnce(context.WithoutCancel(ctx), id)
}

// pollOnce takes the lease and polls.
func (m *Manager) pollOnce(ctx context.Context, id string) error {
	var mine record
	_, err := m.update(ctx, id, func(r *record) error {
		held := false
		if mine, held = m.takeLease(r); !held {
			return errNotHolder
		}
		return nil
	})
	if err != nil {
		return err
	}
	return m.pollAs(ctx, id, mine)
}

// takeLease takes the lease for a poll that is due, unless another poller has
// it, or this process is stopping. It returns the record as the holder must have
// it.
func (m *Manager) takeLease(r *record) (mine record, held bool) {
	now := time.Now()
	if m.ctx.Err() != nil || !r.pollable() || now.Before(r.Due) || !r.Lease.Take(now, leaseDuration) {
		return record{}, false
	}
	if r.Tokens.Access == "" {
		r.Due = now.Add(r.pace())
	}
	return *r, true
}

// pollAs polls once as the holder of the lease, unless the record already has
// tokens. Then it accepts them, or notes why there are none.
func (m *Manager) pollAs(ctx context.Context, id string, mine record) error {
	if mine.Tokens.Access == "" {
		if time.Until(mine.Lease.Until) < longestPoll {
			// This process was paused after it took the lease. A poll that outlasts
			// the lease could overlap with another process's. A code is redeemed
			// only once, so the login would fail.
			return errNotHolder
		}
		sent := time.Now() // later than the lease, by as long as the store took
		tokens, err := m.cfg.Provider.PollDevice(ctx, mine.Device.Device)
		if err != nil {
			m.logPoll(mine, err)
			return m.asHolder(ctx, id, mine, func(r *record) error {
				r.Due = later(r.Due, sent.Add(r.pace()))
				return r.noTokens(err)
			})
		}
		mine.Tokens, mine.Session = tokens, rand.Text()
		if m.acceptAtOnce(ctx, id, mine) {
			return nil
		}
		if err := m.save(ctx, id, mine); err != nil {
			m.cfg.Provider.Revoke(tokens)
			return err
		}
	}
	return m.acceptTokens(ctx, id, mine)
}

// save puts the tokens into the record. The provider gives them only once, so
// save retries while the store fails, but not if the attempt ended during the
// poll.
func (m *Manager) save(ctx context.Context, id string, mine record) error {
	for tries := 1; ; tries++ {
		_, err := m.update(ctx, id, func(r *record) error {
			if r.Session == mine.Session {
				return nil // an earlier try was stored, and its answer was lost
			}
			if !r.isHeldAs(mine) {
				return errNotHolder
			}
			r.Tokens, r.Session = mine.Tokens, mine.Session
			return nil
		})
		if err == nil || isLost(err) || tries == saveTries {
			return err
		}
		m.log.Error("tokens not stored, trying again", "attempt", mine.Ref, "err", err)
		time.Sleep(saveRetry)
	}
}

// acceptAtOnce verifies tokens that are not stored yet, creates the pending session,
// and moves the attempt to Approved, all in one commit. If that is not possible, or
// not quickly, it changes nothing and reports false. The caller then stores the
// tokens first, since a crash would lose them and the provider issues them only
// once.
func (m *Manager) acceptAtOnce(ctx context.Context, id string, mine record) bool {
	if !m.cfg.SameStore {
		return false
	}
	quick, cancel := context.WithTimeout(ctx, verifyQuickly)
	defer cancel()
	person, err := m.cfg.Provider.Verify(quick, mine.Tokens, "")
	if err != nil || quick.Err() != nil || !mine.mayBeOf(person) {
		return false
	}
	err = m.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		err := m.asHolder(ctx, id, mine, func(r *record) error {
			r.Session = mine.Session
			return r.approve(person)
		})
		if err != nil {
			return err
		}
		ok, err := m.cfg.Sessions.CreatePending(ctx, mine.Session, person, mine.Tokens, mine.Laptop, mine.Voucher)
		if err == nil && !ok {
			err = errNotHolder
		}
		return err
	})
	return err == nil
}

// acceptTokens verifies the tokens, makes the pending session, and moves the
// attempt to Approved. After a crash at any point the next holder of the lease
// repeats all of it.
func (m *Manager) acceptTokens(ctx context.Context, id string, mine record) error {
	person, err := m.cfg.Provider.Verify(ctx, mine.Tokens, "")
	switch {
	case err != nil:
		m.log.Error("tokens not verified", "attempt", mine.Ref, "err", err)
		return m.asHolder(ctx, id, mine, func(r *record) error { return r.notVerified(err) })
	case !mine.mayBeOf(person):
		m.log.Error("the tokens are another person's", "attempt", mine.Ref, "approved_by", mine.Person, "tokens_of", person)
		return m.asHolder(ctx, id, mine, func(r *record) error { return r.fail(ReasonOtherPerson) })
	}
	// The verification may have outlasted the lease. A session that was claimed
	// and logged out since must not come back.
	if err := m.asHolder(ctx, id, mine, unchanged); err != nil {
		return err
	}
	ok, err := m.cfg.Sessions.CreatePending(ctx, mine.Session, person, mine.Tokens, mine.Laptop, mine.Voucher)
	if err != nil {
		return err // the lease runs out, and the next holder tries again
	}
	if !ok {
		return m.asHolder(ctx, id, mine, func(r *record) error {
			if r.Voucher == mine.Voucher {
				return r.fail(ReasonLoggedOut)
			}
			// The person has approved again since: at once, with the new voucher.
			r.Due = time.Now()
			r.Lease.Release()
			return nil
		})
	}
	err = m.asHolder(ctx, id, mine, func(r *record) error { return r.approve(person) })
	if isLost(err) {
		// If the attempt ended before the session was made, nobody else ends
		// the session. Otherwise the new holder of the lease continues with it.
		if r, getErr := m.get(ctx, id); errors.Is(getErr, ErrNone) || getErr == nil && r.State.Ended() && r.State != Claimed {
			m.discard(ctx, mine)
		}
	}
	return err
}

// asHolder changes the attempt only while this process holds the lease that
// mine was read with.
func (m *Manager) asHolder(ctx context.Context, id string, mine record, change func(*record) error) error {
	_, err := m.update(ctx, id, func(r *record) error {
		if !r.isHeldAs(mine) {
			return errNotHolder
		}
		return change(r)
	})
	return err
}

// isHeldAs reports whether the lease that mine was read with still holds.
func (r *record) isHeldAs(mine record) bool {
	return r.pollable() && r.Lease.Number == mine.Lease.Number
}

// approve moves the attempt to Approved, for that person.
func (r *record) approve(person idp.Person) error {
	r.Person = person
	r.Expires = time.Now().Add(claimWindow)
	return r.to(Approved)
}

// logPoll logs why a poll gave no tokens. A person who has not approved yet is
// the normal case. r is as it was before the poll, so that server errors in a row
// give one warning.
func (m *Manager) logPoll(r record, err error) {
	refusal, ok := errors.AsType[*idp.Error](err)
	switch {
	case ok && refusal.Final() && refusal.Code == idp.CodePending:
		m.log.Debug("poll: authorization pending", "attempt", r.Ref)
	case ok && refusal.Status >= 500 && r.ProviderPage && !r.ProviderErrors:
		m.log.Warn("the provider answers polls with server errors, as some do after a denial on their page; trying again until the code expires",
			"attempt", r.Ref, "err", err)
	case ok && refusal.Final() && refusal.OfClient():
		m.log.Error("the provider refused this application: check CLIENT_ID, its secret and CLIENT_AUTH, and that it allows the device grant",
			"attempt", r.Ref, "err", err)
	default:
		m.log.Info("poll failed", "attempt", r.Ref, "err", err)
	}
}

// isLost reports whether err says that there is nothing left to do here: another
// process has the lease, or the attempt has ended or is gone.
func isLost(err error) bool { return errors.Is(err, errNotHolder) || errors.Is(err, ErrNone) }
