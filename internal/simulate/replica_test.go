package simulate

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	clients "changebank/internal/browser"
	"changebank/internal/cookies"
	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/session"
	"changebank/internal/store"
)

// latest is when something last happened.
type latest struct{ at atomic.Pointer[time.Time] }

func (l *latest) set() { now := time.Now(); l.at.Store(&now) }

func (l *latest) since(t time.Time) bool {
	at := l.at.Load()
	return at != nil && !at.Before(t)
}

// replica is one process: its Managers, made as main.go makes them.
type replica struct {
	w        *world
	place    int
	name     string
	link     *link
	sessions *session.Manager
	grants   *devicegrant.Manager
	polling  map[*device]int // its polls in flight; guarded by the provider's mutex

	thaws  atomic.Pointer[time.Time] // when the process goes on after it has stood still
	frozen latest                    // when it last stood still

	busy    sync.WaitGroup // requests
	leaving chan struct{}  // closed when it takes no more requests
	once    sync.Once
}

const wrongNumbers = 3 // may be typed for one attempt

var bankKey = []byte("the key of the bank, 16 bytes or more")

// startReplica starts a process in one of the places that requests are sent to.
func (w *world) startReplica(place, generation int) *replica {
	r := &replica{
		w: w, place: place, name: fmt.Sprintf("r%d.%d", place, generation),
		polling: make(map[*device]int), leaving: make(chan struct{}),
	}
	r.link = &link{d: w.disk, dead: make(chan struct{})}
	bank, jar := w.bank(r.link) // before anything can fail
	r.link.replica = r
	w.wire(r, bank, jar)
	w.tell(r.name, "starts")
	w.mu.Lock()
	defer w.mu.Unlock()
	w.replicas[place] = r
	w.all = append(w.all, r)
	return r
}

// wire makes the Managers as main.go does.
func (w *world) wire(r *replica, bank *store.Store, jar *cookies.Jar) {
	provider := &client{p: w.provider, replica: r}
	r.sessions = session.New(session.Config{
		Store: bank, Cookies: jar, Browser: clients.Networks{}.Of,
		Refresh: provider.Refresh, Recheck: w.recheck, Revoke: provider.Revoke, Log: w.log,
	})
	r.grants = devicegrant.New(devicegrant.Config{
		Provider: provider, Sessions: r.sessions, Store: bank, VerificationURI: verifyURI,
		SameStore:     r.place%2 == 0, // the others make one commit after the other
		ConfirmNumber: w.confirm, CodeLifetime: codeLifetime, Log: w.log,
		Limits: devicegrant.Limits{CodesPerAddress: 1000, Live: 1000, WrongCodes: 1000, WrongNumbers: wrongNumbers},
	})
}

// bank returns the application's part of a store, and its cookies.
func (w *world) bank(l *link) (*store.Store, *cookies.Jar) {
	all, err := store.New(context.Background(), l, [][]byte{bankKey})
	if err != nil {
		w.t.Fatal(err)
	}
	bank := all.Namespace("bank")
	jar, err := cookies.New(appURL, bank.DeriveKeys)
	if err != nil {
		w.t.Fatal(err)
	}
	return bank, jar
}

func (r *replica) isDead() bool { return isClosed(r.link.dead) }
func (r *replica) isFrozen() bool {
	thaw := r.thaws.Load()
	return thaw != nil && time.Now().Before(*thaw)
}

func (r *replica) isLeaving() bool { return isClosed(r.leaving) }

