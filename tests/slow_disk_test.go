package tests

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"changebank/internal/testfusion"
	"changebank/internal/testneed"
)

// perSync is how long the slow disk takes for each sync; a write needs two. With two
// seconds instead, the test takes a minute and passes.
const perSync = 250 * time.Millisecond

// slowDisk makes each sync of the program take perSync longer, until it ends.
func (b *bank) slowDisk(t *testing.T) {
	t.Helper()
	strace := testneed.Program(t, "strace is not installed, so a slow disk is not tested.", "strace")
	pid := fmt.Sprint(b.process.command.Process.Pid)
	command := exec.Command(strace, "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync",
		"-e", fmt.Sprintf("inject=fsync,fdatasync:delay_exit=%d", perSync.Microseconds()), "-p", pid)
	var said strings.Builder
	command.Stderr = &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = command.Wait() // it ends with the program
		close(ended)
	}()
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		<-ended
	})
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		select {
		case <-ended:
			testneed.Missing(t, "Processes cannot be traced here, so a slow disk is not tested: "+said.String())
		default:
		}
		status, err := os.ReadFile("/proc/" + pid + "/status")
		if err == nil && !strings.Contains(string(status), "TracerPid:\t0\n") {
			return
		}
	}
	t.Fatal("strace does not begin")
}

// A slow disk makes a login slow, and has no other effect: the pages show its
// progress, the provider is polled once, and the store is ready. Confirmed writes
// survive a crash.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	b := startWithFusion(t, testfusion.Options{})
	laptop, phone := b.pair(t)
	b.slowDisk(t)
	began := time.Now()
	link := laptop.code()
	if took := time.Since(began); took < 2*perSync {
		t.Fatalf("a new code takes %v, so the disk is not slow", took)
	}
	states := laptop.events()
	states.want("waiting")
	question := phone.get(link)
	states.want("opened")
	if p := laptop.get("/readyz"); p.Status != http.StatusOK {
		t.Errorf("/readyz: %v, want 200: a slow disk is written", p)
	}
	phone.answer(question, "yes")
	states.want("yes", "approved")
	laptop.claim(richard)
	states.wantEventually("claimed")
	if n := len(b.fusion.Polls()); n != 1 {
		t.Errorf("%d polls, want 1", n)
	}
	if strings.Contains(b.log.String(), "level=ERROR") {
		t.Error("a slow disk is logged as a fault")
	}
	t.Logf("the login took %v", time.Since(began))
	b.kill()
	b.start()
	laptop.wantPerson(richard)
	phone.wantPerson(richard)
}
