package devicegrant

import (
	"context"
	"errors"
	"net/http"
	"time"

	"changebank/internal/idp"
)

// approve passes an approval on to the provider and notes the outcome. asked is
// the record with the approval. Where no number is to come, the write that notes
// the outcome takes the lease of the first poll as well.
func (m *Manager) approve(ctx context.Context, id string, asked record, access string) (Attempt, error) {
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
	var mine record
	held := false
	a, updateErr := m.update(ctx, id, func(r *record) error {
		held = false
		if r.State != Number && r.State != Yes {
			return nil
		}
		if r.Lease.Number == 0 { // the first poll is still to come
			r.Due = time.Now() // even after no answer: the provider may have heard
		}
		if err := r.noteApproval(err, refusal, page); err != nil {
			return err
		}
		if mayPoll {
			mine, held = m.takeLease(r)
		}
		return nil
	})
	if a.State != Number { // after the number, Confirm does it
		m.poll(id, mine, held && updateErr == nil)
	}
	if err != nil && refusal == nil {
		return a, errors.Join(ErrNoAnswer, updateErr)
	}
	return a, updateErr
}

// noteApproval notes what became of an approval: err as the provider's client
// returned it, and refusal if that is the provider's refusal. When the approval
// was sent twice, the provider rejects the second. Such a refusal does not end
// the attempt: the next poll tells whether the first one got through.
func (r *record) noteApproval(err error, refusal *idp.Error, page string) error {
	switch {
	case err == nil:
		r.Approval, r.FallbackURL = ApprovalConfirmed, ""
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