func isClosed(ch chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// kill ends the process at once: its store calls fail from now on, its answers
// reach nobody, and another process takes its place after a while.
func (r *replica) kill(when string) {
	r.once.Do(func() {
		r.w.tell(r.name, "killed %s", when)
		r.w.killedAt.set()
		close(r.link.dead)
		r.w.provider.forget(r)
		r.leave()
		r.w.wg.Go(r.close)
		r.w.wg.Go(func() { r.replace(r.w.upTo(r.name, 20*time.Second)) })
	})
}

// stop ends the process as a roll-out does: what it has begun it finishes.
func (r *replica) stop() {
	r.once.Do(func() {
		r.w.tell(r.name, "stops")
		r.leave()
		r.w.wg.Go(func() {
			r.busy.Wait()
			r.close()
		})
		r.w.wg.Go(func() { r.replace(r.w.upTo(r.name, 2*time.Second)) })
	})
}

func (r *replica) close() {
	r.grants.Close()
	r.sessions.Close()
}

// freeze has the process stand still for a while, as if its virtual machine were
// moved. What it has sent is answered meanwhile.
func (r *replica) freeze(who string) {
	d := time.Second + r.w.upTo(who, longestFreeze-time.Second)
	r.w.tell(r.name, "stands still for %v", d)
	thaw := time.Now().Add(d)
	if before := r.thaws.Load(); before != nil && before.After(thaw) {
		thaw = *before // it stands still already
	}
	r.thaws.Store(&thaw)
	r.frozen.at.Store(&thaw)
}

// waitForThaw lets time pass while the process stands still.
func (r *replica) waitForThaw(who string) {
	if r.isFrozen() {
		select {
		case <-time.After(time.Until(r.w.instant(who, time.Until(*r.thaws.Load())))):
		case <-r.link.dead:
		}
	}
}

// leave takes the replica out of service.
func (r *replica) leave() {
	close(r.leaving)
	r.w.mu.Lock()
	defer r.w.mu.Unlock()
	r.w.replicas[r.place] = nil
}

func (r *replica) replace(after time.Duration) {
	r.w.sleep(r.name, after)
	r.w.mu.Lock()
	over := r.w.over
	r.w.generations++
	generation := r.w.generations
	r.w.mu.Unlock()
	if !over {
		r.w.startReplica(r.place, generation)
	}
}

var errNobody = errors.New("simulated: no replica to ask")

// browser is a browser with its cookies.
type browser struct {
	who         string
	agent, addr string

	mu      sync.Mutex
	cookies map[string]string
	person  idp.Person // who should be logged in, if somebody is
	before  idp.Person // who should have been
	since   time.Time  // when that changed
}

func newBrowser(who, agent, addr string) *browser {
	return &browser{who: who, agent: agent, addr: addr, cookies: make(map[string]string)}
}

// become notes who has logged in.
func (b *browser) become(person idp.Person) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.person.Is(person) {
		b.before, b.since = b.person, time.Now()
	}
	b.person = person
}

func (b *browser) owner() idp.Person {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.person
}

// mayBe reports whether a request that began then may be the person's. One that
// was on its way while another tab logged in has the cookie from before.
func (b *browser) mayBe(person idp.Person, began time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return person.Is(b.person) || person.Is(b.before) && !b.since.Before(began)
}

// jar returns a copy of the cookies.
func (b *browser) jar() map[string]string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.cookies)
}

// forget drops all cookies.
func (b *browser) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.cookies)
}

// keep takes the cookies of an answer.
func (b *browser) keep(cookies []*http.Cookie) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, cookie := range cookies {
		if b.cookies[cookie.Name] = cookie.Value; cookie.MaxAge < 0 {
			delete(b.cookies, cookie.Name)
		}
	}
}

func (b *browser) seen() clients.Browser { return clients.Browser{Agent: b.agent, Addr: b.addr} }

// exchange is one request of who, with a browser, to some replica. do is what the replica
// does with it. The answer may be lost, and the browser may leave early.
func (w *world) exchange(who string, b *browser, do func(r *replica, rw http.ResponseWriter, req *http.Request) error) error {
	r := w.enter(who)
	if r == nil {
		return errNobody
	}
	defer r.busy.Done()
	ctx, cancel := context.WithCancel(as(context.Background(), who))
	defer cancel()
	trouble := w.now().network
	if w.chance(who, trouble) { // the browser leaves
		w.tell(who, "leaves early")
		defer time.AfterFunc(time.Until(w.instant(who, w.upTo(who, time.Second))), cancel).Stop()
	}
	lost := w.chance(who, trouble)
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, appURL+"/", nil)
	req.RemoteAddr = b.addr + ":40000"
	req.Header.Set("User-Agent", b.agent)
	for name, value := range b.jar() {
		req.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	err := do(r, rec, req)
	switch {
	case r.isDead():
		return errKilled
	case err != nil:
		return err
	case lost || ctx.Err() != nil:
		return errNoReply
	}
	b.keep(rec.Result().Cookies())
	return nil
}

// hadTrouble reports whether the replica may not have stored at or after t what it
// has heard.
func (r *replica) hadTrouble(t time.Time) bool {
	return r.isDead() || r.link.fault.since(t) || r.frozen.since(t)
}

// frozenSince reports whether a replica stood still at or after t.
func (w *world) frozenSince(t time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.all, func(r *replica) bool { return r.frozen.since(t) })
}

// enter returns a replica that serves who, nil if there is none.
func (w *world) enter(who string) *replica {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := w.rolled(who, len(w.replicas))
	for i := range w.replicas {
		if r := w.replicas[(first+i)%len(w.replicas)]; r != nil {
			r.busy.Add(1)
			return r
		}
	}
	return nil
}

// faultSince reports whether the store failed anywhere, or a replica was killed,
// at or after t.
func (w *world) faultSince(t time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.all {
		if r.link.fault.since(t) {
			return true
		}
	}
	return w.killedAt.since(t)
}
