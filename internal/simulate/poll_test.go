package simulate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"changebank/internal/idp"
)

// PollDevice is a poll. What must never be asked breaks a promise.
func (c *client) PollDevice(ctx context.Context, code string) (idp.Tokens, error) {
	began := time.Now()
	d, err := c.beginPoll(code)
	if err != nil {
		return idp.Tokens{}, err
	}
	who := "poll " + c.replica.name + " " + d.user
	slowed := c.p.w.chance(who, c.p.w.now().provider/2)
	f, err := exchange(ctx, c, who, func() (*family, error) { return c.p.answerPoll(d, c.replica, slowed) })
	c.p.w.tell("poller "+c.replica.name, "poll for %s: %s", d.user, said(err))
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.replica.isDead() {
		return idp.Tokens{}, errKilled
	}
	c.replica.polling[d]--
	if refusal, ok := errors.AsType[*idp.Error](err); ok {
		if refusal.Code == idp.CodeSlowDown {
			d.interval += 5 * time.Second
			d.slowed = began
		}
		d.wait, d.told = time.Now().Add(refusal.Interval), began
		d.teller = c.replica
	}
	if err != nil {
		return idp.Tokens{}, fmt.Errorf("poll: %w", err)
	}
	f.arrived = true
	return f.latest, nil
}

// answerPoll is what the provider does with a poll.
func (p *provider) answerPoll(d *device, by *replica, slowed bool) (*family, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !time.Now().Before(d.expires):
		return nil, &idp.Error{Status: 400, Code: idp.CodeExpired}
	case slowed:
		return nil, &idp.Error{Status: 400, Code: idp.CodeSlowDown}
	case d.approvedBy.Subject == "":
		return nil, &idp.Error{Status: 400, Code: idp.CodePending}
	case d.redeemed != nil && !p.generous:
		return nil, &idp.Error{Status: 400, Code: "invalid_grant"}
	}
	_, d.redeemed = p.give(d.approvedBy, d, by)
	f := d.redeemed
	p.w.tell("provider", "tokens of %s for %s", f.person.Subject, d.user)
	return f, nil
}

// beginPoll notes a poll, and checks that it may be made.
func (c *client) beginPoll(code string) (*device, error) {
	p, w := c.p, c.p.w
	if c.replica.isDead() {
		return nil, errKilled
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	d := p.byCode[code]
	if d == nil {
		w.violated("poll with a device code that the provider does not know")
		return nil, errNoReply
	}
	w.model.polled(d.user)
	if w.isPolling(d) {
		w.violated("two polls for %s at once", d.user)
	}
	// The write that notes the slow_down may be lost, and polls then keep the old interval.
	if d.interval > interval && !d.slowed.IsZero() && (w.faultSince(d.slowed) || w.frozenSince(d.slowed)) {
		d.interval = interval
	}
	if now.Before(d.wait) && !d.teller.hadTrouble(d.told) {
		w.violated("poll for %s before the time that the provider asked for", d.user)
	}
	if since := now.Sub(d.polled); !d.polled.IsZero() && since < d.interval {
		w.violated("poll for %s %v after the one before; the interval is %v", d.user, since, d.interval)
	}
	// Tokens may be asked for again only if the answer that had them was lost,
	// or those who had it.
	if f := d.redeemed; f != nil && f.arrived && !f.revoked && !f.by.isDead() && !w.faultSince(f.given) && !w.frozenSince(f.given) {
		w.violated("poll for %s, which has been redeemed", d.user)
	}
	d.polled = now
	c.replica.polling[d]++
	return d, nil
}

// forget takes the polls of a dead replica for ended.
func (p *provider) forget(r *replica) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for d, n := range r.polling {
		if n > 0 {
			p.w.model.excuse(d.user, "its poller was killed")
		}
	}
}

// isPolling reports whether a poll for d is on its way. A process that stood still
// until a moment ago has only not read its answer.
func (w *world) isPolling(d *device) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.all, func(r *replica) bool {
		return r.polling[d] > 0 && !r.isDead() && !r.frozen.since(time.Now().Add(-late))
	})
}
