package main

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"changebank/internal/config"
)

// options are the command line's.
type options struct {
	urls         []string
	appURL       string
	issuerListen string
	program      string
	redis        string
	replicas     int
	phases       []string
	n            int
	rates        []float64 // logins per second
	duration     time.Duration
	json         bool
}

const usage = `loadtest measures Changebank as its people use it: laptops and phones with
cookies and event streams, and an OpenID provider that answers at once.

	go run ./cmd/loadtest                    builds Changebank, starts it, and measures everything
	go run ./cmd/loadtest -phases logins -rate 100 -duration 1m
	go run ./cmd/loadtest -url http://localhost:5000    measures one that runs; prints the settings it needs

Phases:
	pages    pages per second and their times, next to a bare net/http server that writes the same bytes
	codes    new codes, and the page of a live code
	waiting  memory of laptops that wait for their phones: on our page, and on the provider's
	logins   whole logins, at each -rate and as many as possible
	storm    laptops that wait, all approved within -duration
	mixed    logins, logouts, visitors, denials and codes that nobody scans, all at once
	soak     mixed for six times -duration: do memory, connections or errors grow?

The program's CPU time, memory and data file are measured only where this
command has started it, on Linux. Its data is on the disk of TMPDIR. Laptops and
phones come through a trusted proxy that gives each household an address of its
own (X-Forwarded-For). The exit code is 1 if there was an error, or if a laptop
was logged in as someone else than the person who approved.

Flags:
`

// parseOptions reads the command line. Its error is a sentence, or
// [flag.ErrHelp].
func parseOptions(args []string, stderr io.Writer) (options, error) {
	o := options{rates: []float64{50, 100}}
	flags := flag.NewFlagSet("loadtest", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	flags.Func("url", "address of a running Changebank; repeat it for each replica", func(text string) error {
		o.urls = append(o.urls, strings.TrimSuffix(text, "/"))
		return nil
	})
	flags.StringVar(&o.appURL, "app-url", "", "APP_URL of the running Changebank (default: the first -url)")
	flags.StringVar(&o.issuerListen, "issuer-listen", "", "`host:port` of the load provider (default 127.0.0.1:9100 with -url, otherwise a free port)")
	flags.StringVar(&o.program, "program", "", "`file` of a Changebank to start instead of building it")
	flags.StringVar(&o.redis, "redis", "", "REDIS_URL of a Redis to keep the data in instead of a file")
	flags.IntVar(&o.replicas, "replicas", 1, "number of processes to start; more than one needs -redis")
	phases := flags.String("phases", strings.Join(phaseNames(), ","), "what to measure")
	flags.IntVar(&o.n, "n", 300, "number of laptops that wait at once, and of browsers that log in as fast as they can")
	flags.Func("rate", "logins per second; several with commas (default 50,100)", func(text string) (err error) {
		o.rates, err = parseRates(text)
		return err
	})
	flags.DurationVar(&o.duration, "duration", 4*time.Second, "how long each measurement lasts; of a page, with the bare server's part")
	flags.BoolVar(&o.json, "json", false, "print the results as JSON")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.phases = strings.Split(*phases, ",")
	return o, o.check(flags.Args())
}

func parseRates(text string) (rates []float64, err error) {
	for one := range strings.SplitSeq(text, ",") {
		rate, err := strconv.ParseFloat(one, 64)
		if err != nil || rate <= 0 {
			return nil, fmt.Errorf("%q is not a number of logins per second", one)
		}
		rates = append(rates, rate)
	}
	return rates, nil
}

func (o *options) check(rest []string) error {
	for _, name := range o.phases {
		if !slices.Contains(phaseNames(), name) {
			return fmt.Errorf("there is no phase %q; the phases are %s", name, strings.Join(phaseNames(), ", "))
		}
	}
	for _, u := range o.urls {
		if _, err := hostPort(u); err != nil {
			return fmt.Errorf("-url: %w", err)
		}
	}
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unknown argument %q; -help lists the flags", rest[0])
	case o.n < 1 || o.duration <= 0 || o.replicas < 1:
		return fmt.Errorf("-n, -duration and -replicas must be more than 0")
	case len(o.urls) > 0 && (o.program != "" || o.redis != "" || o.replicas > 1):
		return fmt.Errorf("-program, -redis and -replicas are for a Changebank that this command starts; leave them out with -url")
	case len(o.urls) == 0 && o.appURL != "":
		return fmt.Errorf("-app-url is for a Changebank that runs already; give its address with -url")
	case o.replicas > 1 && o.redis == "":
		return fmt.Errorf("-replicas needs -redis: one process at a time can use a data file")
	case o.redis != "" && o.program == "" && !slices.Contains(config.Names(), "REDIS_URL"):
		return fmt.Errorf("-redis: this Changebank has no setting REDIS_URL")
	}
	return nil
}
