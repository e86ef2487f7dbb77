package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestQRLogin(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(richard)

	p, link := laptop.showCode()
	code := p.text("user-code")
	if want := b.URL + "/activate?user_code=" + code; link != want || code == "" {
		t.Errorf("the verification link is %q, want %q", link, want)
	}
	if p.find("svg", "qr-code") == nil {
		t.Error("no QR code on the page")
	}
	before := laptop.cookie()

	question := phone.get(link)
	for _, want := range []string{"You are " + richard, "Firefox on Windows", "just now", code} {
		if !strings.Contains(question.text("main"), want) {
			t.Errorf("the phone's page does not say %q but %q", want, question.text("main"))
		}
	}
	if got := laptop.get("/logged-out-qr-login").state(); got != "opened" {
		t.Errorf("the laptop's page is %q after the phone opened the code, want opened", got)
	}
	if got := phone.submit(question, "approve", url.Values{"answer": {"yes"}}).text("main"); !strings.HasPrefix(got, "You said yes") {
		t.Errorf("after yes the phone's page says %q, want what was said", got)
	}

	account := laptop.awaitReload()
	if account.URL.Path != "/account" || account.text("account-email") != richard {
		t.Fatalf("the laptop is at %s as %q, want /account as %s", account.URL.Path, account.text("account-email"), richard)
	}
	if got := account.text("main"); !strings.Contains(got, "Your balance $0.00") {
		t.Errorf("the account page says %q, want a balance of $0.00", got)
	}
	if account.text("by-phone") == "" || laptop.get("/account").text("by-phone") != "" {
		t.Error(`"Logged in with your phone. Not you?" is to be said once, at the first visit`)
	}
	if after := laptop.cookie(); after == before {
		t.Error("the laptop has the cookie that it had before the login: session fixation")
	}
	if got := phone.get(link).text("main"); !strings.Contains(got, "Your laptop is logged in") {
		t.Errorf("the phone's page says %q in the end", got)
	}
}

// The code is typed in place of scanned: in another case, with a dash.
func TestQRLoginTypedCode(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(erlich)
	p, _ := laptop.showCode()
	code := strings.ToLower(p.text("user-code"))

	question := phone.submit(phone.get("/activate"), "activate", url.Values{"user_code": {code[:3] + "-" + code[3:]}})
	phone.submit(question, "approve", url.Values{"answer": {"yes"}})
	if got := laptop.awaitReload().text("account-email"); got != erlich {
		t.Errorf("the laptop is logged in as %q, want %s", got, erlich)
	}
}

// A phone that is not logged in logs in first and lands on that very question.
func TestPhoneLogsInFirst(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	p, link := laptop.showCode()

	question := phone.atProvider(phone.get(link), richard)
	if got := question.URL.String(); got != link {
		t.Fatalf("after its login the phone is at %s, want %s", got, link)
	}
	if got := question.text("user-code"); got != p.text("user-code") {
		t.Errorf("the phone shows the code %q, the laptop %q", got, p.text("user-code"))
	}
}

func TestPhoneSaysNo(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(richard)
	_, link := laptop.showCode()
	states := laptop.events()
	states.want("waiting")

	phone.get(link)
	states.want("opened")
	if got := phone.answer(link, "no").state(); got != "denied" {
		t.Errorf("the phone's page is %q after no, want denied", got)
	}
	states.want("denied")
	states.wantEnd()

	p := laptop.get("/logged-out-qr-login")
	if p.state() != "denied" || p.find("svg", "qr-code") != nil {
		t.Errorf("the laptop's page is %q, want denied and no QR code", p.state())
	}
	if got := laptop.get("/reload").URL.Path; got != "/logged-out-qr-login" {
		t.Errorf("/reload leads to %s after a no", got)
	}
	// What the phone said stands.
	if got := phone.get(link).state(); got != "denied" {
		t.Errorf("the phone's page is %q when opened again, want denied", got)
	}
	fresh := laptop.submit(p, "new-code", nil)
	if fresh.state() != "waiting" || fresh.text("user-code") == p.text("user-code") {
		t.Errorf("asking for a new code shows %q %q", fresh.state(), fresh.text("user-code"))
	}
}

// The laptop hears of every step in order, without asking.
func TestEvents(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(richard)
	_, link := laptop.showCode()
	states := laptop.events()
	states.want("waiting")
	question := phone.get(link)
	states.want("opened")
	phone.submit(question, "approve", url.Values{"answer": {"yes"}})
	states.want("yes")
	states.want("approved")
	laptop.get("/reload")
	states.want("claimed")
	states.wantEnd()
}

