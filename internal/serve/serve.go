// Package serve answers HTTP until it is told to stop.
package serve

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"changebank/internal/browser"
)

// stopTimeout is how long running requests may take once the server stops.
const stopTimeout = 10 * time.Second

// programName is in the Server header of every answer, so that a second process
// that finds its port taken can tell that this program has it.
const programName = "Changebank"

// Start serves h on all listeners. The returned function stops that: it calls
// onStop unless that is nil, and waits for running requests. If serving fails
// earlier, the cause is sent to failed unless that is full. One address may have
// a thousand connections, and those that networks names any number.
func Start(h http.Handler, on Listeners, networks browser.Networks, onStop func(), failed chan<- error, log *slog.Logger) (stop func()) {
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Server", programName)
			h.ServeHTTP(w, r)
		}),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ConnState:         newConnections(networks, log).track,
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
			log.Warn("requests cut off after waiting for them to end", "err", err)
			_ = server.Close()
		}
		wg.Wait()
	}
}
