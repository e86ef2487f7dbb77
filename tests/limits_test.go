package tests

import (
	"net/http"
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
	quoted := rule
	if strings.Contains(rule, " ") {
		quoted = strconv.Quote(rule)
	}
	if got := strings.Count(b.log.String(), `level=WARN msg="qr login" step=refused rule=`+quoted+" "); got != want {
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
	inside.confirm(phone.approve(inside.code()).number(), richard)
	b.browser(t).at("2001:db8::7").code()
	// An address that is not listed is refused, a proxy's own included.
	if p := b.browser(t).get(qrPage); p.Status != http.StatusForbidden {
		t.Errorf("the QR page from a proxy's address: %v, want 403", p)
	}
}
