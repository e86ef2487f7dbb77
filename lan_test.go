package main

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Networks of a namespace, as shell commands. The one that is named as Docker's
// is not one that a phone is in.
const (
	wlan0   = `connect wlan0 192.168.77.10/24;`
	eth0    = `connect eth0 10.77.0.5/24;`
	docker0 = `connect docker0 172.17.0.1/16;`
)

// Plain http off loopback is how a phone reaches a laptop in the same network.
// There browsers send no Sec-Fetch headers, and every POST is judged by its
// Origin.
func TestPlainHTTPOffLoopback(t *testing.T) {
	settings := []string{"-lan"}
	if !inNamespace(t, wlan0+docker0) {
		settings = append(settings, "LISTEN="+ownAddress(t))
	} else if !isInside() {
		return
	}
	b := startBank(t, settings...)
	if isInside() && !strings.HasPrefix(b.URL, "http://192.168.77.10:") {
		t.Errorf("the bank is at %s, want the address of wlan0", b.URL)
	}
	if got := readQR(t, b.log.String(), lightTerminal); got != b.URL {
		t.Errorf("the terminal's QR code leads to %q, want %s", got, b.URL)
	}
	for _, want := range []string{"Everyone in this network", "nothing is encrypted", "Ctrl-C"} {
		if !strings.Contains(b.log.String(), want) {
			t.Errorf("the greeting lacks %q", want)
		}
	}
	if b.password == "password" {
		t.Error("everybody in the network can log in with the password that stands in the repository")
	}
	// Loopback leads to the address that the phone uses.
	_, port, _ := strings.Cut(strings.TrimPrefix(b.URL, "http://"), ":")
	visitor := b.browser(t)
	if got := visitor.get("http://localhost:" + port + "/").URL.String(); got != b.URL+"/" {
		t.Errorf("localhost leads to %s, want %s/", got, b.URL)
	}
	walkThrough(t, startChromium(t), b)
}

func TestSeveralNetworks(t *testing.T) {
	if !inNamespace(t, wlan0+eth0+docker0) {
		lack(t, "No network namespace can be made here (unshare and ip are needed), so machines with other networks are not tested.")
	}
	if !isInside() {
		return
	}
	got := runOnce(t, map[string]string{}, "-lan")
	for _, want := range []string{"10.77.0.5 (eth0), 192.168.77.10 (wlan0);", "LISTEN=192.168.77.10 go run . -lan"} {
		if !strings.Contains(got, want) {
			t.Errorf("with two networks: %s\nwant %q in it", got, want)
		}
	}
	if got := runOnce(t, map[string]string{"LISTEN": "192.168.77.11"}, "-lan"); !strings.Contains(got, "LISTEN") {
		t.Errorf("an address that this machine has not: %s\nwant LISTEN in it", got)
	}
	if b := startBank(t, "-lan", "LISTEN=10.77.0.5"); !strings.HasPrefix(b.URL, "http://10.77.0.5:") || !strings.HasPrefix(b.DemoURL, "http://10.77.0.5:") {
		t.Errorf("with LISTEN=10.77.0.5 the bank is at %s and the demo at %s", b.URL, b.DemoURL)
	}
}

func TestNoNetwork(t *testing.T) {
	if !inNamespace(t, docker0+`connect eth0 203.0.113.7/24;`) {
		lack(t, "No network namespace can be made here (unshare and ip are needed), so machines with other networks are not tested.")
	}
	if !isInside() {
		return
	}
	if got := runOnce(t, map[string]string{}, "-lan"); !strings.Contains(got, "no private IPv4 address") {
		t.Errorf("without a network: %s", got)
	}
}

const insideNamespace = "TEST_INSIDE_NAMESPACE"

// isInside reports whether this process is one that inNamespace started.
func isInside() bool { return os.Getenv(insideNamespace) != "" }

// inNamespace runs this very test in a network namespace of its own with these
// networks, and fails the test if it fails there. It is false where such a
// namespace cannot be made.
func inNamespace(t *testing.T, networks string) bool {
	t.Helper()
	if isInside() {
		return true
	}
	// The other end of each link is the network's rest; it is in the same
	// namespace, and has no address.
	const inside = `set -e
connect() {
  ip link add "$1" type veth peer name "veth$1"
  ip address add "$2" dev "$1"
  ip link set "$1" up
  ip link set "veth$1" up
  until ip -brief link show "$1" | grep -q LOWER_UP; do sleep 0.01; done
}
ip link set lo up
`
	unshare := func(args ...string) *exec.Cmd {
		args = append([]string{"--map-root-user", "--net", "sh", "-c", inside + networks + `exec "$@"`, "sh"}, args...)
		return exec.CommandContext(t.Context(), "unshare", args...)
	}
	if unshare("true").Run() != nil {
		return false
	}
	again := unshare(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), insideNamespace+"=1")
	out, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a network namespace: %v\n%s", err, out)
	}
	return true
}

// ownAddress returns a private address of this machine.
func ownAddress(t *testing.T) string {
	t.Helper()
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range addrs {
		if prefix, err := netip.ParsePrefix(addr.String()); err == nil && prefix.Addr().Is4() && prefix.Addr().IsPrivate() {
			return prefix.Addr().String()
		}
	}
	t.Fatal("this machine has no private address, and no network namespace can be made to give it one (unshare and ip are needed)")
	return ""
}
