package store

import "time"

// A Lease is the part of a record that says who may do slow work for it, such
// as asking the provider for tokens. It is taken by compare-and-set (within
// [Table.Update]), so one holder at a time works, over all processes.
//
// A lease also fences: each holder has the next Number, and an answer that
// comes back under an older one must not be stored, because somebody else may
// have worked since.
type Lease struct {
	Number int       // of the latest holder
	Until  time.Time // when others may take it; zero: at once
}

// Take takes the lease for d, unless it is held, and reports whether it did.
func (l *Lease) Take(now time.Time, d time.Duration) bool {
	if now.Before(l.Until) {
		return false
	}
	l.Number++
	l.Until = now.Add(d)
	return true
}

// Release lets others take the lease at once.
func (l *Lease) Release() { l.Until = time.Time{} }
