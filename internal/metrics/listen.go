package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"changebank/internal/serve"
)

// Listen binds every address, and logs where the metrics are.
func Listen(ctx context.Context, addrs []netip.AddrPort, log *slog.Logger) (serve.Listeners, error) {
	var bound serve.Listeners
	var faults []error
	for _, addr := range addrs {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr.String())
		if err != nil {
			faults = append(faults, fmt.Errorf("cannot listen for metrics; check METRICS_LISTEN: %w", err))
			continue
		}
		log.Info("metrics and profiles are served", "at", "http://"+l.Addr().String()+"/metrics")
		bound = append(bound, l)
	}
	return bound, errors.Join(faults...)
}
