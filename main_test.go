package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// runOnce runs the program with settings that keep it from starting, and
// returns what it says.
func runOnce(t *testing.T, settings map[string]string, args ...string) string {
	t.Helper()
	if settings["DATA_DIR"] == "" {
		settings["DATA_DIR"] = t.TempDir()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // for a program that starts
	defer cancel()
	err := run(ctx, args, func(name string) string { return settings[name] }, io.Discard)
	if err == nil {
		t.Fatal("the program started")
	}
	return err.Error()
}

func TestTakenPortsAreNamedAtOnce(t *testing.T) {
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
	got := runOnce(t, map[string]string{"PORT": port, "DEMO_PORT": demoPort})
	for _, want := range []string{"port " + port + " is taken", "set PORT", "port " + demoPort + " is taken", "set DEMO_PORT"} {
		if !strings.Contains(got, want) {
			t.Errorf("the message lacks %q:\n%s", want, got)
		}
	}
}

func TestWrongSettingsAreNamedAtOnce(t *testing.T) {
	t.Parallel()
	if got := runOnce(t, map[string]string{"PORT": "5604", "DEMO_PORT": "5604"}); !strings.Contains(got, "PORT and DEMO_PORT are both 5604") {
		t.Errorf("equal ports are told as %q", got)
	}
	got := runOnce(t, map[string]string{"PORT": "five", "APP_URL": "bank.example.com", "CLIENT_AUTH": "magic", "ISSUER": "https://login.example.com"})
	for _, want := range []string{"PORT is", "APP_URL is", "CLIENT_AUTH is", "CLIENT_ID is needed", "CLIENT_SECRET is needed"} {
		if !strings.Contains(got, want) {
			t.Errorf("the message lacks %q:\n%s", want, got)
		}
	}
	if got := runOnce(t, map[string]string{}, "-nosuchflag"); !strings.Contains(got, "nosuchflag") {
		t.Errorf("an unknown flag is told as %q", got)
	}
}

func TestDataInUseIsNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	startBank(t, "DATA_DIR="+dir)
	got := runOnce(t, map[string]string{"PORT": "0", "DEMO_PORT": "0", "DATA_DIR": dir})
	if !strings.Contains(got, dir) || !strings.Contains(got, "DATA_DIR") {
		t.Errorf("a second program on the same data says %q, want the folder and DATA_DIR", got)
	}
}

func TestGreeting(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	var greeting []string
	for line := range strings.Lines(b.log.String()) {
		if !strings.HasPrefix(line, "time=") {
			greeting = append(greeting, line)
		}
	}
	if len(greeting) < 4 || len(greeting) > 5 {
		t.Errorf("the greeting has %d lines, want four or five:\n%s", len(greeting), strings.Join(greeting, ""))
	}
	for _, want := range []string{b.URL, b.DemoURL, "demo", richard, erlich, `password "password"`} {
		if !strings.Contains(strings.Join(greeting, ""), want) {
			t.Errorf("the greeting lacks %q:\n%s", want, strings.Join(greeting, ""))
		}
	}
	if home := b.browser(t).get("/"); !strings.Contains(home.text("demo-people"), richard) {
		t.Error("the home page does not say who can log in at the demo provider")
	}
}

