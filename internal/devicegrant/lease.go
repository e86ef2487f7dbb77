package devicegrant

import (
	"context"
	"time"
)

const (
	leaseDuration = 15 * time.Second // of a poll
	leaseOfMany   = 30 * time.Second // of several polls
	longestPoll   = 10 * time.Second // the timeout of the provider's client
)

// lease is one that a poller may keep for several polls.
type lease struct {
	number int       // 0: none
	due    time.Time // of the next poll
}

// holds reports whether the lease has not been given back, nor taken by another.
func (l *lease) holds(r *record) bool {
	return l.number == r.Lease.Number && !r.Lease.Until.IsZero()
}

// takeLease takes the lease for a poll that is due, unless another poller has
// it, or this process is stopping. It returns the record as the holder must have
// it.
func (m *Manager) takeLease(r *record) (mine record, held bool) {
	now := time.Now()
	if m.ctx.Err() != nil || !r.pollable() || now.Before(r.Due) || !r.Lease.Take(now, r.leaseDuration()) {
		return record{}, false
	}
	if r.Tokens.Access == "" {
		r.Due = now.Add(r.pace())
	}
	return *r, true
}

// leaseDuration is longer at the provider's own page, where most polls find nothing.
func (r *record) leaseDuration() time.Duration {
	if r.ProviderPage {
		return leaseOfMany
	}
	return leaseDuration
}

// letGo gives a lease back, so that the next poller need not wait for its end.
func (m *Manager) letGo(ctx context.Context, id string, own lease) {
	if own.number == 0 {
		return
	}
	_, err := m.update(ctx, id, func(r *record) error {
		if own.holds(r) && r.pollable() {
			r.Due = later(r.Due, own.due)
			r.Lease.Release()
		}
		return nil
	})
	if err != nil && !isLost(err) {
		m.log.Warn("lease not given back; it runs out", "err", err)
	}
}

// asHolder changes the attempt only while this process holds the lease that
// mine was read with.
func (m *Manager) asHolder(ctx context.Context, id string, mine record, change func(*record) error) error {
	_, err := m.update(ctx, id, func(r *record) error { return r.changeAs(mine, change) })
	return err
}

// changeAs makes a change for the holder of the lease that mine was read with, and
// notes a confirmation that mine has and the record may not have yet.
func (r *record) changeAs(mine record, change func(*record) error) error {
	if !r.isHeldAs(mine) {
		return errNotHolder
	}
	if mine.Approval == ApprovalConfirmed {
		r.confirm()
	}
	return change(r)
}

// isHeldAs reports whether the lease that mine was read with still holds.
func (r *record) isHeldAs(mine record) bool {
	return r.pollable() && r.Lease.Number == mine.Lease.Number
}

// mayPollAs reports whether the holder of that lease may still poll. A poll that
// outlasts the lease could overlap with another process's. A code is redeemed only
// once, so the login would fail.
func (r *record) mayPollAs(mine record) bool {
	return r.isHeldAs(mine) && !r.overdue() && time.Until(mine.Lease.Until) >= longestPoll
}
