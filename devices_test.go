package main

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/html"
)

const (
	phoneAgent = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
	otherAgent = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)

// as gives the browser another name than the laptop's.
func (b *browser) as(agent string) *browser {
	b.agent = agent
	return b
}

// claims logs the browser in by the phone.
func (b *browser) claims(phone *browser) page {
	b.t.Helper()
	_, link := b.showCode()
	phone.answer(link, "yes")
	account := b.awaitReload()
	if account.text("account-email") == "" {
		b.t.Fatalf("the laptop is not logged in but at %s", account.URL)
	}
	return account
}

// listed is a card on the page of devices.
type listed struct {
	ref, text string
	here      bool
	page      page
	node      *html.Node
}

func (b *browser) devices() []listed {
	b.t.Helper()
	p := b.get("/devices")
	list := p.find("", "devices")
	if list == nil {
		b.t.Fatalf("%s has no list of devices:\n%s", p.URL, p.Body)
	}
	var devices []listed
	for node := range list.Descendants() {
		if ref := attr(node, "data-ref"); ref != "" {
			d := listed{ref: ref, text: textOf(node), page: p, node: node}
			d.here = strings.Contains(d.text, "This device")
			devices = append(devices, d)
		}
	}
	return devices
}

// ref returns what the browser's own session is called.
func (b *browser) ref() string {
	b.t.Helper()
	for _, d := range b.devices() {
		if d.here {
			return d.ref
		}
	}
	b.t.Fatal("the browser's own session is not in its list")
	return ""
}

// wantDevices wants these browsers' sessions in the list, in this order.
func (b *browser) wantDevices(when string, refs ...string) {
	b.t.Helper()
	var got []string
	for _, d := range b.devices() {
		got = append(got, d.ref)
	}
	if !slices.Equal(got, refs) {
		b.t.Errorf("%s: the list has %q, want %q", when, got, refs)
	}
}

// press submits the form of the page that has this action.
func (b *browser) press(p page, action string) page {
	b.t.Helper()
	for node := range p.doc.Descendants() {
		if node.Data == "form" && attr(node, "action") == action && attr(node, "method") == "post" {
			return b.post(action, nil)
		}
	}
	b.t.Fatalf("%s has no form to %s:\n%s", p.URL, action, p.Body)
	return page{}
}

// asks returns the sessions that the page asks about, and what it says.
func (p page) asks() (refs []string, text string) {
	for node := range p.doc.Descendants() {
		if strings.Contains(attr(node, "class"), "new-device") {
			refs, text = append(refs, attr(node, "data-ref")), text+textOf(node)
		}
	}
	return refs, text
}

func textOf(node *html.Node) string {
	var text strings.Builder
	for child := range node.Descendants() {
		if child.Type == html.TextNode {
			text.WriteString(child.Data + " ")
		}
	}
	return strings.Join(strings.Fields(text.String()), " ")
}

// wantQuestions wants the account and the page of devices to ask about these.
func (b *browser) wantQuestions(when string, refs ...string) {
	b.t.Helper()
	for _, path := range []string{"/account", "/devices"} {
		if got, _ := b.get(path).asks(); !slices.Equal(got, refs) {
			b.t.Errorf("%s: %s asks about %q, want %q", when, path, got, refs)
		}
	}
}

