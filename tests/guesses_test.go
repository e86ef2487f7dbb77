package tests

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// scan opens a link as a phone's camera does.
func (b *browser) scan(link string) page {
	b.t.Helper()
	return b.do(b.request(http.MethodGet, link, nil, "Sec-Fetch-Site", "none"))
}

// follow opens a link on another site.
func (b *browser) follow(link string) page {
	b.t.Helper()
	return b.do(b.request(http.MethodGet, link, nil, "Sec-Fetch-Site", "cross-site"))
}

// typeCode enters a code in the form on the phone's page.
func (b *browser) typeCode(form page, code string) page {
	b.t.Helper()
	if form.find("form", "activate") == nil {
		b.t.Fatalf("no form for a code: %v", form)
	}
	path := "/activate?" + url.Values{"user_code": {code}}.Encode()
	return b.do(b.request(http.MethodGet, path, nil, "Sec-Fetch-Site", "same-origin"))
}

// wantUnknown checks that the page says that nobody knows the code, and has the
// form with the code filled in.
func (p page) wantUnknown(code string) {
	p.t.Helper()
	if p.Status != http.StatusNotFound || !p.has("problem") || p.find("form", "activate") == nil || p.attr("code", "value") != code {
		p.t.Fatalf("%s: %v, want 404 and the form with the code", code, p)
	}
}

// A code has six characters, and a person who guesses one could approve it. So
// a person may try only a few wrong ones, on all their browsers together. Right
// codes cost nothing, other people are not affected, and without a login nobody
// learns which codes exist.
func TestGuessedUserCode(t *testing.T) {
	t.Parallel()
	b := startBank(t, "LIMIT_WRONG_CODES=4")
	laptop, phone, tablet := b.browser(t), b.browserOf(t, erlich).at(homeAddr), b.browserOf(t, erlich).at(awayAddr)
	link := laptop.code()
	for i := range 4 {
		phone.scan(link)
		code := fmt.Sprintf("NOSUCH%d", i)
		[]*browser{phone, tablet}[i%2].scan("/activate?user_code=" + code).wantUnknown(code)
	}
	phone.scan(link).wantLimit("the right code after four guesses", 100, 150)
	tablet.scan("/activate?user_code=NOSUCH").wantLimit("a fifth guess on the other browser", 100, 150)
	form := url.Values{"user_code": {"NOSUCH"}, "attempt": {"x"}, "answer": {"yes"}}
	phone.post("/activate", form).wantLimit("a fifth guess that is posted", 100, 150)
	b.wantRefused(t, "unknown code", 4)
	b.wantRefused(t, "wrong codes", 3)
	laptop.wantState("opened")

	stranger := b.browser(t)
	if known, unknown := stranger.scan(link).URL.Host, stranger.scan("/activate?user_code=NOSUCH").URL.Host; known != unknown {
		t.Errorf("a stranger is led to %s with a known code and to %s with an unknown one", known, unknown)
	}
	if p := b.browserOf(t, richard).scan(b.browser(t).code()); p.find("form", "approve") == nil {
		t.Errorf("another person must wait, too: %v", p)
	}
}

// A person reloads a dead link, which has run out or was mistyped. It costs one
// try, not one each time.
func TestReloadedDeadLink(t *testing.T) {
	t.Parallel()
	b := startBank(t, "LIMIT_WRONG_CODES=2")
	laptop, phone := b.browser(t), b.browserOf(t, richard)
	for range 5 {
		phone.scan("/activate?user_code=NOSUCH").wantUnknown("NOSUCH")
		phone.follow("/activate?user_code=NOSUCH").wantUnknown("NOSUCH")
		phone.scan("/activate?user_code=nosuch").wantUnknown("nosuch")
	}
	b.wantRefused(t, "unknown code", 1)
	if p := phone.scan(laptop.code()); p.find("form", "approve") == nil {
		t.Errorf("the right code after a dead link: %v", p)
	}
	phone.scan("/activate?user_code=NOSUCH2").wantUnknown("NOSUCH2")
	phone.scan("/activate?user_code=NOSUCH3").wantLimit("a third dead link", 200, 300)
}

// Another site opens made-up links in a person's browser, to use up their tries.
// The person can still scan and type codes. A guesser who makes his requests look
// like that gets as many tries again, and then learns nothing more: a code that
// exists looks like one that does not.
func TestLinksOfAnotherSite(t *testing.T) {
	t.Parallel()
	b := startBank(t, "LIMIT_WRONG_CODES=4")
	laptop, phone := b.browser(t), b.browserOf(t, richard)
	shown, link := laptop.showCode()
	for i := range 4 {
		code := fmt.Sprintf("NOSUCH%d", i)
		phone.follow("/activate?user_code=" + code).wantUnknown(code)
	}
	b.wantRefused(t, "unknown code", 4)
	code := shown.text("user-code")
	exists, not := phone.follow(link), phone.follow("/activate?user_code=NOSUCH")
	b.wantRefused(t, "wrong codes in links", 2)
	if exists.Status != http.StatusOK || exists.attr("code", "value") != code || exists.has("problem") {
		t.Errorf("a link with a known code: %v, want the form with the code", exists)
	}
	if strings.ReplaceAll(exists.Body, code, "NOSUCH") != not.Body || not.Status != exists.Status {
		t.Error("the form shows whether the code exists")
	}
	laptop.wantState("waiting")
	for header, p := range map[string]page{
		"Sec-Fetch-Site: same-site": phone.do(phone.request(http.MethodGet, link, nil, "Sec-Fetch-Site", "same-site")),
		"no header":                 phone.get(link),
		"another site's Referer":    phone.do(phone.request(http.MethodGet, link, nil, "Referer", b.URL+".evil.example/")),
	} {
		if p.find("form", "activate") == nil || p.Status != http.StatusOK {
			t.Errorf("%s: %v, want the form", header, p)
		}
	}
	laptop.wantState("waiting")

	if p := phone.typeCode(exists, code); p.find("form", "approve") == nil {
		t.Errorf("a press of the form's button: %v, want the question", p)
	}
	if p := phone.scan(link); p.find("form", "approve") == nil {
		t.Errorf("a scan: %v, want the question", p)
	}
	// Over plain http, browsers send no Sec-Fetch headers, but the Referer.
	if p := phone.do(phone.request(http.MethodGet, link, nil, "Referer", b.URL+"/activate")); p.find("form", "approve") == nil {
		t.Errorf("a press of the form's button over plain http: %v, want the question", p)
	}
	for i := range 4 {
		code := fmt.Sprintf("NONE%d", i)
		phone.scan("/activate?user_code=" + code).wantUnknown(code)
	}
	phone.scan("/activate?user_code=NONE").wantLimit("a fifth code of their own", 100, 150)
}