func TestOneLiveAttemptPerBrowser(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop := b.browser(t)
	first, _ := laptop.showCode()
	again, _ := laptop.showCode()
	if first.text("user-code") != again.text("user-code") {
		t.Error("reloading the page starts another code")
	}
	// Nor does asking for a new one while this one lives.
	if got := laptop.post("/logged-out-qr-login", nil).text("user-code"); got != first.text("user-code") {
		t.Error("a POST replaces a code that lives")
	}
	cancelled := laptop.post("/logged-out-qr-login/cancel", nil)
	if cancelled.state() != "cancelled" {
		t.Errorf("the page is %q after cancel, want cancelled", cancelled.state())
	}
	if got := laptop.get("/logged-out-qr-login").state(); got != "cancelled" {
		t.Errorf("the page is %q when reloaded, want cancelled until a new code is asked for", got)
	}
}

// Two tabs of one browser that start at the same moment share one attempt.
func TestTwoTabsStartOne(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop := b.browser(t)
	laptop.get("/login") // a session without an attempt: tabs without a cookie each get their own
	codes := make([]string, 4)
	var tabs sync.WaitGroup
	for i := range codes {
		tabs.Go(func() { codes[i] = laptop.post("/logged-out-qr-login", nil).text("user-code") })
	}
	tabs.Wait()
	now := laptop.get("/logged-out-qr-login")
	if now.state() != "waiting" {
		t.Fatalf("the page is %q, want waiting", now.state())
	}
	for _, code := range codes {
		if code != now.text("user-code") {
			t.Errorf("the tabs show the codes %q, the page %q", codes, now.text("user-code"))
		}
	}
}

func TestLogoutAndLoginAsSomebodyElse(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop := b.browser(t)
	for _, person := range []string{richard, erlich} {
		phone := b.browser(t)
		phone.logIn(person)
		_, link := laptop.showCode()
		phone.answer(link, "yes")
		if got := laptop.awaitReload().text("account-email"); got != person {
			t.Fatalf("the laptop is logged in as %q, want %s", got, person)
		}
		old := laptop.cookie()
		asked := laptop.get("/logout")
		if laptop.person() != person {
			t.Fatal("GET /logout logs out: a link somebody sends could do that")
		}
		home := laptop.submit(asked, "logout", nil)
		if got := home.URL.String(); got != b.URL+"/" {
			t.Errorf("logging out leads to %s, want the home page by way of the provider", got)
		}
		if got := laptop.person(); got != "" {
			t.Errorf("still logged in as %s", got)
		}
		thief := b.browser(t)
		thief.setCookie(old)
		if got := thief.person(); got != "" {
			t.Errorf("the cookie from before the logout is still %s's", got)
		}
	}
}

func TestTwentyAtOnce(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	var all sync.WaitGroup
	for i := range 20 {
		person := []string{richard, erlich}[i%2]
		laptop, phone := b.browser(t), b.browser(t)
		all.Go(func() {
			phone.logIn(person)
			_, link := laptop.showCode()
			phone.answer(link, "yes")
			if got := laptop.awaitReload().text("account-email"); got != person {
				t.Errorf("laptop %d is logged in as %q, want %s", i, got, person)
			}
		})
	}
	all.Wait()
}

// A browser that did not start the attempt gets nothing of it, at any moment,
// with no cookie or with one of its own.
func TestStrangerGetsNothing(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	stranger, other := b.browser(t), b.browser(t)
	other.showCode() // has an attempt, but another one
	phone.logIn(richard)
	_, link := laptop.showCode()

	check := func(when string) {
		t.Helper()
		for _, who := range []*browser{stranger, other} {
			had := who.cookie()
			if got := strings.TrimSpace(who.get("/device_grant_finished").Body); got != "{}" {
				t.Errorf("%s: /device_grant_finished tells a stranger %s", when, got)
			}
			if p := who.get("/reload"); p.URL.Path == "/account" {
				t.Errorf("%s: /reload logs a stranger in", when)
			}
			for _, path := range []string{"/logged-out-qr-login/confirm", "/logged-out-qr-login/cancel"} {
				if who == stranger {
					who.post(path, url.Values{"number": {"1234"}})
				}
			}
			if got := who.person(); got != "" {
				t.Errorf("%s: a stranger is %s", when, got)
			}
			if who.cookie() != had {
				t.Errorf("%s: a stranger got a cookie", when)
			}
		}
		if p := stranger.get("/logged-out-qr-login/events"); p.Status != http.StatusNoContent || p.Body != "" {
			t.Errorf("%s: events tell a stranger %d %q", when, p.Status, p.Body)
		}
	}
	check("waiting")
	question := phone.get(link)
	check("opened")
	phone.submit(question, "approve", url.Values{"answer": {"yes"}})
	laptop.awaitApproved()
	check("approved")
	if got := laptop.get("/reload").text("account-email"); got != richard {
		t.Fatalf("the laptop is logged in as %q, want %s", got, richard)
	}
	check("claimed")
}

