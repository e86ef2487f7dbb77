package tests

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// Networks that people are in. RFC 5737 keeps these addresses for examples.
const (
	homeAddr  = "203.0.113.7"
	awayAddr  = "198.51.100.66"
	thirdAddr = "192.0.2.99"
)

// What browsers call themselves.
const (
	firefoxAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
	windowsAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	linuxAgent   = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
	iPhoneAgent  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)

// qrPage is the laptop's page.
const qrPage = "/logged-out-qr-login"

// browser is a person's browser without JavaScript: it keeps cookies, follows
// links and redirects, and submits forms.
type browser struct {
	t     testing.TB
	bank  *bank
	http  *http.Client
	agent string // the User-Agent header
	addr  string // sent as X-Forwarded-For by a proxy that the bank trusts, unless empty
	on    string // the replica that is to answer, if there are several; empty: any
	seen  record // everything that the browser received, with headers and streams
}

// browser returns a new browser on this machine.
func (b *bank) browser(t testing.TB) *browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(transport.CloseIdleConnections)
	who := &browser{t: t, bank: b, agent: firefoxAgent}
	who.http = &http.Client{Jar: jar, Transport: connection{who, transport}, Timeout: 30 * time.Second}
	return who
}

// browserOf returns a new browser on which that person is logged in.
func (b *bank) browserOf(t testing.TB, email string) *browser {
	t.Helper()
	who := b.browser(t)
	who.logIn(email)
	return who
}

// pair returns a laptop's browser, and a phone's on which richard is logged in.
func (b *bank) pair(t testing.TB) (laptop, phone *browser) {
	t.Helper()
	return b.browser(t), b.browserOf(t, richard)
}

// pair runs the program, and returns a laptop's browser, and a phone's on which
// richard is logged in. They are on the same network.
func pair(t testing.TB, settings ...string) (b *bank, laptop, phone *browser) {
	t.Helper()
	b = startBank(t, settings...)
	laptop, phone = b.pair(t)
	return b, laptop, phone
}

// farPair is pair with the laptop on another network than the phone.
func farPair(t testing.TB, settings ...string) (b *bank, laptop, phone *browser) {
	t.Helper()
	b, laptop, phone = pair(t, settings...)
	return b, laptop.at(awayAddr), phone.at(homeAddr)
}

// proxiedPair is pair with a program that startProxied runs.
func proxiedPair(t testing.TB, settings ...string) (b *bank, laptop, phone *browser) {
	t.Helper()
	b = startProxied(t, settings...)
	laptop, phone = b.pair(t)
	return b, laptop, phone
}

// at moves the browser to an address.
func (b *browser) at(addr string) *browser {
	b.addr = addr
	return b
}

// as gives the browser another name.
func (b *browser) as(agent string) *browser {
	b.agent = agent
	return b
}

// connection adds what identifies the browser to every request, and keeps what
// it receives.
type connection struct {
	*browser
	http.RoundTripper
}

func (c connection) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	if req.UserAgent() == "" {
		req.Header.Set("User-Agent", c.agent)
	}
	if c.addr != "" && req.Header.Get("X-Forwarded-For") == "" {
		req.Header.Set("X-Forwarded-For", c.addr)
	}
	if c.on != "" {
		req.Header.Set(replicaHeader, c.on)
	}
	resp, err := c.RoundTripper.RoundTrip(req)
	if err == nil {
		_, _ = fmt.Fprintf(&c.seen, "%s\n%v\n", resp.Request.URL, resp.Header)
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(resp.Body, &c.seen), resp.Body}
	}
	return resp, err
}

// transport returns what the browser's connections are made with.
func (b *browser) transport() *http.Transport {
	return b.http.Transport.(connection).RoundTripper.(*http.Transport)
}

// url returns the address of a page of the bank; a whole URL stays as it is.
func (b *browser) url(path string) string {
	if strings.HasPrefix(path, "/") {
		return b.bank.URL + path
	}
	return path
}

// request returns a request with these headers, names and values in turn. A
// POST carries the form.
func (b *browser) request(method, path string, form url.Values, header ...string) *http.Request {
	b.t.Helper()
	var body io.Reader
	if method == http.MethodPost {
		body = strings.NewReader(form.Encode())
	}
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.url(path), body)
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

// get opens a page.
func (b *browser) get(path string) page {
	b.t.Helper()
	return b.do(b.request(http.MethodGet, path, nil))
}

// post sends a form as a page of the bank would.
func (b *browser) post(path string, form url.Values) page {
	b.t.Helper()
	return b.do(b.request(http.MethodPost, path, form, "Sec-Fetch-Site", "same-origin"))
}

// logoutHint is the one token that a page may have: the provider's logout page
// wants it in its address.
var logoutHint = regexp.MustCompile(`id_token_hint=[^&"]*`)

// do sends a request, and follows redirects and pages that continue by
// themselves.
func (b *browser) do(req *http.Request) page {
	b.t.Helper()
	p := b.send(b.http, req)
	if to := p.continues(); to != "" {
		return b.get(to)
	}
	return p
}

// doOnce sends a request and follows no redirect.
func (b *browser) doOnce(req *http.Request) page {
	b.t.Helper()
	client := *b.http
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return b.send(&client, req)
}

// getOnce is get without following redirects.
func (b *browser) getOnce(path string) page {
	b.t.Helper()
	return b.doOnce(b.request(http.MethodGet, path, nil))
}

func (b *browser) send(client *http.Client, req *http.Request) page {
	b.t.Helper()
	resp, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	_, _ = fmt.Fprintf(&b.bank.seen, "%s\n%s\n", resp.Request.URL, logoutHint.ReplaceAll(body, nil))
	doc, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	return page{b.t, resp.Request.URL, resp.StatusCode, resp.Header, string(body), time.Now(), doc}
}

// submit fills in and submits the form with that id, "" for the only one.
func (b *browser) submit(p page, id string, values url.Values) page {
	b.t.Helper()
	form := p.find("form", id)
	if form == nil {
		b.t.Fatalf("no form %q on the page: %v\n%s", id, p, p.Body)
	}
	filled := make(url.Values)
	for input := range form.Descendants() {
		if input.Data == "input" && attr(input, "type") != "checkbox" { // no box is ticked beforehand
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

// press submits the form with that action, which must be on the page.
func (b *browser) press(p page, action string) page {
	b.t.Helper()
	for node := range p.doc.Descendants() {
		if node.Data == "form" && attr(node, "action") == action && attr(node, "method") == "post" {
			return b.post(action, nil)
		}
	}
	b.t.Fatalf("no form to %s on the page: %v\n%s", action, p, p.Body)
	return page{}
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
	b.t.Fatalf("still %q after a minute, want %q", last, want)
}

// awaitCount waits until count is want: what the program does in the background.
func (b *browser) awaitCount(what string, count *atomic.Int32, want int32) {
	b.t.Helper()
	b.await(fmt.Sprintf("%d %s", want, what), func() string { return fmt.Sprintf("%d %s", count.Load(), what) })
}
