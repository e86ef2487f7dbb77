package main

import (
	"bytes"
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// The people in kickstart.json.
const (
	richard = "richard@example.com"
	erlich  = "erlich@example.com"

	richardsID = "6c9d1a52-61a5-4d0a-9a55-1f6f1f0b5a02"
)

// beTheProgram makes the test binary the program itself, for tests that kill it.
const beTheProgram = "TEST_BE_CHANGEBANK"

func TestMain(m *testing.M) {
	if os.Getenv(beTheProgram) != "" {
		main()
		return
	}
	// Most tests wait most of the time, and a machine with two cores would run
	// two of them at once.
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err)
	}
	slog.SetDefault(slog.New(slog.DiscardHandler)) // the demo provider's library speaks there
	// Away from a developer's own .env.
	if dir, err := os.MkdirTemp("", "changebank"); err != nil || os.Chdir(dir) != nil {
		panic("no folder for the tests")
	}
	os.Exit(m.Run())
}

// bank is a running Changebank with its demo provider.
type bank struct {
	URL, DemoURL string
	secret       string // of the client
	password     string // of the demo provider's people
	log          *logBuffer
	shown        logBuffer // every page and every address that its browsers saw
	stop         func()    // and wait until it has stopped
}

// startBank runs the program on free ports until the test ends. settings are
// NAME=VALUE, or flags.
func startBank(t testing.TB, settings ...string) *bank {
	t.Helper()
	return start(t, settings, func(args []string, env map[string]string, log io.Writer) (stop func(), done <-chan struct{}) {
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := run(ctx, args, func(name string) string { return env[name] }, log); err != nil {
				t.Errorf("run: %v", err)
			}
		}()
		return cancel, ended
	})
}

// startProcess runs the program as a process of its own, which is stopped by
// kill -9 and never asked.
func startProcess(t testing.TB, settings ...string) *bank {
	t.Helper()
	return start(t, settings, func(args []string, env map[string]string, log io.Writer) (stop func(), done <-chan struct{}) {
		process := exec.CommandContext(t.Context(), os.Args[0], args...)
		process.Env = append(os.Environ(), beTheProgram+"=1")
		for name, value := range env {
			process.Env = append(process.Env, name+"="+value)
		}
		process.Stdout, process.Stderr = log, log
		if err := process.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = process.Wait() // it was killed
		}()
		return func() { _ = process.Process.Kill() }, ended
	})
}

type launch func(args []string, env map[string]string, log io.Writer) (stop func(), done <-chan struct{})

func start(t testing.TB, settings []string, launch launch) *bank {
	t.Helper()
	env := map[string]string{"PORT": "0", "DEMO_PORT": "0", "DATA_DIR": t.TempDir(), "CLIENT_SECRET": "a test's secret, + and / and %"}
	var args []string
	for _, setting := range settings {
		if strings.HasPrefix(setting, "-") {
			args = append(args, setting)
			continue
		}
		name, value, _ := strings.Cut(setting, "=")
		env[name] = value
	}
	b := &bank{log: &logBuffer{}, secret: env["CLIENT_SECRET"], password: cmp.Or(env["USER_PASSWORD"], "password")}
	stop, done := launch(args, env, b.log)
	b.stop = func() {
		stop()
		<-done
	}
	t.Cleanup(func() {
		b.stop()
		if t.Failed() {
			t.Logf("the program said:\n%s", b.log)
		}
	})
	b.URL = b.log.await(t, `Changebank is at (\S+)`, done)
	if env["ISSUER"] == "" {
		b.DemoURL = b.log.await(t, `a demo inside this program, at (\S+)\.`, done)
		if env["USER_PASSWORD"] == "" {
			b.password = b.log.await(t, `with the password "(\S+)"`, done)
		}
	}
	if env["ISSUER"] == "" && env["DEMO_URL"] == "" {
		b.log.await(t, `(identity provider found)`, done)
	}
	return b
}

// logBuffer is what the program writes.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// await returns what the first group of pattern matches, once it is there.
func (l *logBuffer) await(t testing.TB, pattern string, ended <-chan struct{}) string {
	t.Helper()
	want := regexp.MustCompile(pattern)
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if match := want.FindStringSubmatch(l.String()); match != nil {
			return match[1]
		}
		select {
		case <-ended:
			t.Fatal("the program has ended")
		default:
		}
	}
	t.Fatalf("the program did not say %q but:\n%s", pattern, l)
	return ""
}

// browser is a person's browser without JavaScript: it has cookies, follows
// links and redirects, and submits forms.
type browser struct {
	t     testing.TB
	bank  *bank
	http  *http.Client
	agent string
	addr  string    // as the proxy before the bank would tell it; empty: this machine's
	seen  logBuffer // all that it was answered, headers and streams too
}

const laptopAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"

func (b *bank) browser(t testing.TB) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	who := &browser{t: t, bank: b, agent: laptopAgent}
	who.http = &http.Client{Jar: jar, Transport: wire{who, transport}, Timeout: 30 * time.Second}
	return who
}

// at puts the browser at an address.
func (b *browser) at(addr string) *browser {
	b.addr = addr
	return b
}

// wire is a browser's connection: it says who that is, and keeps what comes.
type wire struct {
	*browser
	http.RoundTripper
}

func (w wire) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	if req.UserAgent() == "" {
		req.Header.Set("User-Agent", w.agent)
	}
	if w.addr != "" && req.Header.Get("X-Forwarded-For") == "" {
		req.Header.Set("X-Forwarded-For", w.addr)
	}
	resp, err := w.RoundTripper.RoundTrip(req)
	if err == nil {
		_, _ = fmt.Fprintf(&w.seen, "%s\n%v\n", resp.Request.URL, resp.Header)
		resp.Body = tee(resp.Body, &w.seen)
	}
	return resp, err
}

