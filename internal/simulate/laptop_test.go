package simulate

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	"changebank/internal/devicegrant"
)

// login is one QR login: a laptop, and the phones that see its code.
type login struct {
	w       *world
	laptop  *browser
	attempt *attempt
	shown   chan struct{} // closed when the laptop shows the code, or gives up
	number  chan string   // what the phone shows
	strict  bool
	session atomic.Bool // the laptop has its session
}

func (w *world) newLogin(who, addr string) *login {
	return &login{
		w: w, shown: make(chan struct{}), number: make(chan string, 10),
		laptop: newBrowser(who, "Agent of "+who, addr),
	}
}

// run is the person at the laptop, and the script of its page.
func (l *login) run() {
	l.start()
	close(l.shown)
	if l.attempt == nil {
		return
	}
	for !l.session.Load() {
		a, err := l.follow()
		switch {
		case errors.Is(err, devicegrant.ErrNone):
			l.w.violated("the attempt of %s is gone", l.laptop.who)
			return
		case err != nil: // the page tries again
		case a.State == devicegrant.Claimed && time.Since(l.attempt.sawAt) > 2*time.Minute:
			return // it is too late to repeat the claim
		case a.State == devicegrant.Approved, a.State == devicegrant.Claimed:
			l.doze()
			l.claim()
		case a.State.Ended():
			return
		case a.State == devicegrant.Waiting || a.State == devicegrant.Opened:
			if !l.strict && l.w.chance(l.laptop.who, 3) {
				l.cancel()
			}
		}
		l.w.sleep(l.laptop.who, time.Second) // as the page does before it asks again
	}
}

// doze is the laptop asleep, with its lid closed.
func (l *login) doze() {
	if l.strict || !l.w.chance(l.laptop.who, 120) {
		return
	}
	l.w.tell(l.laptop.who, "sleeps")
	l.w.sleep(l.laptop.who, l.w.upTo(l.laptop.who, 80*time.Second))
	l.w.model.with(l.attempt.UserCode, func(a *attempt) { a.awake = time.Now() })
}

// start shows a code.
func (l *login) start() {
	for range 20 {
		var known *attempt
		err := l.w.exchange(l.laptop.who, l.laptop, func(r *replica, _ http.ResponseWriter, req *http.Request) error {
			a, err := r.grants.Start(req.Context(), l.laptop.seen())
			if err == nil {
				known = l.w.model.started(a, l.laptop)
			}
			return err
		})
		if err == nil {
			l.attempt = known
			l.attempt.strict = l.strict
			l.w.tell(l.laptop.who, "shows %s", known.UserCode)
			return
		}
		if known != nil {
			known.left = true // nobody knows its ID
		}
		l.w.tell(l.laptop.who, "gets no code: %s", said(err))
		l.w.sleep(l.laptop.who, 5*time.Second)
	}
}

// follow is the page's event stream from one replica. It returns when there is
// something to do, or when the stream is lost.
func (l *login) follow() (a devicegrant.Attempt, err error) {
	w, who := l.w, l.laptop.who
	r := w.enter(who)
	if r == nil {
		return a, errNobody
	}
	defer r.busy.Done()
	ctx, cancel := context.WithCancel(as(context.Background(), who))
	defer cancel()
	read := w.model.looked(l.attempt, l.laptop)
	check := r.grants.CheckLaptop
	if w.chance(who, 100) {
		check = r.grants.CheckHidden
	}
	a, err = check(ctx, l.attempt.ID, l.laptop.seen())
	if read(err == nil); err != nil {
		return a, err
	}
	ticks := r.grants.Watch(ctx, l.attempt.ID)
	for {
		l.saw(a)
		if a.State == devicegrant.Approved || a.State.Ended() || r.isLeaving() || w.chance(who, 20) {
			return a, nil
		}
		if number := l.wait(r, ticks, min(15*time.Second, a.RefreshWithin())); number != "" {
			l.confirm(number)
			return a, nil
		}
		if r.isDead() {
			return a, errKilled
		}
		if a, err = r.grants.Refresh(ctx, l.attempt.ID); err != nil {
			return a, err
		}
	}
}

// wait waits until something may have changed. It returns the number that the phone
// shows, if there is one. Of several things at once the first one counts, always.
func (l *login) wait(r *replica, ticks <-chan struct{}, most time.Duration) string {
	select {
	case number := <-l.number:
		return number
	default:
	}
	wake := time.NewTimer(most)
	defer wake.Stop()
	select {
	case <-ticks:
	case <-wake.C:
	case <-r.leaving:
	case number := <-l.number:
		return number
	}
	return ""
}

