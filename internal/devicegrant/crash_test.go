package devicegrant

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/browser"
	"changebank/internal/idp"
	"changebank/internal/store"
)

// crash is what happens to a process at one of its writes.
type crash string

const (
	killedAfter  crash = "killed after the write"
	killedBefore crash = "killed before the next write" // after it has called the provider, perhaps
	storeFails   crash = "the store fails after the write"
	answerLost   crash = "the answer to the write is lost"
)

// process is what one Manager runs on, until a crash at one of its writes.
type process struct {
	crash
	died  chan struct{} // closed when it needs a restart
	death chan struct{} // the same, nil after the restart
	ended chan struct{} // closed with the test: calls that hang return

	mu   sync.Mutex
	left int // writes
}

// write makes a write, unless the process has crashed.
func (p *process) write(do func() error) error {
	p.mu.Lock()
	p.left--
	left := p.left
	p.mu.Unlock()
	switch {
	case left > 0, left == 0 && p.crash != killedAfter && p.crash != answerLost, left < 0 && p.crash == answerLost:
		return do()
	case left == 0:
		if err := do(); err != nil {
			return err
		}
	}
	if p.crash == answerLost {
		return errAway
	}
	p.mu.Lock()
	select {
	case <-p.died:
	default:
		close(p.died)
	}
	p.mu.Unlock()
	p.hang()
	return errAway
}

// reached reports whether the process got as far as the crash.
func (p *process) reached() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.left <= 0
}

// hang does not return if the process was killed.
func (p *process) hang() {
	select {
	case <-p.died:
		if p.crash != storeFails {
			<-p.ended
		}
	default:
	}
}

type processBackend struct {
	store.Backend
	*process
}

func (b processBackend) Get(ctx context.Context, key string) ([]byte, error) {
	b.hang()
	return b.Backend.Get(ctx, key)
}

func (b processBackend) Swap(ctx context.Context, writes ...store.Write) (ok bool, err error) {
	err = b.write(func() (err error) {
		ok, err = b.Backend.Swap(ctx, writes...)
		return err
	})
	return ok && err == nil, err
}

type processProvider struct {
	*provider
	*process
}

func (p processProvider) ApproveDevice(ctx context.Context, userCode, access string) error {
	p.hang()
	err := p.provider.ApproveDevice(ctx, userCode, access)
	p.hang()
	return err
}

func (p processProvider) PollDevice(ctx context.Context, deviceCode string) (idp.Tokens, error) {
	p.hang()
	tokens, err := p.provider.PollDevice(ctx, deviceCode)
	p.hang()
	return tokens, err
}

type processSessions struct {
	*sessions
	*process
}

func (s processSessions) CreatePending(ctx context.Context, id string, person idp.Person, tokens idp.Tokens, laptop browser.Browser, voucher string) (ok bool, err error) {
	err = s.write(func() (err error) {
		ok, err = s.sessions.CreatePending(ctx, id, person, tokens, laptop, voucher)
		return err
	})
	return ok && err == nil, err
}

func (s processSessions) Activate(ctx context.Context, id string, laptop browser.Browser) (ok bool, err error) {
	err = s.write(func() (err error) {
		ok, err = s.sessions.Activate(ctx, id, laptop)
		return err
	})
	return ok && err == nil, err
}

func (s processSessions) Discard(ctx context.Context, id string) error {
	return s.write(func() error { return s.sessions.Discard(ctx, id) })
}

// crashAt replaces the world's Manager by one that crashes at its nth write.
func (w *world) crashAt(n int, c crash) *process {
	p := &process{crash: c, left: n, died: make(chan struct{}), ended: make(chan struct{})}
	p.death = p.died
	w.provider.crashes = true
	w.m = w.newManagerWith(func(cfg *Config) {
		cfg.Store = open(w.T, processBackend{w.backend, p})
		cfg.Provider = processProvider{w.provider, p}
		cfg.Sessions = processSessions{w.sessions, p}
	})
	w.Cleanup(func() { close(p.ended) }) // before the Manager is closed
	return p
}

