package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"syscall"
)

// Listeners are one port on several addresses.
type Listeners []net.Listener

// Listen binds a port on every host. Port 0 is any port that is free on all of
// them. An IPv6 host is left out on a machine without that address, as without
// IPv6, unless none is left. The error says what to do about setting, which
// holds the port.
func Listen(ctx context.Context, hosts []string, port int, setting string) (Listeners, error) {
	for tries := 1; ; tries++ {
		l, err := bind(ctx, hosts, port)
		if port != 0 || tries == 10 || !errors.Is(err, syscall.EADDRINUSE) {
			return l, explain(err, setting, port)
		}
	}
}

func bind(ctx context.Context, hosts []string, port int) (Listeners, error) {
	var bound Listeners
	var missing error
	for _, host := range hosts {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if strings.Contains(host, ":") && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)) {
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
func explain(err error, setting string, port int) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("this machine does not have every address in LISTEN; remove LISTEN, or name addresses that it has: %w", err)
	case !errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot listen; check LISTEN and %s: %w", setting, err)
	case port == 5000:
		return fmt.Errorf("port 5000 is taken by another program; stop it, or set %s to another port "+
			"(on a Mac it may be the AirPlay Receiver, which can be turned off in the system settings)", setting)
	}
	return fmt.Errorf("port %d is taken by another program; stop it, or set %s to another port", port, setting)
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
