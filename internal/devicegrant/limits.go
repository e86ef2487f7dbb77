package devicegrant

import (
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

// start counts a new code for the address and the browser that want one.
// giveBack undoes that, for a code that was not had.
func (l *limits) start(addr, browser string) (giveBack func(), err error) {
	from := networkOf(addr)
	if rule := l.full(from); rule != "" {
		return nil, &TooManyError{rule, liveWait}
	}
	if wait := l.browsers.pay(browser); wait > 0 {
		return nil, &TooManyError{"new codes for one browser", wait}
	}
	if wait := l.addresses.pay(from); wait > 0 {
		l.browsers.giveBack(browser)
		return nil, &TooManyError{"new codes for one address", wait}
	}
	return func() {
		l.browsers.giveBack(browser)
		l.addresses.giveBack(from)
	}, nil
}

// full returns which limit of live attempts is reached, "" if none is.
func (l *limits) full(from string) (rule string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, near, all := time.Now(), 0, 0
	for id, a := range l.live {
		switch {
		case now.After(a.expires):
			delete(l.live, id)
		case a.from == from:
			near++
			fallthrough
		default:
			all++
		}
	}
	switch {
	case near >= l.LivePerAddress:
		return "live codes for one address"
	case all >= l.Live:
		return "live codes"
	}
	return ""
}

func (l *limits) begun(id, addr string, expires time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.live[id] = liveAttempt{networkOf(addr), expires}
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
	if n := len(w.when[key]); n > 0 {
		w.when[key] = w.when[key][:n-1]
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
