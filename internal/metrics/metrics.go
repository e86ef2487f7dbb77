// Package metrics counts what happens, for Prometheus. The other packages do not
// know it: it decorates what main.go gives them, or they call a function with
// what happened, in words from fixed lists.
//
// A label's value is one of a fixed list, or "other". Nothing that a request or a
// provider says becomes a label, so the number of series is bounded.
package metrics

import (
	"net/http"
	"net/http/pprof"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"changebank/internal/devicegrant"
	"changebank/internal/session"
)

// Metrics are the counters of one process. Make them with [New].
type Metrics struct {
	registry *prometheus.Registry
	handler  http.Handler

	logins      *prometheus.CounterVec
	loginTime   *prometheus.HistogramVec
	refused     *prometheus.CounterVec
	polls       *prometheus.CounterVec
	refreshes   *prometheus.CounterVec
	started     *prometheus.CounterVec
	ended       *prometheus.CounterVec
	requests    *prometheus.HistogramVec
	provider    *prometheus.HistogramVec
	storeAccess *prometheus.HistogramVec
}

// New returns Metrics that name the program's version.
func New(version string) *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	make := promauto.With(registry)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return make.NewCounterVec(prometheus.CounterOpts{Name: "changebank_" + name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return make.NewHistogramVec(prometheus.HistogramOpts{Name: "changebank_" + name, Help: help, Buckets: buckets}, labels)
	}
	m := &Metrics{
		registry:    registry,
		logins:      counter("qr_login_steps_total", "Steps of QR logins, as in the log. reason: of a failed one, and of an expired one that a person had approved.", "step", "reason"),
		loginTime:   histogram("qr_login_step_seconds", "Seconds from the start of a QR login to a step.", people, "step"),
		refused:     counter("refused_total", "Requests that a rule refused, as in the log.", "rule"),
		polls:       counter("polls_total", "Polls of the provider's token endpoint for a device code.", "answer"),
		refreshes:   counter("refreshes_total", "Refreshes of a session's tokens.", "outcome"),
		started:     counter("sessions_started_total", "Logins.", "how"),
		ended:       counter("sessions_ended_total", "Sessions that were ended. Those that expire are not counted.", "how"),
		requests:    histogram("http_request_seconds", "Seconds that requests took, by their route. An event stream lasts until it ends.", machines, "route", "code"),
		provider:    histogram("provider_request_seconds", "Seconds until the provider answered a request.", machines, "call", "answer"),
		storeAccess: histogram("store_operation_seconds", "Seconds that operations of the store took.", machines, "operation", "outcome"),
	}
	counter("build_info", "1, with what the program was built from.", "version").WithLabelValues(version).Inc()
	m.startAtZero()
	m.handler = m.routes()
	return m
}

// Upper ends of the histograms' buckets, in seconds.
var (
	people   = []float64{1, 2, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600, 1800}
	machines = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}
)

// routes has the profiles as well, for the same readers.
func (m *Metrics) routes() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// ServeHTTP implements [http.Handler] with /metrics and /debug/pprof/.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, r *http.Request) { m.handler.ServeHTTP(w, r) }

// Values of labels. What is in none of these lists counts as other.
const other = "other"

var (
	steps = []string{
		"started", "opened", "number", "yes", "approved", "claimed", "denied", "expired", "cancelled", "failed",
		"number wrong", "opened by a second person",
	}
	timed   = []string{"opened", "approved", "claimed"}
	reasons = []string{
		"", "refused", "client", "code gone", "other person", "unverified", "wrong number", "moved", "logged out", "session ended", "unfinished",
	}
	rules = []string{
		"new codes for one address", "live attempts", "wrong codes", "wrong codes in links", "unknown code", "other person", "opened too late",
		"QR_ALLOW_FROM", "logins from one address",
	}
	logins = []string{session.ByProvider, session.ByPhone}
	calls  = []string{
		"discovery", "keys", "pushed request", "token", "userinfo", "device authorization", "device approval", "revocation",
	}
)

func known(list []string, value string) string {
	if slices.Contains(list, value) {
		return value
	}
	return other
}

// startAtZero makes the series of rare events: of a counter that begins at one,
// Prometheus cannot tell that it has risen.
func (m *Metrics) startAtZero() {
	for _, step := range steps {
		m.logins.WithLabelValues(step, "")
	}
	for _, reason := range reasons {
		m.logins.WithLabelValues("failed", reason)
	}
	m.logins.WithLabelValues("expired", "unfinished")
	for _, step := range timed {
		m.loginTime.WithLabelValues(step)
	}
	for _, rule := range rules {
		m.refused.WithLabelValues(rule)
	}
	for _, how := range logins {
		m.started.WithLabelValues(how)
		m.ended.WithLabelValues(how)
	}
	for _, answer := range pollAnswers {
		m.polls.WithLabelValues(answer)
	}
	for _, outcome := range []string{"ok", "ended", "failed"} {
		m.refreshes.WithLabelValues(outcome)
	}
	for _, operation := range []string{"get", "swap", "ping"} {
		m.storeAccess.WithLabelValues(operation, "ok")
		m.storeAccess.WithLabelValues(operation, "error")
	}
	for _, call := range calls {
		for _, answer := range []string{"2xx", "5xx", "none"} {
			m.provider.WithLabelValues(call, answer)
		}
	}
}

// Gauges reports three numbers of this process whenever they are asked for: QR
// logins that have not ended, open event streams, and long polls.
func (m *Metrics) Gauges(waiting func() int, streams, longPolls func() int64) {
	gauge := func(name, help string, value func() float64) {
		promauto.With(m.registry).NewGaugeFunc(prometheus.GaugeOpts{Name: "changebank_" + name, Help: help}, value)
	}
	gauge("qr_logins_waiting", "QR logins that this process started, and that have not ended as far as it knows.", func() float64 { return float64(waiting()) })
	gauge("event_streams", "Open event streams of laptops.", func() float64 { return float64(streams()) })
	gauge("long_polls", "Requests of laptops that wait for a change.", func() float64 { return float64(longPolls()) })
}

// Attempt counts an event of a QR login. It is a [devicegrant.Config]'s Observe.
func (m *Metrics) Attempt(e devicegrant.Event) {
	if e.Step == devicegrant.StepRefused {
		m.Refused(e.Rule)
		return
	}
	m.logins.WithLabelValues(known(steps, e.Step), known(reasons, string(e.Reason))).Inc()
	if slices.Contains(timed, e.Step) {
		m.loginTime.WithLabelValues(e.Step).Observe(e.Age.Seconds())
	}
}

// Refused counts a request that a rule refused.
func (m *Metrics) Refused(rule string) { m.refused.WithLabelValues(known(rules, rule)).Inc() }

// Session counts a login, or the end of a session. It is a [session.Config]'s
// Observe.
func (m *Metrics) Session(event, how string) {
	counter := m.started
	if event == session.Ended {
		counter = m.ended
	}
	counter.WithLabelValues(known(logins, how)).Inc()
}

// Request counts a request by the pattern of its route, which has no value of the
// request in it.
func (m *Metrics) Request(route string, status int, took time.Duration) {
	if route == "" {
		route = "none" // refused before it got to one
	}
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Observe(took.Seconds())
}
