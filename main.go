// Changebank is a small bank where a laptop is logged in by a phone: it shows
// a QR code, the phone scans it and says yes. See README.md.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"changebank/handlers"
	clients "changebank/internal/browser"
	"changebank/internal/config"
	"changebank/internal/devicegrant"
	"changebank/internal/idp"
	"changebank/internal/reach"
	"changebank/internal/serve"
	"changebank/internal/session"
	"changebank/internal/store"
)

func main() {
	// The demo provider's library logs each of its routes and each pending poll
	// to slog's default logger.
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "changebank:", err)
		os.Exit(1)
	}
}

// run is the program, until ctx ends. What it starts it stops, in the order
// opposite to that of the starting.
func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("changebank", flag.ContinueOnError)
	flags.SetOutput(stderr)
	version := flags.Bool("version", false, "print the version and stop")
	ngrok := flags.Bool("ngrok", false, "be reached by the tunnels of the ngrok agent that runs here")
	lan := flags.Bool("lan", false, "be reached by phones in the same network")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("there is no argument %q; did you mean -%[1]s? The flags are -lan, -ngrok and -version", flags.Arg(0))
	}
	if *version {
		_, err := fmt.Fprintln(stderr, "changebank", buildVersion())
		return err
	}

	var options config.Options
	switch {
	case *ngrok && *lan:
		return errors.New("-ngrok and -lan are two ways to the same place; take one of them")
	case *ngrok:
		options.Tunnels = func(api string) (map[int][]string, error) { return reach.Tunnels(ctx, api) }
	case *lan:
		options.Addresses = reach.Addresses
	}
	cfg, err := config.Load(getenv, ".env", options)
	if err != nil {
		return fmt.Errorf("these settings are not right:\n%w", err)
	}
	log := newLog(cfg, stderr)
	appListeners, demoListeners, err := listen(ctx, cfg)
	if err != nil {
		return err
	}
	// For an error before their servers take them over.
	defer appListeners.Close()
	defer demoListeners.Close()

	backend, keys, err := openStore(cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	kept, err := store.New(ctx, backend, keys)
	if err != nil {
		return err
	}

	failed := make(chan error, 2)
	var people []string
	var password string
	if cfg.Demo {
		demo, known, err := newDemo(ctx, cfg, kept.Namespace("demo"), log)
		if err != nil {
			return err
		}
		people, password = demo.People(), known
		defer serve.Start(demo, demoListeners, nil, failed, log)()
	}

	bank := kept.Namespace(strings.Join([]string{cfg.Issuer, cfg.ClientID, cfg.AppURL}, " "))
	provider := idp.New(idp.Config{
		Issuer:       cfg.Issuer,
		ClientID:     cfg.ClientID,
		ClientSecret: string(cfg.ClientSecret),
		Auth:         idp.AuthMethod(cfg.ClientAuth),
		RedirectURL:  cfg.AppURL + "/callback",
		LogoutURL:    cfg.AppURL + "/",
		Log:          log,
	})
	defer provider.Close()
	sessions := session.New(session.Config{
		Store:     bank,
		Secure:    strings.HasPrefix(cfg.AppURL, "https:"),
		BrowserOf: clients.Proxies(cfg.TrustedProxies).Of,
		Refresh:   provider.Refresh,
		Revoke:    provider.Revoke,
		Log:       log,
	})
	grants := devicegrant.New(devicegrant.Config{
		Provider:        provider,
		Store:           bank,
		VerificationURI: cfg.AppURL + "/activate",
		Local:           cfg.Local(),
		ConfirmNumber:   cfg.ConfirmNumber,
		CodeLifetime:    cfg.CodeLifetime,
		Limits:          devicegrant.Limits(cfg.Limits),
		Log:             log,
	})
	defer grants.Close()
	server, err := handlers.New(handlers.Config{
		AppURL:         cfg.AppURL,
		Provider:       provider,
		Sessions:       sessions,
		Grants:         grants,
		People:         people,
		TrustedProxies: cfg.TrustedProxies,
		QRAllowFrom:    cfg.QRAllowFrom,
		Public:         !cfg.Local(),
		Log:            log,
	})
	if err != nil {
		return err
	}
	defer serve.Start(server, appListeners, server.EndStreams, failed, log)()

	greet(stderr, cfg, people, password)
	log.Debug("listening", "port", cfg.Port, "demo_port", cfg.DemoPort, "on", cfg.Listen)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		log.Info("stopping", "cause", context.Cause(ctx))
		return nil
	}
}

