package store

import "time"

// A Lease is the part of a record that says which process may do slow work for
// it, such as asking the provider for tokens. It is taken by compare-and-set,
// within [Table.Update], so it has one holder at a time over all processes.
//
// A lease also fences. Each holder has the next Number. A result that arrives
// under an older number must not be stored: the lease has expired since, and
// another process has taken over.
type Lease struct {
	Number int       // of the latest holder
	Until  time.Time // when others may take it; zero if nobody holds it
}

// Take takes the lease for d unless it is held, and reports whether it did. All
// holders must use the same d. A lease that ends later than now+d was taken before
// the clock was set back, so it does not count as held.
func (l *Lease) Take(now time.Time, d time.Duration) bool {
	if now.Before(l.Until) && l.Until.Before(now.Add(d+2*maxSkew)) {
		return false
	}
	l.Number++
	l.Until = now.Add(d)
	return true
}

// Release lets others take the lease at once.
func (l *Lease) Release() { l.Until = time.Time{} }
