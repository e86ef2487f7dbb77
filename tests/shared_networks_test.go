package tests

import (
	"strconv"
	"strings"
	"testing"
)

// An attacker can rent an exit of the VPN or the relay that his victim uses. So
// an address in SHARED_NETWORKS is nobody's own: the phone warns, and the laptop
// must type the number, though both have that address.
func TestSharedNetwork(t *testing.T) {
	t.Parallel()
	b := startPublic(t, "SHARED_NETWORKS=203.0.113.0/24, 2001:db8::/32", "QR_ALLOW_FROM=203.0.113.0/24, 2001:db8::/32, 192.0.2.0/24")
	for _, addr := range []string{homeAddr, "2001:db8::7"} {
		laptop, phone := b.resolvingPair(t, addr, addr)
		question := phone.get(laptop.code()) // QR_ALLOW_FROM is another matter: it allows the address
		if !question.has("far") {
			t.Errorf("at the shared address %s the question does not warn", addr)
		}
		number := phone.answer(question, "yes").number()
		laptop.wantNoLogin("from the shared address, without the number")
		laptop.confirm(number, richard)
	}
	// Elsewhere, the same address is still the same network.
	laptop, phone := b.resolvingPair(t, thirdAddr, thirdAddr)
	laptop.logInWith(phone)
}

// A laptop that was once at a shared exit is not near afterward.
func TestSharedNetworkIsRemembered(t *testing.T) {
	t.Parallel()
	b := startPublic(t, "SHARED_NETWORKS="+awayAddr)
	laptop, phone := b.resolvingPair(t, awayAddr, homeAddr)
	link := laptop.code()
	laptop.at(homeAddr).wantState("waiting")
	phone.answer(phone.get(link), "yes").number()
}

// Behind a load balancer that sends no header, or at a VPN's exit, everyone has
// one address. The log says so once, and names the settings.
func TestCrowd(t *testing.T) {
	t.Parallel()
	b := startPublic(t, "SHARED_NETWORKS="+awayAddr)
	crowd := func(addr string) {
		visitor := b.resolving(t).at(addr)
		visitor.logIn(richard)
		for i := range 150 {
			visitor.as("browser " + strconv.Itoa(i)).get("/account")
		}
	}
	crowd(homeAddr)
	crowd(awayAddr)
	warnings := groups(`(?m)^.*level=WARN msg="(very many browsers .*)$`, b.log.String())
	if len(warnings) != 1 {
		t.Fatalf("warnings %q, want one", warnings)
	}
	for _, want := range []string{"TRUSTED_PROXIES", "SHARED_NETWORKS", "addr=" + homeAddr} {
		if !strings.Contains(warnings[0], want) {
			t.Errorf("the warning lacks %s: %s", want, warnings[0])
		}
	}
}
