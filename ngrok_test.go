package main

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"html/template"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
)

// ngrok plays ngrok with a free account: an agent with its API, two tunnels
// with public names, and the page that it shows to browsers first. What looks
// for the public names does so by way of a proxy, as they are nobody's.
type ngrok struct {
	t          testing.TB
	api, proxy string
	cert       *x509.Certificate
	bank, demo *tunnel
}

// tunnel is a public name and the server of ours that it leads to.
type tunnel struct {
	name, host, port string
	server           *httptest.Server

	mu      sync.Mutex
	visits  map[string]bool // cookies of those who said that they want to visit
	stopped map[string]int  // how often the page was shown, by what was accepted
}

func newNgrok(t testing.TB) *ngrok {
	n := &ngrok{t: t, bank: newTunnel(t, "bank"), demo: newTunnel(t, "demo")}
	n.cert = n.bank.server.Certificate() // one for all servers of the tests
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/api/tunnels" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"tunnels":[%s,%s],"uri":"/api/tunnels"}`, n.bank, n.demo)
	}))
	t.Cleanup(agent.Close)
	proxy := httptest.NewServer(http.HandlerFunc(n.connect))
	t.Cleanup(proxy.Close)
	n.api, n.proxy = agent.URL+"/api", proxy.URL
	return n
}

func newTunnel(t testing.TB, name string) *tunnel {
	f := &tunnel{
		name: name, host: name + "-ngrok.example.com", port: freePort(t),
		visits: make(map[string]bool), stopped: make(map[string]int),
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: "127.0.0.1:" + f.port})
		r.Out.Host = r.In.Host
		r.SetXForwarded()
		r.Out.Header.Set("X-Forwarded-For", "203.0.113.7") // all come from one home
	}}
	f.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("ngrok-skip-browser-warning") != "" || f.visited(r) {
			proxy.ServeHTTP(w, r)
			return
		}
		f.stop(w, r)
	}))
	t.Cleanup(f.server.Close)
	return f
}

