package main

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// startPublic runs a bank that has a name in the world, as its browsers see
// it: they find it on this machine nevertheless.
func startPublic(t *testing.T, settings ...string) *bank {
	t.Helper()
	b := startBank(t, append(settings, "APP_URL=http://bank.example:0", "DEMO_URL=http://localhost:0", "DEMO=public")...)
	b.log.await(t, `(identity provider found)`, nil)
	return b
}

// resolving returns a browser that looks for every name on this machine.
func (b *bank) resolving(t *testing.T) *browser {
	who := b.browser(t)
	transport := who.transport()
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("localhost", port))
	}
	return who
}

// The forged address. Anybody can send X-Forwarded-For. From a connection that
// is not a trusted proxy's it changes nothing: not what the phone is told, not
// whether a number is asked for, not whose limit it is, not who may start.
func TestForgedAddress(t *testing.T) {
	t.Parallel()
	b := startPublic(t, "TRUSTED_PROXIES=192.0.2.1", "LIMIT_CODES_PER_ADDRESS=2")
	phone := b.resolving(t).at(victims)
	phone.logIn(richard)
	laptop := b.resolving(t).at(victims)
	_, link := laptop.showCode()
	question := phone.get(link)
	if got := question.text("asking-from"); got != "127.0.0.1" && got != "::1" {
		t.Errorf("the phone is told of %q, want the address that connected", got)
	}
	phone.submit(question, "approve", url.Values{"answer": {"yes"}}).wantNumber()
	laptop.wantNoWayIn("by claiming to be in the phone's network")
	b.resolving(t).at(attackers).showCode()
	b.resolving(t).at(elsewhere).get("/logged-out-qr-login").wantWait("a third code, and a third forged address", "10 minutes", 500, 600)
	b.stop()
	for _, forged := range []string{victims, attackers, elsewhere} {
		if strings.Contains(b.log.String(), forged) {
			t.Errorf("the log believes in %s", forged)
		}
	}

	b = startBank(t, "TRUSTED_PROXIES=192.0.2.1", "QR_ALLOW_FROM="+victims)
	if p := b.browser(t).at(victims).get("/logged-out-qr-login"); p.Status != http.StatusForbidden {
		t.Errorf("a forged address starts a login where it may not: %d", p.Status)
	}
}

// Through a proxy that is trusted, the hops that it does not vouch for could
// have been sent by the browser: only the right-most of them counts.
func TestForgedHops(t *testing.T) {
	t.Parallel()
	b := startBank(t, "TRUSTED_PROXIES=127.0.0.0/8, ::1, 10.0.0.0/8")
	phone := b.browser(t).at(victims)
	phone.logIn(richard)
	for _, hops := range []string{victims + ", " + attackers, victims + "," + victims + " , " + attackers + ", 10.1.2.3", "rubbish, " + attackers, victims + ", 999.1.1.1, " + attackers} {
		laptop := b.browser(t).at(hops)
		_, link := laptop.showCode()
		question := phone.get(link)
		if got := question.text("asking-from"); got != attackers {
			t.Errorf("with the hops %q the phone is told of %q, want %s", hops, got, attackers)
		}
		phone.submit(question, "approve", url.Values{"answer": {"yes"}}).wantNumber()
		laptop.wantNoWayIn("with the hops " + hops)
	}
}

// The forgotten proxy. TRUSTED_PROXIES does not name it, so that all the world
// has its one private address. That is no common network, so the number is
// asked for, and the log says once what is amiss.
func TestForgottenProxy(t *testing.T) {
	t.Parallel()
	b := startPublic(t, "TRUSTED_PROXIES=192.0.2.1")
	phone := b.resolving(t).at(victims)
	phone.logIn(richard)
	for range 2 {
		laptop := b.resolving(t).at(attackers)
		_, link := laptop.showCode()
		number := phone.answer(link, "yes").wantNumber()
		if got := laptop.confirms(number).text("account-email"); got != richard {
			t.Errorf("with the number the laptop is logged in as %q, want %s", got, richard)
		}
	}
	if got := strings.Count(b.log.String(), "TRUSTED_PROXIES must name it"); got != 1 {
		t.Errorf("the log warns %d times, want once", got)
	}
}

// Where the proxy is named there is nothing to warn of, and one network is one.
func TestTrustedProxy(t *testing.T) {
	t.Parallel()
	b := startPublic(t)
	laptop, phone := b.resolving(t).at(victims), b.resolving(t).at(victims)
	phone.logIn(richard)
	laptop.claims(phone)
	if strings.Contains(b.log.String(), "TRUSTED_PROXIES") {
		t.Error("the log warns of a proxy that is named")
	}
}

// A proxy with a public address that nobody configured, before one that is
// trusted: everybody seems to come from it, so nobody is near anybody.
func TestForgottenPublicProxy(t *testing.T) {
	t.Parallel()
	const edge = ", 104.16.0.1"
	b := startPublic(t)
	phone, laptop := b.resolving(t).at(victims+edge), b.resolving(t).at(attackers+edge)
	phone.logIn(richard)
	_, link := laptop.showCode()
	question := phone.get(link)
	if question.find("", "far") == nil {
		t.Error("the phone's page does not warn")
	}
	if p := phone.submit(question, "approve", url.Values{"answer": {"yes"}}); p.find("", "number") == nil {
		t.Errorf("no number is asked for: %s", p.text("main"))
	}
	if got := strings.Count(b.log.String(), "TRUSTED_PROXIES"); got != 1 {
		t.Errorf("%d warnings of a proxy, want 1", got)
	}
}