// try makes a request again and again, as people do, until it succeeds. A crash
// takes the request with it, and another process comes.
func (w *world) try(p *process, request func(m *Manager) error) error {
	err := errAway
	for tries := 0; errors.Is(err, errAway) && tries < 5; tries++ {
		if tries > 0 {
			time.Sleep(time.Second)
		}
		done := make(chan error, 1)
		go func(m *Manager) { done <- request(m) }(w.m)
		select {
		case err = <-done:
		case <-p.death:
			err = errAway
		}
		select {
		case <-p.death:
			if p.crash == storeFails {
				w.m.Close()
			}
			w.m, p.death = w.newManager(), nil
		default:
		}
	}
	return err
}

// logIn runs a whole login, with a number if one is required. It returns the laptop's
// session, or "" if the attempt ended without one.
func (w *world) logIn(p *process) (a Attempt, session string) {
	w.Helper()
	must := func(step string, err error) {
		w.Helper()
		if err != nil {
			w.Fatalf("%s: %v", step, err)
		}
	}
	must("Start", w.try(p, func(m *Manager) error {
		started, err := m.Start(w.Context(), laptop)
		if err == nil {
			a = started
			w.remember(a)
		}
		return err
	}))
	must("Open", w.try(p, func(m *Manager) error {
		_, err := m.Open(w.Context(), visit(a.UserCode, phone, richard))
		return err
	}))
	must("Yes", w.try(p, func(m *Manager) error {
		_, err := m.Yes(w.Context(), answerOf(a, richard, phone))
		return err
	}))
	if number := w.record(a).Number; number != "" {
		must("Confirm", w.try(p, func(m *Manager) error {
			_, err := m.Confirm(w.Context(), a.ID, number)
			return err
		}))
	}
	for range 200 { // the page refreshes
		if r := w.record(a); r.State == Approved || r.State.Ended() {
			break
		}
		must("CheckLaptop", w.try(p, func(m *Manager) error {
			_, err := m.CheckLaptop(w.Context(), a.ID, laptop)
			return err
		}))
		time.Sleep(5 * time.Second)
	}
	err := w.try(p, func(m *Manager) error {
		id, err := m.Claim(w.Context(), a.ID, laptop)
		if err == nil {
			session = id
		}
		return err
	})
	if err != nil && !errors.Is(err, ErrNotApproved) {
		w.Errorf("Claim: %v", err)
	}
	return a, session
}

// A process crashes at each of its writes in turn, and the next process continues the
// login. Only the answer to the redemption cannot be repeated: if it is lost, the
// attempt ends.
func TestCrashAtEachWrite(t *testing.T) {
	for c, lost := range map[crash]int{killedAfter: 0, killedBefore: 1, storeFails: 1, answerLost: 0} {
		for _, number := range []string{NumberNever, NumberAlways} {
			t.Run(fmt.Sprintf("%s, number %s", c, number), func(t *testing.T) {
				writes, failed := 0, 0
				for crashed := true; crashed; {
					writes++
					t.Run(fmt.Sprint(writes), func(t *testing.T) {
						inBubble(t, func(w *world) {
							w.confirm = number
							p := w.crashAt(writes, c)
							a, session := w.logIn(p)
							time.Sleep(claimWindow + expiresIn)
							synctest.Wait()
							crashed = p.reached()
							w.wantLoggedInOrFailed(a, session)
							if session == "" {
								failed++
							}
						})
					})
				}
				if writes < 10 {
					t.Errorf("%d writes in a login: this test is about more", writes)
				}
				if failed != lost {
					t.Errorf("%d of %d crashes ended the login, want %d", failed, writes, lost)
				}
			})
		}
	}
}

// wantLoggedInOrFailed checks that one session is live, and that the laptop has
// it, or that there is none and the attempt says why. The device code was not
// redeemed twice in either case.
func (w *world) wantLoggedInOrFailed(a Attempt, session string) {
	w.Helper()
	if n := w.provider.count().given; n != 1 {
		w.Errorf("%d sets of tokens given out, want 1", n)
	}
	if session == "" {
		w.wantEnd(a, Failed, ReasonCodeGone)
		if n := w.sessions.live(); n != 0 {
			w.Errorf("%d live sessions, want none", n)
		}
		return
	}
	w.want(a, Claimed)
	if s := w.sessions.get(session); w.sessions.live() != 1 || !s.live || !s.person.Is(richard) {
		w.Errorf("%d live sessions, the laptop's live: %v", w.sessions.live(), s.live)
	}
	w.provider.wantKept()
}
