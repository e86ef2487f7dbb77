package tests

import (
	"bufio"
	"cmp"
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"changebank/kickstart"
)

const (
	manyStreams = 1000
	perStream   = 150 << 10 // bytes of the program's own: the race detector has more
)

// A thousand waiting streams cost bounded memory and a connection each, and others
// are served as before. When they end, they leave nothing behind. The test compares
// times, so it is not parallel.
func TestIdleStreams(t *testing.T) {
	b := startBank(t, onMetrics)
	person := b.browserOf(t, richard)
	before, files, memory := person.median(), b.openFiles(t), b.goMemory(t)
	var streams []net.Conn
	defer func() { closeAll(streams) }()
	for i := 0; len(streams) < manyStreams; i++ {
		laptop := b.browser(t).at(fmt.Sprintf("198.51.%d.%d", i/250, i%250))
		laptop.code()
		for range 8 { // as many as an attempt may have
			streams = append(streams, laptop.rawStream())
		}
		laptop.transport().CloseIdleConnections()
	}
	during := person.median()
	if n := b.openFiles(t) - files; n < manyStreams || n > manyStreams+100 {
		t.Errorf("%d more files are open, want one for each of %d streams", n, manyStreams)
	}
	used := (b.goMemory(t) - memory) / manyStreams
	if used > perStream {
		t.Errorf("a stream takes %d bytes, want at most %d", used, perStream)
	}
	b.browser(t).code()
	if usual := max(before, person.median()); during > 10*usual+20*time.Millisecond {
		t.Errorf("a request takes %v beside %d streams, otherwise %v", during, manyStreams, usual)
	}
	t.Logf("%d kB for each stream; a request takes %v, and took %v before", used>>10, during, before)
	closeAll(streams)
	person.await("few", func() string {
		if n := b.openFiles(t) - files; n > 100 {
			return fmt.Sprint(n)
		}
		return "few"
	})
}

// goMemory returns how many bytes of memory Go uses in the program.
func (b *bank) goMemory(t *testing.T) (bytes int) {
	t.Helper()
	for _, found := range groups(`(?m)^go_memstats_(?:heap|stack)_inuse_bytes (\S+)$`, b.metrics(t)) {
		n, err := strconv.ParseFloat(found, 64)
		if err != nil {
			t.Fatal(err)
		}
		bytes += int(n)
	}
	return bytes
}

// rawStream opens the browser's event stream, and waits for its first event.
func (b *browser) rawStream() net.Conn {
	b.t.Helper()
	req := b.request(http.MethodGet, qrPage+"/events", nil, "X-Forwarded-For", b.addr, "User-Agent", b.agent)
	for _, cookie := range b.cookies() {
		req.AddCookie(cookie)
	}
	conn, err := net.DialTimeout("tcp", strings.TrimPrefix(b.bank.URL, "http://"), 20*time.Second)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := req.Write(conn); err != nil {
		b.t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		if lines.Text() == "event: state" {
			return conn
		}
	}
	b.t.Fatal("the stream ends without an event")
	return nil
}

func closeAll(connections []net.Conn) {
	for _, c := range connections {
		_ = c.Close()
	}
}

