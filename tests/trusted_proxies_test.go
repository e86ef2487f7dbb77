package tests

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
)

// startPublic runs a bank with a public name, which its browsers look for on
// this machine.
func startPublic(t *testing.T, settings ...string) *bank {
	t.Helper()
	return startBank(t, append(settings, "APP_URL=http://bank.example:0", "DEMO_URL=http://localhost:0", "DEMO=public")...)
}

// resolving returns a browser that looks for every name on this machine.
func (b *bank) resolving(t *testing.T) *browser {
	who := b.browser(t)
	who.transport().DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("localhost", port))
	}
	return who
}

// resolvingPair returns a laptop's browser and one on which richard is logged
// in, both at an address that they claim.
func (b *bank) resolvingPair(t *testing.T, laptopAddr, phoneAddr string) (laptop, phone *browser) {
	t.Helper()
	laptop, phone = b.resolving(t).at(laptopAddr), b.resolving(t).at(phoneAddr)
	phone.logIn(richard)
	return laptop, phone
}

// isLoopback reports whether an address is this machine's own, from which the
// tests connect.
func isLoopback(addr string) bool { return addr == "127.0.0.1" || addr == "::1" }

// Anyone can send X-Forwarded-For. From a connection that is not a trusted
// proxy's it changes nothing: not what the phone is told, whether a number is
// asked for, which limit counts, or who may start.
func TestForgedAddress(t *testing.T) {
	t.Parallel()
	b := startPublic(t, "TRUSTED_PROXIES=192.0.2.1", "LIMIT_CODES_PER_ADDRESS=2")
	laptop, phone := b.resolvingPair(t, homeAddr, homeAddr)
	question := phone.get(laptop.code())
	if got := question.text("asking-from"); !isLoopback(got) {
		t.Errorf("the phone is told %q, want the address that connected", got)
	}
	phone.answer(question, "yes").number()
	laptop.wantNoLogin("with the phone's address claimed")
	b.resolving(t).at(awayAddr).code()
	b.resolving(t).at(thirdAddr).get(qrPage).wantLimit("a third code from a third forged address", 200, 300)
	b.stop()
	for _, forged := range []string{homeAddr, awayAddr, thirdAddr} {
		if strings.Contains(b.log.String(), forged) {
			t.Errorf("the log has the forged address %s", forged)
		}
	}

	b = startBank(t, "TRUSTED_PROXIES=192.0.2.1", "QR_ALLOW_FROM="+homeAddr)
	if p := b.browser(t).at(homeAddr).get(qrPage); p.Status != http.StatusForbidden {
		t.Errorf("a forged address where only its network may start: %v, want 403", p)
	}
}

// Of the hops before a trusted proxy, only the right-most one that is not
// trusted counts. Those further left could be the browser's own words.
func TestForgedHops(t *testing.T) {
	t.Parallel()
	b := startBank(t, "TRUSTED_PROXIES=127.0.0.0/8, ::1, 10.0.0.0/8")
	phone := b.browserOf(t, richard).at(homeAddr)
	for _, hops := range []string{
		homeAddr + ", " + awayAddr,
		homeAddr + "," + homeAddr + " , " + awayAddr + ", 10.1.2.3",
		"rubbish, " + awayAddr,
		homeAddr + ", 999.1.1.1, " + awayAddr,
	} {
		laptop := b.browser(t).at(hops)
		question := phone.get(laptop.code())
		if got := question.text("asking-from"); got != awayAddr {
			t.Errorf("with the hops %q the phone is told %q, want %s", hops, got, awayAddr)
		}
		phone.answer(question, "yes").number()
		laptop.wantNoLogin("with the hops " + hops)
	}
}

// TRUSTED_PROXIES does not name the proxy, so that everyone seems to have its
// private address. That does not count as one network, so the number is asked for,
// and the log says once what is wrong.
func TestUnlistedProxy(t *testing.T) {
	t.Parallel()
	b := startPublic(t, "TRUSTED_PROXIES=192.0.2.1")
	for range 2 {
		laptop, phone := b.resolvingPair(t, awayAddr, homeAddr)
		laptop.confirm(phone.approve(laptop.code()).number(), richard)
	}
	b.wantProxyWarnings(t, 1)
}

// A proxy with a public address that is not listed, in front of one that is:
// everyone seems to come from it, so no two browsers count as near.
func TestUnlistedPublicProxy(t *testing.T) {
	t.Parallel()
	const edge = ", 104.16.0.1"
	b := startPublic(t)
	laptop, phone := b.resolvingPair(t, awayAddr+edge, homeAddr+edge)
	question := phone.get(laptop.code())
	if !question.has("far") {
		t.Error("the question does not warn of another network")
	}
	phone.answer(question, "yes").number()
	b.wantProxyWarnings(t, 1)
}

// With the proxy listed, two browsers on one network need no number, and the
// log has no warning.
func TestListedProxy(t *testing.T) {
	t.Parallel()
	b := startPublic(t)
	laptop, phone := b.resolvingPair(t, homeAddr, homeAddr)
	laptop.logInWith(phone)
	b.wantProxyWarnings(t, 0)
}

// wantProxyWarnings checks how often the log warns of a proxy that is not
// listed.
func (b *bank) wantProxyWarnings(t *testing.T, want int) {
	t.Helper()
	if got := strings.Count(b.log.String(), "TRUSTED_PROXIES"); got != want {
		t.Errorf("the log warns of an unlisted proxy %d times, want %d", got, want)
	}
}
