package tests

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
)

// wantLimit checks the page of a limit: it says when to come back, and does not
// refresh, since a page that asks again would keep the limit busy.
func (p page) wantLimit(what string, least, most int) {
	p.t.Helper()
	wait, err := strconv.Atoi(p.Header.Get("Retry-After"))
	if p.Status != http.StatusTooManyRequests || err != nil || wait < least || wait > most {
		p.t.Errorf("%s: %v with Retry-After %q, want 429 and %d to %d seconds", what, p, p.Header.Get("Retry-After"), least, most)
	}
	if !p.has("error") || !p.says("minute") {
		p.t.Errorf("%s: the page does not say how long to wait: %v", what, p)
	}
	if strings.Contains(p.Body, "http-equiv") || strings.Contains(p.Body, "<script") {
		p.t.Errorf("%s: the page refreshes", what)
	}
}

// wantRefused checks how many lines of the log name the rule.
func (b *bank) wantRefused(t *testing.T, rule string, want int) {
	t.Helper()
	if got := strings.Count(b.log.String(), `level=WARN msg="qr login" step=refused rule=`+logged(rule)+" "); got != want {
		t.Errorf("the log names the rule %q %d times, want %d", rule, got, want)
	}
}

// New browsers at one address count together; with IPv6, those in one /64. The
// next network is not affected.
func TestCodesPerAddress(t *testing.T) {
	t.Parallel()
	b := startBank(t, "LIMIT_CODES_PER_ADDRESS=2")
	for _, addrs := range [][]string{
		{homeAddr, homeAddr, homeAddr},
		{"2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:2:ffff::3"},
		{"::ffff:192.0.2.7", "192.0.2.7", "192.0.2.7"},
	} {
		b.browser(t).at(addrs[0]).code()
		b.browser(t).at(addrs[1]).code()
		late := b.browser(t).at(addrs[2])
		p := late.get(qrPage)
		p.wantLimit(addrs[2], 200, 300)
		if !p.links("/login") {
			t.Errorf("the page offers no other way to log in: %v", p)
		}
		late.logIn(richard)
	}
	b.browser(t).at("2001:db8:1:3::1").code()
	b.wantRefused(t, "new codes for one address", 3)
}

// LIMIT_LIVE bounds the logins in progress. Each that ends makes room.
func TestLiveLogins(t *testing.T) {
	t.Parallel()
	b := startBank(t, "LIMIT_LIVE=2")
	first, second := b.browser(t).at(homeAddr), b.browser(t).at(thirdAddr)
	first.code()
	b.browser(t).at(homeAddr).code()
	second.get(qrPage).wantLimit("a third", 1, 60)
	first.post(qrPage+"/cancel", nil)
	second.code()
	b.wantRefused(t, "live attempts", 1)
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
		phone.get(link)
		guesser := []*browser{phone, tablet}[i%2]
		if p := guesser.get(fmt.Sprintf("/activate?user_code=NOSUCH%d", i)); p.Status != http.StatusNotFound || p.find("form", "activate") == nil {
			t.Fatalf("guess %d: %v, want 404 and the form", i+1, p)
		}
	}
	phone.get(link).wantLimit("the right code after four guesses", 100, 150)
	tablet.get("/activate?user_code=NOSUCH").wantLimit("a fifth guess on the other browser", 100, 150)
	form := url.Values{"user_code": {"NOSUCH"}, "attempt": {"x"}, "answer": {"yes"}}
	phone.post("/activate", form).wantLimit("a fifth guess that is posted", 100, 150)
	b.wantRefused(t, "unknown code", 4)
	b.wantRefused(t, "wrong codes", 3)
	laptop.wantState("opened")

	stranger := b.browser(t)
	if known, unknown := stranger.get(link).URL.Host, stranger.get("/activate?user_code=NOSUCH").URL.Host; known != unknown {
		t.Errorf("a stranger is led to %s with a known code and to %s with an unknown one", known, unknown)
	}
	if p := b.browserOf(t, richard).get(b.browser(t).code()); p.find("form", "approve") == nil {
		t.Errorf("another person must wait, too: %v", p)
	}
}

// A login starts only from the allowed networks, and finishes with a phone
// anywhere.
func TestAllowedNetworks(t *testing.T) {
	t.Parallel()
	b := startBank(t, "QR_ALLOW_FROM=203.0.113.0/24, 2001:db8::/32")
	inside, outside, phone := b.browser(t).at(homeAddr), b.browser(t).at(awayAddr), b.browserOf(t, richard).at(awayAddr)
	if p := outside.get(qrPage); p.Status != http.StatusForbidden || !p.has("error") || !p.links("/login") {
		t.Errorf("the QR page from outside: %v, want 403 and the ordinary login", p)
	}
	if p := outside.post(qrPage, nil); p.Status != http.StatusForbidden {
		t.Errorf("a new code from outside: %v, want 403", p)
	}
	b.wantRefused(t, "QR_ALLOW_FROM", 2)
	number := phone.approve(inside.code()).number()
	inside.at(awayAddr) // and so outside
	for what, p := range map[string]page{"the number": inside.typeNumber(number), "the claim": inside.get("/reload")} {
		if p.Status != http.StatusForbidden {
			t.Errorf("%s from outside: %v, want 403", what, p)
		}
	}
	inside.at(homeAddr).confirm(number, richard) // a refusal changes nothing
	b.browser(t).at("2001:db8::7").code()
	// A listed address behind which others are is refused: an unlisted proxy's.
	if p := b.browser(t).at(awayAddr + ", " + homeAddr).get(qrPage); p.Status != http.StatusForbidden {
		t.Errorf("the QR page from %s by way of %s: %v, want 403", awayAddr, homeAddr, p)
	}
	// An address that is not listed is refused, a proxy's own included.
	if p := b.browser(t).get(qrPage); p.Status != http.StatusForbidden {
		t.Errorf("the QR page from a proxy's address: %v, want 403", p)
	}
}
