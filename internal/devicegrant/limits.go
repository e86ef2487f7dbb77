package devicegrant

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"changebank/internal/idp"
)

// Limits say how often things may happen (RFC 10027, section 6.1.11). They are
// counted in the memory of this process: each replica counts for itself, and a
// restart begins anew.
type Limits struct {
	CodesPerAddress int // new codes in ten minutes, from one IPv4 address or IPv6 /64
	CodesPerBrowser int // new codes in ten minutes
	LivePerAddress  int // attempts at a time that have not ended
	Live            int // the same, of everybody
	WrongCodes      int // user codes that do not exist, by one person in ten minutes
	WrongNumbers    int // of one attempt
}

// limitWindow is the time in which most limits count.
const limitWindow = 10 * time.Minute

// liveWait is what is told to whoever must wait until attempts end: nobody
// knows when they will.
const liveWait = time.Minute

// TooManyError says that a limit is reached.
type TooManyError struct {
	Rule string        // which limit, in words for the log
	Wait time.Duration // until the next try
}

func (e *TooManyError) Error() string {
	return fmt.Sprintf("devicegrant: too many %s; wait %v", e.Rule, e.Wait)
}

// limits are the counters of a Manager.
type limits struct {
	Limits
	addresses window[string]
	browsers  window[string]
	guessers  window[idp.Person]

	mu   sync.Mutex
	live map[string]liveAttempt // by the attempt's ID
}

type liveAttempt struct {
	from    string // the network, as networkOf names it
	expires time.Time
}

func newLimits(l Limits) *limits {
	return &limits{
		Limits:    l,
		addresses: window[string]{most: l.CodesPerAddress},
		browsers:  window[string]{most: l.CodesPerBrowser},
		guessers:  window[idp.Person]{most: l.WrongCodes},
		live:      make(map[string]liveAttempt),
	}
}

// start counts a new code for the address and the browser that want one, and
// reserves its place among the live ones: asking the provider takes a while.
func (l *limits) start(addr, browser string) (*place, *TooManyError) {
	p := &place{l, networkOf(addr), browser, rand.Text()}
	if rule := l.reserve(p); rule != "" {
		return nil, &TooManyError{rule, liveWait}
	}
	if wait := l.addresses.pay(p.from); wait > 0 {
		p.free()
		return nil, &TooManyError{"new codes for one address", wait}
	}
	if wait := l.browsers.pay(browser); wait > 0 {
		l.addresses.giveBack(p.from)
		p.free()
		return nil, &TooManyError{"new codes for one browser", wait}
	}
	return p, nil
}

// reserve takes a place, or returns which limit of live attempts is reached.
func (l *limits) reserve(p *place) (rule string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, near := time.Now(), 0
	for id, a := range l.live {
		switch {
		case now.After(a.expires):
			delete(l.live, id)
		case a.from == p.from:
			near++
		}
	}
	switch {
	case near >= l.LivePerAddress:
		return "live codes for one address"
	case len(l.live) >= l.Live:
		return "live codes"
	}
	l.live[p.id] = liveAttempt{p.from, now.Add(liveWait)}
	return ""
}

// place is a live attempt's, before it has an ID.
type place struct {
	l             *limits
	from, browser string
	id            string
}

// take gives the place to the attempt.
func (p *place) take(id string, expires time.Time) {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	delete(p.l.live, p.id)
	p.l.live[id] = liveAttempt{p.from, expires}
}

// free gives the place up.
func (p *place) free() {
	p.l.mu.Lock()
	defer p.l.mu.Unlock()
	delete(p.l.live, p.id)
}

// giveBack makes it as if nobody had asked for a code.
func (p *place) giveBack() {
	p.free()
	p.l.browsers.giveBack(p.browser)
	p.l.addresses.giveBack(p.from)
}

// moved follows an attempt that took a step: it has ended, or lives longer.
func (l *limits) moved(id string, r record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	a, ok := l.live[id]
	switch {
	case r.State.Ended():
		delete(l.live, id)
	case ok:
		a.expires = r.Expires
		l.live[id] = a
	}
}

// guess calls find unless the person must wait, and counts an [ErrUnknownCode]:
// user codes are short, and every one that is hit could be answered (RFC 8628,
// section 5.1).
func (l *limits) guess(person idp.Person, find func() (string, error)) (string, error) {
	person = idp.Person{Issuer: person.Issuer, Subject: person.Subject}
	// Paid before looking and given back after a hit, so that many requests
	// at once cannot look for free.
	if wait := l.guessers.pay(person); wait > 0 {
		return "", &TooManyError{"wrong codes", wait}
	}
	id, err := find()
	if !errors.Is(err, ErrUnknownCode) {
		l.guessers.giveBack(person)
	}
	return id, err
}

// networkOf names what one limit is for: who has one IPv6 address has the /64.
func networkOf(addr string) string {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return addr
	}
	if a = a.Unmap().WithZone(""); a.Is6() {
		return netip.PrefixFrom(a, 64).Masked().String()
	}
	return a.String()
}

// window remembers when each of many did something in the last limitWindow.
type window[K comparable] struct {
	most int

	mu    sync.Mutex
	when  map[K][]time.Time
	swept time.Time
}

// pay counts one for key, or says how long it must wait.
func (w *window[K]) pay(key K) (wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.sweep(now)
	recent := since(w.when[key], now.Add(-limitWindow))
	if len(recent) >= w.most {
		return recent[0].Add(limitWindow).Sub(now)
	}
	w.when[key] = append(recent, now)
	return 0
}

func (w *window[K]) giveBack(key K) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.when[key]); n > 1 {
		w.when[key] = w.when[key][:n-1]
	} else {
		delete(w.when, key)
	}
}

// sweep forgets those who have not come for a while.
func (w *window[K]) sweep(now time.Time) {
	if w.when != nil && now.Sub(w.swept) < limitWindow {
		return
	}
	w.swept = now
	kept := make(map[K][]time.Time)
	for key, times := range w.when {
		if recent := since(times, now.Add(-limitWindow)); len(recent) > 0 {
			kept[key] = recent
		}
	}
	w.when = kept
}

// since returns the times after start; times are in order.
func since(times []time.Time, start time.Time) []time.Time {
	for len(times) > 0 && !times[0].After(start) {
		times = times[1:]
	}
	return times
}