func TestDevices(t *testing.T) {
	t.Parallel()
	b := startRestartable(t, startBank)
	phone, desk, laptop := b.browser(t).as(phoneAgent), b.browser(t).as(otherAgent), b.browser(t)
	stranger := b.browser(t)
	phone.logIn(richard)
	desk.logIn(richard)
	stranger.logIn(erlich)
	laptop.claims(phone)

	refs := []string{laptop.ref(), desk.ref(), phone.ref()}
	for name, browser := range map[string]*browser{"phone": phone, "desk": desk, "laptop": laptop} {
		browser.wantDevices("at the "+name, refs...)
	}
	stranger.wantDevices("of another person", stranger.ref())

	cards := desk.devices()
	for i, want := range []string{"Firefox on Windows", "Chrome on Linux", "Safari on iOS"} {
		if !strings.HasPrefix(cards[i].text, want) || cards[i].here != (i == 1) {
			t.Errorf("card %d says %q, want %s; this device: %t", i, cards[i].text, want, i == 1)
		}
	}
	if got := cards[0].text; !strings.Contains(got, "with your phone") || !strings.Contains(got, "127.0.0.1") && !strings.Contains(got, "::1") {
		t.Errorf("the laptop's card says %q, want how it was logged in, and its address", got)
	}
	if strings.Contains(cards[1].text+cards[2].text, "with your phone") {
		t.Errorf("the cards of the ordinary logins say %q, %q", cards[1].text, cards[2].text)
	}
	if phone.get("/account").find("a", "") == nil || !strings.Contains(phone.get("/account").Body, `href="/devices"`) {
		t.Error("the account page does not lead to the devices")
	}

	b.restart()
	phone.wantDevices("after a restart", refs...)

	// One of them ends another.
	revocations := b.demo.once("/oauth2/revoke", "token", nil)
	p := phone.press(phone.get("/devices"), "/devices/"+refs[1]+"/end")
	if got := p.text("main"); p.Status != http.StatusOK || !strings.Contains(got, "Chrome on Linux") {
		t.Errorf("to end a device is answered with %d: %s", p.Status, got)
	}
	if revocations.Load() != 1 {
		t.Errorf("%d revocations, want one", revocations.Load())
	}
	p = desk.get("/account")
	if p.URL.Path != "/" || p.text("account-email") != "" || !strings.Contains(p.text("ended"), "from another of your devices") {
		t.Errorf("the next page of the ended session is %s: %s", p.URL.Path, p.text("main"))
	}
	if p = stranger.get("/"); p.find("", "ended") != nil {
		t.Error("another person is told that their session has ended")
	}
	phone.wantDevices("after one was ended", refs[0], refs[2])
	laptop.wantDevices("after one was ended", refs[0], refs[2])
	p = phone.post("/devices/"+refs[1]+"/end", nil)
	if p.Status != http.StatusOK || !strings.Contains(p.text("main"), "already") {
		t.Errorf("to end it once more is answered with %d: %s", p.Status, p.text("main"))
	}
	// The provider still knows that browser.
	if p := desk.get("/login"); p.URL.Path != "/account" || p.find("", "ended") != nil {
		t.Errorf("after another login the page is %s: %s", p.URL, p.text("main"))
	}

	// All others.
	laptopCookie := laptop.cookie()
	p = phone.press(phone.get("/devices"), "/devices/others/end")
	if !strings.Contains(p.text("main"), "2 other devices") {
		t.Errorf("to end all others is answered with %d: %s", p.Status, p.text("main"))
	}
	for name, ended := range map[string]*browser{"desk": desk, "laptop": laptop} {
		if got := ended.person(); got != "" {
			t.Errorf("the %s is still %q after all others were ended", name, got)
		}
	}
	thief := b.browser(t)
	thief.setCookie(laptopCookie)
	if p := thief.get("/reload"); p.text("account-email") != "" || thief.cookie() != laptopCookie {
		t.Error("the cookie of an ended session is good for something")
	}
	phone.wantDevices("after all others were ended", refs[2])
	if phone.get("/devices").find("form", "end-others") != nil {
		t.Error("there are no others to end, and yet a button for it")
	}
	if p = phone.post("/devices/others/end", nil); !strings.Contains(p.text("main"), "no other") {
		t.Errorf("to end all others once more is answered with %d: %s", p.Status, p.text("main"))
	}
	stranger.wantDevices("after all that", stranger.ref())
	if !strings.Contains(b.log.String(), `msg="session ended" ref=`+refs[0]+" by="+refs[2]+" person.issuer=") {
		t.Errorf("the log does not say that %s ended %s", refs[2], refs[0])
	}
}

// The refresh token of a session that was ended is worth nothing, whoever has it.
func TestEndedSessionsTokens(t *testing.T) {
	t.Parallel()
	b := startRestartable(t, startBank)
	phone, laptop := b.browser(t), b.browser(t)
	laptop.logIn(richard)
	stolen := b.demo.seen("refresh_token")
	phone.logIn(richard)
	if len(stolen) != 1 {
		t.Fatalf("%d refresh tokens went by, want one", len(stolen))
	}
	phone.press(phone.get("/devices"), "/devices/"+laptop.ref()+"/end")
	answer := phone.post(b.DemoURL+"/oauth2/token", url.Values{
		"client_id": {"e9fdb985-9173-4e01-9d73-ac2d60d1dc8e"}, "client_secret": {b.secret},
		"grant_type": {"refresh_token"}, "refresh_token": stolen,
	})
	if answer.Status != http.StatusBadRequest || !strings.Contains(answer.Body, "invalid_grant") {
		t.Errorf("the provider answers the ended session's refresh token with %d %s, want invalid_grant", answer.Status, answer.Body)
	}
}

