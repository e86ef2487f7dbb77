package devicegrant

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// looks are ways to look at an attempt, and the polls that are made for them.
var looks = map[string]func(w *world, a Attempt){
	"nobody looks": func(w *world, a Attempt) {
		time.Sleep(9 * time.Minute)
		w.wantPollsAt(a)
	},
	"one look": func(w *world, a Attempt) {
		w.noError(w.m.Refresh(w.Context(), a.ID))
		time.Sleep(9 * time.Minute)
		w.wantPollsAt(a, paces(2)...) // the third would come 17 s after it
		w.m.mu.Lock()
		defer w.m.mu.Unlock()
		if n := len(w.m.pollers); n != 0 {
			w.Errorf("%d goroutines still poll, want 0", n)
		}
	},
	"a look every ten seconds": func(w *world, a Attempt) {
		for range 12 {
			w.noError(w.m.Refresh(w.Context(), a.ID))
			time.Sleep(10 * time.Second)
		}
		w.wantPollsAt(a, paces(20)...)
	},
	"looks of a page that nobody sees": func(w *world, a Attempt) {
		for range 12 {
			w.noError(w.m.CheckHidden(w.Context(), a.ID, laptop))
			time.Sleep(10 * time.Second)
		}
		w.wantPollsAt(a)
	},
	"an event stream": func(w *world, a Attempt) {
		w.watch(w.m, a.ID)
		time.Sleep(5 * time.Minute)
		w.wantPollsAt(a, paces(52)...)
	},
	"an event stream that is closed, and opened again": func(w *world, a Attempt) {
		page := w.watch(w.m, a.ID)
		time.Sleep(18 * time.Second)
		page.cancel()
		time.Sleep(2 * time.Minute)
		w.wantPollsAt(a, paces(4)...) // its last look was at 15 seconds
		w.want(a, Waiting)

		w.provider.set(func(p *provider) { p.polls = script{{after: pollTime}} })
		again := w.watch(w.m, a.ID)
		time.Sleep(time.Second)
		w.wantPollsAt(a, append(paces(4), 138*time.Second)...) // long due
		w.wantSeen(again, false, sight{Waiting, false, 0}, sight{Approved, false, pollTime + verifyTime})
	},
}

// Codes that nobody watches are not polled for. Otherwise anybody who starts
// many would keep us busy at the provider, which has a reason to shut us out.
func TestProviderPageIsPolledWhileWatched(t *testing.T) {
	for name, look := range looks {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls = script{{err: pending}}
				look(w, w.onProviderPage())
			})
		})
	}
	// Nothing changes for longer than a look is remembered.
	t.Run("an event stream, and a slow provider", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.polls = script{{err: slowdownTo(time.Minute)}, {err: pending}}
			a := w.onProviderPage()
			w.watch(w.m, a.ID)
			time.Sleep(3 * time.Minute)
			w.wantPollsAt(a, pace, pace+69*time.Second, pace+138*time.Second)
		})
	})
}

// A server in trouble cannot deny in the person's place.
func TestProviderPageOutlivesTrouble(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: &idp.Error{Status: 503, Code: idp.CodeDenied}}, {err: context.DeadlineExceeded}, {err: pending}, {after: pollTime}}
		a := w.onProviderPage()
		page := w.watch(w.m, a.ID)
		time.Sleep(time.Minute)
		over := pace + 30*time.Second
		w.wantPollsAt(a, pace, pace+10*time.Second, over, over+pace)
		w.wantSeen(page, false,
			sight{Waiting, false, 0}, sight{Waiting, true, pace}, sight{Waiting, false, over}, sight{Approved, false, over + pace + pollTime + verifyTime})
	})
}

// A slow_down is for good here as well, whichever process polls next.
func TestProviderPageSlowDownSurvivesARestart(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{err: slowdown}, {err: slowdown}, {err: pending}, {err: pending}, {}}
		a := w.onProviderPage()
		w.watch(w.m, a.ID)
		time.Sleep(20 * time.Second)
		w.m.Close()
		w.watch(w.newManager(), a.ID)
		time.Sleep(2 * time.Minute)
		const slow = 11500 * time.Millisecond
		const slower = 17250 * time.Millisecond
		w.wantPollsAt(a, pace, pace+slow, pace+slow+slower, pace+slow+2*slower, pace+slow+3*slower)
		w.want(a, Approved)
	})
}

// A page that is open at each of two processes is one device to the provider.
func TestProviderPageWithTwoProcesses(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{
			{after: 4 * time.Second, err: pending}, {err: pending}, {after: time.Second, err: pending}, {err: slowdown}, {after: time.Second},
		}
		a := w.onProviderPage()
		other := w.newManager()
		pages := []*watcher{w.watch(w.m, a.ID), w.watch(other, a.ID), w.watch(w.m, a.ID)}
		for range 120 {
			w.noError(w.m.Refresh(w.Context(), a.ID))
			w.noError(other.Refresh(w.Context(), a.ID))
			time.Sleep(time.Second / 2)
		}
		last := 4*pace + 11500*time.Millisecond
		w.wantPollsAt(a, append(paces(4), last)...)
		for _, page := range pages {
			w.wantSeen(page, false, sight{Waiting, false, 0}, sight{Approved, false, last + time.Second + verifyTime})
		}
		w.provider.wantVerdicts(1)
	})
}

