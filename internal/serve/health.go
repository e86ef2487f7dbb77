package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"
)

// healthTimeout bounds a health check.
const healthTimeout = 5 * time.Second

// CheckHealth returns nil if this program serves on the port at one of those
// hosts, as given to [Listen], and answers that it is alive. The error is a
// sentence for the operator.
func CheckHealth(ctx context.Context, hosts []string, port int) error {
	if port == 0 {
		return errors.New("not healthy: PORT is 0, so the port is not known; set PORT")
	}
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	var first error
	for _, host := range hosts {
		err := checkHealth(ctx, net.JoinHostPort(reachable(host), strconv.Itoa(port)))
		if err == nil {
			return nil
		}
		first = cmp.Or(first, err)
	}
	return first
}

// reachable returns an address of this machine at which a server can be reached
// that listens on host.
func reachable(host string) string {
	switch host {
	case "0.0.0.0":
		return "127.0.0.1"
	case "::":
		return "::1"
	}
	return host
}

func checkHealth(ctx context.Context, addr string) error {
	resp, err := headHealth(ctx, addr)
	switch {
	case err != nil:
		return fmt.Errorf("not healthy: nothing answers at %s: %w", addr, err)
	case resp.Header.Get("Server") != programName:
		return fmt.Errorf("not healthy: another program answers at %s", addr)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("not healthy: %s answers %s", addr, resp.Status)
	}
	return nil
}

// headHealth asks what serves at addr whether it is alive: directly, not through
// a proxy, and not where another program redirects to. The response has no body.
func headHealth(ctx context.Context, addr string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, "http://"+addr+"/healthz", nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		return nil, err
	}
	return resp, resp.Body.Close()
}
