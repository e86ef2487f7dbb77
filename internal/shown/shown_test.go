package shown

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"

	"changebank/internal/cookies"
)

// A stamp counts for its own session and question only, and a stamp that is sent
// again keeps its time.
func TestStamps(t *testing.T) {
	jar, err := cookies.New("https://bank.example", func(string) [][]byte { return [][]byte{bytes.Repeat([]byte("k"), 32)} })
	if err != nil {
		t.Fatal(err)
	}
	stamps := New(jar, time.Hour)
	synctest.Test(t, func(t *testing.T) {
		stamp, err := stamps.Stamp("", "session", "question")
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(readingTime - time.Millisecond)
		if !stamps.TooSoon(stamp, "session", "question") {
			t.Error("an answer within a second is not too soon")
		}
		if again, err := stamps.Stamp(stamp, "session", "question"); again != stamp || err != nil {
			t.Errorf("the question shown again has another stamp: %v", err)
		}
		time.Sleep(time.Millisecond)
		for _, tt := range []struct {
			sent, session, question string
			want                    bool
		}{
			{stamp, "session", "question", false},
			{stamp, "another", "question", true},
			{stamp, "session", "another", true},
			{"", "", "", true},
			{"forged", "session", "question", true},
		} {
			if got := stamps.TooSoon(tt.sent, tt.session, tt.question); got != tt.want {
				t.Errorf("TooSoon(%.8q, %q, %q) = %t, want %t", tt.sent, tt.session, tt.question, got, tt.want)
			}
		}
	})
}
