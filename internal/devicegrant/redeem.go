package devicegrant

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"changebank/internal/idp"
)

const (
	verifyQuickly = 200 * time.Millisecond // enough unless the provider must be asked
	pollQuickly   = 250 * time.Millisecond // how long the phone's answer waits for the first poll
	saveTries     = 5
	saveRetry     = time.Second
	claimWindow   = 5 * time.Minute // how long an approved attempt waits for its laptop
)

// pollOnce polls. It takes the lease for that, unless own lasts until after the
// poll, and long enough to keep the next holder's poll apart from this one.
func (m *Manager) pollOnce(ctx context.Context, id string, mine record, own *lease) error {
	if !own.holds(&mine) || !mine.mayPollAs(mine) || time.Until(mine.Lease.Until) < mine.pace() {
		_, err := m.update(ctx, id, func(r *record) error {
			if own.holds(r) {
				r.Lease.Release()
			}
			held := false
			if mine, held = m.takeLease(r); !held {
				return errNotHolder
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	*own = lease{mine.Lease.Number, time.Now().Add(mine.pace())}
	err := m.pollAs(ctx, id, mine)
	if err != nil {
		*own = lease{} // nothing is known of the poll, so nobody polls until the lease has run out
	}
	return err
}

// pollAs polls once as the holder of the lease, unless the record already has
// tokens. Then it accepts them, or notes why there are none.
func (m *Manager) pollAs(ctx context.Context, id string, mine record) error {
	if mine.Tokens.Access == "" {
		if !mine.mayPollAs(mine) {
			return errNotHolder // this process was paused after it took the lease
		}
		sent := time.Now() // later than the lease, by as long as the store took
		tokens, err := m.cfg.Provider.PollDevice(ctx, mine.Device.Device)
		if err != nil {
			m.logPoll(mine, err)
			if mine.ProviderPage && isPending(err) && !mine.inTrouble() {
				return nil // there is nothing to note, and the lease is kept
			}
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
			return r.changeAs(mine, func(r *record) error {
				r.Tokens, r.Session = mine.Tokens, mine.Session
				return nil
			})
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
	case isPending(err):
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
