package tests

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// step is what the log says about one step of a QR login.
type step struct {
	Level, Step, Attempt string
	Laptop, Phone        struct{ Addr, Agent string }
	Person               struct{ Issuer, Subject string }
}

// steps reads a log in JSON. Lines about anything else are left out.
func (l *logFile) steps(t *testing.T) []step {
	t.Helper()
	var steps []step
	for line := range strings.Lines(l.String()) {
		if !strings.Contains(line, `"msg":"qr login"`) {
			continue
		}
		var s step
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Errorf("a line of the log is not JSON: %v: %s", err, line)
		}
		steps = append(steps, s)
	}
	return steps
}

// logged returns a value as a log in text has it.
func logged(value string) string {
	if strings.Contains(value, " ") {
		return strconv.Quote(value)
	}
	return value
}

// wantSteps checks how often a log in text has a step.
func (b *bank) wantSteps(t *testing.T, name string, want int) {
	t.Helper()
	if got := strings.Count(b.log.String(), `msg="qr login" step=`+logged(name)+" "); got != want {
		t.Errorf("the log has the step %q %d times, want %d", name, got, want)
	}
}

// An operator who looks into a phished login finds a line for each step, with
// one reference: which browsers, from where, and who approved.
func TestLog(t *testing.T) {
	t.Parallel()
	b, laptop, phone := farPair(t, "LOG_FORMAT=json")
	phone.as(iPhoneAgent)
	number := phone.approve(laptop.code()).number()
	wrong := wrongNumber(number)
	laptop.typeNumber(wrong)
	laptop.confirm(number, richard)
	laptop.logOut()

	phone.deny(laptop.code())
	laptop.post(qrPage, nil)
	laptop.post(qrPage+"/cancel", nil)
	b.stop()

	if log := b.log.String(); hasNumber(log, wrong) || hasNumber(log, number) {
		t.Error("a number that was typed is in the log")
	}
	var names []string
	refs := map[string]int{}
	for _, s := range b.log.steps(t) {
		names = append(names, s.Step)
		refs[s.Attempt]++
		if s.Level != "INFO" || s.Attempt == "" || s.Laptop.Addr != awayAddr || s.Laptop.Agent != firefoxAgent {
			t.Errorf("a step lacks the reference or the laptop: %+v", s)
		}
		if s.Step == "started" || s.Step == "cancelled" {
			continue // nobody had opened it
		}
		if s.Phone.Addr != homeAddr || s.Phone.Agent != iPhoneAgent || s.Person.Subject != richardsID || s.Person.Issuer != b.DemoURL {
			t.Errorf("a step lacks the phone or the person: %+v", s)
		}
	}
	want := []string{
		"started", "opened", "number", "number wrong", "yes", "approved", "claimed",
		"started", "opened", "denied",
		"started", "cancelled",
	}
	if !slices.Equal(names, want) {
		t.Errorf("the log has the steps %q, want %q", names, want)
	}
	if len(refs) != 3 {
		t.Errorf("three logins have %d references", len(refs))
	}
}
