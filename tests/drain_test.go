package tests

import (
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// A process that is told to stop says so to load balancers first. Until they
// have noticed, it serves on, and its event streams stay open.
func TestShutdownDelay(t *testing.T) {
	t.Parallel()
	const delay = 15 * time.Second
	b, laptop, phone := pair(t, "SHUTDOWN_DELAY="+delay.String())
	link := laptop.code()
	stream := laptop.events()
	stream.want("waiting")
	check := func(path string, status int, closes bool) {
		t.Helper()
		resp, err := http.Get(b.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != status || resp.Close != closes {
			t.Errorf("%s: %s, closes its connection: %t; want %d and %t", path, resp.Status, resp.Close, status, closes)
		}
	}
	check("/readyz", http.StatusOK, false)

	began := time.Now()
	_ = b.process.command.Process.Signal(syscall.SIGTERM)
	phone.await("503", func() string { return fmt.Sprint(phone.get("/readyz").Status) })
	check("/readyz", http.StatusServiceUnavailable, true)
	check("/healthz", http.StatusOK, true) // a process that stops is not dead
	phone.approve(link)
	stream.want("opened", "yes", "approved")
	laptop.claim(richard)
	<-b.process.ended
	if took := time.Since(began); took < delay {
		t.Errorf("the process ended after %v, want %v or more", took, delay)
	}
}

// A second signal does not wait, as when a developer presses Ctrl-C twice.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	b := startBank(t, "SHUTDOWN_DELAY=5m")
	visitor := b.browser(t)
	_ = b.process.command.Process.Signal(syscall.SIGINT)
	visitor.await("503", func() string { return fmt.Sprint(visitor.get("/readyz").Status) })
	_ = b.process.command.Process.Signal(syscall.SIGINT)
	b.process.checked = true // it ends by the signal, not with exit code 0
	select {
	case <-b.process.ended:
	case <-time.After(20 * time.Second):
		t.Error("the process still runs after a second signal")
		_ = b.process.command.Process.Kill()
	}
}
