// Changebank is a small bank that logs a laptop in with a phone: the laptop
// shows a QR code, and the phone scans and approves it. See README.md.
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
	"changebank/internal/browser"
	"changebank/internal/config"
	"changebank/internal/demosetup"
	"changebank/internal/devicegrant"
	"changebank/internal/greeting"
	"changebank/internal/idp"
	"changebank/internal/reach"
	"changebank/internal/serve"
	"changebank/internal/session"
	"changebank/internal/store"
)

func main() {
	// The demo provider's library logs every route and every pending poll to the
	// default logger.
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError})))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Getenv, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "changebank:", err)
		os.Exit(1)
	}
}

// run is the program until ctx ends. It stops what it started in reverse order.
func run(ctx context.Context, args []string, getenv func(string) string, stderr io.Writer) (err error) {
	// Flags and settings.
	flags := flag.NewFlagSet("changebank", flag.ContinueOnError)
	flags.SetOutput(stderr)
	lan := flags.Bool("lan", false, "let phones on the same network connect")
	ngrok := flags.Bool("ngrok", false, "let phones connect through the ngrok agent on this machine")
	version := flags.Bool("version", false, "print the version and exit")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	var options config.Options
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unknown argument %q; did you mean -%[1]s? The flags are -lan, -ngrok and -version", flags.Arg(0))
	case *version:
		_, err := fmt.Fprintln(stderr, "changebank", buildVersion())
		return err
	case *ngrok && *lan:
		return errors.New("use either -ngrok or -lan, not both")
	case *ngrok:
		options.Tunnels = func(api string) (map[int][]string, error) { return reach.Tunnels(ctx, api) }
	case *lan:
		options.Addresses = reach.Addresses
	}
	cfg, err := config.Load(getenv, ".env", options)
	if err != nil {
		return fmt.Errorf("invalid settings:\n%w", err)
	}
	log := newLog(cfg, stderr)

	// The listeners come first: a taken port must not touch the data, and only
	// now the addresses with port 0 are known.
	listeners, err := serve.Listen(ctx, cfg.Listen, cfg.Port, "PORT")
	var demoListeners serve.Listeners
	if cfg.Demo {
		var demoErr error
		demoListeners, demoErr = serve.Listen(ctx, cfg.Listen, cfg.DemoPort, "DEMO_PORT")
		err = errors.Join(err, demoErr)
	}
	defer func() { listeners.Close(); demoListeners.Close() }() // unless a server has done so
	if err != nil {
		return err
	}
	cfg.Bound(listeners.Port(), demoListeners.Port())

	// The store, and the part of it for this provider and this address.
	backend, keys, err := openStore(cfg, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, backend.Close()) }()
	records, err := store.New(ctx, backend, keys)
	if err != nil {
		return err
	}
	bank := records.Namespace(strings.Join([]string{cfg.Issuer, cfg.ClientID, cfg.AppURL}, " "))

	// The identity provider: a demo inside the program, or anyone's.
	failed := make(chan error, 2) // one for each server
	var people []string
	var password string
	if cfg.Demo {
		provider, known, err := demosetup.New(ctx, cfg, records.Namespace("demo"), log)
		if err != nil {
			return err
		}
		people, password = provider.People(), known
		defer serve.Start(provider, demoListeners, nil, failed, log)()
	}
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

	// Browsers that are logged in.
	sessions := session.New(session.Config{
		Store:     bank,
		Secure:    strings.HasPrefix(cfg.AppURL, "https:"),
		BrowserOf: browser.Proxies(cfg.TrustedProxies).Of,
		Refresh:   provider.Refresh,
		Revoke:    provider.Revoke,
		Log:       log,
	})

	// QR logins under way.
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

	// The pages.
	pages, err := handlers.New(handlers.Config{
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
	defer serve.Start(pages, listeners, pages.EndStreams, failed, log)()

	greeting.Write(stderr, cfg, people, password)
	log.Debug("listening", "port", cfg.Port, "demo_port", cfg.DemoPort, "on", cfg.Listen)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		log.Info("stopping", "cause", context.Cause(ctx))
		return nil
	}
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
