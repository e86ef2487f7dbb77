package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// reportMachine reports what every other number depends on: who else uses the
// machine, how long its disk takes, and in the end what this command itself used.
func (b *bench) reportMachine() (atEnd func()) {
	b.report.fact("machine", "", "load average before the test", loadAverage(), fmt.Sprintf("on %d processors", runtime.NumCPU()))
	if b.bank.data != "" {
		took := syncTime(filepath.Join(filepath.Dir(b.bank.data), "sync"))
		b.report.fact("machine", "", "fsync of one page", milliseconds(took), "ms")
	}
	own := processes{os.Getpid()}
	began, before := time.Now(), own.cpu()
	return func() {
		b.report.fact("machine", "", "load average after the test", loadAverage(), "")
		used := milliseconds(own.cpu()-before) / time.Since(began).Seconds()
		b.report.fact("machine", "", "CPU of the browsers and the provider", used, "ms each second")
	}
}

// loadAverage returns how many threads ran or wanted to in the last minute, 0 if
// that is unknown.
func loadAverage() float64 {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	load, _ := strconv.ParseFloat(first, 64)
	return load
}

// syncTime returns the median time in which a page of a new file reaches the
// disk. A commit of the data file takes two of these.
func syncTime(path string) time.Duration {
	f, err := os.Create(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	var t tally
	page := make([]byte, os.Getpagesize())
	for range 21 {
		began := time.Now()
		if _, err := f.Write(page); err != nil {
			return 0
		}
		if f.Sync() != nil {
			return 0
		}
		t.add(time.Since(began))
	}
	return t.quantile(0.5)
}
