package main

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
)

// household returns the address of a household: a public one, so that a laptop
// and a phone with the same one are in the same network, and none that the
// provider or the program has itself.
func household(n int64) string {
	return netip.AddrFrom4([4]byte{80, byte(n >> 16), byte(n >> 8), byte(n)}).String()
}

// browsers returns new browsers of different households.
func (b *bench) browsers(n int, agent string) (all []*browser) {
	for range n {
		all = append(all, newBrowser(b.bank.site, agent, household(b.people.Add(1))))
	}
	return all
}

// withCodes returns browsers that each show a code.
func (b *bench) withCodes(ctx context.Context, n int) (all []*browser, err error) {
	for range n {
		l := newLaptop(b.bank.site, household(b.people.Add(1)))
		if err := l.showCode(ctx); err != nil {
			return nil, err
		}
		all = append(all, l.browser)
	}
	return all, nil
}

// newPhone logs in the phone of a person who was never here.
func (b *bench) newPhone(ctx context.Context) (*phone, error) {
	n := b.people.Add(1)
	p, err := newPhone(ctx, b.bank.site, b.issuer, fmt.Sprintf("person%d", n), household(n))
	if err != nil {
		return nil, fmt.Errorf("a phone's own login: %w", err)
	}
	return p, nil
}

// prepare logs in phones until that many are free.
func (b *bench) prepare(ctx context.Context, n int) error {
	b.mu.Lock()
	missing := n - len(b.free)
	b.mu.Unlock()
	var once sync.Once
	var failed error
	var t tally
	t.each(ctx, missing, clients, timed(func(ctx context.Context, _ int) error {
		p, err := b.newPhone(ctx)
		if err != nil {
			once.Do(func() { failed = err })
			return err
		}
		b.giveBack(p)
		return nil
	}))
	return failed
}

// takePhone returns the phone that has been unused for longest, or another one.
func (b *bench) takePhone(ctx context.Context) (*phone, error) {
	b.mu.Lock()
	if len(b.free) > 0 {
		p := b.free[0]
		b.free = b.free[1:]
		b.mu.Unlock()
		return p, nil
	}
	b.mu.Unlock()
	return b.newPhone(ctx)
}

func (b *bench) giveBack(p *phone) {
	p.close()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, p)
}

// sessionsOf logs one person in with many browsers, and returns some of them.
func (b *bench) sessionsOf(ctx context.Context, n int) (some []*browser, err error) {
	person := fmt.Sprintf("busy%d", n)
	for range n {
		p, err := newPhone(ctx, b.bank.site, b.issuer, person, household(b.people.Add(1)))
		if err != nil {
			return nil, err
		}
		some = append(some, p.browser)
		p.close()
	}
	return some[max(0, n-clients):], nil
}
