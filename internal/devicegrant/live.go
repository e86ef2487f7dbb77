package devicegrant

import (
	"sync"
	"time"
)

// liveWait is what people are told to wait when the process has too many
// attempts: nobody knows when some of them end.
const liveWait = time.Minute

// liveAttempts bounds the attempts that this process has started: a last resort
// against running out of memory and of the provider's patience.
type liveAttempts struct {
	most int

	mu    sync.Mutex
	until map[string]time.Time // by the attempt's Ref
}

// add takes a place until the given time, and reports whether there was one.
func (l *liveAttempts) add(ref string, until time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.until) >= l.most {
		for other, until := range l.until {
			if time.Now().After(until) {
				delete(l.until, other)
			}
		}
	}
	if len(l.until) >= l.most {
		return false
	}
	l.until[ref] = until
	return true
}

// Live returns how many attempts this process has started that have not ended. An
// attempt that another process ended counts until its code would have expired.
func (m *Manager) Live() int {
	m.live.mu.Lock()
	defer m.live.mu.Unlock()
	n, now := 0, time.Now()
	for _, until := range m.live.until {
		if now.Before(until) {
			n++
		}
	}
	return n
}

func (l *liveAttempts) remove(ref string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.until, ref)
}
