package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

const (
	clients = 8  // browsers that load pages at the same time
	rounds  = 20 // in which the program and the bare server take turns, so that noise reaches both
)

// pageTest is a page that several browsers load again and again.
type pageTest struct {
	what     string
	browsers []*browser
	path     string
	form     url.Values // nil: a GET
}

func (t pageTest) load(ctx context.Context, b *browser) (page, error) {
	if t.form != nil {
		return b.do(ctx, http.MethodPost, t.path, t.form)
	}
	return b.do(ctx, http.MethodGet, t.path, nil)
}

// pages measures the pages of people who are not in the middle of a login.
func pages(ctx context.Context, b *bench) error {
	b.progress.now("pages: logging in", nil)
	anonymous := b.browsers(clients, laptopAgent)
	shown, err := b.withCodes(ctx, clients)
	if err != nil {
		return err
	}
	if err := b.prepare(ctx, clients); err != nil {
		return err
	}
	var members []*browser
	for range clients {
		p, err := b.takePhone(ctx)
		if err != nil {
			return err
		}
		defer b.giveBack(p)
		members = append(members, p.browser)
	}
	tests := []pageTest{
		{"home, no cookie", anonymous, "/", nil},
		{"home, cookie of a laptop with a code", shown, "/", nil},
		{"account", members, "/account", nil},
		{"make change (POST)", members, "/make-change", url.Values{"amount": {"1.23"}}},
	}
	for _, sessions := range []int{10, 100} {
		many, err := b.sessionsOf(ctx, sessions)
		if err != nil {
			return err
		}
		tests = append(tests, pageTest{fmt.Sprintf("account, person with %d sessions", sessions), many, "/account", nil})
	}
	for _, test := range tests {
		if err := b.measurePage(ctx, "pages", test); err != nil {
			return err
		}
	}
	return nil
}

// measurePage compares a page with the bare server's answer of the same bytes.
func (b *bench) measurePage(ctx context.Context, phase string, test pageTest) error {
	var last page
	for range 3 { // some pages say a thing once
		for _, one := range test.browsers {
			var err error
			if last, err = test.load(ctx, one); err != nil {
				return err
			}
		}
	}
	if err := b.bare.imitate(ctx, test.path, last); err != nil {
		return err
	}
	bare := test
	bare.browsers = nil
	for range test.browsers {
		bare.browsers = append(bare.browsers, newBrowser(b.bare.site, laptopAgent, "127.0.0.1"))
	}
	var ours, theirs tally
	var cpu, bareCPU time.Duration
	var p99s []float64 // of each round, in those of the bare server
	b.progress.now(phase+": "+test.what, &ours)
	for range rounds {
		used, p99 := b.loop(ctx, &ours, b.bank.processes, test)
		bareUsed, bareP99 := b.loop(ctx, &theirs, b.bare.processes, bare)
		cpu, bareCPU = cpu+used, bareCPU+bareUsed
		p99s = append(p99s, float64(p99)/float64(max(1, bareP99)))
	}
	for _, one := range append(test.browsers, bare.browsers...) {
		one.close()
	}
	b.report.row(phase, test.what, &ours, cpu).compare(&theirs, bareCPU, p99s)
	b.report.count(&theirs)
	return ctx.Err()
}

// loop lets all browsers load the page for their part of the duration, and
// returns the processor time that the servers used, and the time within which 99
// of 100 pages came.
func (b *bench) loop(ctx context.Context, t *tally, servers processes, test pageTest) (cpu, p99 time.Duration) {
	before := servers.cpu()
	earlier, _ := t.counts()
	t.closedLoop(ctx, len(test.browsers), b.duration/(2*rounds), timed(func(ctx context.Context, n int) error {
		_, err := test.load(ctx, test.browsers[n])
		return err
	}))
	return servers.cpu() - before, t.quantileAfter(earlier, 0.99)
}

// codes measures new codes, each for a browser that was never here, and the
// page of a live code.
func codes(ctx context.Context, b *bench) error {
	var t tally
	b.progress.now("codes: new codes", &t)
	before := b.spent()
	t.closedLoop(ctx, clients, b.duration, timed(func(ctx context.Context, _ int) error {
		l := newLaptop(b.bank.site, household(b.people.Add(1)))
		defer l.close()
		return l.showCode(ctx)
	}))
	b.reportCost("codes", "new code, new browser", "code", &t, b.spent().since(before))

	shown, err := b.withCodes(ctx, clients)
	if err != nil {
		return err
	}
	return b.measurePage(ctx, "codes", pageTest{"live code shown again", shown, qrPath, nil})
}
