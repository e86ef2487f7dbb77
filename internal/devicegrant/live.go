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

func (l *liveAttempts) remove(ref string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.until, ref)
}
