package main

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"time"
)

// mixed measures everything that people do, all at once.
func mixed(ctx context.Context, b *bench) error {
	if err := b.prepareMix(ctx, "mixed"); err != nil {
		return err
	}
	b.mix(ctx, "mixed", b.duration)
	return nil
}

// soak is mixed for longer, with a look at what must not grow.
func soak(ctx context.Context, b *bench) error {
	if err := b.prepareMix(ctx, "soak"); err != nil {
		return err
	}
	long := 6 * b.duration
	g := growth{bench: b}
	sampling, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { g.sample(sampling, max(long/60, 20*time.Millisecond)) })
	b.mix(ctx, "soak", long)
	stop()
	wg.Wait()
	g.tell()
	return nil
}

func (b *bench) prepareMix(ctx context.Context, phase string) error {
	b.progress.now(phase+": phones log in", nil)
	return b.prepare(ctx, int(4*b.rates[0])+clients)
}

// activity is one of the things that people do.
type activity struct {
	what string
	rate float64 // per second
	do   operation
	t    *tally
}

// mix lets people do everything for a while, and reports each activity.
func (b *bench) mix(ctx context.Context, phase string, d time.Duration) {
	t := &loginTest{bench: b, logout: true, ctx: ctx}
	rate := b.rates[0] / 2
	all := []activity{
		{"yes to account, then logout", rate, t.login, &t.tally},
		{"home, no cookie", 2 * rate, timed(b.visit), new(tally)},
		{"account and make change", 2 * rate, timed(b.useAccount), new(tally)},
		{"code that nobody scans", rate / 2, timed(b.giveUp), new(tally)},
		{"denial to the laptop's page", rate / 5, b.deny, new(tally)},
	}
	b.progress.now(fmt.Sprintf("%s: %g logins/s and all else", phase, rate), &t.tally)
	cpu, began := b.bank.cpu(), time.Now()
	var wg sync.WaitGroup
	for _, a := range all {
		wg.Go(func() { a.t.openLoop(ctx, a.rate, d, a.do) })
	}
	wg.Wait()
	t.phones.Wait()
	if used := b.bank.cpu() - cpu; used > 0 {
		b.report.fact(phase, "", "CPU for all of it", milliseconds(used)/time.Since(began).Seconds(), "ms each second")
	}
	for _, a := range all {
		b.report.row(phase, a.what, a.t, 0)
	}
}

// visit is a visitor who was never here.
func (b *bench) visit(ctx context.Context, _ int) error {
	one := newBrowser(b.bank.site, laptopAgent, household(b.people.Add(1)))
	defer one.close()
	_, err := one.get(ctx, "/")
	return err
}

// useAccount is a person who is logged in.
func (b *bench) useAccount(ctx context.Context, _ int) error {
	p, err := b.takePhone(ctx)
	if err != nil {
		return err
	}
	defer b.giveBack(p)
	if _, err := p.get(ctx, "/account"); err != nil {
		return err
	}
	_, err = p.post(ctx, "/make-change", url.Values{"amount": {"1.23"}})
	return err
}

// giveUp is a person who looks at a code for a moment and leaves.
func (b *bench) giveUp(ctx context.Context, _ int) error {
	leave, err := b.waitingLaptop(ctx)
	if err != nil {
		return err
	}
	rest(ctx, readingTime)
	leave()
	return nil
}

// deny is a person who is asked about a code and says no. What counts is the
// time until the laptop's page says so.
func (b *bench) deny(ctx context.Context, _ int) (time.Duration, error) {
	p, err := b.takePhone(ctx)
	if err != nil {
		return 0, err
	}
	defer b.giveBack(p)
	l := newLaptop(b.bank.site, p.addr)
	defer l.close()
	if err := l.showCode(ctx); err != nil {
		return 0, err
	}
	q, err := p.scan(ctx, l.link)
	if err != nil {
		return 0, err
	}
	s, err := l.listen(ctx)
	if err != nil {
		return 0, err
	}
	defer s.close()
	began := time.Now()
	if _, err := p.answer(ctx, q, "no"); err != nil {
		return 0, err
	}
	for {
		if state, err := s.next(); err != nil || state == "denied" {
			return time.Since(began), err
		}
	}
}

// growth watches what must not grow.
type growth struct {
	*bench
	memory, descriptors []float64
}

func (g *growth) sample(ctx context.Context, every time.Duration) {
	for ctx.Err() == nil {
		g.memory = append(g.memory, float64(g.bank.memory()))
		g.descriptors = append(g.descriptors, float64(g.bank.descriptors()))
		rest(ctx, every)
	}
}

func (g *growth) tell() {
	if len(g.bank.processes) == 0 || len(g.memory) < 8 {
		return
	}
	g.compare("memory at the end", g.memory, "bytes")
	g.compare("open files and connections at the end", g.descriptors, "")
}

// compare compares the last quarter with the second: the first is the start.
func (g *growth) compare(what string, samples []float64, unit string) {
	quarter := len(samples) / 4
	earlier, later := mean(samples[quarter:2*quarter]), mean(samples[3*quarter:])
	f := g.report.fact("soak", "", what, later, unit)
	change := 100 * (later/max(earlier, 1) - 1)
	f.Note = fmt.Sprintf("%+.0f %% since the second quarter: ", change)
	if change > 10 {
		f.Note += "grows, or the test was too short"
	} else {
		f.Note += "does not grow"
	}
}

func mean(samples []float64) float64 {
	sum := 0.0
	for _, s := range samples {
		sum += s
	}
	return sum / float64(len(samples))
}
