package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// built is a Changebank that all tests measure.
var built string

func TestMain(m *testing.M) {
	if slices.Contains(os.Args, bareFlag) {
		main() // as the bare server, which is this program once more
		return
	}
	os.Exit(test(m))
}

func test(m *testing.M) int {
	dir, err := os.MkdirTemp("", "changebank-loadtest-test")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	built = filepath.Join(dir, "changebank")
	if err := build(context.Background(), built); err != nil {
		panic(err)
	}
	return m.Run()
}

// tiny are flags for a measurement that takes a moment: 2 logins at a rate, and
// 3 laptops at once.
var tiny = []string{"-duration", "200ms", "-rate", "10", "-n", "3"}

// measure runs phases, and checks that no login crossed and nothing failed.
func measure(t *testing.T, stdout io.Writer, args ...string) *Report {
	t.Helper()
	var said bytes.Buffer
	report, err := run(t.Context(), append(slices.Clone(tiny), args...), stdout, &said)
	if err != nil {
		t.Fatalf("%v\n%s", err, &said)
	}
	if report.Crossed != 0 || len(report.Errors) != 0 || report.Stopped {
		t.Errorf("crossed %d, stopped %t, errors %v", report.Crossed, report.Stopped, report.Errors)
	}
	return report
}

// counts returns the rows with how many operations each has, or + for any
// number.
func counts(r *Report) (rows []string) {
	for _, row := range r.Rows {
		count := fmt.Sprint(row.Count)
		if row.Phase == "pages" || row.Phase == "codes" || strings.HasSuffix(row.What, "at once") {
			count = map[bool]string{true: "+", false: "0"}[row.Count > 0]
		}
		rows = append(rows, row.Phase+": "+row.What+": "+count)
	}
	return rows
}

