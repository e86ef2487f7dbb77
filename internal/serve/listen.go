package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ErrAddress says that the machine does not have an address in LISTEN, which is
// so for every port.
var ErrAddress = errors.New("this machine does not have every address in LISTEN; remove LISTEN, or name addresses that it has")

// Listeners are one port on several addresses.
type Listeners []net.Listener

// Listen binds a port on every host. Port 0 is any port that is free on all of
// them. An IPv6 host is left out on a machine without that address, as without
// IPv6, unless none is left. The error says what to do about setting, which
// holds the port, or is [ErrAddress].
func Listen(ctx context.Context, hosts []string, port int, setting string) (Listeners, error) {
	if i := slices.IndexFunc(hosts, isUnspecified); i >= 0 {
		hosts = hosts[i : i+1] // it includes every other address, of IPv6 as well
	}
	for tries := 1; ; tries++ {
		l, err := bind(ctx, hosts, port)
		if port != 0 || tries == 10 || !errors.Is(err, errInUse) {
			return l, explain(ctx, err, setting, port)
		}
	}
}

// isUnspecified reports whether a host is 0.0.0.0 or ::, for which [net.Listen]
// listens on every address of both families.
func isUnspecified(host string) bool {
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsUnspecified()
}

func bind(ctx context.Context, hosts []string, port int) (Listeners, error) {
	var bound Listeners
	var missing error
	for _, host := range hosts {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if strings.Contains(host, ":") && (errors.Is(err, errNoAddr) || errors.Is(err, errNoFamily)) {
			missing = err
			continue
		}
		if err != nil {
			bound.Close()
			return nil, err
		}
		bound = append(bound, l)
		port = bound.Port()
	}
	if len(bound) == 0 {
		return nil, missing
	}
	return bound, nil
}

// explain says what to do about a port that cannot be bound.
func explain(ctx context.Context, err error, setting string, port int) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errNoAddr):
		return fmt.Errorf("%w: %w", ErrAddress, err)
	case errors.Is(err, errDenied):
		return fmt.Errorf(advice+": %w", port, setting, err)
	case !errors.Is(err, errInUse):
		return fmt.Errorf("cannot listen; check LISTEN and %s: %w", setting, err)
	}
	if at := running(ctx, err); at != "" {
		return fmt.Errorf("%s is already running at %s; stop it, or set %s to another port", programName, at, setting)
	}
	return fmt.Errorf("port %d is taken by %s; stop it, or set %s to another port", port, likelyProgram(runtime.GOOS, port), setting)
}

// likelyProgram names the program that usually has taken a port on a system.
func likelyProgram(system string, port int) string {
	if system == "darwin" && port == 5000 {
		return "another program, probably the AirPlay Receiver (System Settings, General, AirDrop & Handoff)"
	}
	return "another program"
}

// running returns the URL at which this program answers already, where err says
// that an address is in use, or "" if another program has it.
func running(ctx context.Context, err error) string {
	failed, ok := errors.AsType[*net.OpError](err)
	if !ok || failed.Addr == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	resp, err := headHealth(ctx, failed.Addr.String())
	if err != nil {
		return ""
	}
	if resp.Header.Get("Server") != programName {
		return ""
	}
	addr, err := netip.ParseAddrPort(failed.Addr.String())
	if err == nil && (addr.Addr().IsLoopback() || addr.Addr().IsUnspecified()) {
		return "http://localhost:" + strconv.Itoa(int(addr.Port()))
	}
	return "http://" + failed.Addr.String()
}

// Port returns the port, or 0 of no listeners.
func (l Listeners) Port() int {
	if len(l) == 0 {
		return 0
	}
	return l[0].Addr().(*net.TCPAddr).Port
}

// Close stops listening. Closing twice does no harm.
func (l Listeners) Close() {
	for _, one := range l {
		_ = one.Close()
	}
}