// Without its provider the program lives, says what is wrong, and is ready as
// soon as the provider is there.
func TestProviderComesLater(t *testing.T) {
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
	if got := visitor.get("/healthz").Status; got != http.StatusOK {
		t.Errorf("/healthz: %d, want 200 from the first moment", got)
	}
	if got := visitor.get("/readyz").Status; got != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d, want 503 without a provider", got)
	}
	for _, path := range []string{"/login", "/logged-out-qr-login"} {
		if p := visitor.get(path); p.Status != http.StatusServiceUnavailable || !strings.Contains(p.text("error"), "login service") {
			t.Errorf("%s without a provider: %d %s", path, p.Status, p.text("main"))
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
	if strings.Contains(b.log.String(), "did not end in time") {
		t.Error("requests were cut off at the stop")
	}
}

func TestOtherHostsAreSentHome(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	visitor := b.browser(t)
	visitor.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	ask := func(method, path, host string, header ...string) page {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, b.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		return visitor.do(req)
	}
	own := strings.TrimPrefix(b.URL, "http://")
	other := strings.Replace(own, "localhost", "127.0.0.1", 1)

	p := ask("GET", "/activate?user_code=AB%20C", other)
	if got, want := p.Header.Get("Location"), b.URL+"/activate?user_code=AB%20C"; p.Status != http.StatusFound || got != want {
		t.Errorf("another host is answered with %d to %q, want 302 to %q", p.Status, got, want)
	}
	if p.Header.Get("Set-Cookie") != "" {
		t.Error("another host gets a cookie")
	}
	if p := ask("POST", "/logout", other); p.Status != http.StatusMisdirectedRequest || !strings.Contains(p.Body, `href="`+b.URL) {
		t.Errorf("a POST to another host is answered with %d, want 421 and a link", p.Status)
	}
	if got := ask("GET", "/healthz", other).Status; got != http.StatusOK {
		t.Errorf("/healthz on another host: %d, want 200", got)
	}
	// A proxy that we trust may have changed the Host: what it says it was counts.
	if got := ask("GET", "/", "backend:8080", "X-Forwarded-Host", own, "X-Forwarded-Proto", "http").Status; got != http.StatusOK {
		t.Errorf("our host behind a proxy: %d, want 200", got)
	}
	if got := ask("GET", "/", own, "X-Forwarded-Host", "evil.example").Header.Get("Location"); got != b.URL+"/" {
		t.Errorf("a forwarded host leads to %q, want our own", got)
	}
	if got := ask("GET", "/", own, "X-Forwarded-Proto", "https").Header.Get("Location"); got != b.URL+"/" {
		t.Errorf("another scheme leads to %q, want our own", got)
	}
}

// Nobody but a proxy that we trust can say what was asked for.
func TestForgedForwarding(t *testing.T) {
	t.Parallel()
	b := startBank(t, "TRUSTED_PROXIES=192.0.2.1")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Forwarded-Host", "evil.example")
	req.Header.Set("X-Forwarded-Proto", "https")
	visitor := b.browser(t)
	visitor.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if p := visitor.do(req); p.Status != http.StatusOK {
		t.Errorf("headers that anybody can send: %d to %q, want 200", p.Status, p.Header.Get("Location"))
	}
}

// Another site cannot make a browser post anything (CSRF).
func TestOtherSitesCannotPost(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	visitor := b.browser(t)
	visitor.logIn(richard)
	for _, header := range [][2]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "https://evil.example"}, {"Origin", "null"}} {
		for _, path := range []string{"/logout", "/activate", "/logged-out-qr-login", "/logged-out-qr-login/cancel"} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.URL+path, strings.NewReader("answer=yes"))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set(header[0], header[1])
			if p := visitor.do(req); p.Status != http.StatusForbidden || p.find("", "error") == nil {
				t.Errorf("POST %s with %s: %d, want our page with 403", path, header, p.Status)
			}
		}
	}
	if got := visitor.person(); got != richard {
		t.Errorf("another site's POST made the visitor %q", got)
	}
}

// An answer of the provider counts once, in the browser that asked.
func TestCallback(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	victim, attacker := b.browser(t), b.browser(t)

	// Login CSRF: an attacker's own answer, sent to somebody as a link.
	var link string
	attacker.http.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		if req.URL.Path == "/callback" {
			link = req.URL.String()
			return http.ErrUseLastResponse
		}
		return nil
	}
	attacker.atProvider(attacker.get("/login"), erlich)
	if link == "" {
		t.Fatal("the attacker did not get as far as the callback")
	}
	if p := victim.get(link); p.Status != http.StatusBadRequest || victim.person() != "" {
		t.Errorf("a link with somebody else's answer: %d, logged in as %q", p.Status, victim.person())
	}
	attacker.http.CheckRedirect = nil
	if got := attacker.get(link).text("account-email"); got != erlich {
		t.Fatalf("the answer does not work in its own browser: %q", got)
	}
	again := b.browser(t)
	again.setCookie(attacker.cookie())
	if got := again.get(link).URL.Path; got != "/account" {
		t.Errorf("the answer opened twice leads to %s, want /account", got)
	}

	for _, query := range []string{"", "?state=", "?state=&code=x", "?code=x", "?state=nosuch&error=access_denied"} {
		if p := b.browser(t).get("/callback" + query); p.Status != http.StatusBadRequest || p.find("", "error") == nil {
			t.Errorf("/callback%s: %d, want 400 and a page", query, p.Status)
		}
	}
}