// An answer that was lost on its way can be had again, until the session is
// used; after that the old cookie is worth nothing.
func TestClaimAnswerLost(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(richard)
	_, link := laptop.showCode()
	phone.answer(link, "yes")
	laptop.awaitApproved()
	before := laptop.cookie()

	lost := b.browser(t) // the same browser, as far as cookies go
	lost.setCookie(before)
	lost.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	lost.get("/reload")
	if got := lost.cookie(); got == before {
		t.Fatal("/reload set no cookie")
	}
	if got := laptop.get("/reload").text("account-email"); got != richard {
		t.Fatalf("the second /reload leads to %q, want %s's account", got, richard)
	}
	late := b.browser(t)
	late.setCookie(before)
	if p := late.get("/reload"); p.URL.Path != "/" || late.cookie() != before {
		t.Errorf("the old cookie leads to %s once the session is used", p.URL.Path)
	}
}

// Where no number is asked for, the first person who opens a code is the only
// one who can answer.
func TestSecondPersonIsRefused(t *testing.T) {
	t.Parallel()
	b := startBank(t, "CONFIRM_NUMBER=never")
	laptop, first, second := b.browser(t), b.browser(t), b.browser(t)
	first.logIn(richard)
	second.logIn(erlich)
	_, link := laptop.showCode()
	question := first.get(link)

	if p := second.get(link); p.Status != http.StatusForbidden || p.find("form", "approve") != nil {
		t.Errorf("a second person sees %d: %s", p.Status, p.text("main"))
	}
	// Not by posting either.
	form := url.Values{"user_code": {question.text("user-code")}, "attempt": {refOf(question)}, "answer": {"yes"}}
	if p := second.post("/activate", form); p.Status != http.StatusForbidden {
		t.Errorf("a second person's yes is answered with %d, want 403", p.Status)
	}
	first.submit(question, "approve", url.Values{"answer": {"yes"}})
	if got := laptop.awaitReload().text("account-email"); got != richard {
		t.Errorf("the laptop is logged in as %q, want %s", got, richard)
	}
}

// A yes without having seen the question, or for another attempt than the one
// that was shown, does nothing.
func TestYesUnseen(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(richard)
	p, link := laptop.showCode()
	for _, ref := range []string{"", "ABCDEFGH"} {
		form := url.Values{"user_code": {p.text("user-code")}, "attempt": {ref}, "answer": {"yes"}}
		if got := phone.post("/activate", form); got.find("form", "approve") == nil {
			t.Errorf("a yes for attempt %q shows %s, want the question", ref, got.text("main"))
		}
	}
	if got := laptop.get("/logged-out-qr-login").state(); got != "opened" {
		t.Errorf("the laptop's page is %q, want opened", got)
	}
	if got := phone.answer(link, "").Status; got != http.StatusBadRequest {
		t.Errorf("no answer at all is answered with %d, want 400", got)
	}
}

// Anybody with the client's name could start a code at a provider's device
// endpoint and mail it; it is not in our index, so we do not approve it.
func TestCodeStartedElsewhere(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	phone := b.browser(t)
	phone.logIn(richard)
	client := url.Values{"client_id": {"e9fdb985-9173-4e01-9d73-ac2d60d1dc8e"}, "client_secret": {b.secret}, "scope": {"openid"}}
	var started struct {
		Device string `json:"device_code"`
		User   string `json:"user_code"`
		Link   string `json:"verification_uri_complete"`
	}
	answer := phone.post(b.DemoURL+"/oauth2/device_authorize", client)
	if err := json.Unmarshal([]byte(answer.Body), &started); err != nil {
		t.Fatalf("start a code: %v in %s", err, answer.Body)
	}
	if p := phone.get(started.Link); p.Status != http.StatusNotFound || p.find("form", "approve") != nil {
		t.Errorf("a foreign code shows %d: %s", p.Status, p.text("main"))
	}
	phone.post("/activate", url.Values{"user_code": {started.User}, "answer": {"yes"}})
	client.Set("grant_type", "urn:ietf:params:oauth:grant-type:device_code")
	client.Set("device_code", started.Device)
	if got := phone.post(b.DemoURL+"/oauth2/token", client).Body; !strings.Contains(got, "authorization_pending") {
		t.Errorf("the provider's answer to the stranger's poll is %s, want authorization_pending", got)
	}
}

