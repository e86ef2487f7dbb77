package tests

import (
	"bytes"
	"os"
	"regexp"
	"sync"
	"testing"
	"time"
)

// record keeps what is written to it.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write implements [io.Writer].
func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.String()
}

// logFile is a file that the program writes to. Unlike a pipe it has every line
// as soon as it is written: a line from before an answer is there when the
// answer is.
type logFile struct {
	path  string
	ended <-chan struct{} // closed when the program has ended
}

func (l *logFile) String() string {
	text, err := os.ReadFile(l.path)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// await returns what the first group of pattern matches, once it was written.
func (l *logFile) await(t testing.TB, pattern string) string {
	t.Helper()
	want := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		ended := false
		select {
		case <-l.ended:
			ended = true
		default:
		}
		text := l.String()
		if match := want.FindStringSubmatch(text); match != nil {
			return match[1]
		}
		if ended || time.Now().After(deadline) {
			t.Fatalf("the program has not written %q (ended: %t):\n%s", pattern, ended, text)
		}
	}
}