// saw notes what the laptop's page shows.
func (l *login) saw(a devicegrant.Attempt) {
	known := l.attempt
	if a.State != known.sawState {
		l.w.tell(l.laptop.who, "sees %s %s", a.State, a.Reason)
		known.sawState, known.sawAt = a.State, time.Now()
		known.asked = known.asked || a.State == devicegrant.Number
	}
}

const longestTyping = 20 * time.Second

// confirm is the laptop's person typing the number, and sometimes another one
// first.
func (l *login) confirm(number string) {
	w, by := l.w, l.laptop
	w.sleep(by.who, w.upTo(by.who, []time.Duration{4 * time.Second, longestTyping}[w.roll(by.who, 2)]))
	for !l.strict && w.chance(by.who, 120) {
		l.guess(by)
	}
	for range 30 {
		began := time.Now()
		var state devicegrant.State
		err := w.exchange(by.who, by, func(r *replica, _ http.ResponseWriter, req *http.Request) error {
			read := w.model.looked(l.attempt, by)
			a, err := r.grants.CheckLaptop(req.Context(), l.attempt.ID, by.seen())
			read(err == nil)
			if err != nil || a.State != devicegrant.Number {
				return err
			}
			began = time.Now()
			w.model.with(a.UserCode, func(a *attempt) {
				if a.confirmed.IsZero() {
					a.confirmed = began
				}
			})
			a, err = r.grants.Confirm(req.Context(), a.ID, number)
			if state = a.State; err == nil {
				w.model.typed(l.attempt, began, a.State)
			}
			return err
		})
		w.tell(by.who, "types a number: %s %s", state, said(err))
		if err == nil || errors.Is(err, devicegrant.ErrWrongNumber) {
			return
		}
		w.sleep(by.who, time.Second)
	}
}

// guess is somebody typing a wrong number.
func (l *login) guess(by *browser) {
	w, number := l.w, l.w.wrongNumber(l, l.w.roll(by.who, 10000))
	var state devicegrant.State
	err := w.exchange(by.who, by, func(r *replica, _ http.ResponseWriter, req *http.Request) error {
		read := w.model.looked(l.attempt, by)
		a, err := r.grants.CheckLaptop(req.Context(), l.attempt.ID, by.seen())
		read(err == nil)
		if err != nil || a.State != devicegrant.Number {
			return err
		}
		w.model.guessed(a.UserCode)
		a, err = r.grants.Confirm(req.Context(), a.ID, number)
		if state = a.State; errors.Is(err, devicegrant.ErrWrongNumber) {
			w.model.refused(a.UserCode)
		}
		return err
	})
	w.tell(by.who, "types a wrong number: %s %s", state, said(err))
}

// claim is a browser with the attempt's ID asking for its session.
func (l *login) claim() { l.session.Store(l.claimBy(l.laptop)) }

func (l *login) claimBy(by *browser) bool {
	w := l.w
	var got string
	tried := &try{began: time.Now()}
	err := w.exchange(by.who, by, func(r *replica, rw http.ResponseWriter, req *http.Request) error {
		read := w.model.looked(l.attempt, by)
		w.model.with(l.attempt.UserCode, func(a *attempt) { a.tries = append(a.tries, tried) })
		id, err := r.grants.Claim(context.WithoutCancel(req.Context()), l.attempt.ID, by.seen())
		read(err == nil || errors.Is(err, devicegrant.ErrNotApproved))
		if err != nil {
			tried.refused = errors.Is(err, devicegrant.ErrNotApproved)
			return err
		}
		s := w.peek(id)
		got = s.Person.Subject
		by.become(s.Person)
		w.model.wasClaimed(l.attempt, by, tried.began, id, s)
		return r.sessions.SetCookie(rw, req, id)
	})
	w.tell(by.who, "claims %s: %s %s", l.attempt.UserCode, got, said(err))
	if errors.Is(err, devicegrant.ErrClaimed) && !w.isCalm(tried.began.Add(-2*time.Minute)) {
		w.model.excuse(l.attempt.UserCode, "the answer to a claim was lost for too long")
	}
	return err == nil
}

// cancel is the laptop's person giving up.
func (l *login) cancel() {
	w := l.w
	w.model.excuse(l.attempt.UserCode, "cancelled")
	w.model.with(l.attempt.UserCode, func(a *attempt) { a.cancels = true })
	err := w.exchange(l.laptop.who, l.laptop, func(r *replica, _ http.ResponseWriter, req *http.Request) error {
		err := r.grants.Cancel(req.Context(), l.attempt.ID)
		if err == nil {
			w.model.with(l.attempt.UserCode, func(a *attempt) { a.stopped = time.Now() })
		}
		return err
	})
	w.tell(l.laptop.who, "cancels: %s", said(err))
}
