package session

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"changebank/internal/idp"
)

// closeWait is how long Close waits for the checks under way. A provider that
// rotates refresh tokens would lose the login of each one that is cut off.
const closeWait = 5 * time.Second

// checks are those of one process that are under way.
type checks struct {
	mu     sync.Mutex
	closed bool
	wg     sync.WaitGroup

	warn rate.Sometimes // a provider that is down would fill the log
}

// mustCheck reports whether the provider must be asked whether the login still
// holds. Without a refresh token there is nothing to ask with.
func (m *Manager) mustCheck(s Session, now time.Time) bool {
	if m.recheck == 0 || s.Tokens.Refresh == "" || now.Before(s.Lease.Until) {
		return false
	}
	due := s.NextCheck
	if due.IsZero() {
		due = s.Began.Add(m.recheck)
	}
	return !now.Before(due)
}

// nextCheck returns when the next check is due after a refresh that ended with
// err. A provider that fails is asked again sooner, but not with every page.
func (m *Manager) nextCheck(err error) time.Time {
	if m.recheck == 0 {
		return time.Time{}
	}
	wait := m.recheck
	if err != nil {
		wait /= 4
	}
	if refusal, ok := errors.AsType[*idp.Error](err); ok {
		wait = max(wait, refusal.Interval)
	}
	return time.Now().Add(wait)
}

// check refreshes the tokens in the background, under the lease that s has: a
// page must not wait for the provider. If the provider refuses because the login
// has ended there, the session ends, and its browser's next request finds the
// tombstone.
func (m *Manager) check(ctx context.Context, s Session) {
	m.checks.mu.Lock()
	defer m.checks.mu.Unlock()
	if m.checks.closed {
		return // another process checks when the lease has expired
	}
	m.checks.wg.Go(func() {
		_, err := m.refreshNow(ctx, s.ID, s)
		if err == nil || errors.Is(err, ErrLoginEnded) || errors.Is(err, ErrNoToken) || errors.Is(err, errLate) {
			return
		}
		m.checks.warn.Do(func() { m.log.Warn("login not confirmed by the provider, retrying later", "ref", s.Ref, "err", err) })
	})
}

// Close waits a few seconds at most for the checks under way, and starts no
// more.
func (m *Manager) Close() {
	m.checks.mu.Lock()
	m.checks.closed = true
	m.checks.mu.Unlock()
	done := make(chan struct{})
	go func() {
		m.checks.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(closeWait):
	}
}
