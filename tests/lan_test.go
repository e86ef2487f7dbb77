package tests

import (
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"changebank/internal/testneed"
)

// Networks of a namespace, as shell commands. No phone is on the one that is
// named like Docker's.
const (
	wlan0   = `connect wlan0 192.168.77.10/24;`
	eth0    = `connect eth0 10.77.0.5/24;`
	docker0 = `connect docker0 172.17.0.1/16;`
)

const noNamespace = "No network namespace can be made here (unshare and ip are needed), so -lan is not tested on other networks."

// A phone on the same network reaches a laptop over plain http off loopback.
// There browsers send no Sec-Fetch headers, so the Origin decides about a POST.
func TestLAN(t *testing.T) {
	t.Parallel()
	settings := []string{"-lan"}
	if !inNamespace(t, wlan0+docker0) {
		settings = append(settings, "LISTEN="+privateAddress(t))
	} else if !isInside() {
		return
	}
	b := startBank(t, settings...)
	if isInside() && !strings.HasPrefix(b.URL, "http://192.168.77.10:") {
		t.Errorf("the bank is at %s, want wlan0's address", b.URL)
	}
	b.wantTerminalQR(t)
	for _, want := range []string{"Anyone on this network", "unencrypted", "Ctrl-C"} {
		if !strings.Contains(b.log.String(), want) {
			t.Errorf("the greeting lacks %q", want)
		}
	}
	if b.password == "password" {
		t.Error("anyone on the network can log in with the password in the source code")
	}
	// Loopback leads to the address that the phone uses.
	_, port, _ := strings.Cut(strings.TrimPrefix(b.URL, "http://"), ":")
	if p := b.browser(t).get("http://localhost:" + port + "/"); p.URL.String() != b.URL+"/" {
		t.Errorf("localhost leads to %s, want %s/", p.URL, b.URL)
	}
	laptop, phone := windows(t, startChromium(t))
	walkThrough(t, b, laptop, phone)
}

func TestSeveralNetworks(t *testing.T) {
	t.Parallel()
	if !inNamespace(t, wlan0+eth0+docker0) {
		testneed.Missing(t, noNamespace)
	}
	if !isInside() {
		return
	}
	wantRefusal(t, []string{"-lan"}, "10.77.0.5 (eth0), 192.168.77.10 (wlan0);", "LISTEN=192.168.77.10 go run . -lan")
	wantRefusal(t, []string{"-lan", "LISTEN=192.168.77.11"}, "LISTEN") // which this machine does not have
	if b := startBank(t, "-lan", "LISTEN=10.77.0.5"); !strings.HasPrefix(b.URL, "http://10.77.0.5:") || !strings.HasPrefix(b.DemoURL, "http://10.77.0.5:") {
		t.Errorf("with LISTEN=10.77.0.5 the bank is at %s and the demo at %s", b.URL, b.DemoURL)
	}
}

func TestNoNetwork(t *testing.T) {
	t.Parallel()
	if !inNamespace(t, docker0+`connect eth0 203.0.113.7/24;`) {
		testneed.Missing(t, noNamespace)
	}
	if isInside() {
		wantRefusal(t, []string{"-lan"}, "no private IPv4 address")
	}
}

const insideNamespace = "TEST_INSIDE_NAMESPACE"

// isInside reports whether this process is one that inNamespace started.
func isInside() bool { return os.Getenv(insideNamespace) != "" }

// inNamespace runs this very test in a network namespace of its own with these
// networks, and fails the test if it fails there. It is false if no such
// namespace can be made.
func inNamespace(t *testing.T, networks string) bool {
	t.Helper()
	if isInside() {
		return true
	}
	// The other end of each link stands for the rest of the network. It is in the
	// same namespace, and has no address.
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
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	again := unshare(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	again.Env = append(os.Environ(), insideNamespace+"=1", builtProgram+"="+path)
	out, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a network namespace: %v\n%s", err, out)
	}
	return true
}

// privateAddress returns a private address of this machine.
func privateAddress(t *testing.T) string {
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
	testneed.Missing(t, "This machine has no private address, and no network namespace can be made to give it one (unshare and ip are needed), so -lan is not tested.")
	return ""
}
