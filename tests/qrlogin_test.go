package tests

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
)

func TestQRLogin(t *testing.T) {
	t.Parallel()
	b, laptop, phone := pair(t)
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
	if got := question.text("asking"); got != "Firefox on Windows" {
		t.Errorf("the phone is asked about %q, want Firefox on Windows", got)
	}
	if got := question.text("user-code"); got != code {
		t.Errorf("the phone shows the code %q, want %q", got, code)
	}
	if !question.says(richard) {
		t.Errorf("the question does not say whose account it is: %v", question)
	}
	if !question.says("just now") && !question.says("seconds ago") {
		t.Errorf("the question does not say since when: %v", question)
	}
	laptop.wantState("opened")
	if p := phone.answer(question, "yes"); p.Status != http.StatusOK || p.find("form", "approve") != nil {
		t.Errorf("after the approval the phone shows %v", p)
	}

	account := laptop.claim(richard)
	if !account.says("$0.00") {
		t.Errorf("the account shows no balance: %v", account)
	}
	if !account.has("by-phone") {
		t.Error("the first page must say that a phone logged it in")
	}
	if laptop.cookie() == before {
		t.Error("session fixation: the laptop's cookie is the one from before the login")
	}
	if got := phone.get(link).state(); got != "claimed" {
		t.Errorf("the phone's page is %q in the end, want claimed", got)
	}
}

// The code is typed rather than scanned, in lower case and with a dash.
func TestTypedCode(t *testing.T) {
	t.Parallel()
	_, laptop, phone := pair(t)
	p, _ := laptop.showCode()
	code := strings.ToLower(p.text("user-code"))
	question := phone.submit(phone.get("/activate"), "activate", url.Values{"user_code": {code[:3] + "-" + code[3:]}})
	phone.answer(question, "yes")
	laptop.claim(richard)
}

// A phone that is logged out logs in first, and then shows that question.
func TestPhoneLogsInFirst(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	p, link := laptop.showCode()
	scan := phone.getOnce(link)
	if to := scan.Header.Get("Location"); scan.Status != http.StatusSeeOther || !strings.HasPrefix(to, "/login?return_to=") {
		t.Errorf("a scan on a phone that is logged out: %d to %q, want 303 to /login", scan.Status, to)
	}
	question := phone.atProvider(phone.get(link), richard)
	if got := question.URL.String(); got != link {
		t.Fatalf("after its login the phone is at %s, want %s", got, link)
	}
	if got := question.text("user-code"); got != p.text("user-code") {
		t.Errorf("the phone shows the code %q, the laptop %q", got, p.text("user-code"))
	}
}

func TestDeny(t *testing.T) {
	t.Parallel()
	_, laptop, phone := pair(t)
	link := laptop.code()
	states := laptop.events()
	states.want("waiting")
	question := phone.get(link)
	states.want("opened")
	if got := phone.answer(question, "no").state(); got != "denied" {
		t.Errorf("after the denial the phone's page is %q, want denied", got)
	}
	states.want("denied")
	states.wantEnd()

	p := laptop.get(qrPage)
	if p.state() != "denied" || p.find("svg", "qr-code") != nil {
		t.Errorf("the laptop's page is %q, want denied without a QR code", p.state())
	}
	if got := laptop.get("/reload").URL.Path; got != qrPage {
		t.Errorf("/reload leads to %s, want the QR page", got)
	}
	if got := phone.get(link).state(); got != "denied" {
		t.Errorf("opened again, the phone's page is %q, want denied", got)
	}
	next := laptop.submit(p, "new-code", nil)
	if next.state() != "waiting" || next.text("user-code") == p.text("user-code") {
		t.Errorf("the new code is %q in the state %q", next.text("user-code"), next.state())
	}
}

// A denial that comes after the laptop was logged in cannot undo that. The
// person is told where to log it out.
func TestLateDenial(t *testing.T) {
	t.Parallel()
	_, laptop, phone := pair(t)
	question := phone.get(laptop.code())
	phone.answer(question, "yes")
	laptop.claim(richard)
	if p := phone.answer(question, "no"); !p.links("/devices") {
		t.Errorf("no link to the devices: %v", p)
	}
	laptop.wantPerson(richard)
}

// The laptop's stream reports every step, in order.
func TestEvents(t *testing.T) {
	t.Parallel()
	_, laptop, phone := pair(t)
	link := laptop.code()
	states := laptop.events()
	states.want("waiting")
	question := phone.get(link)
	states.want("opened")
	phone.answer(question, "yes")
	states.want("yes", "approved")
	laptop.get("/reload")
	states.want("claimed")
	states.wantEnd()
}

func TestTwentyLogins(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	var all sync.WaitGroup
	for i := range 20 {
		person := []string{richard, erlich}[i%2]
		laptop, phone := b.browser(t), b.browser(t)
		all.Go(func() {
			phone.logIn(person)
			phone.approve(laptop.code())
			laptop.claim(person)
		})
	}
	all.Wait()
}

// An approval of a question that was not shown does nothing: it names no
// attempt, or another one.
func TestUnseenQuestion(t *testing.T) {
	t.Parallel()
	_, laptop, phone := pair(t)
	p, link := laptop.showCode()
	for _, ref := range []string{"", "ABCDEFGH"} {
		form := url.Values{"user_code": {p.text("user-code")}, "attempt": {ref}, "answer": {"yes"}}
		if got := phone.post("/activate", form); got.find("form", "approve") == nil {
			t.Errorf("an approval of the attempt %q shows %v, want the question", ref, got)
		}
	}
	laptop.wantState("opened")
	if got := phone.answer(phone.get(link), "").Status; got != http.StatusBadRequest {
		t.Errorf("no answer at all: %d, want 400", got)
	}
}

// Anyone who knows the client's ID may start a code at a provider's device
// endpoint, and mail it. It is not in our index, so it is never approved.
func TestForeignCode(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	phone := b.browserOf(t, richard)
	client := url.Values{"client_id": {clientID}, "client_secret": {b.secret}, "scope": {"openid"}}
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
		t.Errorf("a foreign code shows %v, want 404", p)
	}
	phone.post("/activate", url.Values{"user_code": {started.User}, "answer": {"yes"}})
	client.Set("grant_type", "urn:ietf:params:oauth:grant-type:device_code")
	client.Set("device_code", started.Device)
	if got := phone.post(b.DemoURL+"/oauth2/token", client).Body; !strings.Contains(got, "authorization_pending") {
		t.Errorf("the provider answers the stranger's poll with %s, want authorization_pending", got)
	}
}

// A browser that opens its own code is offered the ordinary login.
func TestOwnCode(t *testing.T) {
	t.Parallel()
	laptop := startBank(t).browser(t)
	if p := laptop.get(laptop.code()); p.find("form", "approve") != nil || !p.links("/login") {
		t.Errorf("the laptop's own code shows %v", p)
	}
}

// Browsers that keep no cookies, such as crawlers, start no code at the
// provider.
func TestCookiesOff(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	crawler := b.browser(t)
	crawler.http.Jar = nil
	if p := crawler.get(qrPage); p.Status != http.StatusBadRequest || !strings.Contains(p.text("error"), "cookies") {
		t.Errorf("without cookies: %v, want 400 and a sentence about cookies", p)
	}
	b.wantSteps(t, "started", 0)
	b.browser(t).code()
	b.wantSteps(t, "started", 1) // as the log has it
}
