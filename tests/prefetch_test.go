package tests

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// A visit is a request that nobody made on purpose.
type visit struct{ method, header, value string }

// visits are what browsers and previews send before anybody clicks.
var visits = []visit{
	{"HEAD", "", ""},
	{"GET", "Sec-Purpose", "prefetch"},
	{"GET", "Sec-Purpose", "prefetch;prerender"},
	{"GET", "Purpose", "prefetch"},
	{"GET", "X-Moz", "prefetch"},
	{"GET", "X-Purpose", "preview"},
}

func (b *browser) visit(v visit, path string) page {
	b.t.Helper()
	req := b.request(v.method, path, nil)
	if v.header != "" {
		req.Header.Set(v.header, v.value)
	}
	return b.do(req)
}

// HEAD requests and prefetches start, open and claim nothing.
func TestPrefetch(t *testing.T) {
	t.Parallel()
	b, laptop, phone := pair(t)
	link := laptop.code()
	for _, v := range visits {
		if p := phone.visit(v, link); v.method == "GET" && p.Status != http.StatusServiceUnavailable {
			t.Errorf("%v: %d, want 503", v, p.Status)
		}
	}
	if got := laptop.state(); got != "waiting" {
		t.Fatalf("after prefetches the laptop's page is %q, want waiting", got)
	}
	phone.approve(link)
	laptop.awaitApproved()
	newcomer := b.browser(t)
	for _, v := range visits {
		laptop.visit(v, "/reload")
		newcomer.visit(v, qrPage)
	}
	if got := strings.TrimSpace(laptop.get("/device_grant_finished").Body); got != `{"reload":"true"}` {
		t.Errorf("a prefetch claimed the login: %s", got)
	}
	if len(newcomer.cookies()) > 0 {
		t.Error("a prefetch got a cookie")
	}
	laptop.claim(richard)
}

// A mail scanner or a chat's preview asks as a browser does, but nobody is
// logged in there: it opens nothing.
func TestLinkPreview(t *testing.T) {
	t.Parallel()
	b := startBank(t)
	laptop, scanner := b.browser(t).at(awayAddr), b.browser(t)
	if p := scanner.get(laptop.code()); p.find("form", "approve") != nil || strings.Contains(p.Body, awayAddr) {
		t.Errorf("a scanner is shown %v", p)
	}
	laptop.wantState("waiting")
}

// A prefetch does not show the number, and does not count as a network change of
// the laptop.
func TestPrefetchWithNumber(t *testing.T) {
	t.Parallel()
	b, laptop, phone := farPair(t)
	link := laptop.code()
	number := phone.approve(link).number()
	for _, v := range visits {
		if p := phone.visit(v, link); strings.Contains(p.Body, number) {
			t.Errorf("%v shows the number", v)
		}
		moved := b.browser(t).at(thirdAddr)
		moved.setCookies(laptop.cookies())
		moved.visit(v, qrPage)
		moved.visit(v, qrPage+"/events")
	}
	if got := laptop.state(); got != "number" {
		t.Fatalf("after prefetches the laptop's page is %q, want number", got)
	}
	laptop.doOnce(laptop.request(http.MethodPost, qrPage+"/confirm", url.Values{"number": {number}}, "Sec-Fetch-Site", "same-origin"))
	laptop.awaitApproved()
	laptop.getOnce("/reload")
}