// The provider's refusal is a sentence with a way on.
func TestRefusedLogin(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	visitor := b.browser(t)
	p := visitor.get("/login?return_to=/activate")
	visitor.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	state, err := url.Parse(visitor.get("/login?return_to=/activate").Header.Get("Location"))
	if err != nil || p.Status != http.StatusOK {
		t.Fatal(err, p.Status)
	}
	refused := visitor.get("/callback?error=access_denied&error_description=%3Cscript%3E&state=" + state.Query().Get("state"))
	for query, want := range map[string]string{
		"error=server_error": "in trouble",
		"error=access_denied&error_reason=registration_required": "create one there",
		"error=something_new&error_reason=another":               "did not let you in",
	} {
		to, err := url.Parse(visitor.get("/login").Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		if p := visitor.get("/callback?" + query + "&state=" + to.Query().Get("state")); p.Status != http.StatusForbidden || !strings.Contains(p.text("error"), want) {
			t.Errorf("%s is told with %d: %s; want %q", query, p.Status, p.text("main"), want)
		}
	}
	if refused.Status != http.StatusForbidden || !strings.Contains(refused.Body, "/login?return_to=%2Factivate") || strings.Contains(refused.Body, "<script>") {
		t.Errorf("a refusal shows %d:\n%s", refused.Status, refused.Body)
	}
}

// Bad input gets a sentence, never a 500.
func TestBadInput(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	visitor := b.browser(t)
	visitor.logIn(richard)
	huge := strings.Repeat("x", 1<<20)
	for _, path := range []string{"/nosuch", "/static/nosuch.css", "/static/", "/activate?user_code=%00%ff", "/activate?user_code=" + huge[:2000],
		"/login?return_to=https://evil.example", "/reload?x=1", "/activate?user_code=%3Cscript%3Ealert(1)%3C/script%3E"} {
		p := visitor.get(path)
		if p.Status >= 500 || strings.Contains(p.Body, "<script>alert") {
			t.Errorf("GET %.60s: %d", path, p.Status)
		}
		if strings.HasPrefix(path, "/nosuch") && (p.Status != http.StatusNotFound || p.find("", "error") == nil) {
			t.Errorf("GET %s: %d, want our page with 404", path, p.Status)
		}
	}
	for _, path := range []string{"/activate", "/logout", "/logged-out-qr-login"} {
		if p := visitor.post(path, url.Values{"user_code": {huge}, "answer": {"yes"}}); p.Status >= 500 {
			t.Errorf("POST %s with a megabyte: %d", path, p.Status)
		}
	}
	if strings.Contains(b.log.String(), "level=ERROR") {
		t.Error("bad input is logged as a fault of ours")
	}
}

// The headers that keep a page from being framed, sniffed, cached or made to
// run what is not ours.
func TestHeaders(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	visitor := b.browser(t)
	for _, path := range []string{"/", "/logged-out-qr-login", "/nosuch"} {
		p := visitor.get(path)
		csp := p.Header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'self' " + b.DemoURL + ";"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: the policy lacks %q: %s", path, want, csp)
			}
		}
		if strings.Contains(csp, "unsafe") {
			t.Errorf("%s: the policy is %s", path, csp)
		}
		for name, want := range map[string]string{"Referrer-Policy": "same-origin", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store"} {
			if got := p.Header.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
	}
	style := visitor.get(attr(visitor.get("/").find("link", ""), "href"))
	if style.Status != http.StatusOK || !strings.Contains(style.Header.Get("Cache-Control"), "immutable") {
		t.Errorf("the stylesheet is served with %d %q", style.Status, style.Header.Get("Cache-Control"))
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	var said logBuffer
	if err := run(context.Background(), []string{"-version"}, func(string) string { return "" }, &said); err != nil || !strings.HasPrefix(said.String(), "changebank ") {
		t.Errorf("-version: %v %q", err, said.String())
	}
}

// A flag without its dash would be no flag, and change nothing.
func TestArgumentsAreNoFlags(t *testing.T) {
	t.Parallel()
	if got := runOnce(t, map[string]string{}, "lan"); !strings.Contains(got, "-lan") {
		t.Errorf("the argument lan is told as %q", got)
	}
}
