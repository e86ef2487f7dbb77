package devicegrant

import (
	"testing"
	"testing/synctest"
	"time"
)

// The phone's answer waits for the first poll, so that one commit notes the outcome
// of the approval and of the poll. It does not wait for a slow provider.
func TestFirstPoll(t *testing.T) {
	for name, tt := range map[string]struct {
		polls, verdicts script
		takes           time.Duration
		state           State // then
	}{
		"quick":                {script{{}}, script{{person: richard}}, approveTime, Approved},
		"quick, nothing yet":   {script{{err: pending}}, script{{person: richard}}, approveTime, Yes},
		"quick, not the keys":  {script{{}}, script{{err: errKeysAway}}, approveTime, Yes},
		"slow":                 {script{{after: time.Second}}, script{{person: richard}}, approveTime + pollQuickly, Yes},
		"slow, nothing yet":    {script{{after: time.Second, err: pending}}, script{{person: richard}}, approveTime + pollQuickly, Yes},
		"slow to be verified":  {script{{}}, script{{after: time.Second, person: richard}}, approveTime + pollQuickly, Yes},
		"no answer in a while": {script{{after: 9 * time.Second}}, script{{person: richard}}, approveTime + pollQuickly, Yes},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(w *world) {
				w.provider.polls, w.provider.verdicts = tt.polls, tt.verdicts
				a := w.open(w.start())
				began := time.Now()
				got, err := w.yes(a)
				if took := time.Since(began); err != nil || got.State != tt.state || took != tt.takes {
					t.Errorf("Yes: %s after %v, %v; want %s after %v", got.State, took, err, tt.state, tt.takes)
				}
				if r := w.want(a, tt.state); r.Approval != ApprovalConfirmed {
					t.Errorf("the approval is %q, want %q", r.Approval, ApprovalConfirmed)
				}
				w.provider.wantPolls(1)
				time.Sleep(10 * time.Second)
				synctest.Wait()
				if r := w.record(a); r.Approval != ApprovalConfirmed {
					t.Errorf("later the approval is %q, want %q", r.Approval, ApprovalConfirmed)
				}
			})
		})
	}
}
