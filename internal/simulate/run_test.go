package simulate

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/session"
)

// run is one run of the world: some minutes in which everything may happen, and
// then calm, in which everything must come to its end.
func (w *world) run() {
	w.confirm = []string{devicegrant.NumberAuto, devicegrant.NumberAuto, devicegrant.NumberAlways, devicegrant.NumberNever}[w.roll("world", 4)]
	w.provider.generous = w.roll("world", 3) == 0
	w.provider.page = w.roll("world", 2) == 0
	w.provider.accessFor = []time.Duration{30 * time.Second, 4 * time.Minute}[w.roll("world", 2)]
	w.replicas = make([]*replica, 1+w.roll("world", 3))
	for place := range w.replicas {
		w.startReplica(place, 0)
	}
	w.observer = w.newObserver()
	w.setWeather(weather{w.roll("world", 4) * 20, w.roll("world", 4) * 40, w.roll("world", 3), w.roll("world", 3) * 25})
	w.tell("world", "%d replicas, CONFIRM_NUMBER=%s, weather %+v", len(w.replicas), w.confirm, w.weather)
	w.wg.Go(w.operate)
	for n := range 1 + w.roll("world", 4) {
		w.wg.Go(func() { w.scene(n) })
	}
	w.sleep("world", time.Minute+w.upTo("world", 8*time.Minute))
	w.calmDown()
	w.sleep("world", 30*time.Second)
	w.honest()
	// Codes last ten minutes, an approval five more, and stragglers a little.
	w.sleep("world", expiresIn+session.ClaimWindow+2*time.Minute)
	w.finish()
}

// calmDown ends all trouble. Processes that are down come back.
func (w *world) calmDown() {
	w.mu.Lock()
	w.weather = weather{}
	all := w.all
	w.mu.Unlock()
	for _, r := range all {
		r.link.down.Store(false)
		w.disk.reconnect(r.link)
	}
	w.sleep("world", 25*time.Second) // and what has begun in the storm ends
	w.mu.Lock()
	w.calm = time.Now()
	w.mu.Unlock()
	w.tell("world", "calm")
}

// operate is the operator, and the network between the replicas and the store.
func (w *world) operate() {
	const who = "operator"
	for w.now() != (weather{}) {
		w.sleep(who, 5*time.Second+w.upTo(who, 40*time.Second))
		r := w.enter(who)
		if r == nil || w.now() == (weather{}) {
			if r != nil {
				r.busy.Done()
			}
			continue
		}
		r.busy.Done()
		switch w.roll(who, 6) {
		case 0:
			r.kill("by the operator")
		case 1:
			r.stop()
		case 2:
			w.tell(r.name, "loses the store")
			r.link.deaf.Store(true)
			r.link.down.Store(true)
			w.sleep(who, w.upTo(who, 15*time.Second))
			r.link.down.Store(false)
			w.disk.reconnect(r.link)
			w.tell(r.name, "has the store again")
		case 3:
			w.tell(r.name, "hears of no changes")
			r.link.deaf.Store(true)
			w.sleep(who, w.upTo(who, 10*time.Second))
			w.disk.reconnect(r.link)
			w.tell(r.name, "hears of changes again")
		}
	}
}

