package typed_test

import (
	"strings"
	"testing"
	"unicode"

	"changebank/internal/typed"
)

func TestLine(t *testing.T) {
	for text, want := range map[string]string{
		" Saint-Étienne\u00a0 ":                  "Saint-Étienne",
		"two\nlines\u2028and\u3000a\ttab":        "two lines and a tab",
		"\u202erevneD\u2066\u200f":               "revneD",
		"\x00\x1b[31m":                           "[31m",
		"\u200b\u3164\u2800\U000e0041":           "",
		"D" + strings.Repeat("\u0301", 50):       "D\u0301\u0301\u0301",
		"D" + strings.Repeat("\u0301\u200b", 50): "D\u0301\u0301\u0301", // invisible characters between them
		"Ζυρίχη 东京 กรุงเทพ":                      "Ζυρίχη 东京 กรุงเทพ",
	} {
		if got := typed.Line(text); got != want {
			t.Errorf("Line of %+q: %+q, want %+q", text, got, want)
		}
	}
}

// A line can be shown whatever the text was, and stays as it is.
func FuzzLine(f *testing.F) {
	f.Add("Denver")
	f.Add("\u202e\xff\u0301\u0301\u0301\u200b\u0301")
	f.Fuzz(func(t *testing.T, text string) {
		line := typed.Line(text)
		for _, c := range line {
			if !unicode.IsPrint(c) || unicode.Is(unicode.Bidi_Control, c) {
				t.Errorf("Line of %+q has %+q", text, c)
			}
		}
		if again := typed.Line(line); again != line {
			t.Errorf("Line of %+q is %+q", line, again)
		}
	})
}
