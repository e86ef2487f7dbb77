package simulate

import (
	"slices"
	"sync"
	"time"

	clients "changebank/internal/browser"
	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/session"
)

// model is what the people of a run know: what they asked for, and when it was
// done. "Surely before" is always: one call had returned before the other began.
type model struct {
	w *world

	mu       sync.Mutex
	attempts []*attempt
	over     map[string]time.Time // when a session had surely ended, by its Ref
	seen     map[string]time.Time // when a session was first seen live, by its ID: a new login keeps the Ref
	raises   []raise
	restless map[string]time.Time // when a person last tried to log something out, by subject
	claims   map[string]*attempt  // by the session's ID
	refs     map[string]string    // of sessions that were live, by their ID
	checked  map[string]time.Time // when a session's login was surely checked at the provider, too late, by its ID
	logouts  map[string]logout    // by the provider's name of its session
	known    map[string]bool      // sessions that their persons have begun to confirm, by their Ref
	numbers  []string
}

// raise is a "log out all others" that succeeded.
type raise struct {
	person       idp.Person
	by           string // the Ref of the session that stays
	began, ended time.Time
}

// logout is a back-channel logout of one session that succeeded.
type logout struct {
	began, ended time.Time
	approved     bool // the session waited for its laptop before
}

// attempt is one QR login.
type attempt struct {
	devicegrant.Attempt // as it was at the start
	laptop              *browser

	opener    idp.Person
	yeses     []*yes
	looks     []*look
	others    time.Time // when a second person had surely opened the code
	confirmed time.Time // when the right number was first typed
	stopped   time.Time // when it had surely been denied or cancelled
	tries     []*try
	used      time.Time // when its session had surely been used
	session   string
	guesses   int      // wrong numbers that were typed
	wrong     int      // those that left another try
	cancels   bool     // somebody has tried to cancel it
	denies    bool     // or to deny it
	excuses   []string // why it may end without a session
	strict    bool     // nothing may excuse it
	end       devicegrant.State
	asked     bool // the laptop was asked for a number
	left      bool // the laptop has stopped looking

	sawState devicegrant.State // the latest that the laptop saw
	sawAt    time.Time
	awake    time.Time // when the laptop has last woken up
}

// try is a claim. One that was refused has changed nothing.
type try struct {
	began   time.Time
	refused bool
}

// yes is one approval, from the moment when the phone had its voucher.
type yes struct {
	person  idp.Person
	ref     string // of the session that vouches
	vouched time.Time
	began   time.Time
	ended   time.Time
	phone   clients.Browser
	asked   clients.Browser // the laptop as it was shown
}

// look is a browser that showed the attempt's ID.
type look struct {
	clients.Browser
	at   time.Time
	done time.Time // when its address had surely been noted
}

func newModel(w *world) *model {
	return &model{
		w: w, over: make(map[string]time.Time), seen: make(map[string]time.Time),
		restless: make(map[string]time.Time), claims: make(map[string]*attempt), refs: make(map[string]string),
		checked: make(map[string]time.Time), logouts: make(map[string]logout), known: make(map[string]bool),
	}
}

func (m *model) started(a devicegrant.Attempt, laptop *browser) *attempt {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := &attempt{Attempt: a, laptop: laptop, sawState: a.State, looks: []*look{{laptop.seen(), a.Started, a.Started}}}
	m.attempts = append(m.attempts, known)
	return known
}

// with changes what is known of the attempt with a user code.
func (m *model) with(user string, change func(*attempt)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range m.attempts {
		if a.UserCode == user {
			change(a)
		}
	}
}

func (m *model) excuse(user, why string) {
	m.with(user, func(a *attempt) { a.excuses = append(a.excuses, why) })
}

// looked notes that a browser is about to show the attempt's ID. The caller says
// whether it was read.
func (m *model) looked(a *attempt, b *browser) (read func(bool)) {
	l := &look{b.seen(), time.Now(), time.Time{}}
	m.with(a.UserCode, func(a *attempt) {
		if b.seen() != a.laptop.seen() {
			a.excuses = append(a.excuses, "another browser showed its ID")
		}
		a.looks = append(a.looks, l)
	})
	return func(ok bool) {
		if m.mu.Lock(); ok {
			l.done = time.Now()
		}
		m.mu.Unlock()
	}
}

// disturbed notes that a person has just tried to log something out, or to log in
// as someone else: what was approved before need not succeed.
func (m *model) disturbed(person idp.Person) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.restless[person.Subject] = time.Now()
}

// ended notes that a session has surely ended.
func (m *model) ended(ref string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over[ref].IsZero() {
		m.over[ref] = time.Now()
	}
}