// scene is one laptop, its person's phone, and those who disturb them.
func (w *world) scene(n int) {
	who := fmt.Sprint("scene ", n)
	home := fmt.Sprintf("203.0.113.%d", 10+n)
	away := fmt.Sprintf("198.51.100.%d", 10+n)
	at := home
	if w.chance(who, 400) {
		at = away
	}
	owner := person(w.roll(who, 2))
	l := w.newLogin(fmt.Sprint("laptop ", n), home)
	p := w.newPhone(fmt.Sprint("phone ", n), at, owner)
	w.sleep(who, w.upTo(who, 90*time.Second))
	if !p.logIn(owner) {
		return
	}
	w.wg.Go(l.run)
	<-l.shown
	if l.attempt == nil {
		return
	}
	if w.chance(who, 150) {
		w.wg.Go(func() { w.stranger(n, l) })
	}
	if w.chance(who, 200) {
		w.wg.Go(func() { w.thief(n, l) })
	}
	if w.chance(who, 250) {
		w.wg.Go(func() { w.cookieThief(n, p) })
	}
	if w.chance(who, 150) {
		w.wg.Go(func() { w.other(n, owner) })
	}
	if w.chance(who, 120) {
		w.wg.Go(func() { w.victim(n, l) })
	}
	w.sleep(who, w.upTo(who, 20*time.Second))
	if w.chance(who, 500) {
		w.wg.Go(func() { w.aftermath(n, p, l) })
	}
	p.approve(l)
	w.laterAt(n, l)
}

// aftermath is what a phone's person does meanwhile: in another tab.
func (w *world) aftermath(n int, p *phone, l *login) {
	who := fmt.Sprint("meanwhile ", n)
	tab := p.another(who)
	w.sleep(who, w.upTo(who, 25*time.Second))
	switch w.roll(who, 8) {
	case 0, 1:
		tab.logOut()
	case 2:
		tab.endOthers()
	case 3:
		tab.endNewest()
	case 4:
		if a, err := tab.open(l.attempt.UserCode); err == nil {
			tab.no(l.attempt.UserCode, a)
		}
	case 5:
		tab.logIn(person(2))
	default:
		tab.logIn(tab.account)
	}
}

// laterAt is the laptop, logged in, and its person.
func (w *world) laterAt(n int, l *login) {
	who := fmt.Sprint("later ", n)
	for range w.roll(who, 4) {
		w.sleep(who, w.upTo(who, 30*time.Second))
		if l.session.Load() {
			(&phone{browser: l.laptop, who: who, w: w}).look()
		}
	}
	if l.session.Load() && w.chance(who, 200) {
		(&phone{browser: l.laptop, who: who, w: w}).logOut()
	}
}

// look loads a page.
func (p *phone) look() {
	err := p.ask(func(*replica, http.ResponseWriter, *http.Request, session.Session) error { return nil })
	p.w.tell(p.who, "loads a page: %s", said(err))
}

// stranger is a second person who opens a code, and may approve it.
func (w *world) stranger(n int, l *login) {
	who := fmt.Sprint("stranger ", n)
	w.model.excuse(l.attempt.UserCode, "a stranger has opened it")
	p := w.newPhone(who, fmt.Sprintf("192.0.2.%d", 10+n), person(3))
	w.sleep(who, w.upTo(who, 20*time.Second))
	if !p.logIn(person(3)) {
		return
	}
	if w.chance(who, 500) {
		p.approve(l)
	} else {
		_, _ = p.open(l.attempt.UserCode)
	}
}

// thief has a copy of the laptop's cookie, in another browser or elsewhere.
func (w *world) thief(n int, l *login) {
	who := fmt.Sprint("thief ", n)
	b := newBrowser(who, l.laptop.agent, fmt.Sprintf("192.0.2.%d", 100+n))
	if w.chance(who, 500) {
		b.agent, b.addr = "Agent of "+who, l.laptop.addr
	}
	tries, pause := 1+w.roll(who, 4), 20*time.Second
	if w.chance(who, 500) { // he knows when to come
		for looks := 0; looks < 600 && !w.model.answered(l.attempt); looks++ {
			w.sleep(who, 200*time.Millisecond)
		}
		tries, pause = 30, 300*time.Millisecond
	}
	for range tries {
		w.sleep(who, w.upTo(who, pause))
		switch w.roll(who, 3) {
		case 0:
			l.confirm(b, w.wrongNumber(l, w.roll(who, 10000)))
		default:
			if l.claimBy(b) {
				(&phone{browser: b, who: who, w: w}).look()
			}
		}
	}
}