// Nobody tells us when the person opens such a code, so it lives for as long as
// the provider lets it.
func TestProviderPageLifetime(t *testing.T) {
	t.Run("approved at the last moment", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.polls = script{{err: pending}}
			a := w.onProviderPage()
			if want := a.Started.Add(expiresIn); !a.Expires.Equal(want) {
				w.Errorf("it expires after %v, want %v", a.Expires.Sub(a.Started), want.Sub(a.Started))
			}
			w.watch(w.m, a.ID)
			time.Sleep(expiresIn - 10*time.Second)
			w.want(a, Waiting)
			w.provider.set(func(p *provider) { p.polls = script{{after: pollTime}} })
			time.Sleep(10*time.Second - time.Nanosecond)
			synctest.Wait()
			r := w.want(a, Approved)
			if window := time.Until(r.Expires); window < time.Minute {
				w.Errorf("the laptop has %v to claim it, want the whole claim window", window)
			}
		})
	})
	t.Run("watched to its end", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.polls = script{{err: pending}}
			a := w.onProviderPage()
			page := w.watch(w.m, a.ID)
			time.Sleep(expiresIn + 5*time.Minute)
			w.wantSeen(page, true, sight{Waiting, false, 0}, sight{Expired, false, expiresIn})
			w.wantEnd(a, Expired, "")
			w.wantPollsAt(a, paces(104)...)
		})
	})
	t.Run("looked at too late", func(t *testing.T) {
		inBubble(t, func(w *world) {
			a := w.onProviderPage()
			time.Sleep(expiresIn)
			if got, err := w.m.Refresh(w.Context(), a.ID); err != nil || got.State != Expired {
				w.Errorf("Refresh: %s, %v, want %s", got.State, err, Expired)
			}
			w.wantEnd(a, Expired, "")
			w.provider.wantPolls(0)
		})
	})
}

// Very many laptops may wait, so most polls that find nothing write nothing.
func TestProviderPageKeepsItsLease(t *testing.T) {
	start := func(w *world, polls ...reply) Attempt {
		w.provider.polls = polls
		a := w.onProviderPage()
		w.watch(w.m, a.ID)
		return a
	}
	t.Run("writes", func(t *testing.T) {
		inBubble(t, func(w *world) {
			var writes atomic.Int32
			w.backend.wrote = func() { writes.Add(1) }
			a := start(w, reply{err: pending})
			before := writes.Load()
			time.Sleep(20*pace + time.Second)
			w.wantPollsAt(a, paces(20)...)
			if n := writes.Load() - before; n != 5 {
				t.Errorf("%d writes for 20 polls, want 5", n)
			}
		})
	})
	t.Run("until the process stops", func(t *testing.T) {
		inBubble(t, func(w *world) {
			a := start(w, reply{err: pending})
			time.Sleep(2*pace + time.Second)
			w.m.Close()
			w.watch(w.newManager(), a.ID)
			time.Sleep(4 * pace)
			w.wantPollsAt(a, paces(6)...) // neither late nor early
		})
	})
	t.Run("until it runs out, if the process is killed", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.takeover = true
			a := start(w, reply{err: pending}, reply{after: time.Hour}, reply{after: pollTime})
			w.watch(w.newManager(), a.ID)
			time.Sleep(time.Minute)
			w.wantPollsAt(a, pace, 2*pace, pace+leaseOfMany)
			w.want(a, Approved)
		})
	})
	t.Run("and gives back no other", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.takeover = true
			w.provider.polls = script{{after: 40 * time.Second, err: pending}, {after: 15 * time.Second, err: pending}}
			a := w.onProviderPage()
			page := w.watch(w.m, a.ID)
			time.Sleep(pace)
			page.cancel()
			w.watch(w.newManager(), a.ID)
			time.Sleep(41 * time.Second) // the first process has its answer, and nobody looks there
			w.wantPollsAt(a, pace, pace+leaseOfMany)
			if r := w.record(a); r.Lease.Number != 2 || r.Lease.Until.IsZero() {
				t.Errorf("the lease is %+v, want it held by the second process", r.Lease)
			}
		})
	})
	t.Run("no longer than keeps two holders' polls apart", func(t *testing.T) {
		inBubble(t, func(w *world) {
			w.provider.takeover = true
			a := start(w, reply{err: slowdown}, reply{err: slowdown}, reply{err: pending}, reply{after: time.Hour}, reply{after: pollTime})
			w.watch(w.newManager(), a.ID)
			time.Sleep(2 * time.Minute)
			const third = pace + 11500*time.Millisecond + 17250*time.Millisecond
			const fourth = third + 17250*time.Millisecond
			w.wantPollsAt(a, pace, pace+11500*time.Millisecond, third, fourth, fourth+leaseOfMany)
		})
	})
}