// transport is what the browser's connections are made by.
func (b *browser) transport() *http.Transport {
	return b.http.Transport.(wire).RoundTripper.(*http.Transport)
}

// page is what a browser sees.
type page struct {
	t      testing.TB
	URL    *url.URL
	Status int
	Header http.Header
	Body   string
	doc    *html.Node
}

// get opens a page of the bank, or any other by its whole URL.
func (b *browser) get(path string) page {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url(path), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

// post sends a form as a page of the bank would.
func (b *browser) post(path string, form url.Values) page {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.url(path), strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(req)
}

func (b *browser) url(path string) string {
	if strings.HasPrefix(path, "/") {
		return b.bank.URL + path
	}
	return path
}

func (b *browser) do(req *http.Request) page {
	b.t.Helper()
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	_, _ = fmt.Fprintf(&b.bank.shown, "%s\n%s\n", resp.Request.URL, body)
	doc, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	return page{b.t, resp.Request.URL, resp.StatusCode, resp.Header, string(body), doc}
}

// submit presses a button of a form on the page: the form by its id, "" for
// the only one.
func (b *browser) submit(p page, id string, values url.Values) page {
	b.t.Helper()
	form := p.find("form", id)
	if form == nil {
		b.t.Fatalf("%s has no form %q:\n%s", p.URL, id, p.Body)
	}
	filled := make(url.Values)
	for input := range form.Descendants() {
		if input.Data == "input" && attr(input, "type") != "checkbox" { // none of ours is ticked
			filled.Set(attr(input, "name"), attr(input, "value"))
		}
	}
	maps.Copy(filled, values)
	action, err := p.URL.Parse(attr(form, "action"))
	if err != nil {
		b.t.Fatal(err)
	}
	if attr(form, "method") == "post" {
		return b.post(action.String(), filled)
	}
	action.RawQuery = filled.Encode()
	return b.get(action.String())
}

// logIn logs in as a person at the demo provider, and arrives at the account.
func (b *browser) logIn(email string) page {
	b.t.Helper()
	p := b.atProvider(b.get("/login"), email)
	if got := p.text("account-email"); got != email {
		b.t.Fatalf("logged in as %q, want %q, at %s", got, email, p.URL)
	}
	return p
}

// atProvider fills in the demo provider's login page.
func (b *browser) atProvider(p page, email string) page {
	b.t.Helper()
	return b.submit(p, "", url.Values{"email": {email}, "password": {b.bank.password}})
}

// person returns whom the bank takes this browser for, "" for nobody.
func (b *browser) person() string {
	b.t.Helper()
	return b.get("/account").text("account-email")
}

// cookie returns the value of the bank's cookie.
func (b *browser) cookie() string {
	u, err := url.Parse(b.bank.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, cookie := range b.http.Jar.Cookies(u) {
		if strings.HasSuffix(cookie.Name, "changebank") {
			return cookie.Value
		}
	}
	return ""
}

// showCode opens the laptop's page and returns it with the link in its QR code.
func (b *browser) showCode() (p page, link string) {
	b.t.Helper()
	p = b.get("/logged-out-qr-login")
	if p.state() != "waiting" {
		b.t.Fatalf("the QR page is %q (%d), want waiting:\n%s", p.state(), p.Status, p.Body)
	}
	return p, p.attr("verification-link", "href")
}

// answer opens a link as the person with the phone, and answers the question.
func (b *browser) answer(link, yesOrNo string) page {
	b.t.Helper()
	return b.submit(b.get(link), "approve", url.Values{"answer": {yesOrNo}})
}

// awaitApproved asks the example's own way until the login is there.
func (b *browser) awaitApproved() {
	b.t.Helper()
	b.await(`{"reload":"true"}`, func() string { return strings.TrimSpace(b.get("/device_grant_finished").Body) })
}

// awaitReload waits for the login and takes it.
func (b *browser) awaitReload() page {
	b.t.Helper()
	b.awaitApproved()
	return b.get("/reload")
}

// await waits until got returns want.
func (b *browser) await(want string, got func() string) {
	b.t.Helper()
	var last string
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if last = got(); last == want {
			return
		}
	}
	b.t.Fatalf("still %q, want %q", last, want)
}

// find returns the element of that kind with that id; an empty one is any.
func (p page) find(kind, id string) *html.Node {
	for node := range p.doc.Descendants() {
		if node.Type == html.ElementNode && (kind == "" || node.Data == kind) && (id == "" || attr(node, "id") == id) {
			return node
		}
	}
	return nil
}

func (p page) text(id string) string {
	node := p.find("", id)
	if node == nil {
		return ""
	}
	var text strings.Builder
	for child := range node.Descendants() {
		if child.Type == html.TextNode {
			text.WriteString(child.Data)
		}
	}
	return strings.Join(strings.Fields(text.String()), " ")
}

func (p page) attr(id, name string) string {
	node := p.find("", id)
	if node == nil {
		p.t.Helper()
		p.t.Fatalf("%s has no #%s:\n%s", p.URL, id, p.Body)
	}
	return attr(node, name)
}

// state returns what the page says of its login.
func (p page) state() string {
	if p.find("", "login-state") == nil {
		return ""
	}
	return p.attr("login-state", "data-state")
}

func attr(node *html.Node, name string) string {
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}