// A provider that does not revoke delays nobody's end.
func TestEndDespiteTheProvider(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"500", "reset"} {
		b := startRestartable(t, startBank)
		phone, laptop := b.browser(t), b.browser(t)
		phone.logIn(richard)
		laptop.logIn(richard)
		revocations := b.demo.once("/oauth2/revoke", "token", faults[name])
		if p := phone.post("/devices/"+laptop.ref()+"/end", nil); p.Status != http.StatusOK || laptop.person() != "" {
			t.Errorf("%s: ending is answered with %d, and the laptop is %q", name, p.Status, laptop.person())
		}
		if revocations.Load() != 1 {
			t.Errorf("%s: %d revocations, want one", name, revocations.Load())
		}
	}
}

// After a QR login the person's other sessions ask about it. A laptop that
// somebody tricked the phone into logging in must not answer for itself, and
// several of them not for each other.
func TestNewDeviceIsAskedAbout(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	phone, desk, laptop, evil := b.browser(t).as(phoneAgent), b.browser(t), b.browser(t), b.browser(t).as(otherAgent)
	stranger := b.browser(t)
	phone.logIn(richard)
	desk.logIn(richard)
	stranger.logIn(erlich)
	phone.wantQuestions("before any QR login")
	laptop.claims(phone)
	mine := laptop.ref()
	phone.wantQuestions("after a QR login, at the phone", mine)
	desk.wantQuestions("after a QR login, elsewhere", mine)
	laptop.wantQuestions("after a QR login, at the laptop itself")
	stranger.wantQuestions("after another person's QR login")
	if _, text := phone.get("/account").asks(); !strings.Contains(text, "Firefox on Windows") || !strings.Contains(text, "Was that you?") {
		t.Errorf("the phone is asked %q", text)
	}

	evil.claims(phone)
	theirs := evil.ref()
	laptop.wantQuestions("at a laptop that is in question itself")
	for _, answered := range []string{mine, theirs} {
		for name, by := range map[string]*browser{"laptop": laptop, "other laptop": evil} {
			if p := by.post("/devices/"+answered+"/confirm", nil); p.Status != http.StatusForbidden || !strings.Contains(p.text("error"), "phone") {
				t.Errorf("the answer of the %s, which is in question itself, is answered with %d: %s", name, p.Status, p.text("main"))
			}
		}
	}
	phone.wantQuestions("after those answers", theirs, mine)

	// Answered once is answered everywhere.
	if p := phone.press(phone.get("/account"), "/devices/"+mine+"/confirm"); p.Status != http.StatusOK || p.find("", "devices") == nil {
		t.Errorf(`"Yes, that was me" leads to %s: %d`, p.URL, p.Status)
	}
	phone.wantQuestions("after the yes", theirs)
	desk.wantQuestions("after the yes, elsewhere", theirs)
	laptop.wantQuestions("after the yes, at the laptop that it was about", theirs)
	p := laptop.press(laptop.get("/account"), "/devices/"+theirs+"/end")
	if !strings.Contains(p.text("main"), "logged out") || !strings.Contains(p.text("main"), "Chrome on Linux") {
		t.Errorf(`"No, log it out" is answered with %d: %s`, p.Status, p.text("main"))
	}
	if got := evil.person(); got != "" {
		t.Errorf("the laptop that was none of theirs is still logged in as %q", got)
	}
	phone.wantQuestions("after the no")
	if p := phone.post("/devices/"+theirs+"/confirm", nil); !strings.Contains(p.text("main"), "already") {
		t.Errorf("a yes to a session that was ended is answered with %d: %s", p.Status, p.text("main"))
	}
	// A login of its own takes a laptop out of question.
	third := b.browser(t)
	third.claims(phone)
	third.logIn(richard)
	phone.wantQuestions("after the laptop has logged in by itself")
}

