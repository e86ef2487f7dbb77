package idp_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"changebank/internal/idp"
)

// log is what a Client logged.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// to makes a Client log here.
func (l *log) to(cfg *idp.Config) { cfg.Log = slog.New(slog.NewTextHandler(l, nil)) }

// has reports whether something was logged.
func (l *log) has(words string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), words)
}

// warnings returns the lines that are warnings.
func (l *log) warnings() (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, "level=WARN") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// wantWarnings checks how many warnings there were, and that each contains all of
// words. It returns them and starts a new log.
func (l *log) wantWarnings(t *testing.T, want int, words ...string) []string {
	t.Helper()
	lines := l.warnings()
	if len(lines) != want {
		t.Errorf("%d warnings, want %d: %.2000q", len(lines), want, lines)
	}
	for _, line := range lines {
		for _, word := range words {
			if !strings.Contains(line, word) {
				t.Errorf("warning %q, want %q in it", line, word)
			}
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Reset()
	return lines
}
