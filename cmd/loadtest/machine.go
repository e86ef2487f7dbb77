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
// machine, and how long its disk takes.
func (b *bench) reportMachine() {
	text, _ := os.ReadFile("/proc/loadavg") // none: unknown
	first, _, _ := strings.Cut(string(text), " ")
	load, _ := strconv.ParseFloat(first, 64)
	b.report.fact("machine", "", "load average before the test", load, fmt.Sprintf("on %d processors", runtime.NumCPU()))
	if b.bank.data != "" {
		took := syncTime(filepath.Join(filepath.Dir(b.bank.data), "sync"))
		b.report.fact("machine", "", "fsync of one page", milliseconds(took), "ms")
	}
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