func TestUnknownCodes(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, guesser, phone := b.browser(t), b.browser(t), b.browser(t)
	guesser.logIn(erlich)
	phone.logIn(richard)
	_, link := laptop.showCode()
	for i := range 10 {
		if p := guesser.get(fmt.Sprintf("/activate?user_code=NOSUCH%d", i)); p.Status != http.StatusNotFound || p.find("form", "activate") == nil {
			t.Fatalf("guess %d is answered with %d: %s", i, p.Status, p.text("main"))
		}
	}
	if p := guesser.get(link); p.Status != http.StatusTooManyRequests || p.find("form", "approve") != nil {
		t.Errorf("the eleventh code is answered with %d, want 429 even if it is right", p.Status)
	}
	if p := phone.get(link); p.find("form", "approve") == nil {
		t.Errorf("another person must wait, too: %s", p.text("main"))
	}
	// The world learns nothing of a code without logging in.
	stranger := b.browser(t)
	if known, unknown := stranger.get(link).URL.Host, stranger.get("/activate?user_code=NOSUCH").URL.Host; known != unknown {
		t.Errorf("a stranger is led to %s with a known code and to %s with an unknown one", known, unknown)
	}
}

func TestOwnCodeOffersTheOrdinaryLogin(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop := b.browser(t)
	_, link := laptop.showCode()
	p := laptop.get(link)
	if p.find("form", "approve") != nil || !strings.Contains(p.text("main"), "Log in here") {
		t.Errorf("a browser that opens its own code sees %s", p.text("main"))
	}
}

// A browser that logs in another way ends its attempt: nobody can log it in as
// somebody else afterwards.
func TestOtherLoginEndsTheAttempt(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(richard)
	_, link := laptop.showCode()
	states := laptop.events()
	states.want("waiting")
	question := phone.get(link)
	states.want("opened")
	laptop.logIn(erlich)
	states.want("cancelled")
	if got := phone.submit(question, "approve", url.Values{"answer": {"yes"}}).state(); got != "cancelled" {
		t.Errorf("after the laptop logged in by itself, yes leads to %q, want cancelled", got)
	}
	if laptop.get("/reload"); laptop.person() != erlich {
		t.Errorf("the laptop is %q, want %s", laptop.person(), erlich)
	}
	if got := laptop.get("/logged-out-qr-login").URL.Path; got != "/account" {
		t.Errorf("the QR page leads a logged-in browser to %s, want /account", got)
	}
}

// HEAD, prefetches and link previews start, open and claim nothing.
func TestNothingInPassing(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(richard)
	_, link := laptop.showCode()
	passing := func(who *browser, method, path, header, value string) page {
		req, err := http.NewRequestWithContext(t.Context(), method, who.url(path), nil)
		if err != nil {
			t.Fatal(err)
		}
		if header != "" {
			req.Header.Set(header, value)
		}
		return who.do(req)
	}
	visits := []struct{ method, header, value string }{
		{"HEAD", "", ""},
		{"GET", "Sec-Purpose", "prefetch"},
		{"GET", "Sec-Purpose", "prefetch;prerender"},
		{"GET", "Purpose", "prefetch"},
		{"GET", "X-Moz", "prefetch"},
		{"GET", "X-Purpose", "preview"},
	}
	for _, v := range visits {
		if p := passing(phone, v.method, link, v.header, v.value); v.method == "GET" && p.Status != http.StatusServiceUnavailable {
			t.Errorf("%s %s: %d, want 503", v.header, v.value, p.Status)
		}
	}
	if got := laptop.get("/logged-out-qr-login").state(); got != "waiting" {
		t.Fatalf("a request in passing made the laptop's page %q, want waiting", got)
	}
	phone.answer(link, "yes")
	laptop.awaitApproved()
	fresh := b.browser(t)
	for _, v := range visits {
		passing(laptop, v.method, "/reload", v.header, v.value)
		passing(fresh, v.method, "/logged-out-qr-login", v.header, v.value)
	}
	if got := strings.TrimSpace(laptop.get("/device_grant_finished").Body); got != `{"reload":"true"}` {
		t.Errorf("a request in passing claimed the login: %s", got)
	}
	if fresh.cookie() != "" {
		t.Error("a request in passing got a cookie")
	}

	// A mail scanner or a chat's preview asks as a browser does, but as nobody:
	// it is sent to log in, and opens nothing.
	far, scanner := b.browser(t).at(attackers), b.browser(t)
	_, link = far.showCode()
	if p := scanner.get(link); p.find("form", "approve") != nil || strings.Contains(p.Body, attackers) {
		t.Errorf("a scanner is shown %s", p.text("main"))
	}
	if got := far.get("/logged-out-qr-login").state(); got != "waiting" {
		t.Errorf("a scanner made the laptop's page %q, want waiting", got)
	}
	// Nor does a request in passing show the number, or count as the laptop
	// being somewhere else, or use up the greeting.
	number := phone.answer(link, "yes").wantNumber()
	for _, v := range visits {
		if p := passing(phone, v.method, link, v.header, v.value); strings.Contains(p.Body, number) {
			t.Errorf("%s %s %s shows the number", v.method, v.header, v.value)
		}
		moved := b.browser(t).at(elsewhere)
		moved.setCookie(far.cookie())
		passing(moved, v.method, "/logged-out-qr-login", v.header, v.value)
		passing(moved, v.method, "/logged-out-qr-login/events", v.header, v.value)
	}
	if got := far.get("/logged-out-qr-login").state(); got != "number" {
		t.Fatalf("a request in passing made the laptop's page %q, want number", got)
	}
	far.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	far.post("/logged-out-qr-login/confirm", url.Values{"number": {number}})
	far.awaitApproved()
	far.get("/reload")
	far.http.CheckRedirect = nil
	for _, v := range visits {
		passing(far, v.method, "/account", v.header, v.value)
	}
	if far.get("/account").find("", "by-phone") == nil {
		t.Error("a request in passing used up what is to be said once")
	}
}

