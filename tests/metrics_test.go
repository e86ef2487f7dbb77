package tests

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// onMetrics is the setting that serves metrics on any free port.
const onMetrics = "METRICS_LISTEN=127.0.0.1:0"

// metricsAt matches where the log says that they are.
const metricsAt = `metrics and profiles are served"[ ,]"?at"?[=:]"?(http[^\s"]+)`

// metrics returns what Prometheus gets.
func (b *bank) metrics(t testing.TB) string {
	t.Helper()
	return b.operator(t, b.log.await(t, metricsAt))
}

// profiles returns the profiles that are text.
func (b *bank) profiles(t testing.TB) string {
	t.Helper()
	at := strings.TrimSuffix(b.log.await(t, metricsAt), "/metrics")
	return b.operator(t, at+"/debug/pprof/cmdline") + b.operator(t, at+"/debug/pprof/goroutine?debug=2") + b.operator(t, at+"/debug/pprof/heap?debug=1")
}

// operator returns the page at a URL, which only an operator sees.
func (b *bank) operator(t testing.TB, at string) string {
	t.Helper()
	resp, err := http.Get(at)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d, %v", at, resp.StatusCode, err)
	}
	return string(text)
}

// value returns the value of a series, 0 if there is none.
func value(t testing.TB, metrics, series string) float64 {
	t.Helper()
	for line := range strings.Lines(metrics) {
		if text, ok := strings.CutPrefix(line, "changebank_"+series+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	return 0
}

// want is a series and its value.
type want map[string]float64

func (b *bank) wantMetrics(t testing.TB, want want) {
	t.Helper()
	text := b.metrics(t)
	for series, n := range want {
		if got := value(t, text, series); got != n {
			t.Errorf("%s is %v, want %v", series, got, n)
		}
	}
}

// A login by QR code moves each counter of what it did, and those of nothing
// else.
func TestMetrics(t *testing.T) {
	t.Parallel()
	b, laptop, phone := farPair(t, onMetrics)
	number := phone.approve(laptop.code()).number()
	stream := laptop.events()
	stream.want("number")
	b.wantMetrics(t, want{"qr_logins_waiting": 1, "event_streams": 1, "long_polls": 0})
	laptop.typeNumber(wrongNumber(number))
	laptop.confirm(number, richard)
	laptop.logOut()
	laptop.await("0 streams", func() string { return fmt.Sprint(value(t, b.metrics(t), "event_streams"), " streams") })
	phone.deny(laptop.code())
	laptop.post(qrPage, nil)
	laptop.post(qrPage+"/cancel", nil)
	phone.get("/activate?user_code=WRONG1")
	b.wantMetrics(t, want{
		`qr_login_steps_total{reason="",step="started"}`:                           3,
		`qr_login_steps_total{reason="",step="opened"}`:                            2,
		`qr_login_steps_total{reason="",step="number"}`:                            1,
		`qr_login_steps_total{reason="",step="number wrong"}`:                      1,
		`qr_login_steps_total{reason="",step="yes"}`:                               1,
		`qr_login_steps_total{reason="",step="approved"}`:                          1,
		`qr_login_steps_total{reason="",step="claimed"}`:                           1,
		`qr_login_steps_total{reason="",step="denied"}`:                            1,
		`qr_login_steps_total{reason="",step="cancelled"}`:                         1,
		`qr_login_steps_total{reason="wrong number",step="failed"}`:                0,
		`qr_login_step_seconds_count{step="opened"}`:                               2,
		`qr_login_step_seconds_count{step="approved"}`:                             1,
		`qr_login_step_seconds_count{step="claimed"}`:                              1,
		`refused_total{rule="unknown code"}`:                                       1,
		`polls_total{answer="tokens"}`:                                             1,
		`polls_total{answer="none"}`:                                               0,
		`sessions_started_total{how="phone"}`:                                      1,
		`sessions_started_total{how="provider"}`:                                   1,
		`sessions_ended_total{how="phone"}`:                                        1,
		`sessions_ended_total{how="provider"}`:                                     0,
		`provider_request_seconds_count{answer="2xx",call="device authorization"}`: 3,
		`provider_request_seconds_count{answer="2xx",call="device approval"}`:      1,
		`store_operation_seconds_count{operation="swap",outcome="error"}`:          0,
		`http_request_seconds_count{code="303",route="POST /logout"}`:              1,
		`qr_logins_waiting`:                                                        0,
		`event_streams`:                                                            0,
	})
	if text := b.metrics(t); value(t, text, `store_operation_seconds_count{operation="swap",outcome="ok"}`) == 0 || !strings.Contains(text, "go_goroutines ") {
		t.Error("the store or the Go runtime is not counted")
	}
}

// What fails is counted by its reason, and a refresh by its outcome.
func TestMetricsOfFailures(t *testing.T) {
	t.Parallel()
	b := startProxied(t, onMetrics, "LIMIT_CODES_PER_ADDRESS=2")
	b.demo.changes(func(answer map[string]any) {
		if answer["access_token"] != nil {
			answer["expires_in"] = 5
		}
	})
	laptop, phone := b.pair(t)
	link := laptop.code()
	b.demo.once("/oauth2/token", "device_code", func(w http.ResponseWriter, _ *http.Request) {
		answerJSON(w, http.StatusBadRequest, `{"error":"invalid_grant"}`)
	})
	phone.approve(link)
	laptop.await("failed", func() string { return laptop.get(qrPage).state() })
	b.demo.once("/oauth2/device_authorize", "", faults["500"])
	laptop.post(qrPage, nil)
	b.browser(t).showCode()
	b.browser(t).get(qrPage)
	b.wantMetrics(t, want{
		`qr_login_steps_total{reason="code gone",step="failed"}`:                   1,
		`refused_total{rule="new codes for one address"}`:                          1,
		`polls_total{answer="refused"}`:                                            1,
		`refreshes_total{outcome="ok"}`:                                            1,
		`provider_request_seconds_count{answer="5xx",call="device authorization"}`: 1,
		`provider_request_seconds_count{answer="4xx",call="token"}`:                1,
		`http_request_seconds_count{code="429",route="GET /logged-out-qr-login"}`:  1,
	})
}

// Nothing that a visitor sends becomes a label. An attacker could otherwise fill
// the memory of the program, and of Prometheus.
func TestMetricLabels(t *testing.T) {
	t.Parallel()
	b := startBank(t, onMetrics)
	visitor := b.browserOf(t, richard)
	visit := func(mark string) {
		visitor.get("/" + mark)
		visitor.get("/static/" + mark)
		visitor.get("/activate?user_code=" + mark)
		visitor.get("/callback?state=" + mark + "&error=" + mark)
		visitor.post("/devices/"+mark+"/end", nil)
		visitor.post("/activate", url.Values{"user_code": {mark}, "answer": {mark}})
		visitor.doOnce(visitor.request(strings.ToUpper(mark), "/account", nil, "X-Request-Id", mark, "User-Agent", mark))
		visitor.doOnce(visitor.request("GET", "/events", nil, "X-Forwarded-Host", mark))
	}
	visit("FIRSTMARK")
	series := regexp.MustCompile(`(?m)^changebank_\S+?(?:\{.*\})? `)
	before := series.FindAllString(b.metrics(t), -1)
	visit("SECONDMARK")
	text := b.metrics(t)
	if after := series.FindAllString(text, -1); !slices.Equal(before, after) {
		t.Errorf("the same requests with other values have changed the series from\n%q to\n%q", before, after)
	}
	if found := regexp.MustCompile(`(?i)(FIRST|SECOND)MARK`).FindString(text); found != "" {
		t.Errorf("the metrics have %s, from a request", found)
	}
	if strings.Contains(text, `"other"`) {
		t.Error("a label's value is other")
	}
}

// Every reason, state, rule and call in the sources has a series from the start:
// none counts as other.
func TestMetricsKnowEveryWord(t *testing.T) {
	t.Parallel()
	text := startBank(t, onMetrics).metrics(t)
	found := 0
	for folder, patterns := range map[string][]string{
		"internal/devicegrant": {`Reason\w+ +Reason = "([^"]+)"`, `\t\w+ +State += "([^"]+)"`, `logStep\("([^"]+)"`, `logRefused\("([^"]+)"`, `(?:limit\.Rule\{|TooManyError\{|rule\.)(?:Name|Rule)(?::| =) "([^"]+)"`},
		"internal/idp":         {`case to == [^\n]+\n\t\treturn "([^"]+)"`},
		"handlers":             {`Refused\("([^"]+)"`, `limit\.Rule\{Name: "([^"]+)"`},
	} {
		files, err := filepath.Glob(filepath.Join("..", folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			for _, pattern := range patterns {
				for _, word := range groups(pattern, topFile(t, strings.TrimPrefix(file, "../"))) {
					found++
					if word == "waiting" { // the log calls it started
						continue
					}
					if !strings.Contains(text, `="`+word+`"`) {
						t.Errorf("%s has %q, which the metrics count as other", file, word)
					}
				}
			}
		}
	}
	if found < 35 {
		t.Errorf("only %d words found in the sources", found)
	}
}

// The metrics are nowhere unless METRICS_LISTEN is set, and never where browsers
// are answered.
func TestMetricsListen(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string][]string{"off": nil, "on": {onMetrics}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBank(t, settings...)
			if got := strings.Contains(b.log.String(), "metrics and profiles"); got != (name == "on") {
				t.Errorf("the log says where the metrics are: %t", got)
			}
			for _, origin := range []string{b.URL, b.DemoURL} {
				for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/heap"} {
					if p := b.browser(t).getOnce(origin + path); p.Status != http.StatusNotFound {
						t.Errorf("%s%s: %v, want 404", origin, path, p)
					}
				}
			}
			if name == "on" {
				b.profiles(t)
				b.operator(t, strings.TrimSuffix(b.log.await(t, metricsAt), "/metrics")+"/debug/pprof/profile?seconds=1")
			}
		})
	}
	if said := refusal(t, "PORT=8080", "METRICS_LISTEN=0.0.0.0:8080"); !strings.Contains(said, "METRICS_LISTEN has port 8080") {
		t.Errorf("metrics on the public port: %s", said)
	}
	if said := refusal(t, "METRICS_LISTEN=192.0.2.1:9464"); !strings.Contains(said, "check METRICS_LISTEN") {
		t.Errorf("metrics at an address of another machine: %s", said)
	}
}
