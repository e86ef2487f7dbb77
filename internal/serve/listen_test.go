package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"

	"changebank/internal/browser"
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

	everywhere, err := Listen(t.Context(), []string{"127.0.0.1", "0.0.0.0", "::"}, 0, "PORT")
	if err != nil || len(everywhere) != 1 {
		t.Errorf("0.0.0.0 beside others: %d listeners and %v, want one for all", len(everywhere), err)
	}
	everywhere.Close()

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

// The sentence about a port names its likely cause on each system.
func TestExplain(t *testing.T) {
	denied := &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", errDenied)}
	if got := explain(t.Context(), denied, "PORT", 80); !errors.Is(got, errDenied) || !strings.Contains(got.Error(), "port 80") || !strings.Contains(got.Error(), "set PORT") {
		t.Errorf("without the right to use a port: %v", got)
	}
	for _, tt := range []struct {
		system string
		port   int
		want   bool
	}{{"darwin", 5000, true}, {"darwin", 5001, false}, {"linux", 5000, false}, {"windows", 5000, false}} {
		if got := likelyProgram(tt.system, tt.port); strings.Contains(got, "AirPlay") != tt.want {
			t.Errorf("port %d on %s is taken by %s", tt.port, tt.system, got)
		}
	}
}

// Only this program's own answer counts: not one of another program, and not
// where that redirects.
func TestAlreadyRunning(t *testing.T) {
	serving := func(h http.Handler) Listeners {
		l, err := Listen(t.Context(), []string{"127.0.0.1"}, 0, "PORT")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(Start(h, l, browser.Networks{}, nil, make(chan error, 1), slog.New(slog.DiscardHandler)))
		return l
	}
	ours := serving(http.NotFoundHandler())
	other := httptest.NewServer(http.RedirectHandler("http://"+ours[0].Addr().String(), http.StatusFound))
	defer other.Close()
	_, text, _ := net.SplitHostPort(other.Listener.Addr().String())
	otherPort, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	for port, want := range map[int]string{
		ours.Port(): fmt.Sprintf("Changebank is already running at http://localhost:%d; stop it, or set PORT", ours.Port()),
		otherPort:   fmt.Sprintf("port %d is taken by another program; stop it, or set PORT", otherPort),
	} {
		l, err := Listen(t.Context(), []string{"127.0.0.1"}, port, "PORT")
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		l.Close()
	}
}
