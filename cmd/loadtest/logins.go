package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"changebank/cmd/loadtest/provider"
)

// loginTimeout ends a login that does not come to an end. It counts as an error.
const loginTimeout = time.Minute

// loginTest is a measurement of whole logins. The phones of those that are done
// still look at their pages, so it ends with wait.
type loginTest struct {
	*bench
	tally
	logout bool            // the laptop logs out again
	ctx    context.Context // of the measurement: phones outlast the context of their login

	phones sync.WaitGroup
}

// login is a person with a logged-in phone who sits down at a laptop and is
// logged in there. What counts is the time from the yes to the account page.
func (t *loginTest) login(ctx context.Context, _ int) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, loginTimeout)
	defer cancel()
	p, err := t.takePhone(ctx)
	if err != nil {
		return 0, err
	}
	l, s, err := t.sitDown(ctx, p)
	if err != nil {
		t.giveBack(p)
		return 0, err
	}
	defer l.close()
	return t.approve(ctx, l, s, p)
}

// sitDown shows a code on a laptop in the phone's household, which was never
// here before.
func (t *loginTest) sitDown(ctx context.Context, p *phone) (*laptop, *stream, error) {
	l := newLaptop(t.bank.site, p.addr)
	l.assets = make(map[string]bool)
	err := l.showCode(ctx)
	if err == nil {
		var s *stream
		if s, err = l.listen(ctx); err == nil {
			return l, s, nil
		}
	}
	l.close()
	return nil, nil, err
}

// approve scans the laptop's code and says yes, and waits for the account page.
// It gives the phone back.
func (t *loginTest) approve(ctx context.Context, l *laptop, s *stream, p *phone) (time.Duration, error) {
	type arrival struct {
		account page
		err     error
		at      time.Time
	}
	arrived := make(chan arrival, 1)
	go func() {
		account, err := l.await(ctx, s)
		arrived <- arrival{account, err, time.Now()}
	}()
	yes, after, err := t.sayYes(ctx, l, p)
	if err != nil {
		t.giveBack(p)
		return 0, err
	}
	t.phones.Go(func() {
		defer t.giveBack(p)
		if err := p.follow(t.ctx, after); err != nil {
			t.note(t.ctx, 0, err)
		}
	})
	a := <-arrived
	if a.err != nil {
		return 0, a.err
	}
	if got := a.account.text("account-email"); got != provider.Email(p.person) {
		if got == "" {
			return 0, fault{kind: "after the login the laptop is at " + a.account.path + ", not at the account"}
		}
		return 0, errCrossed
	}
	if t.logout {
		return a.at.Sub(yes), l.logOut(ctx)
	}
	return a.at.Sub(yes), nil
}

// sayYes returns when the person pressed the button, and what the phone shows
// then.
func (t *loginTest) sayYes(ctx context.Context, l *laptop, p *phone) (yes time.Time, after page, err error) {
	q, err := p.scan(ctx, l.link)
	if err == nil {
		err = q.read(ctx)
	}
	if err != nil {
		return yes, page{}, err
	}
	yes = time.Now()
	after, err = p.answer(ctx, q, "yes")
	return yes, after, err
}

// logOut ends the laptop's session.
func (l *laptop) logOut(ctx context.Context) error {
	if _, err := l.get(ctx, "/logout"); err != nil {
		return err
	}
	_, err := l.post(ctx, "/logout", nil)
	return err
}

// logins measures whole logins: one after another, at steady rates, and as many
// as possible.
func logins(ctx context.Context, b *bench) error {
	if err := b.loginsAtOnce(ctx, 1); err != nil {
		return err
	}
	for _, rate := range b.rates {
		what := fmt.Sprintf("yes to account, %g logins/s", rate)
		err := b.measureLogins(ctx, "logins", what, int(4*rate)+clients, func(t *loginTest) {
			t.openLoop(ctx, rate, b.duration, t.login)
		})
		if err != nil {
			return err
		}
	}
	return b.loginsAtOnce(ctx, b.n)
}

// loginsAtOnce lets that many people log in, again and again.
func (b *bench) loginsAtOnce(ctx context.Context, people int) error {
	what := fmt.Sprintf("yes to account, %d at once", people)
	return b.measureLogins(ctx, "logins", what, 2*people, func(t *loginTest) {
		t.closedLoop(ctx, people, b.duration, t.login)
	})
}

// measureLogins runs a measurement of logins with that many phones, and reports
// it.
func (b *bench) measureLogins(ctx context.Context, phase, what string, phones int, measure func(*loginTest)) error {
	b.progress.now(phase+": phones log in", nil)
	if err := b.prepare(ctx, phones); err != nil {
		return err
	}
	t := &loginTest{bench: b, ctx: ctx}
	b.progress.now(phase+": "+what, &t.tally)
	before := b.spent()
	measure(t)
	t.phones.Wait()
	b.reportCost(phase, what, "login", &t.tally, b.spent().since(before))
	return nil
}

// storm measures laptops that all wait, and are approved within the duration.
func storm(ctx context.Context, b *bench) error {
	what := fmt.Sprintf("yes to account, %d within %v", b.n, b.duration)
	return b.measureLogins(ctx, "storm", what, b.n, func(t *loginTest) {
		type pair struct {
			l *laptop
			s *stream
			p *phone
		}
		var mu sync.Mutex
		var waiting []pair
		var setup tally
		setup.each(ctx, b.n, clients, timed(func(ctx context.Context, _ int) error {
			p, err := t.takePhone(ctx)
			if err != nil {
				return err
			}
			l, s, err := t.sitDown(ctx, p)
			if err != nil {
				t.giveBack(p)
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			waiting = append(waiting, pair{l, s, p})
			return nil
		}))
		b.report.count(&setup)
		rate := float64(len(waiting)) / b.duration.Seconds()
		t.openLoop(ctx, rate, b.duration, func(ctx context.Context, n int) (time.Duration, error) {
			if n >= len(waiting) {
				return 0, fault{kind: "no laptop waits"}
			}
			defer waiting[n].l.close()
			ctx, cancel := context.WithTimeout(ctx, loginTimeout)
			defer cancel()
			return t.approve(ctx, waiting[n].l, waiting[n].s, waiting[n].p)
		})
	})
}
