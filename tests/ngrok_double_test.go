package tests

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
	"sync"
	"testing"
)

// ngrok is a double of ngrok with a free account: an agent with its API, two
// tunnels with public names, and the warning page that browsers get first. The
// public names are found through a proxy, since they do not exist.
type ngrok struct {
	t          testing.TB
	api, proxy string
	cert       *x509.Certificate
	bank, demo *tunnel
}

// tunnel is a public name that leads to a port of this machine.
type tunnel struct {
	name, host, port string
	server           *httptest.Server

	mu     sync.Mutex
	visits map[string]bool // cookies of browsers that pressed Visit Site
	warned map[string]int  // how often the warning page came, by the Accept header
}

func newNgrok(t testing.TB) *ngrok {
	n := &ngrok{t: t, bank: newTunnel(t, "bank"), demo: newTunnel(t, "demo")}
	n.cert = n.bank.server.Certificate() // httptest has one for all servers
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
		visits: make(map[string]bool), warned: make(map[string]int),
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: "127.0.0.1:" + f.port})
		r.Out.Host = r.In.Host
		r.SetXForwarded()
		r.Out.Header.Set("X-Forwarded-For", homeAddr) // of every browser
	}}
	f.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("ngrok-skip-browser-warning") != "" || f.visited(r) {
			proxy.ServeHTTP(w, r)
			return
		}
		f.warn(w, r)
	}))
	t.Cleanup(f.server.Close)
	return f
}

// freePort returns a port that nobody listens on. It is below those that the
// system hands out itself.
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

// String returns the agent's entry for the tunnel.
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

// forget makes every browser see the warning page again, and hangs up.
func (f *tunnel) forget() {
	f.mu.Lock()
	clear(f.visits)
	f.mu.Unlock()
	f.server.CloseClientConnections()
}

// warnings returns how often the warning page came for this Accept header.
func (f *tunnel) warnings(accept string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.warned[accept]
}

var warningPage = template.Must(template.New("").Parse(`<!doctype html><title>ngrok</title><link rel="icon" href="data:,">
<p>You are about to visit {{.Host}}.</p>
<form id="visit-{{.Name}}" method="post" action="/ngrok-visit"><input type="hidden" name="next" value="{{.Next}}"><button>Visit Site</button></form>`))

// warn shows the warning page, and lets the browser pass once its button was
// pressed.
func (f *tunnel) warn(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Method == http.MethodPost && r.URL.Path == "/ngrok-visit" {
		visit := rand.Text()
		f.visits[visit] = true
		http.SetCookie(w, &http.Cookie{Name: visitCookie, Value: visit, Path: "/", Secure: true})
		http.Redirect(w, r, r.FormValue("next"), http.StatusSeeOther)
		return
	}
	f.warned[r.Header.Get("Accept")]++
	w.Header().Set("Content-Type", "text/html")
	_ = warningPage.Execute(w, map[string]string{"Host": f.host, "Name": f.name, "Next": r.URL.RequestURI()})
}

// connect is a proxy that knows only the two public names.
func (n *ngrok) connect(w http.ResponseWriter, r *http.Request) {
	for _, f := range []*tunnel{n.bank, n.demo} {
		if r.Method != http.MethodConnect || r.Host != f.host+":443" {
			continue
		}
		there, err := net.Dial("tcp", f.server.Listener.Addr().String())
		if err != nil {
			http.Error(w, "the server is stopped", http.StatusBadGateway)
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

// startBank runs the program behind the tunnels. It trusts their certificates.
func (n *ngrok) startBank(settings ...string) *bank {
	n.t.Helper()
	path := filepath.Join(n.t.TempDir(), "ca.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: n.cert.Raw}), 0o600); err != nil {
		n.t.Fatal(err)
	}
	return startBank(n.t, append([]string{
		"-ngrok", "NGROK_API=" + n.api, "PORT=" + n.bank.port, "DEMO_PORT=" + n.demo.port,
		"HTTPS_PROXY=" + n.proxy, "SSL_CERT_FILE=" + path,
	}, settings...)...)
}

// browser returns a browser that finds the tunnels.
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

// visit presses Visit Site on the tunnel's warning page.
func (f *tunnel) visit(b *browser, p page) page {
	b.t.Helper()
	return b.submit(p, "visit-"+f.name, nil)
}
