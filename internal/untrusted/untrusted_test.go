package untrusted_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"changebank/internal/untrusted"
)

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		" Saint-Étienne\u00a0 ":                  "Saint-Étienne",
		"two\nlines\u2028and\u3000a\ttab":        "two lines and a tab",
		"\u202erevneD\u2066\u200f":               "revneD",
		"\x00\x1b[31m":                           "[31m",
		"\u200b\u3164\u2800\U000e0041":           "",
		"D" + strings.Repeat("\u0301\u200b", 50): "D\u0301\u0301\u0301",
		"D" + strings.Repeat("\u0301", 50):       "D\u0301\u0301\u0301",
		"Ζυρίχη 东京 กรุงเทพ \u0627\u0644قاهرة":    "Ζυρίχη 东京 กรุงเทพ \u0627\u0644قاهرة",
	} {
		if got := untrusted.Line(text); got != want {
			t.Errorf("Line of %+q: %+q, want %+q", text, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	whole := strings.Repeat("é", 100)
	if got := untrusted.Short(whole); got != whole {
		t.Errorf("a text of 100 characters becomes %q", got)
	}
	if got, want := untrusted.Short(whole+"é"), strings.Repeat("é", 99)+"…"; got != want {
		t.Errorf("a text of 101 characters becomes %q, want %q", got, want)
	}
}

// A line can be shown whatever the text was, and is a line of its own.
func FuzzLine(f *testing.F) {
	f.Add("Denver")
	f.Add("\u202e\xff\u0301\u0301\u0301\u0301")
	f.Fuzz(func(t *testing.T, text string) {
		line := untrusted.Line(text)
		for _, c := range line {
			if !unicode.IsPrint(c) || unicode.Is(unicode.Bidi_Control, c) {
				t.Errorf("Line of %+q has %+q", text, c)
			}
		}
		if again := untrusted.Line(line); again != line {
			t.Errorf("Line of %+q is %+q", line, again)
		}
		if short := untrusted.Short(line); utf8.RuneCountInString(short) > 100 {
			t.Errorf("Short of %+q is %+q", line, short)
		}
	})
}
