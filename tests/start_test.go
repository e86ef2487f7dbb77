package tests

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wantRefusal checks that the program does not start with these settings, and
// what it says.
func wantRefusal(t *testing.T, settings []string, want ...string) {
	t.Helper()
	got := refusal(t, settings...)
	for _, words := range want {
		if !strings.Contains(got, words) {
			t.Errorf("with %q the program says\n%swant %q in it", settings, got, words)
		}
	}
}

// portOf returns the port in a URL.
func portOf(t *testing.T, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Port()
}

func TestTakenPorts(t *testing.T) {
	t.Parallel()
	taken := func() string {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.Close() })
		return strconv.Itoa(ln.Addr().(*net.TCPAddr).Port)
	}
	port, demoPort := taken(), taken()
	wantRefusal(t, []string{"PORT=" + port, "DEMO_PORT=" + demoPort},
		"port "+port+" is taken", "set PORT", "port "+demoPort+" is taken", "set DEMO_PORT")
}

// A second process says that the first one has its ports, not some other
// program.
func TestStartedTwice(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	port, demoPort := portOf(t, b.URL), portOf(t, b.DemoURL)
	for _, settings := range [][]string{nil, {"LISTEN=0.0.0.0", "DEMO=public"}} {
		wantRefusal(t, append(settings, "PORT="+port, "DEMO_PORT="+demoPort),
			"Changebank is already running at http://localhost:"+port+"; stop it, or set PORT to",
			"Changebank is already running at http://localhost:"+demoPort+"; stop it, or set DEMO_PORT to")
	}
}

// An address that this machine does not have is one fault, not one for each
// port.
func TestMissingAddress(t *testing.T) {
	t.Parallel()
	got := refusal(t, "LISTEN=192.0.2.1", "DEMO=public")
	if n := strings.Count(got, "does not have every address in LISTEN"); n != 1 {
		t.Errorf("LISTEN is mentioned %d times, want once:\n%s", n, got)
	}
}

// Every address of both families is one listener.
func TestListenEverywhere(t *testing.T) {
	t.Parallel()
	b := startBank(t, "LISTEN=127.0.0.1, 0.0.0.0, ::", "DEMO=public")
	b.browserOf(t, richard).wantPerson(richard)
}

func TestInvalidSettings(t *testing.T) {
	t.Parallel()
	wantRefusal(t, []string{"PORT=5604", "DEMO_PORT=5604"}, "PORT and DEMO_PORT are both 5604")
	wantRefusal(t, []string{"PORT=five", "APP_URL=bank.example.com", "CLIENT_AUTH=magic", "ISSUER=https://login.example.com", "CLIENT_SECRET="},
		"invalid settings:", "PORT is", "APP_URL is", "CLIENT_AUTH is", "CLIENT_ID is needed", "CLIENT_SECRET is needed")
}

func TestUnknownArguments(t *testing.T) {
	t.Parallel()
	wantRefusal(t, []string{"-nosuchflag"}, "nosuchflag", "-help")
	wantRefusal(t, []string{"-ngrok", "-lan"}, "-ngrok", "-lan")

	// A flag without its dash would change nothing.
	p := startProcess(t, []string{"lan"}, newBank(t, nil).env)
	if code, got := p.exit(t), p.log.String(); code != 1 || !strings.Contains(got, "-lan?") || !strings.Contains(got, "-help") {
		t.Errorf("the argument lan: exit code %d and %q, want 1, the flag's name and -help", code, got)
	}
}

// -help explains each flag with an example, and says where the settings are.
func TestHelp(t *testing.T) {
	t.Parallel()
	p := startProcess(t, []string{"-help"}, []string{"PORT=wrong"})
	code, got := p.exit(t), p.log.String()
	if code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	for _, want := range []string{
		"go run . -lan\n", "go run . -ngrok\n", "changebank -health\n", "changebank -version\n",
		"environment variables", " .env ", ".env.example", "README",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("-help lacks %q:\n%s", want, got)
		}
	}
	for line := range strings.Lines(got) {
		if len(line) > 90 {
			t.Errorf("-help has a line of %d characters: %s", len(line), line)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	p := startProcess(t, []string{"-version"}, []string{"PORT=0"})
	code, got := p.exit(t), p.log.String()
	if code != 0 || !strings.HasPrefix(got, "changebank ") || !strings.HasSuffix(got, ", built with "+runtime.Version()+"\n") {
		t.Errorf("-version: exit code %d and %q", code, got)
	}
}

func TestDataInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startBank(t, "DATA_DIR="+dir)
	wantRefusal(t, []string{"DATA_DIR=" + dir}, dir, "DATA_DIR")
}