// Made-up cookies cost no more reads than a visitor without a cookie, are not logged,
// and cost little processor time.
func TestRandomCookies(t *testing.T) {
	b := startBank(t, onMetrics)
	laptop := b.browser(t)
	laptop.code()
	person := b.browserOf(t, richard)
	names := make(map[string]string) // of cookies, with a real value
	for _, cookie := range append(laptop.cookies(), person.cookies()...) {
		names[cookie.Name] = cookie.Value
	}
	if len(names) < 2 {
		t.Fatalf("the cookies are %v, want the session's and the login's", names)
	}
	paths := []string{"/", "/account", "/reload", "/device_grant_finished", qrPage + "/events", "/devices", "/activate?user_code=ABC123"}
	flood := func(cookies func(name, value string) string) (cpu time.Duration) {
		began := b.cpu(t)
		visitor := b.browser(t)
		visitor.http.Jar = nil
		for i := range 150 {
			for _, path := range paths {
				var sent []string
				for name, value := range names {
					if made := cookies(name, value); made != "" {
						sent = append(sent, name+"="+made)
					}
				}
				req := visitor.request(http.MethodGet, path, nil)
				if len(sent) > 0 {
					req.Header.Set("Cookie", strings.Join(sent, "; "))
				}
				if p := visitor.doOnce(req); p.Status >= 500 || p.person() != "" {
					t.Fatalf("%s, request %d: %v", path, i, p)
				}
			}
		}
		return b.cpu(t) - began
	}
	operations := func() (n [2]float64) {
		text := b.metrics(t)
		for i, operation := range []string{"get", "swap"} {
			n[i] = value(t, text, fmt.Sprintf(`store_operation_seconds_count{operation="%s",outcome="ok"}`, operation))
		}
		return n
	}
	before, log := operations(), len(b.log.String())
	usual := flood(func(string, string) string { return "" })
	for name, cookies := range map[string]func(name, value string) string{
		"random":             func(string, string) string { return rand.Text() },
		"as long as ours":    func(_, value string) string { return strings.Repeat(rand.Text(), 1+len(value)/26)[:len(value)] },
		"ours, but the end":  func(_, value string) string { return value[:len(value)-26] + rand.Text() },
		"ours, other's name": func(name, _ string) string { return otherValue(names, name) },
	} {
		if took := flood(cookies); took > 4*usual+500*time.Millisecond {
			t.Errorf("%s cookies: %v of the processor, want no more than a few times the %v without", name, took, usual)
		} else {
			t.Logf("%s cookies: %v of the processor; without: %v", name, took, usual)
		}
	}
	if after := operations(); after != before {
		t.Errorf("the store had %v reads and writes before, and %v after", before, after)
	}
	if more := b.log.String()[log:]; more != "" {
		t.Errorf("the log says %.500s", more)
	}
}

// otherValue returns the value of another cookie than the one with that name.
func otherValue(values map[string]string, name string) string {
	for other, value := range values {
		if other != name {
			return value
		}
	}
	return ""
}

// cpu returns the time that the program has had the processor.
func (b *bank) cpu(t *testing.T) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", b.process.command.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	var skip string
	var user, system time.Duration
	args := make([]any, 0, 13)
	for range 11 { // proc_pid_stat(5): fields 3 to 13
		args = append(args, &skip)
	}
	if _, err := fmt.Sscan(after, append(args, &user, &system)...); err != nil {
		t.Fatal(err)
	}
	return (user + system) * time.Second / 100 // USER_HZ
}

// A person who guesses codes, and a laptop that guesses the number, get no more tries
// from another replica, or after a replica was killed and restarted. Others can still
// log in.
func TestGuessesOverReplicasAndRestarts(t *testing.T) {
	t.Parallel()
	r := startReplicas(t, 2, kickstart.JSON, "LIMIT_WRONG_CODES=4", "LIMIT_WRONG_NUMBERS=3")
	restart := func() {
		for i := range r.all {
			r.kill(i)
			r.start(i)
		}
	}
	laptop, thief := r.browser(t).at(awayAddr), r.browser(t).at(thirdAddr)
	thief.logIn(erlich)
	owner := r.browser(t).at(homeAddr)
	owner.logIn(richard)
	link := laptop.code()
	number := owner.approve(link).number()
	for i := range 4 {
		code := fmt.Sprintf("NOSUCH%d", i)
		thief.onReplica(i % 2).scan("/activate?user_code=" + code).wantUnknown(code)
	}
	guess := func(i int) page { return laptop.onReplica(i).typeNumber(wrongNumber(number)) }
	for i := range 2 {
		if p := guess(i); p.Status != http.StatusUnprocessableEntity || p.state() != "number" {
			t.Fatalf("wrong number %d: %v, want 422", i+1, p)
		}
	}
	restart()
	for i := range 2 {
		thief.onReplica(i).scan(link).wantLimit("the right code after four guesses and a restart", 1, 150)
	}
	if p := guess(1); p.state() != "failed" {
		t.Errorf("the third wrong number, after a restart: %v, want failed", p)
	}
	laptop.typeNumber(number)
	laptop.wantNoLogin("with the right number after three wrong ones")

	// The same laptop and its owner log in.
	next := laptop.submit(laptop.get(qrPage), "new-code", url.Values{})
	number = owner.approve(cmp.Or(next.attr("verification-link", "href"), "no code")).number()
	laptop.confirm(number, richard)
}