// Every phase does all of its operations, and has every row.
func TestPhases(t *testing.T) {
	t.Parallel()
	for phase, want := range map[string][]string{
		"pages": {
			"home, no cookie: +", "home, cookie of a laptop with a code: +", "account: +", "make change (POST): +",
			"account, person with 10 sessions: +", "account, person with 100 sessions: +",
		},
		"codes":   {"new code, new browser: +", "live code shown again: +"},
		"waiting": {"laptop: 3", "stream of the bare server: 3", "laptop, provider's own page: 3"},
		"logins":  {"yes to account, 1 at once: +", "yes to account, 10 logins/s: 2", "yes to account, 3 at once: +"},
		"storm":   {"yes to account, 3 within 200ms: 3"},
		"mixed": {
			"yes to account, then logout: 1", "home, no cookie: 2", "account and make change: 2",
			"code that nobody scans: 1", "denial to the laptop's page: 1",
		},
		"soak": {
			"yes to account, then logout: 6", "home, no cookie: 12", "account and make change: 12",
			"code that nobody scans: 3", "denial to the laptop's page: 1",
		},
	} {
		t.Run(phase, func(t *testing.T) {
			t.Parallel()
			var table bytes.Buffer
			r := measure(t, &table, "-program", built, "-phases", phase)
			for i := range want {
				want[i] = phase + ": " + want[i]
			}
			if got := counts(r); !slices.Equal(got, want) {
				t.Errorf("rows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			for _, row := range r.Rows {
				if !strings.Contains(table.String(), row.What) {
					t.Errorf("the table has no %q:\n%s", row.What, &table)
				}
			}
		})
	}
}

// A Changebank that someone else runs is measured as well, once it is ready. It
// needs the settings that the command prints.
func TestURL(t *testing.T) {
	t.Parallel()
	ports, err := freePorts(2)
	if err != nil {
		t.Fatal(err)
	}
	issuer := fmt.Sprintf("127.0.0.1:%d", ports[1])
	appURL := fmt.Sprintf("http://localhost:%d", ports[0])
	stop := make(chan func(), 1)
	go func() {
		p, err := startProgram(t.Context(), options{program: built}, appURL, "http://"+issuer, ports[:1])
		if err != nil {
			t.Error(err)
			stop <- func() {}
			return
		}
		stop <- p.stop
	}()
	defer func() { (<-stop)() }()
	var out bytes.Buffer
	r := measure(t, &out, "-url", appURL, "-issuer-listen", issuer, "-phases", "waiting,logins", "-json")
	var read Report
	if err := json.Unmarshal(out.Bytes(), &read); err != nil {
		t.Fatalf("the JSON: %v in %s", err, &out)
	}
	if got := counts(&read); len(got) != 6 || !slices.Equal(got, counts(r)) {
		t.Errorf("the JSON has the rows %v, want %v", got, counts(r))
	}
}

// Ctrl-C leaves no error and no process, and what was measured is in the report.
func TestStop(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	b := &bench{options: options{program: built, replicas: 1, rates: []float64{10}, duration: time.Hour}, report: &Report{}}
	stop, err := b.start(ctx, io.Discard)
	defer stop()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mixed(ctx, b) }()
	for !b.progress.logins() {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	b.progress.end()
	stop()
	if len(b.report.Errors) > 0 || len(b.report.Rows) != 5 || b.report.Rows[0].Count == 0 {
		t.Errorf("errors %v, rows %v", b.report.Errors, b.report.Rows)
	}
	if !b.bank.started[0].hasEnded() {
		t.Error("the program still runs")
	}
	if _, err := os.Stat(b.bank.dir); !os.IsNotExist(err) {
		t.Errorf("the program's data is still there: %v", err)
	}
}

// logins reports whether anyone was logged in.
func (p *progress) logins() bool {
	p.mu.Lock()
	t := p.t
	p.mu.Unlock()
	if t == nil {
		return false
	}
	done, _ := t.counts()
	return done > 0
}

// A laptop that is logged in as someone else than its phone's person is an
// error, and makes the result bad.
func TestCrossed(t *testing.T) {
	t.Parallel()
	b := &bench{options: options{program: built, replicas: 1}, report: &Report{}}
	stop, err := b.start(t.Context(), io.Discard)
	defer stop()
	if err != nil {
		t.Fatal(err)
	}
	p, err := b.takePhone(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.person = "someone else"
	b.giveBack(p)
	test := &loginTest{bench: b, ctx: t.Context()}
	test.openLoop(t.Context(), 10, 100*time.Millisecond, test.login)
	test.phones.Wait()
	row := b.report.row("logins", "yes to account", &test.tally, 0)
	if !b.report.bad() || b.report.Crossed != 1 || row.Count != 0 || row.Errors != 1 {
		t.Errorf("crossed %d, errors %v, row %+v", b.report.Crossed, b.report.Errors, row)
	}
}

// A Changebank that fails is reported with what failed, and the result is bad.
func TestFailing(t *testing.T) {
	t.Parallel()
	failing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/readyz" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer failing.Close()
	var table bytes.Buffer
	args := append(slices.Clone(tiny), "-url", failing.URL, "-issuer-listen", "127.0.0.1:0", "-phases", "codes")
	r, err := run(t.Context(), args, &table, io.Discard)
	const kind = "GET /logged-out-qr-login: status 503"
	if err == nil || r == nil || r.Errors[kind] == 0 || !r.bad() || !strings.Contains(table.String(), kind) {
		t.Errorf("error %v, table\n%s", err, &table)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	for _, args := range []string{
		"-phases nothing", "-n 0", "-rate 0", "-rate fast", "-duration 0", "-replicas 2", "extra", "-url nowhere",
		"-app-url http://localhost:1", "-url http://localhost:1 -replicas 2 -redis redis://localhost",
	} {
		if _, err := parseOptions(strings.Fields(args), io.Discard); err == nil {
			t.Errorf("%s: no error", args)
		}
	}
}
