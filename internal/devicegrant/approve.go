package devicegrant

import (
	"context"
	"errors"
	"net/http"
	"time"

	"changebank/internal/idp"
)

// approve passes an approval on to the provider and notes the outcome. asked is
// the record with the approval; held says that it has the lease of the first poll
// as well. That poll then follows a confirmation at once, and what it stores notes
// the outcome too, so the laptop waits for one commit less.
func (m *Manager) approve(ctx context.Context, id string, asked record, held bool, access string) (Attempt, error) {
	err := m.cfg.Provider.ApproveDevice(ctx, asked.UserCode, access)
	refusal := refusalOf(err)
	page := ""
	if err != nil {
		m.log.Error("device approval failed", "attempt", asked.Ref, "refused", refusal != nil, "err", err)
		page = m.cfg.Provider.DevicePage(asked.UserCode, access)
	}
	mayPoll := false
	if asked.State == Yes {
		// If not, or if the store fails, the poller asks again.
		mayPoll, _ = m.cfg.Sessions.Vouched(ctx, asked.Person, asked.Voucher)
	}
	polled := err == nil && held && mayPoll && m.firstPoll(ctx, id, asked)
	var mine record
	a, updateErr := m.update(ctx, id, func(r *record) error {
		held = false
		if r.State != Number && r.State != Yes {
			return nil
		}
		if err := r.noteApproval(err, refusal, page); err != nil || polled {
			return err
		}
		if asked.Approval == ApprovalSent && r.Lease.Number == asked.Lease.Number {
			// The first poll is still to come, even after no answer: the provider may
			// have heard.
			r.Lease.Release()
			r.Due = time.Now()
		}
		if mayPoll {
			mine, held = m.takeLease(r)
		}
		return nil
	})
	if a.State != Number { // after the number, Confirm does it
		m.startPoller(id)
	}
	if held && updateErr == nil {
		m.pollNow(id, mine)
	}
	if err != nil && refusal == nil {
		return a, errors.Join(ErrNoAnswer, updateErr)
	}
	return a, updateErr
}

// firstPoll polls with the lease that the approval took, and waits a moment for the
// outcome. It does nothing, and reports false, if that lease can no longer be used.
func (m *Manager) firstPoll(ctx context.Context, id string, asked record) bool {
	mine, err := m.get(ctx, id) // the person may have denied, or the laptop cancelled
	if err != nil || !mine.mayPollAs(asked) {
		return false
	}
	mine.confirm()
	polled := m.pollNow(id, mine)
	if polled == nil {
		return false
	}
	select {
	case <-polled:
	case <-time.After(pollQuickly):
	}
	return true
}

// noteApproval notes what became of an approval: err as the provider's client
// returned it, and refusal if that is the provider's refusal. When the approval
// was sent twice, the provider rejects the second. Such a refusal does not end
// the attempt: the next poll tells whether the first one got through.
func (r *record) noteApproval(err error, refusal *idp.Error, page string) error {
	switch {
	case err == nil:
		r.confirm()
	case r.Approval.Answered():
	case refusal == nil:
		r.Approval, r.FallbackURL = ApprovalUnknown, page
	case r.Approval == ApprovalSent && (page == "" || refusal.OfClient()):
		return r.fail(reasonOf(refusal))
	default:
		r.Approval, r.FallbackURL = ApprovalRefused, page
	}
	return nil
}

// confirm notes that the provider has taken the approval.
func (r *record) confirm() { r.Approval, r.FallbackURL = ApprovalConfirmed, "" }

// refusalOf returns the provider's answer that it will not approve, nil if err
// is something else. Any 4xx says so, with an OAuth code or without: a provider
// that does not have the call answers 404. But 408 and 429 ask for patience.
func refusalOf(err error) *idp.Error {
	e, ok := errors.AsType[*idp.Error](err)
	if !ok || e.Status == http.StatusRequestTimeout || e.Status == http.StatusTooManyRequests {
		return nil
	}
	if e.Status/100 == 4 || e.Status/100 == 2 && e.Code != "" {
		return e
	}
	return nil
}
