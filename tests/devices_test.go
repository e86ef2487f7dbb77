package tests

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/html"

	"changebank/internal/testfusion"
)

// device is a card on the page of devices.
type device struct {
	ref, text string
	here      bool // this very browser's
}

// devices returns the cards that the browser sees, in order.
func (b *browser) devices() []device {
	b.t.Helper()
	p := b.get("/devices")
	list := p.find("", "devices")
	if list == nil {
		b.t.Fatalf("no list of devices: %v\n%s", p, p.Body)
	}
	var devices []device
	for node := range list.Descendants() {
		if ref := attr(node, "data-ref"); ref != "" {
			here := slices.ContainsFunc(node.Attr, func(a html.Attribute) bool { return a.Key == "data-here" })
			devices = append(devices, device{ref, textOf(node), here})
		}
	}
	return devices
}

// ref returns the reference of the browser's own session.
func (b *browser) ref() string {
	b.t.Helper()
	for _, d := range b.devices() {
		if d.here {
			return d.ref
		}
	}
	b.t.Fatal("the browser's own session is not listed")
	return ""
}

// wantDevices checks which sessions are listed, in order.
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

// endDevice logs out another of the person's devices.
func (b *browser) endDevice(ref string) page {
	b.t.Helper()
	return b.press(b.get("/devices"), "/devices/"+ref+"/end")
}

func TestDeviceList(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	phone, desk, laptop := b.browser(t).as(iPhoneAgent), b.browser(t).as(linuxAgent), b.browser(t)
	stranger := b.browserOf(t, erlich)
	phone.logIn(richard)
	desk.logIn(richard)
	laptop.logInWith(phone)

	refs := []string{laptop.ref(), desk.ref(), phone.ref()}
	for name, browser := range map[string]*browser{"phone": phone, "desk": desk, "laptop": laptop} {
		browser.wantDevices("on the "+name, refs...)
	}
	stranger.wantDevices("of another person", stranger.ref())
	cards := desk.devices()
	for i, want := range []string{"Firefox on Windows", "Chrome on Linux", "Safari on iOS"} {
		if !strings.HasPrefix(cards[i].text, want) || cards[i].here != (i == 1) {
			t.Errorf("card %d is %+v, want %s", i, cards[i], want)
		}
	}
	const byPhone = "with your phone"
	if got := cards[0].text; !strings.Contains(got, byPhone) || !strings.Contains(got, "127.0.0.1") && !strings.Contains(got, "::1") {
		t.Errorf("the laptop's card says %q, want how it was logged in and its address", got)
	}
	if strings.Contains(cards[1].text+cards[2].text, byPhone) {
		t.Errorf("the cards of the ordinary logins say %q and %q", cards[1].text, cards[2].text)
	}
	if p := phone.get("/account"); !p.links("/devices") {
		t.Errorf("the account page does not lead to the devices: %v", p)
	}
	b.restart()
	phone.wantDevices("after a restart", refs...)
}

func TestEndDevice(t *testing.T) {
	t.Parallel()
	b, laptop, phone := proxiedPair(t)
	stranger := b.browserOf(t, erlich)
	laptop.as(linuxAgent).logIn(richard)
	mine, ended := phone.ref(), laptop.ref()
	revocations := b.demo.once("/oauth2/revoke", "token", nil)
	if p := phone.endDevice(ended); p.Status != http.StatusOK || !p.says("Chrome on Linux") || !strings.Contains(p.text("advice"), "codes") || !p.links("/devices") {
		t.Errorf("ending a device: %v, want which one was logged out, and what to do if it was an intruder's", p)
	}
	phone.awaitCount("revocations", revocations, 1)
	if p := laptop.get("/account"); p.URL.Path != "/" || p.person() != "" || !p.has("ended") {
		t.Errorf("the ended session's next page is %v, want the home page with a notice", p)
	}
	if p := stranger.get("/account"); p.has("ended") {
		t.Error("another person is told that their session has ended")
	}
	phone.wantDevices("after one was ended", mine)
	if p := phone.post("/devices/"+ended+"/end", nil); p.Status != http.StatusOK || !p.says("Already") {
		t.Errorf("ending it again: %v, want that it had ended already", p)
	}
	// The provider still knows that browser.
	if p := laptop.get("/login"); p.URL.Path != "/account" || p.has("ended") {
		t.Errorf("after another login: %v, want the account", p)
	}
	if !strings.Contains(b.log.String(), `msg="session ended" ref=`+ended+" by="+mine+" person.issuer=") {
		t.Error("the log does not say who ended which session")
	}

	// A device ends itself with an ordinary logout.
	if p := phone.endDevice(mine); p.URL.String() != b.URL+"/" || p.has("ended") {
		t.Errorf("ending this very session leads to %v, want the home page", p)
	}
	if p := phone.get("/login"); "http://"+p.URL.Host != b.DemoURL {
		t.Errorf("after the logout the provider still knows the browser: %v", p)
	}
}

