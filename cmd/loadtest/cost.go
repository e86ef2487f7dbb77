package main

import (
	"os"
	"time"
)

// cost is what operations used up, or what was used up since the start.
type cost struct {
	cpu     time.Duration // of the program
	load    time.Duration // processor time of this command: the browsers and the provider
	commits int64         // to its data file
	used    int64         // bytes of the data file
	written int64         // bytes to the disk
	polls   int64         // of the provider, for codes of our own page
	opened  int64         // connections to the provider; with https each would need a handshake
}

func (b *bench) spent() cost {
	c := cost{
		cpu: b.bank.cpu(), load: processes{os.Getpid()}.cpu(), written: b.bank.written(),
		polls: b.idp.Counts().Polls, opened: b.connections.Load(),
	}
	c.commits, c.used = dataFile(b.bank.data)
	return c
}

func (c cost) since(before cost) cost {
	return cost{
		c.cpu - before.cpu, c.load - before.load, c.commits - before.commits, c.used - before.used, c.written - before.written,
		c.polls - before.polls, c.opened - before.opened,
	}
}

// reportCost reports a measurement, and what each operation cost.
func (b *bench) reportCost(phase, what, each string, t *tally, c cost) {
	b.report.row(phase, what, t, c.cpu)
	done, _ := t.counts()
	if done == 0 {
		return
	}
	per := func(name string, total int64, unit string) {
		b.report.fact(phase, what, name+" per "+each, float64(total)/float64(done), unit)
	}
	if c.load > 0 {
		b.report.fact(phase, what, "CPU of the browsers and the provider per "+each, milliseconds(c.load)/float64(done), "ms")
	}
	if each == "login" {
		per("polls", c.polls, "")
	}
	per("new connections to the provider", c.opened, "")
	if b.bank.data != "" {
		per("commits", c.commits, "")
		per("growth of the data file", c.used, "bytes")
		per("written to the disk", c.written, "bytes")
	}
}