func (m *model) raised(person idp.Person, by string, began time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.raises = append(m.raises, raise{person, by, began, time.Now()})
}

// brokenBefore reports whether the voucher of a yes had surely stopped to hold
// before t: its session had ended, or somebody had logged out all others.
func (m *model) brokenBefore(y *yes, t time.Time) bool {
	if at := m.over[y.ref]; !at.IsZero() && at.Before(t) {
		return true
	}
	return slices.ContainsFunc(m.raises, func(r raise) bool {
		return r.person.Is(y.person) && y.vouched.Before(r.began) && r.ended.Before(t)
	})
}

// hasYes reports whether somebody whose voucher may have held at some moment from
// one time to another had begun to approve by then.
func (m *model) hasYes(a *attempt, from, to time.Time) bool {
	return slices.ContainsFunc(a.yeses, func(y *yes) bool { return y.began.Before(to) && !m.brokenBefore(y, from) })
}

// needsNumber reports whether no approval of the attempt may do without a
// number.
func (m *model) needsNumber(a *attempt) bool {
	return m.w.confirm == devicegrant.NumberAlways ||
		m.w.confirm == devicegrant.NumberAuto && !slices.ContainsFunc(a.yeses, func(y *yes) bool {
			near := !slices.ContainsFunc(a.looks, func(l *look) bool { return !l.done.IsZero() && l.done.Before(y.began) && l.Addr != y.phone.Addr })
			return near && (a.others.IsZero() || !a.others.Before(y.began))
		})
}

// late is how long a poll may be on its way after its checks.
const late = 4 * storeLimit

// polled checks that the provider may be asked for tokens.
func (m *model) polled(user string) {
	now := time.Now()
	m.with(user, func(a *attempt) {
		switch {
		case len(a.yeses) == 0:
			m.w.violated("poll for %s before anyone approved", user)
		case m.needsNumber(a) && a.confirmed.IsZero():
			m.w.violated("poll for %s before the number was typed", user)
		case m.w.frozenSince(now.Add(-late)): // after its checks
		case !m.hasYes(a, now.Add(-late), now.Add(-late)) && a.yeses[len(a.yeses)-1].began.Before(now.Add(-late)):
			m.w.violated("poll for %s %v or more after the session that approved had ended", user, late)
		}
	})
}

// typed notes that the right number was typed, in a call that began then and
// has succeeded.
func (m *model) typed(a *attempt, began time.Time, state devicegrant.State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if state == devicegrant.Yes && !m.hasYes(a, began, time.Now()) && a.confirmed.Equal(began) {
		m.w.violated("the number for %s was accepted after the session that approved had ended", a.UserCode)
	}
}

// guessed notes that a wrong number is about to be typed.
func (m *model) guessed(user string) {
	m.with(user, func(a *attempt) {
		if a.guesses++; a.guesses >= wrongNumbers {
			a.excuses = append(a.excuses, "wrong numbers")
		}
	})
}

// refused checks that a wrong number left another try.
func (m *model) refused(user string) {
	m.with(user, func(a *attempt) {
		if a.wrong++; a.wrong >= wrongNumbers {
			m.w.violated("%d wrong numbers for %s left another try", a.wrong, user)
		}
	})
}

// wasClaimed checks a claim that has succeeded, by a browser, in a call that began
// then.
func (m *model) wasClaimed(a *attempt, by *browser, began time.Time, id string, s session.Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	user, first := a.UserCode, began
	for _, t := range a.tries {
		if !t.refused && t.began.Before(first) {
			first = t.began // which may have made the session live
		}
	}
	switch other := m.claims[id]; {
	case other != nil && other != a, a.session != "" && a.session != id:
		m.w.violated("the session of %s is another attempt's", user)
	}
	a.session, m.claims[id] = id, a
	if s.Person.Subject == "" {
		return // it was ended in the meantime
	}
	if o, ok := m.logouts[s.Tokens.SID]; ok && o.approved && o.ended.Before(began) {
		m.w.violated("%s was claimed after the provider had ended its session", user)
	}
	if !slices.ContainsFunc(a.yeses, func(y *yes) bool { return y.person.Is(s.Person) && !m.brokenBefore(y, first) }) {
		m.w.violated("%s got a session of %s, for whom no living session approved", user, s.Person.Subject)
	}
	if m.needsNumber(a) && a.confirmed.IsZero() {
		m.w.violated("%s was claimed without the number", user)
	}
	if !a.stopped.IsZero() && a.stopped.Before(first) {
		m.w.violated("%s was claimed after it was denied or cancelled", user)
	}
	if !a.used.IsZero() && a.used.Before(began) {
		m.w.violated("%s was claimed again after its session was used", user)
	}
	if at := m.over[s.Ref]; s.Ref != "" && !at.IsZero() && at.Before(began) {
		m.w.violated("%s was claimed after its session was ended", user)
	}
	// The browser that was shown: the User-Agent of a question that was
	// answered, and an address that was seen before the answer was taken.
	if !slices.ContainsFunc(a.yeses, func(y *yes) bool {
		return y.asked.Agent == by.agent && slices.ContainsFunc(a.looks, func(l *look) bool { return l.Addr == by.addr && (y.ended.IsZero() || l.at.Before(y.ended)) })
	}) {
		m.w.violated("%s was claimed by a browser that nobody was asked about", user)
	}
}

