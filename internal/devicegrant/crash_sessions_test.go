package devicegrant_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/store"
	"changebank/internal/teststore"
)

// Faults at a single write of a process.
const (
	killedBefore = "killed before the write"
	killedAfter  = "killed after the write"
	answerLost   = "the answer to the write is lost"
	storeAway    = "the store is away for one write"
)

// mortal is the store as one process sees it.
type mortal struct {
	store.Backend
	fault string

	mu   sync.Mutex
	left int // writes until the fault
	dead bool
}

func (b *mortal) Get(ctx context.Context, key string) ([]byte, error) {
	if b.isDead() {
		return nil, store.ErrUnavailable
	}
	return b.Backend.Get(ctx, key)
}

func (b *mortal) Swap(ctx context.Context, writes ...store.Write) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.dead {
		return false, store.ErrUnavailable
	}
	b.left--
	if b.left != 0 {
		return b.Backend.Swap(ctx, writes...)
	}
	b.dead = b.fault == killedBefore || b.fault == killedAfter
	if b.fault == killedAfter || b.fault == answerLost {
		if ok, err := b.Backend.Swap(ctx, writes...); !ok {
			return ok, err
		}
	}
	return false, store.ErrUnavailable
}

func (b *mortal) isDead() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.dead
}

// strictProvider issues the tokens of a code once.
type strictProvider struct {
	quickProvider
	given   map[string]bool
	revoked int
}

func (p *strictProvider) PollDevice(ctx context.Context, deviceCode string) (idp.Tokens, error) {
	p.mu.Lock()
	again := p.given[deviceCode]
	p.given[deviceCode] = true
	p.mu.Unlock()
	if again {
		return idp.Tokens{}, &idp.Error{Status: http.StatusBadRequest, Code: "invalid_grant"}
	}
	return p.quickProvider.PollDevice(ctx, deviceCode)
}

// process is what one process sees of the provider.
type process struct {
	*strictProvider
	*mortal
}

// Revoke does nothing in a process that was killed, which would not get there.
func (p process) Revoke(tokens idp.Tokens) {
	if p.isDead() {
		return
	}
	p.strictProvider.mu.Lock()
	defer p.strictProvider.mu.Unlock()
	if tokens.Access != "" {
		p.revoked++
	}
}

// A process crashes at each of its writes in turn, and an attempt and its session stay
// consistent: either the laptop is logged in with one session, or there is none and
// the attempt has the reason. Only tokens that were not stored yet are lost.
func TestCrashWithSessions(t *testing.T) {
	for fault, lost := range map[string]int{killedBefore: 1, killedAfter: 0, answerLost: 0, storeAway: 0} {
		for _, number := range []string{devicegrant.NumberNever, devicegrant.NumberAlways} {
			t.Run(fault+", number "+number, func(t *testing.T) {
				failed, writes := 0, 0
				for reached := true; reached; {
					writes++
					t.Run(fmt.Sprint(writes), func(t *testing.T) {
						synctest.Test(t, func(t *testing.T) {
							in := false
							in, reached = loginWith(t, fault, number, writes)
							if !in {
								failed++
							}
						})
					})
				}
				if writes < 7 || failed != lost {
					t.Errorf("%d of %d faults ended the login, want %d", failed, writes-1, lost)
				}
			})
		}
	}
}

// loginWith logs a laptop in, with a fault at the nth write. It reports whether the
// laptop got in, and whether there were so many writes.
func loginWith(t *testing.T, fault, number string, n int) (in, reached bool) {
	file := teststore.File(t)
	provider := &strictProvider{quickProvider: quickProvider{approver: make(map[string]string)}, given: make(map[string]bool)}
	open := func(n int) (*mortal, *bank) {
		backend := &mortal{Backend: file, fault: fault, left: n}
		p := process{provider, backend}
		return backend, newBankWith(t, backend, number, p, p.Revoke)
	}
	_, fine := open(0)
	answer := fine.answerOf("richard")
	backend, b := open(n)
	// try repeats a request until it succeeds, as people do.
	try := func(step string, request func() error) {
		t.Helper()
		err := store.ErrUnavailable
		for tries := 0; errors.Is(err, store.ErrUnavailable) && tries < 5; tries++ {
			if tries > 0 {
				time.Sleep(time.Second)
			}
			if err = request(); backend.isDead() {
				backend, b = open(0)
				reached, err = true, store.ErrUnavailable
			}
		}
		if err != nil && !errors.Is(err, devicegrant.ErrNotApproved) {
			t.Fatalf("%s: %v", step, err)
		}
	}
	var a devicegrant.Attempt
	try("Start", func() (err error) { a, err = b.attempts.Start(t.Context(), theLaptop); return err })
	answer.UserCode = a.UserCode
	try("Open", func() error { _, err := b.attempts.Open(t.Context(), answer.Visit); return err })
	answer.Fingerprint = a.Fingerprint()
	try("Yes", func() (err error) { _, err = b.attempts.Yes(t.Context(), answer); return err })
	typed := ""
	try("NumberFor", func() (err error) { typed, err = b.attempts.NumberFor(t.Context(), a.ID, answer.Person); return err })
	if typed != "" {
		try("Confirm", func() error { _, err := b.attempts.Confirm(t.Context(), a.ID, typed); return err })
	}
	for a.State != devicegrant.Approved && !a.State.Ended() {
		try("CheckLaptop", func() error {
			now, err := b.attempts.CheckLaptop(t.Context(), a.ID, theLaptop)
			if err == nil {
				a = now
			}
			return err
		})
		time.Sleep(time.Second)
	}
	id := ""
	try("Claim", func() (err error) { id, err = b.attempts.Claim(t.Context(), a.ID, theLaptop); return err })
	backend.mu.Lock()
	reached = reached || backend.left <= 0 && backend.fault == fault && n > 0 && (fault == answerLost || fault == storeAway)
	backend.mu.Unlock()
	time.Sleep(10 * time.Minute)
	synctest.Wait()

	sessions, err := fine.sessions.Of(t.Context(), answer.Person)
	if err != nil {
		t.Fatal(err)
	}
	want := 1 // the phone
	if id != "" {
		want = 2
	}
	if len(sessions) != want {
		t.Errorf("%d sessions, want %d; the attempt is %s %s", len(sessions), want, a.State, a.Reason)
	}
	a, err = fine.attempts.Refresh(t.Context(), a.ID)
	switch {
	case err != nil:
		t.Error(err)
	case id != "" && (a.State != devicegrant.Claimed || provider.revoked > 0):
		t.Errorf("the laptop is in, and the attempt %s; %d revocations", a.State, provider.revoked)
	case id == "" && a.State != devicegrant.Failed:
		t.Errorf("the laptop is not in, and the attempt is %s", a.State)
	}
	return id != "", reached
}