// A phone that is not logged in scans, and comes back from the provider's login
// page: for its browser, that is another site.
func TestScanBeforeLogin(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, phone := b.browser(t), b.browser(t)
	link := laptop.code()
	if p := phone.atProvider(phone.scan(link), richard); p.find("form", "approve") == nil || p.URL.String() != link {
		t.Fatalf("after the login: %v, want the question", p)
	}
	if p := phone.follow(link); p.find("form", "approve") == nil {
		t.Errorf("a link with a known code on another site: %v, want the question", p)
	}
}

// Chromium says where it comes from: a site that sends it to one made-up code
// after the other costs the person nothing of their own tries.
func TestLinksOfAnotherSiteInBrowser(t *testing.T) {
	t.Parallel()
	b := startBank(t, "LIMIT_WRONG_CODES=2")
	laptop, phone := windows(t, startChromium(t))
	phone.logIn(b, richard)
	phone.expect("404")
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = fmt.Fprintf(w, `<!doctype html><title>Prizes</title><link rel="icon" href="data:,"><a id="prize" href="%s/activate?user_code=%s">Prize</a>`, b.URL, r.URL.Path[1:])
	}))
	t.Cleanup(other.Close)
	for i := range 4 {
		phone.open(fmt.Sprintf("%s/NOSUCH%d", other.URL, i))
		phone.click("#prize")
		phone.await("form#activate")
		if got, want := phone.has("#problem"), i < 2; got != want {
			t.Errorf("link %d says that the code is unknown: %t, want %t", i+1, got, want)
		}
	}
	link := laptop.showCode(b)
	phone.open(link) // typed, or scanned
	phone.await("form#approve")
	phone.open("about:blank")
	phone.open(b.URL + "/activate")
	phone.fill("#code", "NOSUCH9\r")
	phone.await("#problem")
}

// shift replaces the characters from first to last by those from by on.
func shift(text string, first, last, by rune) string {
	return strings.Map(func(c rune) rune {
		if first <= c && c <= last {
			return c - first + by
		}
		return c
	}, text)
}

// People type codes with the keys of their own script, and paste them with
// invisible characters, or the whole link that the code came in. The provider
// gets the code as it issued it.
func TestCodeAsItIsTyped(t *testing.T) {
	t.Parallel()
	b := startProxied(t)
	phone := b.browserOf(t, richard)
	for name, typed := range map[string]func(code, link string) string{
		"full-width":           func(code, _ string) string { return shift(code, '!', '~', '！') },
		"Arabic digits":        func(code, _ string) string { return shift(code, '0', '9', '٠') },
		"invisible and a dash": func(code, _ string) string { return "\u200e" + code[:2] + "\u200b\u2011" + code[2:] + "\u00a0" },
		"the link":             func(_, link string) string { return " " + link + "\n" },
		"the link, no scheme":  func(_, link string) string { return strings.TrimPrefix(link, "http://") },
		"the link, escaped":    func(_, link string) string { return url.QueryEscape(link) },
		"the provider's link": func(code, _ string) string {
			return b.DemoURL + "/oauth2/device?client_id=x&user_code=" + strings.ToLower(code) + "&tenantId=y"
		},
	} {
		laptop := b.browser(t)
		shown, link := laptop.showCode()
		code := shown.text("user-code")
		question := phone.typeCode(phone.get("/activate"), typed(code, link))
		if question.find("form", "approve") == nil || question.text("user-code") != code {
			t.Errorf("%s: %q leads to %v, want the question about %s", name, typed(code, link), question, code)
			continue
		}
		phone.answer(question, "yes")
		laptop.claim(richard)
	}
}

// So do they with the number.
func TestNumberAsItIsTyped(t *testing.T) {
	t.Parallel()
	b, _, phone := farPair(t)
	for name, typed := range map[string]func(number string) string{
		"full-width": func(number string) string { return shift(number, '0', '9', '０') },
		"Persian":    func(number string) string { return "\u200f" + shift(number, '0', '9', '۰') + "\u200f" },
		"pasted":     func(number string) string { return number[:2] + "\u00a0\u2011\u200b" + number[2:] + "\n" },
	} {
		laptop := b.browser(t).at(awayAddr)
		number := phone.approve(laptop.code()).number()
		t.Logf("%s: %q", name, typed(number))
		laptop.confirm(typed(number), richard)
	}
}
