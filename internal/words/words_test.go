package words

import (
	"strings"
	"testing"
	"time"

	"changebank/internal/devicegrant"
)

var states = []devicegrant.State{
	devicegrant.Waiting, devicegrant.Opened, devicegrant.Number, devicegrant.Yes, devicegrant.Approved, devicegrant.Claimed,
	devicegrant.Denied, devicegrant.Expired, devicegrant.Cancelled, devicegrant.Failed,
}

// Every state, and every reason for failing, has words of its own.
func TestWords(t *testing.T) {
	attempts := []devicegrant.Attempt{{State: devicegrant.Expired, Reason: devicegrant.ReasonUnfinished}}
	for _, state := range states {
		attempts = append(attempts, devicegrant.Attempt{State: state})
	}
	for _, reason := range []devicegrant.Reason{
		devicegrant.ReasonOtherPerson, devicegrant.ReasonUnverified, devicegrant.ReasonClient, devicegrant.ReasonCodeGone,
		devicegrant.ReasonNumber, devicegrant.ReasonMoved, devicegrant.ReasonLoggedOut, devicegrant.ReasonSessionEnded,
	} {
		attempts = append(attempts, devicegrant.Attempt{State: devicegrant.Failed, Reason: reason})
	}
	seen := make(map[Words]devicegrant.Attempt)
	for _, a := range attempts {
		w := Laptop(a)
		if w.Tab == "" || w.Title == "" || w.Text == "" || strings.Contains(w.Title+w.Tab, "{") {
			t.Errorf("%s %s: %+v", a.State, a.Reason, w)
		}
		if other, ok := seen[w]; ok {
			t.Errorf("%s %s and %s %s have the same words", a.State, a.Reason, other.State, other.Reason)
		}
		seen[w] = a
		if w := Phone(a); a.State.Ended() && (w.Title == "" || w.Text == "") {
			t.Errorf("%s %s: no words for the phone", a.State, a.Reason)
		}
	}
}

func TestAgo(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Second:                "just now",
		2 * time.Second:            "2 seconds ago",
		119 * time.Second:          "119 seconds ago",
		2 * time.Minute:            "2 minutes ago",
		119 * time.Minute:          "119 minutes ago",
		2 * time.Hour:              "2 hours ago",
		47 * time.Hour:             "47 hours ago",
		48 * time.Hour:             "2 days ago",
		7*24*time.Hour - time.Hour: "6 days ago",
	} {
		if got := Ago(time.Now().Add(-d)); got != want {
			t.Errorf("Ago(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestSpelled(t *testing.T) {
	for code, want := range map[string]string{
		"1023":      "1 0 2 3",
		"AB12CD":    "A B 1, 2 C D",
		"WDJBMJHT":  "W D J B, M J H T",
		"WDJB-MJHT": "W D J B, M J H T",
		"wd-jb--":   "w d, j b",
		"WDJBM-":    "W D J, B M",
		"ABCDEFG":   "A B C, D E F, G",
		"":          "",
	} {
		if got := Spelled(code); got != want {
			t.Errorf("Spelled(%q) = %q, want %q", code, got, want)
		}
	}
}
