// Changebank is a small bank that logs a laptop in with a phone: the laptop
// shows a QR code, and the phone scans and approves it. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"changebank/handlers"
	"changebank/internal/browser"
	"changebank/internal/config"
	"changebank/internal/cookies"
	"changebank/internal/demoidp"
	"changebank/internal/devicegrant"
	"changebank/internal/geoip"
	"changebank/internal/greeting"
	"changebank/internal/idp"
	"changebank/internal/metrics"
	"changebank/internal/reach"
	"changebank/internal/serve"
	"changebank/internal/session"
	"changebank/internal/store"
)

func main() {
	// The demo provider's library logs its own failures to the default logger.
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := run(ctx, os.Args[1:], os.Environ(), os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "changebank:", err)
		os.Exit(1)
	}
}

// run is the program until ctx ends. It stops what it started in reverse order.
func run(ctx context.Context, args, environ []string, stderr io.Writer) (err error) {
	// Flags and settings.
	flags := flag.NewFlagSet("changebank", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // an error is returned, and Help is ours
	lan := flags.Bool("lan", false, "let phones on the same network connect:\n  go run . -lan")
	ngrok := flags.Bool("ngrok", false, "let phones anywhere connect, through the ngrok agent on this computer:\n  ngrok start --all --config ngrok.yml   (in another terminal)\n  go run . -ngrok")
	version := flags.Bool("version", false, "print the version and exit:\n  changebank -version")
	health := flags.Bool("health", false, "check that the Changebank with these settings is alive, and exit with 0 or 1:\n  changebank -health")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		greeting.Help(stderr, flags)
		return nil
	} else if err != nil {
		return fmt.Errorf("%w; -help explains the flags", err)
	}
	var options config.Options
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unknown argument %q; did you mean -%[1]s? -help explains the flags", flags.Arg(0))
	case *version:
		_, err := fmt.Fprintln(stderr, "changebank", greeting.Version())
		return err
	case *ngrok && *lan:
		return errors.New("use either -ngrok or -lan, not both")
	case *ngrok:
		options.Tunnels = func(api string) (map[int][]string, error) { return reach.Tunnels(ctx, api) }
	case *lan:
		options.Addresses = reach.Addresses
	}
	cfg, err := config.Load(environ, ".env", options)
	if err != nil {
		return fmt.Errorf("invalid settings:\n%w", err)
	}
	if *health {
		return serve.CheckHealth(ctx, cfg.Listen, cfg.Port)
	}
	log := cfg.Logger(stderr)
	for _, warning := range cfg.Warnings() {
		log.Warn("unsafe settings", "warning", warning)
	}

	locations, err := geoip.Open(cfg.GeoIPDB, log)
	if err != nil {
		return fmt.Errorf("invalid settings:\nGEOIP_DB: %w", err)
	}

	// The listeners come first: a taken port must not touch the data, and only
	// now the addresses with port 0 are known.
	listeners, err := serve.Listen(ctx, cfg.Listen, cfg.Port, "PORT")
	var demoListeners serve.Listeners
	if cfg.Demo && !errors.Is(err, serve.ErrAddress) { // which would be the same
		var demoErr error
		demoListeners, demoErr = serve.Listen(ctx, cfg.Listen, cfg.DemoPort, "DEMO_PORT")
		err = errors.Join(err, demoErr)
	}
	metricsListeners, metricsErr := metrics.Listen(ctx, cfg.MetricsListen, log)
	defer func() { listeners.Close(); demoListeners.Close(); metricsListeners.Close() }() // unless a server has done so
	if err = errors.Join(err, metricsErr); err != nil {
		return err
	}
	cfg.SetPorts(listeners.Port(), demoListeners.Port())

	// Counters, for the operator only.
	failed := make(chan error, 3) // one for each server
	counters := metrics.New(greeting.Version())
	defer serve.Start(counters, metricsListeners, browser.Networks{}, nil, failed, log)()

	// The store, and the part of it for this provider and this address.
	records, err := store.Open(ctx, string(cfg.RedisURL), cfg.DataDir, cfg.Keys(), counters.Store, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, records.Close()) }()
	bank := records.Namespace(strings.Join([]string{cfg.Issuer, cfg.ClientID, cfg.AppURL}, " "))

	// The identity provider: a demo inside the program, or anyone's.
	networks := browser.Networks{Proxies: cfg.TrustedProxies, Shared: cfg.SharedNetworks}
	var people []string
	var password string
	if cfg.Demo {
		var demo *demoidp.Provider
		if demo, password, err = demoidp.New(ctx, cfg, records.Namespace("demo"), log); err != nil {
			return err
		}
		people = demo.People()
		defer serve.Start(demo, demoListeners, networks, nil, failed, log)()
	}
	provider := idp.New(idp.Config{
		Issuer:       cfg.Issuer,
		ClientID:     cfg.ClientID,
		ClientSecret: string(cfg.ClientSecret),
		Auth:         idp.AuthMethod(cfg.ClientAuth),
		AppURL:       cfg.AppURL,
		Scopes:       cfg.Scopes,
		Log:          log,
		Observe:      counters.ProviderCall,
	})
	defer provider.Close()

	// Browsers that are logged in.
	jar, err := cookies.New(cfg.AppURL, bank.DeriveKeys)
	if err != nil {
		return err
	}
	sessions := session.New(session.Config{
		Store:    bank,
		Cookies:  jar,
		Browser:  networks.Of,
		Refresh:  counters.Refresh(provider.Refresh),
		Idle:     cfg.SessionIdle,
		Lifetime: cfg.SessionLifetime,
		Recheck:  cfg.SessionRecheck,
		Revoke:   provider.Revoke,
		Log:      log,
		Observe:  counters.Session,
	})
	defer sessions.Close()

	// QR logins in progress.
	grants := devicegrant.New(devicegrant.Config{
		Provider:        counters.Provider(provider),
		Sessions:        sessions,
		SameStore:       true,
		Store:           bank,
		VerificationURI: cfg.AppURL + "/activate",
		Local:           cfg.Local(),
		ConfirmNumber:   cfg.ConfirmNumber,
		CodeLifetime:    cfg.CodeLifetime,
		Limits:          devicegrant.Limits(cfg.Limits),
		Log:             log,
		Observe:         counters.Attempt,
	})
	defer grants.Close()

	// The pages.
	pages, err := handlers.New(handlers.Config{
		AppURL:      cfg.AppURL,
		Provider:    provider,
		Sessions:    sessions,
		Grants:      grants,
		Cookies:     jar,
		Store:       bank,
		People:      people,
		Networks:    networks,
		QRAllowFrom: cfg.QRAllowFrom,
		GeoIP:       locations,
		Public:      !cfg.Local(),
		Log:         log,
		Request:     counters.Request,
		Refused:     counters.Refused,
	})
	if err != nil {
		return err
	}
	counters.Gauges(grants.Live, pages.Streams, pages.LongPolls)
	defer serve.Start(pages, listeners, networks, pages.EndStreams, failed, log)()

	greeting.Write(stderr, cfg, people, password)
	log.Debug("listening", "port", cfg.Port, "demo_port", cfg.DemoPort, "on", cfg.Listen)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		log.Info("stopping", "cause", context.Cause(ctx), "delay", cfg.ShutdownDelay)
		pages.Drain(cfg.ShutdownDelay)
		return nil
	}
}