// loaded checks a session that was live in a request that began then.
func (m *model) loaded(b *browser, s session.Session, began time.Time) {
	over := m.w.provider.endedAt(s.Tokens)
	calm := m.w.isCalm(began.Add(-m.w.recheck))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.checkLive(b, s, began)
	switch at := m.checked[s.ID]; {
	case over.IsZero() || m.w.recheck == 0 || !calm || !over.Add(m.w.recheck).Before(began):
	case at.IsZero():
		m.checked[s.ID] = time.Now() // by this request
	case began.Sub(at) > 15*time.Second:
		m.w.violated("%s is logged in %v after the provider has ended the login", b.who, began.Sub(over))
	}
	if _, known := m.seen[s.ID]; !known {
		m.seen[s.ID] = time.Now()
	}
	if a := m.claims[s.ID]; a != nil && a.used.IsZero() {
		a.used = time.Now()
	}
}

// checkLive checks that nothing has ended a session that was live in a request
// that began then.
func (m *model) checkLive(b *browser, s session.Session, began time.Time) {
	if !b.mayBe(s.Person, began) {
		m.w.violated("%s is logged in as %s, want %s", b.who, s.Person.Subject, b.owner().Subject)
	}
	if at := m.over[s.Ref]; !at.IsZero() && at.Before(began) {
		m.w.violated("%s is logged in with a session that has ended", b.who)
	}
	at, known := m.seen[s.ID]
	for _, r := range m.raises {
		if !r.person.Is(s.Person) || r.by == s.Ref || !r.ended.Before(began) {
			continue
		}
		if known && at.Before(r.began) {
			m.w.violated("%s is logged in with a session that was logged out with all others", b.who)
		}
		if a := m.claims[s.ID]; a != nil && !slices.ContainsFunc(a.yeses, func(y *yes) bool {
			return y.person.Is(s.Person) && !y.vouched.Before(r.began)
		}) {
			m.w.violated("%s is logged in with a session that was approved before all others were logged out", b.who)
		}
	}
	if o, ok := m.logouts[s.Tokens.SID]; ok && known && at.Before(o.began) && o.ended.Before(began) {
		m.w.violated("%s is logged in with a session that the provider has ended", b.who)
	}
	if ref := m.refs[s.ID]; ref != "" && ref != s.Ref {
		m.w.violated("a session of %s that had ended has come back", b.who)
	}
	m.refs[s.ID] = s.Ref
}

// confirms notes that a person is about to confirm a session.
func (m *model) confirms(ref string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[ref] = true
}

// mayEnd checks that a session which has ended others may do so.
func (m *model) mayEnd(s session.Session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.By == session.ByPhone && !m.known[s.Ref] {
		m.w.violated("a session of %s that nobody has confirmed has logged out others", s.Person.Subject)
	}
}

// loggedOut notes that a back-channel logout of a session at the provider has
// succeeded.
func (m *model) loggedOut(sid string, o logout) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.logouts[sid]; !known {
		m.logouts[sid] = o
	}
}

// opened notes that a phone has opened an attempt. Another account in the
// browser that opened it first counts as the same person.
func (m *model) opened(user string, by idp.Person, again bool) {
	m.with(user, func(a *attempt) {
		switch {
		case a.opener.Subject == "":
			a.opener = by
		case !a.opener.Is(by) && !again && a.others.IsZero():
			a.others = time.Now()
		}
	})
}

// vouched checks a voucher that was given out after a call that began then.
func (m *model) vouched(user string, s session.Session, began time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if at := m.over[s.Ref]; !at.IsZero() && at.Before(began) {
		m.w.violated("a session that had ended approves %s", user)
	}
}

// answered reports whether an approval has been taken.
func (m *model) answered(a *attempt) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(a.yeses, func(y *yes) bool { return !y.ended.IsZero() })
}

func (m *model) secret(number string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.numbers = append(m.numbers, number)
}
