package tests

import (
	"strings"
	"testing"
)

// -health asks the process that runs with the same settings. The image has no
// other program that could.
func TestHealthFlag(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	port := "PORT=" + portOf(t, b.URL)
	check := func(name string, code int, want string) {
		t.Helper()
		p := startProcess(t, []string{"-health"}, append(newBank(t, nil).env, port))
		if got := p.exit(t); got != code || !strings.HasPrefix(p.log.String(), want) || strings.Count(p.log.String(), "\n") > 1 {
			t.Errorf("%s: exit code %d and %q, want %d and %q", name, got, p.log, code, want)
		}
	}
	check("a process that runs", 0, "")
	// A process that hangs is as dead as one that is gone.
	_ = b.process.command.Process.Signal(sigStop)
	check("a process that hangs", 1, "changebank: not healthy: nothing answers at")
	_ = b.process.command.Process.Signal(sigCont)
	b.stop()
	check("no process", 1, "changebank: not healthy: nothing answers at")
}
