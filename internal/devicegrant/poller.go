package devicegrant

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	storeRetry = 5 * time.Second
	lookEvery  = 5 * time.Second  // how often an open page shows that someone is looking
	lookGrace  = 12 * time.Second // after so long without a look, nobody is
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

// pollNow polls at once, with a lease that was just taken. The channel is closed when
// that poll is done; it is nil if this process is stopping.
func (m *Manager) pollNow(id string, mine record) (done <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ctx.Err() != nil {
		return nil
	}
	polled := make(chan struct{})
	m.wg.Go(func() {
		defer close(polled)
		// A failure changes nothing: the poller continues after the lease.
		if err := m.pollAs(context.WithoutCancel(m.ctx), id, mine); err != nil && !isLost(err) {
			m.log.Error("poll not finished, trying again", "attempt", mine.Ref, "err", err)
		}
	})
	return polled
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
	var own lease
	defer func() { m.letGo(context.WithoutCancel(ctx), id, own) }()
	ticks := m.Watch(ctx, id)
	for ctx.Err() == nil {
		wait, err := m.stepApart(ctx, id, &own)
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
func (m *Manager) stepApart(ctx context.Context, id string, own *lease) (wait time.Duration, err error) {
	var step sync.WaitGroup
	step.Go(func() { wait, err = m.step(ctx, id, own) })
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
// first. own is the lease that this poller took last.
func (m *Manager) step(ctx context.Context, id string, own *lease) (wait time.Duration, err error) {
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
	due := later(r.Due, r.Lease.Until)
	if own.holds(&r) {
		due = own.due
	}
	if wait := time.Until(due); wait > 0 {
		return min(wait, time.Until(r.Expires)), nil
	}
	if ok, err := m.vouched(ctx, id, r); err != nil || !ok {
		return 0, err
	}
	// A poll is finished even if we are stopping: tokens that the provider has
	// given out must not be lost with the answer.
	return 0, m.pollOnce(context.WithoutCancel(ctx), id, r, own)
}