// One press does not end anything: a page asks first, and says how many and
// which.
func TestEndOtherDevices(t *testing.T) {
	t.Parallel()
	b, laptop, phone := pair(t)
	desk, stranger := b.browser(t).as(linuxAgent), b.browserOf(t, erlich)
	desk.logIn(richard)
	laptop.logInWith(phone)
	old := laptop.cookies()
	list := phone.get("/devices")
	if !list.links("/devices/others/end") {
		t.Fatalf("no link to the question: %v", list)
	}
	question := phone.get("/devices/others/end")
	for _, want := range []string{"2 other devices", "Firefox on Windows", "Chrome on Linux"} {
		if !question.says(want) {
			t.Errorf("the question lacks %q: %v", want, question)
		}
	}
	desk.wantPerson(richard)
	laptop.wantPerson(richard)
	if p := laptop.get("/devices/others/end"); p.Status != http.StatusForbidden {
		t.Errorf("a laptop that is in question itself is asked: %v, want 403", p)
	}
	if p := phone.submit(question, "end-others", nil); !p.says("2 other devices") || !p.has("advice") {
		t.Errorf("ending all others: %v, want how many, and what to do if one was an intruder's", p)
	}
	desk.wantPerson("")
	laptop.wantPerson("")
	thief := b.browser(t)
	thief.setCookies(old)
	had := thief.cookie()
	if p := thief.get("/reload"); p.person() != "" || thief.cookie() != had {
		t.Errorf("an ended session's cookie leads to %v", p)
	}
	phone.wantDevices("after all others were ended", phone.ref())
	if phone.get("/devices").has("end-others") {
		t.Error("there is a button to end others where there are none")
	}
	for _, p := range []page{phone.get("/devices/others/end"), phone.post("/devices/others/end", nil)} {
		if p.Status != http.StatusOK || !p.says("No other") || p.has("end-others") {
			t.Errorf("ending no others: %v", p)
		}
	}
	stranger.wantPerson(erlich)
}

// Sessions of other people look like unknown ones, and nobody can be made to
// end a session by a link or by another site.
func TestDevicesOfOthers(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	mine, theirs, nobody := b.browserOf(t, richard), b.browserOf(t, erlich), b.browser(t)
	words := func(p page) string { // but for the reference, which is each page's own
		words, _, _ := strings.Cut(p.text("main"), "quote this reference")
		return words
	}
	unknown := words(mine.post("/devices/NOSUCHRF/end", nil))
	for _, what := range []string{"end", "confirm", "name"} {
		path := "/devices/" + theirs.ref() + "/" + what
		if p := mine.post(path, nil); p.Status != http.StatusNotFound || words(p) != unknown {
			t.Errorf("%s another person's device: %v, want what an unknown one gets: %s", what, p, unknown)
		}
		if p := nobody.post(path, nil); p.URL.Path != "/" || p.Status != http.StatusOK {
			t.Errorf("%s as nobody: %v, want the home page", what, p)
		}
		if p := theirs.get(path); p.Status != http.StatusMethodNotAllowed && p.Status != http.StatusNotFound {
			t.Errorf("a link to %s: %v, want 404 or 405", path, p)
		}
		if p := theirs.do(theirs.request(http.MethodPost, path, nil, "Sec-Fetch-Site", "cross-site")); p.Status != http.StatusForbidden {
			t.Errorf("%s from another site: %v, want 403", what, p)
		}
	}
	for _, p := range []page{nobody.post("/devices/others/end", nil), nobody.get("/devices/others/end"), nobody.get("/devices")} {
		if p.URL.Path != "/" {
			t.Errorf("nobody sees %v, want the home page", p)
		}
	}
	mine.wantPerson(richard)
	theirs.wantPerson(erlich)
}

// Many of a person's browsers log in at once, half of them by phone. All are
// listed, and one of them ends the others.
func TestManyDevices(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	phone := b.browserOf(t, richard)
	browsers := make([]*browser, 16)
	var all sync.WaitGroup
	for i := range browsers {
		browsers[i] = b.browser(t)
		all.Go(func() {
			if i%2 == 0 {
				browsers[i].logIn(richard)
			} else {
				browsers[i].logInWith(phone)
			}
		})
	}
	all.Wait()
	if got := len(phone.devices()); got != 17 {
		t.Errorf("%d devices are listed, want 17", got)
	}
	var left atomic.Int32
	phone.post("/devices/others/end", nil)
	for _, ended := range browsers {
		all.Go(func() {
			if ended.person() != "" {
				left.Add(1)
			}
		})
	}
	all.Wait()
	if left.Load() > 0 || len(phone.devices()) != 1 {
		t.Errorf("%d of 16 are still logged in, and %d devices listed, want 0 and 1", left.Load(), len(phone.devices()))
	}
}

// After a device was logged out, the person learns at which login service to
// change the password. At the demo provider nobody can.
func TestAdviceNamesLoginService(t *testing.T) {
	t.Parallel()
	b, laptop, phone := fusionPair(t, testfusion.Behavior{})
	laptop.logInWith(phone)
	host := strings.TrimPrefix(b.fusion.URL, "http://")
	if got := phone.endDevice(laptop.ref()).text("advice"); !strings.Contains(got, host) || !strings.Contains(got, "password") {
		t.Errorf("the advice is %q, want where to change the password: %s", got, host)
	}
	_, laptop, phone = pair(t)
	laptop.logInWith(phone)
	if got := phone.endDevice(laptop.ref()).text("advice"); strings.Contains(got, "password") {
		t.Errorf("the advice at the demo is %q, which has no way to change a password", got)
	}
}
