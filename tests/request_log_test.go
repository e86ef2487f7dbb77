package tests

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// lines returns the lines of a log in JSON with that message.
func (l *logFile) lines(t *testing.T, message string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for line := range strings.Lines(l.String()) {
		var fields map[string]any
		if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
			found = append(found, fields)
		}
	}
	return found
}

// Each request has a reference: in its answer, in the log and on an error page.
// A trusted proxy may choose it.
func TestRequestReference(t *testing.T) {
	t.Parallel()
	trusting := startBank(t, "LOG_FORMAT=json", "LOG_LEVEL=debug")
	wary := startBank(t, "LOG_FORMAT=json", "LOG_LEVEL=debug", "TRUSTED_PROXIES=192.0.2.1")
	made := regexp.MustCompile(`^[A-Z2-7]{8}$`)
	const uuid = "4e1f0a52-9c34-4d0a-9a55-1f6f1f0b5a02"
	seen := map[string]bool{}
	for _, tt := range []struct {
		name, sent string
		bank       *bank
		kept       bool
	}{
		{"none", "", trusting, false},
		{"none again", "", trusting, false},
		{"a UUID", uuid, trusting, true},
		{"a trace", "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", trusting, true},
		{"64 characters", strings.Repeat("x", 64), trusting, true},
		{"too long", strings.Repeat("x", 65), trusting, false},
		{"markup", "<script>", trusting, false},
		{"two words", `a level=ERROR`, trusting, false},
		{"from a stranger", uuid, wary, false},
	} {
		visitor := tt.bank.browser(t)
		var header []string
		if tt.sent != "" {
			header = []string{"X-Request-Id", tt.sent}
		}
		p := visitor.doOnce(visitor.request("GET", "/nosuch?secret", nil, header...))
		got := p.Header.Get("X-Request-Id")
		if tt.kept && got != tt.sent || !tt.kept && !made.MatchString(got) || p.text("reference") != got || seen[got] {
			t.Errorf("%s: the reference is %q, on the page %q; kept: want %t", tt.name, got, p.text("reference"), tt.kept)
		}
		seen[got] = true
		is := func(fields map[string]any) bool { return fields["reference"] == got }
		if !slices.ContainsFunc(tt.bank.log.lines(t, "page refused"), is) {
			t.Errorf("%s: the log of the refusal lacks %s", tt.name, got)
		}
		visitor.await("logged", func() string { // the line comes after the answer
			if slices.ContainsFunc(tt.bank.log.lines(t, "request"), is) {
				return "logged"
			}
			return ""
		})
		for _, fields := range tt.bank.log.lines(t, "request") {
			if is(fields) && (fields["route"] != "GET /" || fields["status"] != 404. || fields["bytes"] != float64(len(p.Body)) || fields["took"] == nil || fields["level"] != "DEBUG") {
				t.Errorf("%s: the request is logged as %v, want %d bytes", tt.name, fields, len(p.Body))
			}
		}
	}
	if strings.Contains(trusting.log.String(), "secret") {
		t.Error("a query is in the log")
	}
}

// Each login and logout has one line, with the session's reference, whichever way
// the person logged in. Pages that only wait have none, unless asked for.
func TestLoginsInLog(t *testing.T) {
	t.Parallel()
	b, laptop, phone := pair(t, "LOG_FORMAT=json")
	laptop.as(windowsAgent).logInWith(phone.as(firefoxAgent))
	for range 5 {
		laptop.get("/account")
	}
	laptop.logOut()
	phone.logOut()
	b.stop()

	ins, outs := b.log.lines(t, "login"), b.log.lines(t, "logout")
	if len(ins) != 2 || len(outs) != 2 {
		t.Fatalf("two logins and logouts have these lines:\n%v\n%v", ins, outs)
	}
	for i, want := range []struct{ how, agent string }{{"provider", firefoxAgent}, {"phone", windowsAgent}} {
		for _, line := range []map[string]any{ins[i], outs[1-i]} {
			person, _ := line["person"].(map[string]any)
			browser, _ := line["browser"].(map[string]any)
			if line["how"] != want.how || line["ref"] != ins[i]["ref"] || line["ref"] == "" || line["level"] != "INFO" ||
				person["subject"] != richardsID || browser["agent"] != want.agent || browser["addr"] == "" {
				t.Errorf("%v, want how=%s, the ref of the session, the person and the browser", line, want.how)
			}
		}
	}
	if n := len(b.log.lines(t, "request")); n > 0 {
		t.Errorf("%d requests are logged without LOG_LEVEL=debug", n)
	}
}
