package simulate

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"time"

	clients "changebank/internal/browser"
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
	w.provider.sids = w.roll("world", 2) == 0
	w.recheck = []time.Duration{0, time.Minute}[w.roll("world", 2)]
	w.replicas = make([]*replica, 1+w.roll("world", 3))
	for place := range w.replicas {
		w.startReplica(place, 0)
	}
	w.observer = w.newObserver()
	w.setWeather(weather{w.roll("world", 4) * 20, w.roll("world", 4) * 40, w.roll("world", 3), w.roll("world", 3), w.roll("world", 3) * 25})
	w.tell("world", "%d replicas, CONFIRM_NUMBER=%s, weather %+v", len(w.replicas), w.confirm, w.weather)
	w.wg.Go(w.operate)
	w.wg.Go(w.administer)
	for n := range 1 + w.roll("world", 4) {
		w.wg.Go(func() { w.scene(n) })
	}
	w.sleep("world", time.Minute+w.upTo("world", 8*time.Minute))
	w.calmDown()
	w.sleep("world", 30*time.Second)
	for _, p := range w.phones {
		w.wg.Go(p.comeBack)
	}
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
	w.provider.setUntil(&w.provider.slow, time.Time{})
	w.provider.setUntil(&w.provider.busy, time.Time{})
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
		switch w.roll(who, 8) {
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
		case 4:
			r.freeze(who)
		case 5:
			d := w.upTo(who, time.Minute)
			w.tell("provider", "is slow for %v", d)
			w.provider.setUntil(&w.provider.slow, time.Now().Add(d))
		case 6:
			d := w.upTo(who, 30*time.Second)
			w.tell("provider", "asks for patience for %v", d)
			w.provider.setUntil(&w.provider.busy, time.Now().Add(d))
		}
	}
}

// administer is an administrator of the provider, who ends logins there. Of some
// of them the provider tells us.
func (w *world) administer() {
	const who = "administrator"
	for w.now() != (weather{}) {
		w.sleep(who, 20*time.Second+w.upTo(who, 2*time.Minute))
		if w.now() == (weather{}) {
			return
		}
		f := w.provider.end(w.roll(who, 4))
		if f == nil {
			continue
		}
		w.model.disturbed(f.person)
		w.tell(who, "ends a login of %s", f.person.Subject)
		if w.provider.sids && w.chance(who, 700) {
			w.backchannel(who, f)
		}
		w.model.disturbed(f.person)
	}
}

// backchannel is the provider telling us that a login has ended there, or that all
// of the person's have.
func (w *world) backchannel(who string, f *family) {
	caller := newBrowser(who, "Provider", "192.0.2.200")
	sid, person := f.latest.SID, f.person
	switch w.roll(who, 4) {
	case 0:
		sid = ""
	case 1:
		person.Subject = ""
	}
	for range 4 {
		o := logout{began: time.Now(), approved: w.isApproved(f)}
		err := w.exchange(who, caller, func(r *replica, _ http.ResponseWriter, req *http.Request) error {
			_, err := r.sessions.EndByProvider(req.Context(), person, sid)
			if o.ended = time.Now(); err == nil && sid == "" {
				w.model.raised(person, "", o.began)
			} else if err == nil {
				w.model.loggedOut(sid, o)
			}
			return err
		})
		w.tell(who, "tells of it: %s", said(err))
		if err == nil {
			return
		}
		w.sleep(who, 5*time.Second)
	}
}

// isApproved reports whether a session with tokens of the family waits for its
// laptop.
func (w *world) isApproved(f *family) bool {
	if f.device == nil {
		return false
	}
	var id string
	var seen clients.Browser
	w.model.with(f.device.user, func(a *attempt) { id, seen = a.ID, a.laptop.seen() })
	a, err := w.observer.grants.CheckHidden(as(w.t.Context(), observer), id, seen)
	return err == nil && a.State == devicegrant.Approved
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
	w.mu.Lock()
	w.phones = append(w.phones, p)
	w.mu.Unlock()
	w.wg.Go(l.run)
	<-l.shown
	if l.attempt == nil {
		return
	}
	if w.chance(who, 150) {
		w.wg.Go(func() { w.stranger(n, l) })
	}
	if w.chance(who, 50) {
		w.wg.Go(func() { w.forger(n, l) })
	}
	if w.chance(who, 500) {
		w.wg.Go(func() { w.secondTab(n, l) })
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
	if w.chance(who, 160) {
		w.wg.Go(func() { w.victim(n, l) })
	}
	w.sleep(who, w.upTo(who, 20*time.Second))
	if w.chance(who, 500) {
		w.wg.Go(func() { w.aftermath(n, p, l) })
	}
	p.approve(l)
	w.laterAt(n, l)
}

// secondTab is the laptop's page in another tab, which reloads now and then.
func (w *world) secondTab(n int, l *login) {
	who := fmt.Sprint("second tab ", n)
	for range 30 {
		w.sleep(who, w.upTo(who, 10*time.Second))
		var a devicegrant.Attempt
		err := w.exchange(who, l.laptop, func(r *replica, _ http.ResponseWriter, req *http.Request) (err error) {
			read := w.model.looked(l.attempt, l.laptop)
			a, err = r.grants.CheckLaptop(req.Context(), l.attempt.ID, l.laptop.seen())
			read(err == nil)
			return err
		})
		if err == nil && a.State.Ended() {
			return
		}
	}
}

// aftermath is what a phone's person does meanwhile: in another tab.
func (w *world) aftermath(n int, p *phone, l *login) {
	who := fmt.Sprint("meanwhile ", n)
	tab := p.another(who)
	w.sleep(who, w.upTo(who, 25*time.Second))
	switch w.roll(who, 13) {
	case 0, 1:
		tab.logOut()
	case 2, 3:
		tab.endOthers()
	case 4:
		tab.endNewest()
	case 5:
		if a, err := tab.open(l.attempt.UserCode); err == nil {
			tab.no(l.attempt.UserCode, a)
		}
	case 6:
		tab.logIn(person(2))
	case 7, 8: // in two tabs at once
		w.wg.Go(func() {
			third := p.another(who + " too")
			w.sleep(third.who, w.upTo(third.who, 500*time.Millisecond))
			third.logOut()
		})
		tab.logIn(tab.account)
	case 9, 10:
		tab.approve(l)
	case 11:
		w.sleep(who, 30*time.Second)
		tab.confirmNewest()
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
	if !l.session.Load() {
		return
	}
	laptop := &phone{browser: l.laptop, who: who, w: w}
	switch w.roll(who, 8) {
	case 0, 1:
		laptop.logOut()
	case 2:
		laptop.endOthers()
	case 3:
		laptop.endNewest()
	case 4, 5: // the page that claims is in the history
		if l.claimBy(l.laptop) {
			laptop.look()
		}
	}
}

// comeBack is a person who loads a page now and then in the calm.
func (p *phone) comeBack() {
	for range 5 {
		p.w.sleep(p.who, 30*time.Second+p.w.upTo(p.who, time.Minute))
		p.look()
	}
}

// look loads a page.
func (p *phone) look() {
	err := p.ask(func(*replica, http.ResponseWriter, *http.Request, session.Session) error { return nil })
	p.w.tell(p.who, "loads a page: %s", said(err))
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
	r.grants.Close() // so that it has no pollers
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
