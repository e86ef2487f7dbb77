// Package tests tests the whole program from outside: it builds the program,
// runs it, and visits it with browsers.
package tests

import (
	"cmp"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The people in kickstart.json.
const (
	richard = "richard@example.com"
	erlich  = "erlich@example.com"

	richardsID = "6c9d1a52-61a5-4d0a-9a55-1f6f1f0b5a02"
)

// clientID is the bank's at the demo provider and at FusionAuth.
const clientID = "e9fdb985-9173-4e01-9d73-ac2d60d1dc8e"

// builtProgram is the environment variable that names a program to be tested in
// place of a new one.
const builtProgram = "TEST_PROGRAM"

// programFolder is where the program is built.
var programFolder string

func TestMain(m *testing.M) {
	flag.Parse()
	// Most tests wait most of the time, and a machine with two cores would run
	// only two of them at once.
	if err := flag.Set("test.parallel", "24"); err != nil {
		panic(err)
	}
	var err error
	if programFolder, err = os.MkdirTemp("", "changebank-tests"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(programFolder)
	os.Exit(code)
}

// program builds the program, once, and returns its path. It has a race
// detector if the tests have one.
var program = sync.OnceValues(func() (string, error) {
	if path := os.Getenv(builtProgram); path != "" {
		return path, nil
	}
	if err := readSources(); err != nil {
		return "", err
	}
	path := filepath.Join(programFolder, "changebank")
	args := []string{"build", "-o", path}
	info, ok := debug.ReadBuildInfo()
	if ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "..")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// readSources opens every folder of sources. The go command reuses a test
// result while the files and folders that the test opened are unchanged, and it
// cannot know what a build opened.
func readSources() error {
	return filepath.WalkDir("..", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "node_modules") {
			return fs.SkipDir
		}
		return err
	})
}

// bank is a running program, with its demo provider unless it has another.
type bank struct {
	URL, DemoURL string
	secret       string // of the client
	password     string // of the demo provider's people
	log          *logFile
	seen         record // every page and address that its browsers saw

	t         testing.TB
	args, env []string
	app, demo *front // proxies in front of the bank and of the demo provider, or nil
	process   *process
}

// startBank runs the program on free ports until the test ends. Each setting is
// NAME=VALUE or a flag.
func startBank(t testing.TB, settings ...string) *bank {
	t.Helper()
	b := newBank(t, settings)
	b.start()
	return b
}

// startProxied runs the program behind a proxy, and its demo provider behind
// another. So its addresses survive a restart, and a test can tamper with what
// the provider is asked and answers.
func startProxied(t testing.TB, settings ...string) *bank {
	t.Helper()
	app, demo := newFront(t), newFront(t)
	b := newBank(t, append([]string{"APP_URL=" + app.URL, "DEMO_URL=" + demo.URL, "LOG_LEVEL=debug"}, settings...))
	b.app, b.demo = app, demo
	b.start()
	return b
}

// newBank prepares a bank. The program gets nothing of the developer's own
// environment, and a later setting wins over an earlier one.
func newBank(t testing.TB, settings []string) *bank {
	b := &bank{t: t}
	b.env = []string{"PORT=0", "DEMO_PORT=0", "DATA_DIR=" + t.TempDir(), "CLIENT_SECRET=a test's secret, + and / and %"}
	for _, setting := range settings {
		if strings.HasPrefix(setting, "-") {
			b.args = append(b.args, setting)
		} else {
			b.env = append(b.env, setting)
		}
	}
	b.secret = b.setting("CLIENT_SECRET")
	return b
}

// setting returns the value that the program gets, or "".
func (b *bank) setting(name string) string {
	value := ""
	for _, setting := range b.env {
		if v, ok := strings.CutPrefix(setting, name+"="); ok {
			value = v
		}
	}
	return value
}

// start runs the program and waits until people can log in, unless they do so
// at a provider of the test's own.
func (b *bank) start() {
	b.t.Helper()
	b.process = startProcess(b.t, b.args, b.env)
	b.log = b.process.log
	b.URL = b.log.await(b.t, `Changebank is at (\S+)`)
	if b.app != nil {
		b.app.toPort(b.log.await(b.t, `[ "]port"?[=:](\d+)`))
	}
	if b.setting("ISSUER") != "" {
		return
	}
	b.DemoURL = b.log.await(b.t, `demo identity provider is built in, at (\S+)\.`)
	b.password = cmp.Or(b.setting("USER_PASSWORD"), "password")
	if b.setting("USER_PASSWORD") == "" {
		b.password = b.log.await(b.t, `with the password "(\S+)"`)
	}
	if b.demo != nil { // through which the program finds its provider
		b.demo.toPort(b.log.await(b.t, `demo_port"?[=:](\d+)`))
	}
	b.awaitProvider()
}

// awaitProvider waits until the program has found its identity provider.
func (b *bank) awaitProvider() {
	b.t.Helper()
	b.log.await(b.t, `msg"?[=:]"(identity provider found)"`) // the greeting has the words, too
}

// stop stops the program as an operator does, and waits until it has ended.
func (b *bank) stop() { b.end(syscall.SIGTERM) }

// kill ends the program without any warning, as kill -9 or a crash does.
func (b *bank) kill() { b.end(syscall.SIGKILL) }

// restart stops the program, and starts it again with the same data.
func (b *bank) restart() {
	b.t.Helper()
	b.stop()
	b.start()
}

func (b *bank) end(signal syscall.Signal) {
	b.t.Helper()
	b.process.end(b.t, signal)
	for _, f := range []*front{b.app, b.demo} {
		if f != nil {
			f.behind.Store(nil)
		}
	}
}

// refusal runs the program with settings that keep it from starting, and
// returns what it says.
func refusal(t testing.TB, settings ...string) string {
	t.Helper()
	b := newBank(t, settings)
	p := startProcess(t, b.args, b.env)
	if code := p.exit(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	return p.log.String()
}

// process is the program while it runs.
type process struct {
	command *exec.Cmd
	log     *logFile      // its standard output and standard error
	ended   chan struct{} // closed at its end
	checked bool          // its end was expected
}

// startProcess runs the program until the test ends.
func startProcess(t testing.TB, args, env []string) *process {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	p := &process{command: exec.Command(path, args...), ended: make(chan struct{})}
	p.log = &logFile{log.Name(), p.ended}
	p.command.Env = env
	p.command.Dir = dir // away from a developer's own .env
	p.command.Stdout, p.command.Stderr = log, log
	if err := p.command.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.command.Wait() // the exit code says it
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.end(t, syscall.SIGTERM)
		if t.Failed() {
			t.Logf("the program wrote:\n%s", p.log)
		}
	})
	return p
}

// exit waits until the program ends without a signal, and returns its exit code.
func (p *process) exit(t testing.TB) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		t.Fatalf("the program still runs:\n%s", p.log)
	}
	p.checked = true
	return p.command.ProcessState.ExitCode()
}

var crash = regexp.MustCompile(`DATA RACE|panic:|panic serving|fatal error:`)

// end sends a signal, waits for the process to end, and checks that nothing
// went wrong in it. Ending it again does nothing.
func (p *process) end(t testing.TB, signal syscall.Signal) {
	t.Helper()
	if p.checked {
		return
	}
	p.checked = true
	_ = p.command.Process.Signal(signal) // if it has ended already, its exit code is checked
	select {
	case <-p.ended:
	case <-time.After(time.Minute):
		_ = p.command.Process.Kill()
		<-p.ended
		t.Error("the program did not stop within a minute")
	}
	if code := p.command.ProcessState.ExitCode(); signal != syscall.SIGKILL && code != 0 {
		t.Errorf("the program ended with exit code %d, want 0", code)
	}
	if found := crash.FindString(p.log.String()); found != "" {
		t.Errorf("the program wrote %q", found)
	}
}
