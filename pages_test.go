package main

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// What is refused says what happened and what to do next, in our own page, and
// its reference stands in the log.
func TestRefusals(t *testing.T) {
	t.Parallel()
	b := startBank(t, "LIMIT_CODES_PER_BROWSER=1")
	visitor, laptop := b.browser(t), b.browser(t)
	visitor.logIn(richard)
	laptop.showCode()
	laptop.post("/logged-out-qr-login/cancel", nil)
	stray := startBank(t, "ISSUER=http://127.0.0.1:1", "CLIENT_ID=x", "CLIENT_SECRET=y")

	do := func(method, path string, header ...string) page {
		req, err := http.NewRequestWithContext(t.Context(), method, visitor.url(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		req.Host = req.Header.Get("Host")
		return visitor.do(req)
	}
	for _, tt := range []struct {
		page       page
		status     int
		title      string
		next       string
		log        *logBuffer
		headerName string
		header     string
	}{
		{page: visitor.post("/activate", url.Values{"user_code": {"x"}, "answer": {"perhaps"}}), status: http.StatusBadRequest, title: "That did not work", next: "/activate?user_code=x"},
		{page: do("POST", "/logout", "Sec-Fetch-Site", "cross-site"), status: http.StatusForbidden, title: "Not allowed", next: "/"},
		{page: visitor.get("/nosuch"), status: http.StatusNotFound, title: "There is no such page", next: "/"},
		{page: do("DELETE", "/account"), status: http.StatusMethodNotAllowed, title: "Not this way", next: "/", headerName: "Allow", header: "GET, HEAD"},
		{page: do("PUT", "/activate"), status: http.StatusMethodNotAllowed, title: "Not this way", next: "/", headerName: "Allow", header: "GET, HEAD, POST"},
		{page: do("POST", "/logout", "Host", "elsewhere.example"), status: http.StatusMisdirectedRequest, title: "Wrong address", next: b.URL + "/"},
		{page: laptop.post("/logged-out-qr-login", nil), status: http.StatusTooManyRequests, title: "Too many codes", next: "/login", headerName: "Retry-After"},
		{page: stray.browser(t).get("/login"), status: http.StatusServiceUnavailable, title: "The login service is not there", next: "/", log: stray.log, headerName: "Retry-After", header: "5"},
	} {
		log := tt.log
		if log == nil {
			log = b.log
		}
		p := tt.page
		if p.Status != tt.status || p.find("", "error") == nil || !strings.HasPrefix(p.text("error"), tt.title) {
			t.Errorf("%d: got %d, %q, want our page with the title %q", tt.status, p.Status, p.text("main"), tt.title)
			continue
		}
		next := ""
		for node := range p.find("", "error").Descendants() {
			if node.Data == "a" {
				next = attr(node, "href")
			}
		}
		if next != tt.next {
			t.Errorf("%d leads on to %q, want %q", tt.status, next, tt.next)
		}
		if got := p.Header.Get(tt.headerName); tt.headerName != "" && (got == "" || tt.header != "" && got != tt.header) {
			t.Errorf("%d: %s is %q, want %q", tt.status, tt.headerName, got, tt.header)
		}
		if got := p.Header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("%d may be cached: %q", tt.status, got)
		}
		reference := p.text("reference")
		if found := regexp.MustCompile(`status=(\d+) reference=` + reference + " ").FindStringSubmatch(log.String()); reference == "" || found == nil {
			t.Errorf("%d: the reference %q is not in the log", tt.status, reference)
		}
	}
}

// A phone that opens the laptop's page is offered the ordinary login: no code
// is started until it asks for one.
func TestPhoneIsOfferedTheOrdinaryLogin(t *testing.T) {
	t.Parallel()
	for name, be := range map[string]func(r *http.Request){
		"by its name":  func(r *http.Request) { r.Header.Set("User-Agent", iPhone) },
		"by its hint":  func(r *http.Request) { r.Header.Set("Sec-CH-UA-Mobile", "?1") },
		"not a laptop": nil,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBank(t)
			phone := b.browser(t)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL+"/logged-out-qr-login", nil)
			if err != nil {
				t.Fatal(err)
			}
			if be == nil {
				if p := phone.do(req); p.state() != "waiting" {
					t.Errorf("a laptop is shown %q", p.text("main"))
				}
				return
			}
			be(req)
			p := phone.do(req)
			if p.find("", "this-phone") == nil || p.find("a", "") == nil || strings.Contains(b.log.String(), "step=started") {
				t.Fatalf("the phone is shown %q, want the ordinary login and no code", p.text("main"))
			}
			if p = phone.submit(p, "new-code", nil); p.state() != "waiting" {
				t.Errorf("asking for a code shows %q", p.text("main"))
			}
			phone.agent = iPhone
			if p = phone.get("/logged-out-qr-login"); p.state() != "waiting" {
				t.Errorf("the code that was asked for is not there after a reload but %q", p.text("main"))
			}
		})
	}
}