// What is not one's own device is unknown, and what was not pressed here is
// not done.
func TestDevicesOfOthers(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	mine, theirs, nobody := b.browser(t), b.browser(t), b.browser(t)
	mine.logIn(richard)
	theirs.logIn(erlich)
	words := func(p page) string {
		said, _, _ := strings.Cut(p.text("main"), "say this reference") // each error has its own
		return said
	}
	unknown := words(mine.post("/devices/NOSUCHRF/end", nil))
	for _, what := range []string{"end", "confirm"} {
		path := "/devices/" + theirs.ref() + "/" + what
		if p := mine.post(path, nil); p.Status != http.StatusNotFound || words(p) != unknown {
			t.Errorf("%s of another person's device is answered with %d: %s; want what an unknown one gets: %s", what, p.Status, words(p), unknown)
		}
		if p := nobody.post(path, nil); p.URL.Path != "/" || p.Status != http.StatusOK {
			t.Errorf("%s by nobody leads to %s: %d", what, p.URL, p.Status)
		}
		if p := theirs.get(path); p.Status != http.StatusMethodNotAllowed && p.Status != http.StatusNotFound {
			t.Errorf("a link to %s is answered with %d", path, p.Status)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Sec-Fetch-Site", "cross-site")
		if p := theirs.do(req); p.Status != http.StatusForbidden {
			t.Errorf("%s from another site is answered with %d, want 403", what, p.Status)
		}
	}
	if p := nobody.post("/devices/others/end", nil); p.URL.Path != "/" {
		t.Errorf("to end all others as nobody leads to %s", p.URL)
	}
	if p := nobody.get("/devices"); p.URL.Path != "/" {
		t.Errorf("nobody sees %s", p.URL)
	}
	if mine.person() != richard || theirs.person() != erlich {
		t.Errorf("the two are now %q and %q", mine.person(), theirs.person())
	}
	// One's own, from the list, is an ordinary logout.
	p := mine.press(mine.get("/devices"), "/devices/"+mine.ref()+"/end")
	if p.URL.String() != b.URL+"/" || p.find("", "ended") != nil || mine.person() != "" {
		t.Errorf("to end this very session leads to %s: %s", p.URL, p.text("main"))
	}
	if p := mine.get("/login"); "http://"+p.URL.Host != b.DemoURL {
		t.Errorf("after that the provider still knows the browser: %s", p.URL)
	}
}

// Many of one person's browsers come at once, some of them by phone: the list
// has them all, and one of them ends the others.
func TestDevicesAtOnce(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	phone := b.browser(t)
	phone.logIn(richard)
	browsers := make([]*browser, 16)
	var all sync.WaitGroup
	for i := range browsers {
		browsers[i] = b.browser(t)
		all.Go(func() {
			if i%2 == 0 {
				browsers[i].logIn(richard)
			} else {
				browsers[i].claims(phone)
			}
		})
	}
	all.Wait()
	if got := len(phone.devices()); got != 17 {
		t.Errorf("%d devices are listed, want 17", got)
	}
	var stay atomic.Int32
	phone.post("/devices/others/end", nil)
	for _, ended := range browsers {
		all.Go(func() {
			if ended.person() != "" {
				stay.Add(1)
			}
		})
	}
	all.Wait()
	if stay.Load() > 0 || len(phone.devices()) != 1 {
		t.Errorf("%d of 16 are still logged in, and %d devices listed, want 0 and 1", stay.Load(), len(phone.devices()))
	}
}

// The user agent and the address are whatever a browser likes to say.
func TestHostileDevice(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	phone, laptop := b.browser(t), b.browser(t).as(`<script>alert(1)</script>/1.0 "><img src=x>`)
	phone.logIn(richard)
	laptop.claims(phone)
	for _, path := range []string{"/devices", "/account"} {
		if p := phone.get(path); strings.Contains(p.Body, "<script>alert") || strings.Contains(p.Body, "<img src=x") {
			t.Errorf("%s lets markup through", path)
		}
	}
}

// A laptop in question must not log out the phone that could end it.
func TestUnconfirmedEndsNobody(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	phone.logIn(richard)
	laptop.claims(phone)
	for _, path := range []string{"/devices/others/end", "/devices/" + phone.ref() + "/end"} {
		if p := laptop.post(path, nil); p.Status != http.StatusForbidden || phone.person() != richard {
			t.Errorf("%s by a laptop in question: %d, and the phone is %q", path, p.Status, phone.person())
		}
	}
}
