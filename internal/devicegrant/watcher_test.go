package devicegrant

import (
	"context"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// watcher is a laptop's page with its event stream.
type watcher struct {
	cancel context.CancelFunc

	mu   sync.Mutex
	seen []sight
	err  error
	over bool
}

// sight is what the page shows from a moment on.
type sight struct {
	State State
	Down  bool          // the provider does not answer
	At    time.Duration // since the page was opened
}

// watch has a page watch an attempt through m until it ends. The page has seen
// the present when watch returns.
func (w *world) watch(m *Manager, id string) *watcher {
	ctx, cancel := context.WithCancel(w.Context())
	v := &watcher{cancel: cancel}
	began := time.Now()
	go func() {
		ticks := m.Watch(ctx, id)
		var last Attempt
		wait := time.Duration(0)
		for {
			select {
			case _, open := <-ticks:
				if !open {
					v.close(nil)
					return
				}
			case <-time.After(wait):
			}
			a, err := m.Refresh(ctx, id)
			if err != nil {
				v.close(err)
				return
			}
			if a.State != last.State || a.ProviderDown != last.ProviderDown || a.FallbackURL != last.FallbackURL || !a.Expires.Equal(last.Expires) {
				v.mu.Lock()
				v.seen = append(v.seen, sight{a.State, a.ProviderDown, time.Since(began)})
				v.mu.Unlock()
			}
			if a.State.Ended() {
				v.close(nil)
				return
			}
			last, wait = a, a.RefreshWithin()
		}
	}()
	w.Cleanup(cancel)
	synctest.Wait()
	return v
}

func (v *watcher) close(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.over, v.err = true, err
}

// saw returns what the page has shown, once nobody is busy.
func (v *watcher) saw() (seen []sight, over bool, err error) {
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.seen), v.over, v.err
}

// wantSeen checks what the page has shown, and whether it is over.
func (w *world) wantSeen(page *watcher, over bool, want ...sight) {
	w.Helper()
	seen, gotOver, err := page.saw()
	if !slices.Equal(seen, want) || gotOver != over || err != nil {
		w.Errorf("the laptop saw\n%v (over: %v, %v), want\n%v (over: %v)", seen, gotOver, err, want, over)
	}
}

// wantLastSeen checks which state the page shows.
func (w *world) wantLastSeen(page *watcher, state State) {
	w.Helper()
	seen, _, err := page.saw()
	if len(seen) == 0 || seen[len(seen)-1].State != state || err != nil {
		w.Errorf("the laptop saw %v (%v), want it to end with %s", seen, err, state)
	}
}

// wantPollTimes checks when the polls came, counted from the first of them.
func (w *world) wantPollTimes(want ...time.Duration) {
	w.Helper()
	synctest.Wait()
	if got := w.provider.pollTimes(); !slices.Equal(got, want) {
		w.Errorf("polls at %v, want %v", got, want)
	}
}