// A person at the laptop reads who has the code, as far as it says, and the
// name of the tab tells what to do.
func TestLaptopNamesThePhone(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	phone.agent = iPhone
	phone.logIn(richard)
	p, link := laptop.showCode()
	if got := textOf(p.find("title", "")); got != "Scan the code with your phone · Changebank" {
		t.Errorf("the tab is named %q", got)
	}
	phone.get(link)
	p = laptop.get("/logged-out-qr-login")
	if got := p.text("login-state"); got != "Your iPhone opened it" {
		t.Errorf("the laptop says %q, want that the iPhone opened it", got)
	}
	if got := textOf(p.find("title", "")); got != "Say yes on your phone · Changebank" {
		t.Errorf("the tab is named %q", got)
	}
	if p.find("", "time-left") != nil {
		t.Error("a countdown hurries the person who has the question on the phone")
	}
	phone.answer(link, "no")
	if got := laptop.get("/logged-out-qr-login").text("login-state"); got != "Your iPhone said no" {
		t.Errorf("the laptop says %q, want that the iPhone said no", got)
	}
}

// A tab's script that asks with the cookie from before another tab's login gets
// none: it would arrive after the login's own, and replace it.
func TestScriptGetsNoCookie(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop := b.browser(t)
	laptop.showCode()
	before := laptop.cookie()
	laptop.logIn(erlich)
	after := laptop.cookie()

	laptop.setCookie(before)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, b.URL+"/logged-out-qr-login", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Requested-With", "qrlogin.js")
	laptop.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	if p := laptop.do(req); p.Header.Get("Set-Cookie") != "" || p.Header.Get("Location") != "/logged-out-qr-login" {
		t.Errorf("the script gets the cookie %q and is sent to %q", p.Header.Get("Set-Cookie"), p.Header.Get("Location"))
	}
	laptop.setCookie(after)
	laptop.http.CheckRedirect = nil
	if got := laptop.get("/logged-out-qr-login").text("account-email"); got != erlich {
		t.Errorf("the tab then shows the account of %q, want %s", got, erlich)
	}
}

// maxWeight is what a page may weigh on a first visit, in bytes.
const maxWeight = 60_000

// No page is heavy: what is in it, and all that it loads.
func TestLight(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(richard)
	p, link := laptop.showCode()
	for name, p := range map[string]page{
		"home": b.browser(t).get("/"), "the laptop's page": p, "the question": phone.get(link),
		"account": phone.get("/account"), "devices": phone.get("/devices"), "an error": phone.get("/nosuch"),
		"the demo provider's login": b.browser(t).get("/login"),
	} {
		weight, parts := len(p.Body), 0
		for node := range p.doc.Descendants() {
			file := ""
			switch node.Data {
			case "script", "img":
				file = attr(node, "src")
			case "link":
				file = attr(node, "href")
			}
			if file == "" {
				continue
			}
			part := phone.get(p.URL.ResolveReference(&url.URL{Path: file}).String())
			if part.Status != http.StatusOK {
				t.Errorf("%s loads %s: %d", name, file, part.Status)
			}
			weight, parts = weight+len(part.Body), parts+1
		}
		if weight > maxWeight || parts < 2 {
			t.Errorf("%s weighs %d bytes with %d files, want %d at most", name, weight, parts, maxWeight)
		}
		t.Logf("%s: %d bytes", name, weight)
	}
}
