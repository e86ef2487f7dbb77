package serve

import (
	"strings"
	"testing"
)

func TestListen(t *testing.T) {
	loopback, err := Listen(t.Context(), []string{"127.0.0.1", "::1"}, 0, "PORT")
	if err != nil {
		t.Fatal(err)
	}
	defer loopback.Close()
	for _, l := range loopback {
		if got := (Listeners{l}).Port(); got == 0 || got != loopback.Port() {
			t.Errorf("%v listens on port %d, want the same port on each address", l.Addr(), got)
		}
	}

	// 192.0.2.1 and 2001:db8::1 are for examples only (RFC 5737, RFC 3849).
	withoutIPv6, err := Listen(t.Context(), []string{"127.0.0.1", "2001:db8::1"}, 0, "PORT")
	if err != nil || len(withoutIPv6) != 1 {
		t.Errorf("a missing IPv6 address: %d listeners and %v, want the other address only", len(withoutIPv6), err)
	}
	withoutIPv6.Close()

	for name, tt := range map[string]struct {
		hosts []string
		port  int
		want  []string
	}{
		"taken port":           {[]string{"127.0.0.1"}, loopback.Port(), []string{"is taken", "set METRICS_LISTEN to another port"}},
		"missing IPv4 address": {[]string{"192.0.2.1"}, 0, []string{"does not have every address in LISTEN"}},
		"missing IPv6 address": {[]string{"2001:db8::1"}, 0, []string{"LISTEN"}},
		"no address":           {[]string{"not an address"}, 0, []string{"check LISTEN and METRICS_LISTEN"}},
	} {
		l, err := Listen(t.Context(), tt.hosts, tt.port, "METRICS_LISTEN")
		if err == nil {
			l.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		for _, want := range tt.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q in it", name, err, want)
			}
		}
	}
}
