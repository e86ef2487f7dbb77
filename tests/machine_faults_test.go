package tests

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"changebank/internal/testneed"
)

// diskFolder is the environment variable that names the folder on which
// onSmallDisk mounts a disk.
const diskFolder = "TEST_DISK"

// onSmallDisk runs this very test in a namespace of its own, in which a disk of
// 4 MB is mounted, and returns the folder. It returns "" outside, where the test
// has been run.
func onSmallDisk(t *testing.T) (folder string) {
	t.Helper()
	if folder := os.Getenv(diskFolder); folder != "" {
		return folder
	}
	disk := t.TempDir()
	unshare := func(args ...string) *exec.Cmd {
		args = append([]string{"--map-root-user", "--mount", "sh", "-c", `mount -t tmpfs -o size=4m,mode=700 disk "$TEST_DISK" && exec "$@"`, "sh"}, args...)
		command := exec.CommandContext(t.Context(), "unshare", args...)
		command.Env = append(os.Environ(), diskFolder+"="+disk)
		return command
	}
	if unshare("true").Run() != nil {
		testneed.Missing(t, "No disk can be mounted here (unshare is needed), so a full disk is not tested.")
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	again := unshare(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	again.Env = append(again.Env, builtProgram+"="+path)
	out, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("with a disk of its own: %v\n%s", err, out)
	}
	return ""
}

// fill fills the disk to the last byte, and returns what makes room again.
func fill(t *testing.T, folder string) (empty func()) {
	t.Helper()
	file, err := os.Create(filepath.Join(folder, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for size := 64 << 10; size > 0; {
		if _, err := file.Write(make([]byte, size)); err != nil {
			size /= 2
		}
	}
	return func() { _ = os.Remove(file.Name()) }
}

// wantUnavailable checks the page that says that the data cannot be written.
func (p page) wantUnavailable(what string) {
	p.t.Helper()
	if p.Status != http.StatusServiceUnavailable || !p.has("error") || !p.says("nothing was done") {
		p.t.Errorf("%s: %v, want 503 and a sentence", what, p)
	}
}

// On a full disk nobody can log in, and a page says so. But people can log out
// and end their sessions, all of them. The log names the cause, and /readyz fails.
// When there is room again, all works without a restart.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	disk := onSmallDisk(t)
	if disk == "" {
		return
	}
	b := startBank(t, "DATA_DIR="+disk)
	var people []*browser
	for range 6 {
		people = append(people, b.browserOf(t, richard))
	}
	visitor := b.browser(t)
	ready := func() string { return fmt.Sprint(visitor.get("/readyz").Status) }
	visitor.await("200", ready)
	empty := fill(t, disk)
	for refused := 0; refused < 5; refused++ { // first the file's own free pages are used up
		// 502 if the demo provider could not write: it is on the same disk.
		if p := b.browser(t).get(qrPage); p.Status == http.StatusOK {
			refused = 0
		}
	}
	to, err := url.Parse(visitor.getOnce("/login").Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	visitor.get("/callback?code=x&state=" + to.Query().Get("state")).wantUnavailable("a login")
	visitor.await("503", ready)
	if log := b.log.String(); !strings.Contains(log, `msg="store not ready"`) || !strings.Contains(log, "no space left on device") {
		t.Error("the log does not name the cause")
	}

	for i, who := range people[:5] {
		who.wantPerson(richard)
		cookies := who.cookies()
		if p := who.post("/logout", nil); p.Status >= 500 {
			t.Fatalf("logout %d on a full disk: %v", i, p)
		}
		who.wantPerson("")
		who.http.Jar.SetCookies(who.bankURL(), cookies) // of a thief
		who.wantPerson("")
	}
	if p := people[5].post("/devices/others/end", nil); p.Status >= 400 {
		t.Errorf("log out all others: %v", p)
	}
	people[5].wantPerson(richard)

	empty()
	visitor.await("200", ready)
	visitor.code()
	people[0].logIn(richard)
}

// A folder that cannot be written is refused at the start, with its name and
// what to do.
func TestReadOnlyDisk(t *testing.T) {
	t.Parallel()
	disk := onSmallDisk(t)
	if disk == "" {
		return
	}
	startBank(t, "DATA_DIR="+disk).stop()
	if out, err := exec.Command("mount", "-o", "remount,ro", disk).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, dir := range []string{disk, filepath.Join(disk, "new")} {
		said := refusal(t, "DATA_DIR="+dir)
		if !strings.Contains(said, dir) || !strings.Contains(said, "DATA_DIR") || !strings.Contains(said, "read-only file system") || strings.Count(said, "\n") > 1 {
			t.Errorf("with a read-only disk: %s", said)
		}
	}
}

// Without file descriptors, those who are connected are served, a page says what
// cannot be done, and the log names the cause. When some are free again, all
// works without a restart.
func TestOutOfFileDescriptors(t *testing.T) {
	t.Parallel()
	testneed.Program(t, "prlimit is not installed, so a lack of file descriptors is not tested.", "prlimit")
	b := startBank(t)
	phone := b.browserOf(t, richard)
	limit := func(n int) {
		t.Helper()
		out, err := exec.Command("prlimit", "--pid", fmt.Sprint(b.process.command.Process.Pid), fmt.Sprintf("--nofile=%d:", n)).CombinedOutput()
		if err != nil {
			t.Fatalf("prlimit: %v: %s", err, out)
		}
	}
	limit(b.openFiles(t) + 5)
	var idle []net.Conn
	for range 50 { // the kernel accepts them, the program cannot
		conn, err := net.DialTimeout("tcp", strings.TrimPrefix(b.URL, "http://"), 5*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, conn)
	}
	b.log.await(t, "(too many open files)")
	phone.wantPerson(richard) // over the connection that it has
	if p := phone.getOnce(qrPage); p.Status >= 500 && !p.has("error") {
		t.Errorf("without file descriptors: %v, want a page", p)
	}
	for _, conn := range idle {
		_ = conn.Close()
	}
	b.browser(t).code()
	if n := strings.Count(b.log.String(), "too many open files"); n > 60 {
		t.Errorf("the log says so %d times", n)
	}
	limit(1000)
	b.browserOf(t, erlich)
}

// openFiles returns how many file descriptors the program has open.
func (b *bank) openFiles(t testing.TB) int {
	t.Helper()
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", b.process.command.Process.Pid))
	if err != nil {
		testneed.Missing(t, "There is no /proc here, so the program's use of the machine is not tested.")
	}
	return len(files)
}

// memory returns how many megabytes the program uses.
func (b *bank) memory(t testing.TB) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", b.process.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kilobytes int
	if _, err := fmt.Sscan(rest, &kilobytes); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return kilobytes >> 10
}
