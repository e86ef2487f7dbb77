package simulate

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"changebank/internal/devicegrant"
)

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
	switch w.roll(who, 5) {
	case 0, 1:
		b.agent, b.addr = "Agent of "+who, l.laptop.addr
	case 2: // who pretends to be the laptop, in its network
		b.addr = l.laptop.addr
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
			l.guess(b)
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

// victim is a person who was sent the provider's own link with the code, and
// approves there.
func (w *world) victim(n int, l *login) {
	who, user := fmt.Sprint("victim ", n), l.attempt.UserCode
	w.sleep(who, w.upTo(who, []time.Duration{5 * time.Second, 30 * time.Second}[w.roll(who, 2)]))
	w.model.excuse(user, "approved at the provider's own page")
	w.tell(who, "approves %s at the provider's own page: %s", user, said(w.provider.approve(user, person(4))))
}

// forger knows the code, and makes up the secret of the laptop's cookie.
func (w *world) forger(n int, l *login) {
	who := fmt.Sprint("forger ", n)
	b := newBrowser(who, l.laptop.agent, l.laptop.addr)
	code, _, _ := strings.Cut(l.attempt.ID, ".")
	id, number := code+".FORGED", "0000"
	for range 20 {
		w.sleep(who, w.upTo(who, 5*time.Second))
		did := ""
		err := w.exchange(who, b, func(r *replica, _ http.ResponseWriter, req *http.Request) (err error) {
			switch w.roll(who, 3) {
			case 0:
				did = "watches"
				_, err = r.grants.CheckLaptop(req.Context(), id, b.seen())
			case 1:
				did = "types a number for"
				_, err = r.grants.Confirm(req.Context(), id, number)
			case 2:
				did = "claims"
				_, err = r.grants.Claim(req.Context(), id, b.seen())
			}
			if err == nil || errors.Is(err, devicegrant.ErrWrongNumber) || errors.Is(err, devicegrant.ErrNotApproved) {
				w.violated("a browser that has not started %s %s it", l.attempt.UserCode, did)
			}
			return err
		})
		w.tell(who, "%s %s: %s", did, l.attempt.UserCode, said(err))
	}
}
