package devicegrant

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/idp"
)

// The laptop's person went away, or logged in another way, while the provider
// was being asked: what the answer brings must log nobody in, and must not lie
// around.
func TestCancelDuringAPoll(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.polls = script{{after: 3 * time.Second}}
		a := w.agreed()
		page := w.watch(w.bank, a.ID)
		time.Sleep(time.Second)
		if err := w.bank.Cancel(w.Context(), a.ID); err != nil {
			w.Fatalf("Cancel: %v", err)
		}
		seen, over, _ := page.saw()
		if last := seen[len(seen)-1]; last.State != Cancelled || last.At != time.Second || !over {
			w.Errorf("the laptop saw %v (over: %v), want it cancelled at once", seen, over)
		}
		time.Sleep(time.Minute)
		w.wantEnd(a, Cancelled, "")
		w.provider.wantRevoked(1)
		w.provider.wantPolls(1)
		w.provider.wantVerdicts(0) // they are of no use
	})
}

func TestCancelWhileVerifying(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{after: 3 * time.Second, person: richard}}
		a := w.agreed()
		time.Sleep(time.Second)
		if err := w.bank.Cancel(w.Context(), a.ID); err != nil {
			w.Fatalf("Cancel: %v", err)
		}
		time.Sleep(time.Minute)
		w.wantEnd(a, Cancelled, "")
		w.provider.wantRevoked(1)
	})
}

// The tokens are here, and only what is needed to verify them is not.
func TestCancelWhileTheKeysAreAway(t *testing.T) {
	inBubble(t, func(w *world) {
		w.provider.verdicts = script{{err: errKeysAway}}
		a := w.agreed()
		time.Sleep(15 * time.Second)
		if err := w.bank.Cancel(w.Context(), a.ID); err != nil {
			w.Fatalf("Cancel: %v", err)
		}
		synctest.Wait()
		w.wantEnd(a, Cancelled, "")
		w.provider.wantRevoked(1)
		w.provider.wantVerdicts(2)
		time.Sleep(time.Hour / 2)
		w.provider.wantVerdicts(2)
	})
}

// What is not written has not happened: the laptop may claim it yet, and then
// needs its tokens.
func TestCancelThatIsNotWritten(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		w.backend.noWrites.Store(true)
		if err := w.bank.Cancel(w.Context(), a.ID); !errors.Is(err, errAway) {
			w.Errorf("Cancel: %v, want %v", err, errAway)
		}
		w.backend.noWrites.Store(false)
		synctest.Wait()
		w.provider.wantKept()
		w.wantFirstTokens(w.bank, a)
	})
}

func TestCancelAfterApproval(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		if err := w.bank.Cancel(w.Context(), a.ID); err != nil {
			w.Fatalf("Cancel: %v", err)
		}
		synctest.Wait()
		w.wantEnd(a, Cancelled, "")
		w.provider.wantRevoked(1)
	})
}

// What is claimed is a session: a late cancel must not take its tokens.
func TestCancelAfterClaim(t *testing.T) {
	inBubble(t, func(w *world) {
		a := w.approved()
		if _, claimed, err := w.bank.Claim(w.Context(), a.ID, giveSession("s")); err != nil || !claimed {
			w.Fatalf("Claim: %v, %v", claimed, err)
		}
		if err := w.bank.Cancel(w.Context(), a.ID); err != nil {
			w.Errorf("Cancel: %v", err)
		}
		synctest.Wait()
		w.wantEnd(a, Claimed, "")
		w.provider.wantKept() // a session has them
	})
}

func TestCancelWithoutAttempt(t *testing.T) {
	inBubble(t, func(w *world) {
		for _, id := range []string{"", "unknown"} {
			if err := w.bank.Cancel(w.Context(), id); err != nil {
				w.Errorf("Cancel(%q): %v", id, err)
			}
		}
	})
}

// Whenever the cancel comes, no login comes after it and no tokens are left.
func TestYesAndCancel(t *testing.T) {
	for after := time.Duration(0); after <= approveTime+pollTime+verifyTime+50*time.Millisecond; after += 50 * time.Millisecond {
		t.Run(fmt.Sprintf("after %v", after), func(t *testing.T) {
			inBubble(t, func(w *world) {
				a := w.open(w.start())
				var wg sync.WaitGroup
				wg.Go(func() { _, _ = w.yes(a) })
				wg.Go(func() {
					time.Sleep(after)
					if err := w.bank.Cancel(w.Context(), a.ID); err != nil {
						w.Errorf("Cancel: %v", err)
					}
				})
				wg.Wait()
				time.Sleep(time.Minute)
				synctest.Wait()
				w.wantEnd(a, Cancelled, "")
				w.provider.wantRevoked(len(w.provider.given))
				if n := len(w.provider.pollTimes()); n > 1 {
					w.Errorf("%d polls, want one at most", n)
				}
				if n := len(w.provider.pollTimes()); n > 0 && after < approveTime {
					w.Errorf("%d polls although it was cancelled before the provider had approved", n)
				}
			})
		})
	}
}

func giveSession(id string) func(idp.Person, idp.Tokens) (string, error) {
	return func(idp.Person, idp.Tokens) (string, error) { return id, nil }
}
