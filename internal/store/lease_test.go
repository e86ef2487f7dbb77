package store

import (
	"testing"
	"time"
)

func TestLease(t *testing.T) {
	var l Lease
	now := time.Now()
	for _, step := range []struct {
		name   string
		after  time.Duration
		taken  bool
		number int
	}{
		{"free", 0, true, 1},
		{"held", 0, false, 1},
		{"held to its end", time.Minute - 1, false, 1},
		{"expired", time.Minute, true, 2},
	} {
		if got := l.Take(now.Add(step.after), time.Minute); got != step.taken || l.Number != step.number {
			t.Errorf("%s: Take = %t with number %d, want %t with %d", step.name, got, l.Number, step.taken, step.number)
		}
	}
	l.Release()
	if !l.Take(now, time.Minute) || l.Number != 3 {
		t.Errorf("a released lease is not free, or its number is %d, want 3", l.Number)
	}
}

// A process crashed while it held the lease, and the clock was set back. Another
// process does not wait until the old time. But the lease of a holder whose clock is
// slightly ahead still holds.
func TestLeaseAfterClockSetBack(t *testing.T) {
	now := time.Now()
	for back, want := range map[time.Duration]bool{maxSkew: false, time.Hour: true} {
		var l Lease
		l.Take(now, time.Minute)
		if got := l.Take(now.Add(-back), time.Minute); got != want {
			t.Errorf("with the clock set back by %v, Take = %t, want %t", back, got, want)
		}
	}
}
