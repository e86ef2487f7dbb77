package main

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// waiting measures what laptops cost that wait for their phones: on our page,
// at the bare server, and on a page of the provider's own, for which the
// program polls.
func waiting(ctx context.Context, b *bench) error {
	if err := b.warmUp(ctx); err != nil {
		return err
	}
	// The memory of pages that were left is not given back at once, so that both
	// are compared with what the program needed before.
	without := b.bank.memory()
	b.wait(ctx, "laptop", b.bank.processes, without, b.waitingLaptop)
	b.wait(ctx, "stream of the bare server", b.bare.processes, b.bare.memory(), func(ctx context.Context) (func(), error) {
		one := newBrowser(b.bare.site, laptopAgent, "127.0.0.1")
		resp, err := one.send(ctx, http.MethodGet, "/events", nil)
		if err != nil {
			return nil, err
		}
		return func() { resp.Body.Close(); one.close() }, nil
	})
	const own = "laptop, provider's own page"
	b.idp.UseOwnPage(true)
	defer b.idp.UseOwnPage(false)
	before := b.idp.Counts().OwnPagePolls
	began := time.Now()
	b.wait(ctx, own, b.bank.processes, without, b.cancellingLaptop)
	polls := float64(b.idp.Counts().OwnPagePolls - before)
	b.report.fact("waiting", own, "polls for 1000", 1000*polls/time.Since(began).Seconds()/float64(b.n), "each second")
	return nil
}

// warmUp lets the program do everything once, so that its memory grows no more
// without laptops.
func (b *bench) warmUp(ctx context.Context) error {
	b.progress.now("waiting: warming up", nil)
	for range 5 {
		if _, err := b.withCodes(ctx, clients); err != nil {
			return err
		}
	}
	return nil
}

// cancellingLaptop is a waitingLaptop on which the person presses Cancel before
// leaving. Otherwise the program polls for some time, during other measurements.
func (b *bench) cancellingLaptop(ctx context.Context) (leave func(), err error) {
	l, s, err := b.followedLaptop(ctx)
	if err != nil {
		return nil, err
	}
	return func() {
		s.close()
		_, _ = l.post(ctx, qrPath+"/cancel", nil) // if not, the polls end a little later
		l.close()
	}, nil
}

// waitingLaptop shows a code on a laptop and reads the first event. The function
// closes the page.
func (b *bench) waitingLaptop(ctx context.Context) (leave func(), err error) {
	l, s, err := b.followedLaptop(ctx)
	if err != nil {
		return nil, err
	}
	return func() { s.close(); l.close() }, nil
}

func (b *bench) followedLaptop(ctx context.Context) (*laptop, *stream, error) {
	l := newLaptop(b.bank.site, household(b.people.Add(1)))
	if err := l.showCode(ctx); err != nil {
		return nil, nil, err
	}
	s, err := l.listen(ctx)
	if err != nil {
		return nil, nil, err
	}
	if _, err := s.next(); err != nil {
		return nil, nil, err
	}
	return l, s, nil
}

// wait opens as many pages as laptops are to wait, and reports the processor
// time that the servers need for them, and how much more memory than without.
func (b *bench) wait(ctx context.Context, what string, servers processes, without int64, open func(context.Context) (func(), error)) {
	ctx, cancel := context.WithCancel(ctx) // the streams end with it
	defer cancel()
	var mu sync.Mutex
	var leave []func()
	var t tally
	b.progress.now("waiting: "+what, &t)
	cpu := servers.cpu()
	t.each(ctx, b.n, clients, timed(func(ctx context.Context, _ int) error {
		close, err := open(ctx)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		leave = append(leave, close)
		return nil
	}))
	b.report.row("waiting", what, &t, servers.cpu()-cpu)
	cpu = servers.cpu()
	began := time.Now()
	rest(ctx, b.duration)
	if n := float64(len(leave)); n > 0 && len(servers) > 0 {
		idle := milliseconds(servers.cpu()-cpu) / time.Since(began).Seconds()
		b.report.fact("waiting", what, "memory for each", float64(servers.memory()-without)/n, "bytes")
		b.report.fact("waiting", what, "CPU for 1000", idle/n*1000, "ms each second")
	}
	var left tally
	left.each(ctx, len(leave), clients, timed(func(_ context.Context, n int) error {
		leave[n]()
		return nil
	}))
}