// freePort returns a port that nobody listens on, of those that the system
// gives to nobody who has not asked for it.
func freePort(t testing.TB) string {
	for range 100 {
		n, err := rand.Int(rand.Reader, big.NewInt(20_000))
		if err != nil {
			t.Fatal(err)
		}
		port := strconv.FormatInt(10_000+n.Int64(), 10)
		l, err := net.Listen("tcp", "127.0.0.1:"+port)
		if err == nil {
			_ = l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

// String is what the agent says of the tunnel.
func (f *tunnel) String() string {
	return fmt.Sprintf(`{"name":%q,"public_url":"https://%s","proto":"https","config":{"addr":"http://localhost:%s","inspect":true}}`, f.name, f.host, f.port)
}

const visitCookie = "abuse_interstitial"

func (f *tunnel) visited(r *http.Request) bool {
	cookie, err := r.Cookie(visitCookie)
	f.mu.Lock()
	defer f.mu.Unlock()
	return err == nil && f.visits[cookie.Value]
}

// forget takes back what all who visited said, and hangs up.
func (f *tunnel) forget() {
	f.mu.Lock()
	clear(f.visits)
	f.mu.Unlock()
	f.server.CloseClientConnections()
}

func (f *tunnel) stops(accepting string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stopped[accepting]
}

var interstitial = template.Must(template.New("").Parse(`<!doctype html><title>ngrok</title><link rel="icon" href="data:,">
<p>You are about to visit {{.Host}}.</p>
<form id="visit-{{.Name}}" method="post" action="/ngrok-visit"><input type="hidden" name="next" value="{{.Next}}"><button>Visit Site</button></form>`))

// stop shows the page that comes before the first one, and makes it the last.
func (f *tunnel) stop(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == http.MethodPost && r.URL.Path == "/ngrok-visit" {
		visit := rand.Text()
		f.visits[visit] = true
		http.SetCookie(w, &http.Cookie{Name: visitCookie, Value: visit, Path: "/", Secure: true})
		http.Redirect(w, r, r.FormValue("next"), http.StatusSeeOther)
		return
	}
	f.stopped[r.Header.Get("Accept")]++
	w.Header().Set("Content-Type", "text/html")
	_ = interstitial.Execute(w, map[string]string{"Host": f.host, "Name": f.name, "Next": r.URL.RequestURI()})
}

// connect is a proxy that knows the two public names and no other.
func (n *ngrok) connect(w http.ResponseWriter, r *http.Request) {
	for _, f := range []*tunnel{n.bank, n.demo} {
		if r.Method != http.MethodConnect || r.Host != f.host+":443" {
			continue
		}
		there, err := net.Dial("tcp", f.server.Listener.Addr().String())
		if err != nil {
			http.Error(w, "nobody is there", http.StatusBadGateway)
			return
		}
		here, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			n.t.Error(err)
			return
		}
		_, _ = io.WriteString(here, "HTTP/1.1 200 OK\r\n\r\n")
		go func() {
			_, _ = io.Copy(there, here)
			_ = there.Close()
		}()
		_, _ = io.Copy(here, there)
		_ = here.Close()
		return
	}
	http.Error(w, "no such name", http.StatusBadGateway)
}

// startBank runs the program at the tunnels' other ends, as a process that
// trusts their certificates.
func (n *ngrok) startBank(settings ...string) *bank {
	n.t.Helper()
	path := filepath.Join(n.t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: n.cert.Raw}), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return startProcess(n.t, append([]string{
		"-ngrok", "NGROK_API=" + n.api, "PORT=" + n.bank.port, "DEMO_PORT=" + n.demo.port,
		"HTTPS_PROXY=" + n.proxy, "NO_PROXY=", "no_proxy=", "SSL_CERT_FILE=" + path,
	}, settings...)...)
}

// browser returns one that finds the tunnels.
func (n *ngrok) browser(b *bank) *browser {
	n.t.Helper()
	proxy, err := url.Parse(n.proxy)
	if err != nil {
		n.t.Fatal(err)
	}
	visitor := b.browser(n.t)
	transport := visitor.transport()
	transport.Proxy = http.ProxyURL(proxy)
	transport.TLSClientConfig.RootCAs = x509.NewCertPool()
	transport.TLSClientConfig.RootCAs.AddCert(n.cert)
	return visitor
}

// visit presses Visit Site on the page that comes before the tunnel's first.
func (f *tunnel) visit(b *browser, p page) page {
	b.t.Helper()
	return b.submit(p, "visit-"+f.name, nil)
}

func TestThroughNgrok(t *testing.T) {
	t.Parallel()
	n := newNgrok(t)
	b := n.startBank()
	if b.URL != "https://"+n.bank.host || b.DemoURL != "https://"+n.demo.host {
		t.Errorf("the bank is at %s and the demo at %s, want the tunnels", b.URL, b.DemoURL)
	}
	if got := readQR(t, b.log.String(), lightTerminal); got != b.URL {
		t.Errorf("the terminal's QR code leads to %q, want %s", got, b.URL)
	}
	if !strings.Contains(b.log.String(), "Everyone on the internet") {
		t.Error("the greeting does not say who can reach this")
	}

	laptop, phone := n.browser(b), n.browser(b)
	n.bank.visit(laptop, laptop.get("/"))
	_, link := laptop.showCode()
	login := n.demo.visit(phone, n.bank.visit(phone, phone.get(link)))
	// Everybody on the internet can try the password that stands in the
	// repository.
	if p := phone.submit(login, "", url.Values{"email": {richard}, "password": {"password"}}); !strings.Contains(p.Body, "password is wrong") {
		t.Fatalf("the known password leads to %s", p.URL)
	}
	approve := phone.atProvider(login, richard)
	if p := phone.submit(approve, "approve", url.Values{"answer": {"yes"}}); p.Status != http.StatusOK {
		t.Fatalf("the yes is answered with %d", p.Status)
	}
	if p := laptop.awaitReload(); p.text("account-email") != richard {
		t.Errorf("the laptop is at %s, and logged in as %q", p.URL, p.text("account-email"))
	}
	if n := strings.Count(b.log.String(), b.password); n != 1 {
		t.Errorf("the password is told %d times, want once, in the greeting", n)
	}
}

// In Chromium, too. And when ngrok forgets that the laptop may visit, an event
// stream gets ngrok's page, which no script can prevent; the login ends all the
// same.
func TestThroughNgrokInBrowsers(t *testing.T) {
	n := newNgrok(t)
	b := n.startBank()
	chromium := startChromium(t, chromedp.ProxyServer(n.proxy), chromedp.Flag("ignore-certificate-errors", true))
	laptop := newWindow(t, chromium, "laptop", 1280, 800)
	phone := newWindow(t, chromium, "phone", 390, 844)

	phone.open(b.URL + "/login")
	phone.click(`#visit-bank button`)
	phone.click(`#visit-demo button`)
	phone.logInAtProvider(b, richard)

	laptop.open(b.URL + "/logged-out-qr-login")
	laptop.click(`#visit-bank button`)
	laptop.await(`#login-state[data-state="waiting"]`)
	link := laptop.scan()
	phone.open(link)
	laptop.await(`#login-state[data-state="opened"]`) // by the stream
	if got := n.bank.stops("text/event-stream"); got != 0 {
		t.Errorf("ngrok's page came in place of %d streams, want none yet", got)
	}

	laptop.expect("net::ERR_", "EventSource's response has a MIME type")
	n.bank.forget()
	phone.open(link)
	phone.click(`#visit-bank button`)
	phone.click(`#approve button[value="yes"]`)
	laptop.click(`#visit-bank button`) // the script has led there
	laptop.await(`#account-email`)
	if got := laptop.text(`#account-email`); got != richard {
		t.Errorf("the laptop is logged in as %q, want %s", got, richard)
	}
	if n.bank.stops("text/event-stream") == 0 {
		t.Error("no stream met ngrok's page: this test shows nothing")
	}
}

// Whatever is wrong with the agent is a sentence, and comes before a port is
// taken.
func TestNgrokIsNotThere(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	_, port, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	list := func(tunnels ...string) string { return `{"tunnels":[` + strings.Join(tunnels, ",") + `]}` }
	bankAt := func(url string) string {
		return fmt.Sprintf(`{"public_url":%q,"config":{"addr":"localhost:%s"}}`, url, port)
	}
	const demo = `{"public_url":"https://demo.ngrok-free.app","config":{"addr":"http://localhost:9011"}}`
	for _, tt := range []struct {
		name, says string // says is empty: nobody listens
		want       []string
	}{
		{"no agent", "", []string{"no ngrok agent listens", "ngrok start --all --config ngrok.yml"}},
		{"another server", "<!doctype html>", []string{"not the ngrok agent's API", "NGROK_API"}},
		{"no tunnel", list(), []string{"no tunnel to this machine", "ngrok start --all --config ngrok.yml"}},
		{"none to the bank", list(demo), []string{"port " + port + " (PORT)", "ngrok.yml"}},
		{"none to the demo", list(bankAt("https://bank.ngrok-free.app")), []string{"port 9011 (DEMO_PORT)", "ngrok.yml"}},
		{"http only", list(bankAt("http://bank.ngrok-free.app"), demo), []string{"http://bank.ngrok-free.app", "https"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.says) }))
			if tt.says == "" {
				agent.Close()
			} else {
				t.Cleanup(agent.Close)
			}
			got := runOnce(t, map[string]string{"PORT": port, "NGROK_API": agent.URL + "/api"}, "-ngrok")
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("the program says\n%s\nwant %q in it", got, want)
				}
			}
			if strings.Contains(got, "is taken") {
				t.Errorf("a port is bound before the agent is asked: %s", got)
			}
		})
	}
	if got := runOnce(t, map[string]string{}, "-ngrok", "-lan"); !strings.Contains(got, "-ngrok and -lan") {
		t.Errorf("both flags are told as %q", got)
	}
}
