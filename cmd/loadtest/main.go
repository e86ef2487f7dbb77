// Command loadtest measures Changebank as its people use it. Run it with -help.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"changebank/cmd/loadtest/provider"
)

func main() {
	if slices.Contains(os.Args[1:], bareFlag) {
		if err := runBare(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "loadtest:", err)
			os.Exit(1)
		}
		return
	}
	debug.SetGCPercent(400) // this process is not measured, but shares the processors
	// A reader of the results that leaves early, such as head, must not end this
	// process before it has ended the others.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	report, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "loadtest:", err)
		os.Exit(1)
	case report.bad():
		os.Exit(1)
	}
}

// bench is what the phases measure, and with what.
type bench struct {
	options
	bank     *program
	bare     *bareServer
	idp      *provider.Provider
	issuer   string
	report   *Report
	progress *progress

	connections atomic.Int64 // to the provider
	people      atomic.Int64 // numbers of persons and households that exist

	mu   sync.Mutex
	free []*phone // logged in, longest unused first
}

// phase is one part of the measurement. It adds what it has to the report, also
// if ctx ends. Its error is that the measurement itself does not work.
type phase struct {
	name string
	run  func(context.Context, *bench) error
}

var phases = []phase{
	{"pages", pages}, {"codes", codes}, {"waiting", waiting}, {"logins", logins},
	{"storm", storm}, {"mixed", mixed}, {"soak", soak},
}

func phaseNames() (names []string) {
	for _, p := range phases {
		names = append(names, p.name)
	}
	return names
}

// run measures, and writes the table or the JSON to stdout. It returns what it
// has if ctx ends before it is done.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (*Report, error) {
	o, err := parseOptions(args, stderr)
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, report: &Report{}}
	stop, err := b.start(ctx, stderr)
	defer stop()
	if err != nil {
		return nil, err
	}
	reportEnd := b.reportMachine()
	for _, p := range phases {
		if !slices.Contains(o.phases, p.name) || ctx.Err() != nil {
			continue
		}
		if err = p.run(ctx, b); err != nil && ctx.Err() == nil {
			err = fmt.Errorf("%s: %w", p.name, err)
			break
		}
		err = nil
	}
	reportEnd()
	b.progress.end()
	b.report.Stopped = ctx.Err() != nil
	if o.json {
		return b.report, errors.Join(err, b.report.writeJSON(stdout))
	}
	return b.report, errors.Join(err, b.report.write(stdout))
}

// start starts the provider, the bare server and the program, unless that runs
// already. The function stops what was started, also after an error.
func (b *bench) start(ctx context.Context, stderr io.Writer) (stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range slices.Backward(stops) {
			s()
		}
	}
	appURL, ports, err := b.whereabouts()
	if err != nil {
		return stop, err
	}
	closeProvider, err := b.startProvider(appURL)
	if err != nil {
		return stop, err
	}
	stops = append(stops, closeProvider)
	if b.bare, err = startBare(); err != nil {
		return stop, err
	}
	stops = append(stops, b.bare.stop)
	if len(b.urls) > 0 {
		b.bank, err = b.findProgram(ctx, appURL, stderr)
	} else if b.bank, err = startProgram(ctx, b.options, appURL, b.issuer, ports); err == nil {
		stops = append(stops, b.bank.stop)
	}
	if err != nil {
		return stop, err
	}
	b.progress = startProgress(stderr)
	return stop, nil
}

// whereabouts returns the address of the program, and the ports of the replicas
// that are to be started.
func (b *bench) whereabouts() (appURL string, ports []int, err error) {
	switch {
	case b.appURL != "":
		return strings.TrimSuffix(b.appURL, "/"), nil, nil
	case len(b.urls) > 0:
		return b.urls[0], nil, nil
	}
	if ports, err = freePorts(b.replicas); err != nil {
		return "", nil, err
	}
	return "http://localhost:" + strconv.Itoa(ports[0]), ports, nil
}

// startProvider serves the load provider.
func (b *bench) startProvider(appURL string) (stop func(), err error) {
	at := b.issuerListen
	switch {
	case at != "":
	case len(b.urls) > 0:
		at = "127.0.0.1:9100"
	default:
		at = "127.0.0.1:0"
	}
	l, err := net.Listen("tcp", at)
	if err != nil {
		return nil, fmt.Errorf("-issuer-listen: %w", err)
	}
	b.issuer = "http://" + l.Addr().String()
	b.idp, err = provider.New(provider.Config{
		Issuer: b.issuer, ClientID: clientID, ClientSecret: clientSecret,
		VerificationURI: appURL + "/activate", Interval: 5 * time.Second,
	})
	if err != nil {
		l.Close()
		return nil, err
	}
	server := &http.Server{Handler: b.idp, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			b.connections.Add(1)
		}
	}}
	go func() { _ = server.Serve(l) }() // until it is closed
	return func() { _ = server.Close() }, nil
}

// findProgram waits for the program that the operator runs.
func (b *bench) findProgram(ctx context.Context, appURL string, stderr io.Writer) (*program, error) {
	p := &program{site: &site{origin: appURL}}
	for _, u := range b.urls {
		addr, err := hostPort(u)
		if err != nil {
			return nil, err
		}
		p.replicas = append(p.replicas, addr)
	}
	fmt.Fprintf(stderr, "Changebank needs these settings for the test:\n\t%s\nWaiting until it is ready.\n",
		strings.Join(settings(appURL, b.issuer), "\n\t"))
	return p, p.awaitReady(ctx)
}