func TestGreeting(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	if made := b.log.await(t, `(making its signing key|signing key made)`); made != "making its signing key" {
		t.Errorf("the log says %q first, want what a login may wait for", made)
	}
	b.log.await(t, `(signing key made)`)
	greeting := regexp.MustCompile(`(?m)^time=.*\n`).ReplaceAllString(b.log.String(), "")
	if got := strings.Count(greeting, "\n"); got < 4 || got > 5 {
		t.Errorf("the greeting has %d lines, want four or five:\n%s", got, greeting)
	}
	for _, want := range []string{b.URL, b.DemoURL, "demo", richard, erlich, `password "password"`} {
		if !strings.Contains(greeting, want) {
			t.Errorf("the greeting lacks %q:\n%s", want, greeting)
		}
	}
	if home := b.browser(t).get("/"); !strings.Contains(home.text("demo-people"), richard) {
		t.Errorf("the home page does not say who can log in at the demo provider: %v", home)
	}
}

// Where others can connect, the demo's password is not the one in the source
// code. It comes from the data's key, and survives a restart.
func TestDemoPassword(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	public := func(settings ...string) *bank { // where others could connect
		return startBank(t, append(settings, "APP_URL=http://192.168.77.10:5000", "DEMO_URL=http://localhost:0")...)
	}
	b := public("DATA_DIR=" + dir)
	first := b.password
	if !regexp.MustCompile(`^[a-hjkmnp-z]{4}-[a-hjkmnp-z]{4}-[a-hjkmnp-z]{4}$`).MatchString(first) {
		t.Errorf("the password is %q, want three groups of four letters that do not look alike", first)
	}
	b.stop()
	if got := public("DATA_DIR=" + dir).password; got != first {
		t.Errorf("after a restart the password is %q, want %q still", got, first)
	}
	if other := public().password; other == first {
		t.Errorf("other data has the same password %q", other)
	}
	if log := public("USER_PASSWORD=chosen-by-me").log.String(); strings.Contains(log, "chosen-by-me") || !strings.Contains(log, "the password in USER_PASSWORD") {
		t.Errorf("with a chosen password the terminal says:\n%s", log)
	}
}

// Without its provider the program runs, says what is wrong, and is ready as
// soon as the provider is.
func TestProviderStartsLate(t *testing.T) {
	t.Parallel()
	provider := httptest.NewUnstartedServer(nil)
	issuer := "http://" + provider.Listener.Addr().String()
	up := make(chan struct{})
	provider.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-up:
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{"issuer":"`+issuer+`","authorization_endpoint":"`+issuer+`/a","token_endpoint":"`+issuer+`/t",`+
				`"device_authorization_endpoint":"`+issuer+`/d","jwks_uri":"`+issuer+`/k","id_token_signing_alg_values_supported":["RS256"]}`)
		default:
			http.Error(w, "starting", http.StatusServiceUnavailable)
		}
	})
	provider.Start()
	t.Cleanup(provider.Close)

	b := startBank(t, "ISSUER="+issuer, "CLIENT_ID=bank", "CLIENT_SECRET=secret")
	visitor := b.browser(t)
	if p := visitor.get("/healthz"); p.Status != http.StatusOK {
		t.Errorf("/healthz: %d, want 200 from the start", p.Status)
	}
	for _, path := range []string{"/readyz", "/login", qrPage} {
		if p := visitor.get(path); p.Status != http.StatusServiceUnavailable {
			t.Errorf("%s without a provider: %v, want 503", path, p)
		}
	}
	close(up)
	visitor.await("ok", func() string { return strings.TrimSpace(visitor.get("/readyz").Body) })
}

// An open event stream does not keep the program from stopping.
func TestStopEndsStreams(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop := b.browser(t)
	laptop.showCode()
	states := laptop.events()
	states.want("waiting")
	began := time.Now()
	b.stop()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("stopping took %v with a stream open", took)
	}
	states.wantEnd()
	// A warning would follow if requests had been cut off.
	if _, after, ok := strings.Cut(b.log.String(), "msg=stopping"); !ok || strings.Count(after, "\n") != 1 {
		t.Errorf("after \"stopping\" the log has %q, want nothing but the end of the line", after)
	}
}
