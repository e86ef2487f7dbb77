package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// progress tells what is being measured: on a terminal in one line that is
// rewritten, elsewhere in a line every ten seconds.
type progress struct {
	w        io.Writer
	terminal bool
	stop     chan struct{}
	wg       sync.WaitGroup

	mu    sync.Mutex
	what  string
	began time.Time
	t     *tally
}

func startProgress(w io.Writer) *progress {
	p := &progress{w: w, terminal: isTerminal(w), stop: make(chan struct{}), began: time.Now()}
	every := 10 * time.Second
	if p.terminal {
		every = 200 * time.Millisecond
	}
	p.wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.tell()
			case <-p.stop:
				return
			}
		}
	})
	return p
}

// now says what is being measured, with which tally if there is one yet.
func (p *progress) now(what string, t *tally) {
	p.mu.Lock()
	p.what, p.t, p.began = what, t, time.Now()
	p.mu.Unlock()
	if p.terminal {
		p.tell()
	}
}

func (p *progress) tell() {
	p.mu.Lock()
	text, t, took := p.what, p.t, time.Since(p.began)
	p.mu.Unlock()
	if t != nil {
		done, failed := t.counts()
		text = fmt.Sprintf("%s: %d done, %d errors, %d s", text, done, failed, int(took.Seconds()))
	}
	if p.terminal {
		text = "\r\x1b[K" + text
	} else {
		text += "\n"
	}
	_, _ = io.WriteString(p.w, text)
}

// end stops the telling, and clears the line.
func (p *progress) end() {
	close(p.stop)
	p.wg.Wait()
	if p.terminal {
		_, _ = io.WriteString(p.w, "\r\x1b[K")
	}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
