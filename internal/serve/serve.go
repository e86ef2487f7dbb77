// Package serve listens and answers HTTP, until it is told to stop.
package serve

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Listeners are one port on several addresses.
type Listeners []net.Listener

// Listen binds a port on every host. Port 0 is any port that is free on all of
// them. An IPv6 host is left out where this machine has none such, as without
// IPv6, unless none remains.
func Listen(ctx context.Context, hosts []string, port int) (Listeners, error) {
	for tries := 1; ; tries++ {
		l, err := bind(ctx, hosts, port)
		if port != 0 || tries == 10 || !errors.Is(err, syscall.EADDRINUSE) {
			return l, err
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

// Port returns the port, 0 of no listeners.
func (l Listeners) Port() int {
	if len(l) == 0 {
		return 0
	}
	return l[0].Addr().(*net.TCPAddr).Port
}

// Close stops listening. To do so again does no harm.
func (l Listeners) Close() {
	for _, one := range l {
		_ = one.Close()
	}
}

// stopTimeout is how long requests may take that are running at the stop.
const stopTimeout = 10 * time.Second

// Start answers on all listeners. The returned function stops that: it calls
// onStop if there is one, and waits for the requests that are running. If
// serving fails before, the cause is sent to failed unless that is full.
func Start(h http.Handler, on Listeners, onStop func(), failed chan<- error, log *slog.Logger) (stop func()) {
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	if onStop != nil {
		server.RegisterOnShutdown(onStop)
	}
	var wg sync.WaitGroup
	for _, l := range on {
		wg.Go(func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				select {
				case failed <- err:
				default:
				}
			}
		})
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			log.Warn("some requests did not end in time and are cut off", "err", err)
			_ = server.Close()
		}
		wg.Wait()
	}
}