// What keeps no cookies, as crawlers do, starts no code at the provider.
func TestNoCookiesNoCode(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	crawler := b.browser(t)
	crawler.http.Jar = nil
	p := crawler.get("/logged-out-qr-login")
	if p.Status != http.StatusBadRequest || !strings.Contains(p.text("error"), "cookies") {
		t.Errorf("without cookies the QR page is %d: %s", p.Status, p.text("main"))
	}
	if strings.Contains(b.log.String(), "qr login started") {
		t.Error("a browser without cookies started a code")
	}
}

// setCookie gives the browser the bank's cookie with that value.
func (b *browser) setCookie(value string) {
	u, err := url.Parse(b.bank.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	b.http.Jar.SetCookies(u, []*http.Cookie{{Name: "changebank", Value: value, Path: "/"}})
}

// refOf returns the attempt that the phone's form is about.
func refOf(question page) string {
	for node := range question.find("form", "approve").Descendants() {
		if attr(node, "name") == "attempt" {
			return attr(node, "value")
		}
	}
	return ""
}

// stream is the laptop's event stream.
type stream struct {
	t      testing.TB
	states chan string
}

// events listens to the browser's event stream until the test ends.
func (b *browser) events() stream {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.url("/logged-out-qr-login/events"), nil)
	if err != nil {
		b.t.Fatal(err)
	}
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = resp.Body.Close() })
	if got := resp.Header.Get("Content-Type"); got != "text/event-stream" || resp.StatusCode != http.StatusOK {
		b.t.Fatalf("events: %d %s", resp.StatusCode, got)
	}
	s := stream{b.t, make(chan string, 16)}
	go func() {
		defer close(s.states)
		name := ""
		for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
			key, value, _ := strings.Cut(lines.Text(), ": ")
			switch key {
			case "event":
				name = value
			case "data":
				var told map[string]any
				if err := json.Unmarshal([]byte(value), &told); err != nil || name != "state" {
					s.states <- "not understood: " + value
					continue
				}
				var keys []string
				for key := range told {
					keys = append(keys, key)
				}
				if slices.Sort(keys); !slices.Equal(keys, []string{"expires", "note", "state", "text"}) {
					s.states <- "other keys: " + value
					continue
				}
				s.states <- fmt.Sprint(told["state"])
			}
		}
	}()
	return s
}

// want checks the next state that the stream tells.
func (s stream) want(state string) {
	s.t.Helper()
	select {
	case got, open := <-s.states:
		if got != state {
			s.t.Fatalf("the stream tells %q (open: %v), want %q", got, open, state)
		}
	case <-time.After(time.Minute):
		s.t.Fatalf("the stream does not tell %q", state)
	}
}

// wantEnd checks that the stream closes.
func (s stream) wantEnd() {
	s.t.Helper()
	select {
	case got, open := <-s.states:
		if open {
			s.t.Fatalf("the stream tells %q after the end", got)
		}
	case <-time.After(time.Minute):
		s.t.Fatal("the stream stays open after the end")
	}
}
