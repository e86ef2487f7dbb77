package tests

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"changebank/internal/greeting"
)

// wantTerminalQR checks that the terminal shows a QR code of the bank's address.
func (b *bank) wantTerminalQR(t *testing.T) {
	t.Helper()
	code, err := greeting.QR(b.URL, false)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.log.String(), code) {
		t.Errorf("the terminal shows no QR code of %s", b.URL)
	}
}

func TestNgrok(t *testing.T) {
	t.Parallel()
	n := newNgrok(t)
	b := n.startBank()
	if b.URL != "https://"+n.bank.host || b.DemoURL != "https://"+n.demo.host {
		t.Errorf("the bank is at %s and the demo at %s, want the tunnels", b.URL, b.DemoURL)
	}
	b.wantTerminalQR(t)
	if !strings.Contains(b.log.String(), "Anyone on the internet") {
		t.Error("the greeting does not say who can connect")
	}

	laptop, phone := n.browser(b), n.browser(b)
	n.bank.visit(laptop, laptop.get("/"))
	link := laptop.code()
	login := n.demo.visit(phone, n.bank.visit(phone, phone.get(link)))
	// Anyone on the internet can try the password in the source code.
	if p := phone.submit(login, "", url.Values{"email": {richard}, "password": {"password"}}); !p.has("error") {
		t.Fatalf("the known password leads to %v", p)
	}
	phone.answer(phone.atProvider(login, richard), "yes")
	laptop.claim(richard)
	if got := strings.Count(b.log.String(), b.password); got != 1 {
		t.Errorf("the password is shown %d times, want once, in the greeting", got)
	}
}

// In Chromium, too. When ngrok shows its warning page again, an event stream
// gets that page, which no script can prevent. The login completes all the same.
func TestNgrokInChromium(t *testing.T) {
	t.Parallel()
	n := newNgrok(t)
	b := n.startBank()
	laptop, phone := windows(t, startChromium(t, chromedp.ProxyServer(n.proxy), chromedp.Flag("ignore-certificate-errors", true)))

	phone.open(b.URL + "/login")
	phone.click(`#visit-bank button`)
	phone.click(`#visit-demo button`)
	phone.logInAtProvider(b, richard)

	laptop.open(b.URL + qrPage)
	laptop.click(`#visit-bank button`)
	laptop.awaitState("waiting")
	link := laptop.scan()
	phone.open(link)
	laptop.awaitState("opened") // by the stream
	if got := n.bank.warnings("text/event-stream"); got != 0 {
		t.Errorf("%d streams got the warning page, want none yet", got)
	}

	laptop.expect("net::ERR_", "EventSource's response has a MIME type")
	n.bank.forget()
	phone.open(link)
	phone.click(`#visit-bank button`)
	phone.answer("yes")
	laptop.click(`#visit-bank button`) // where the script has led
	laptop.awaitPerson(richard)
	if n.bank.warnings("text/event-stream") == 0 {
		t.Error("no stream got the warning page, so this test shows nothing")
	}
}

// If something is wrong with the agent, the program says so before it binds a
// port.
func TestNgrokMissing(t *testing.T) {
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
		name, answer string // no answer: nobody listens
		want         []string
	}{
		{"no agent", "", []string{"no ngrok agent listens", "ngrok start --all --config ngrok.yml"}},
		{"another server", "<!doctype html>", []string{"not the ngrok agent's API", "NGROK_API"}},
		{"no tunnel", list(), []string{"no tunnel to this machine", "ngrok start --all --config ngrok.yml"}},
		{"none to the bank", list(demo), []string{"port " + port + " (PORT)", "ngrok.yml"}},
		{"none to the demo", list(bankAt("https://bank.ngrok-free.app")), []string{"port 9011 (DEMO_PORT)", "ngrok.yml"}},
		{"http only", list(bankAt("http://bank.ngrok-free.app"), demo), []string{"http://bank.ngrok-free.app", "https"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, tt.answer) }))
			t.Cleanup(agent.Close)
			if tt.answer == "" {
				agent.Close()
			}
			got := refusal(t, "-ngrok", "PORT="+port, "DEMO_PORT=9011", "NGROK_API="+agent.URL+"/api")
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
}