// wrongNumber returns a guess: a right one is luck, and nobody's fault.
func (w *world) wrongNumber(l *login, guess int) string {
	ctx := as(w.t.Context(), observer)
	for subject := range people {
		right, err := w.observer.grants.NumberFor(ctx, l.attempt.ID, person(subject))
		if err == nil && right == fmt.Sprintf("%04d", guess) {
			return "none"
		}
	}
	return fmt.Sprintf("%04d", guess)
}

// cookieThief has a copy of a phone's cookies, and logs in a laptop of his own.
func (w *world) cookieThief(n int, p *phone) {
	who := fmt.Sprint("thief's phone ", n)
	w.sleep(who, w.upTo(who, 10*time.Second))
	thief := p.steal(who, fmt.Sprintf("192.0.2.%d", 150+n))
	l := w.newLogin(fmt.Sprint("thief's laptop ", n), thief.addr)
	w.wg.Go(l.run)
	<-l.shown
	if l.attempt == nil {
		return
	}
	w.sleep(who, w.upTo(who, 10*time.Second))
	w.wg.Go(func() {
		owner := fmt.Sprint("owner ", n)
		w.sleep(owner, w.upTo(owner, 12*time.Second))
		p.another(owner).logOut()
	})
	thief.approve(l)
}

// other is another browser of a person, who logs out all others there.
func (w *world) other(n int, owner idp.Person) {
	who := fmt.Sprint("tablet ", n)
	p := w.newPhone(who, fmt.Sprintf("198.51.100.%d", 100+n), owner)
	if !p.logIn(owner) {
		return
	}
	w.sleep(who, w.upTo(who, 40*time.Second))
	if w.chance(who, 700) {
		p.endOthers()
	} else {
		p.endNewest()
	}
}

// victim is a person who was sent the provider's own link with the code, and
// approves there.
func (w *world) victim(n int, l *login) {
	who, user := fmt.Sprint("victim ", n), l.attempt.UserCode
	w.sleep(who, w.upTo(who, 30*time.Second))
	w.model.excuse(user, "approved at the provider's own page")
	w.tell(who, "approves %s at the provider's own page: %s", user, said(w.provider.approve(user, person(4))))
}

// honest is one login in the calm, which must succeed at once.
func (w *world) honest() {
	p := w.newPhone("honest phone", "203.0.113.200", person(5))
	l := w.newLogin("honest laptop", "203.0.113.200")
	l.strict = true
	if !p.logIn(p.account) {
		w.violated("nobody can log in, and nothing fails any longer")
		return
	}
	w.wg.Go(l.run)
	<-l.shown
	if l.attempt == nil {
		w.violated("there is no code, and nothing fails any longer")
		return
	}
	p.approve(l)
	w.sleep("world", 30*time.Second)
	if !l.session.Load() {
		w.violated("an honest login has not succeeded in 30 s, and nothing fails any longer")
	}
}

// newObserver returns a replica that reads the store, and whose writes and
// requests to the provider are lost. It serves nobody.
func (w *world) newObserver() *replica {
	r := &replica{w: w, name: observer}
	l := &link{d: w.disk, dead: make(chan struct{})}
	close(l.dead)
	bank, jar := w.bank(l)
	l.replica, r.link = r, l
	w.wire(r, bank, jar)
	return r
}

// peek returns a session, and leaves no trace.
func (w *world) peek(id string) session.Session {
	rec := httptest.NewRecorder()
	req := httptest.NewRequestWithContext(as(w.t.Context(), observer), http.MethodGet, appURL+"/", nil)
	if err := w.observer.sessions.SetCookie(rec, req, id); err != nil {
		w.t.Error(err)
	}
	for _, cookie := range rec.Result().Cookies() {
		req.AddCookie(cookie)
	}
	s, err := w.observer.sessions.Load(req)
	if err != nil {
		w.t.Error(err)
	}
	return s
}