// openStore opens what outlives the process, and the keys that seal it.
func openStore(cfg *config.Config, log *slog.Logger) (*store.File, [][]byte, error) {
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("the folder for data cannot be made; set DATA_DIR to one that can: %w", err)
	}
	path := filepath.Join(cfg.DataDir, "changebank.db")
	backend, err := store.OpenFile(path)
	if errors.Is(err, store.ErrDamaged) {
		// To stop here would be to stop at every start.
		aside := path + ".damaged-" + time.Now().UTC().Format("20060102T150405.000")
		log.Error("the data is damaged and set aside; everybody must log in anew", "kept_as", aside, "err", err)
		if err := os.Rename(path, aside); err != nil {
			return nil, nil, fmt.Errorf("the damaged data in %s cannot be set aside; move it away: %w", path, err)
		}
		backend, err = store.OpenFile(path)
	}
	if errors.Is(err, store.ErrLocked) {
		return nil, nil, fmt.Errorf("another Changebank is using the data in %s; stop it, or set DATA_DIR to another folder", cfg.DataDir)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the data in %s (DATA_DIR) cannot be opened: %w", cfg.DataDir, err)
	}
	keys, err := secretKeys(cfg)
	if err != nil {
		return nil, nil, errors.Join(err, backend.Close())
	}
	return backend, keys, nil
}

// secretKeys returns the configured keys, or one that is made once and kept
// beside the data.
func secretKeys(cfg *config.Config) ([][]byte, error) {
	var keys [][]byte
	for _, key := range cfg.AppSecretKeys {
		keys = append(keys, []byte(key))
	}
	if len(keys) > 0 {
		return keys, nil
	}
	path := filepath.Join(cfg.DataDir, "secret.key")
	key, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		key = []byte(rand.Text() + rand.Text())
		err = os.WriteFile(path, key, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("the key that seals the data cannot be kept; set APP_SECRET_KEY or another DATA_DIR: %w", err)
	}
	if len(key) < 32 {
		return nil, fmt.Errorf("%s is not whole; restore it, or delete it and log in anew", path)
	}
	return [][]byte{key}, nil
}

// listen binds every port before anything else is done, and tells cfg which
// they are.
func listen(ctx context.Context, cfg *config.Config) (app, demo serve.Listeners, err error) {
	app, appErr := serve.Listen(ctx, cfg.Listen, cfg.Port)
	if cfg.Demo {
		demo, err = serve.Listen(ctx, cfg.Listen, cfg.DemoPort)
	}
	if err := errors.Join(portFault(appErr, "PORT", cfg.Port), portFault(err, "DEMO_PORT", cfg.DemoPort)); err != nil {
		app.Close()
		demo.Close()
		return nil, nil, err
	}
	cfg.Bound(app.Port(), demo.Port())
	return app, demo, nil
}

// portFault says what to do about a port that cannot be had.
func portFault(err error, setting string, port int) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("this machine does not have all the addresses in LISTEN; leave it out, or name those it has: %w", err)
	case !errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("cannot listen; do LISTEN and %s suit this machine? %w", setting, err)
	case port == 5000:
		return fmt.Errorf("port 5000 is taken by another program. Stop that, or set %s to another port. "+
			"On a Mac it may be the AirPlay Receiver, which can be turned off in the system settings", setting)
	}
	return fmt.Errorf("port %d is taken by another program. Stop that, or set %s to another port", port, setting)
}

func newLog(cfg *config.Config, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.LogLevel}
	if cfg.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return info.Main.Version
	}
	return "unknown"
}
