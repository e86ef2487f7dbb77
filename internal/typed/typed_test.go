package typed_test

import (
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/runenames"

	"changebank/internal/typed"
)

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"WDJB-MJHT":                              "WDJB-MJHT",
		"":                                       "",
		"１２３．４５":                                 "123.45",
		"ＷＤＪＢ－ｍｊｈｔ　＄，":                           "WDJB-mjht $,",
		"٠١٢٣٤٥٦٧٨٩":                             "0123456789", // Arabic-Indic
		"۰۱۲۳۴۵۶۷۸۹":                             "0123456789", // Persian
		"०१२३४५६७८९":                             "0123456789", // Devanagari
		"𝟎𝟏𝟐𝟗𝟘𝟙𝟡":                                "0129019",    // mathematical, of two alphabets in a row
		"\u200e1\u202a2\u20693":                  "123",        // direction marks
		"1\u200b\ufeff\u00ad\u2060\u034f\ufe0f2": "12",
		"1\u00a02\u20093\u30004\t5\n6":           "1 2 3 4 5 6",
		"\u2010\u2011\u2012\u2013\u2014\u2212":   "------",
		"½ ² ① Ⅳ":                                "½ ² ① Ⅳ", // numbers, but not digits
		"é код ٫ .":                              "é код ٫ .",
		"\xff1":                                  "\ufffd1",
	} {
		if got := typed.Plain(text); got != want {
			t.Errorf("Plain(%q): %q, want %q", text, got, want)
		}
	}
}

// The Unicode names of all decimal digits end with their value in words.
func TestEveryDigit(t *testing.T) {
	words := strings.Fields("ZERO ONE TWO THREE FOUR FIVE SIX SEVEN EIGHT NINE")
	digits := 0
	for c := rune(0); c <= unicode.MaxRune; c++ {
		if !unicode.IsDigit(c) {
			continue
		}
		digits++
		got := typed.Plain(string(c))
		if len(got) != 1 || got < "0" || got > "9" || !strings.HasSuffix(runenames.Name(c), " "+words[got[0]-'0']) {
			t.Errorf("%U %s is read as %q", c, runenames.Name(c), got)
		}
	}
	if digits < 600 {
		t.Errorf("%d digits were tried, want those of sixty scripts", digits)
	}
}

func FuzzPlain(f *testing.F) {
	for _, text := range []string{"WDJB-MJHT", "１２３", "\u200e١٢\u066b٣", "\xff", "ｶﾞ", "\uffa0"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		plain := typed.Plain(text)
		if again := typed.Plain(plain); again != plain {
			t.Errorf("Plain(%q): %q, and of that: %q", text, plain, again)
		}
		for _, c := range plain {
			if c > unicode.MaxASCII && (unicode.IsDigit(c) || unicode.IsSpace(c) || unicode.Is(unicode.Dash, c) || unicode.Is(unicode.Cf, c)) {
				t.Errorf("Plain(%q): %q, with %U in it", text, plain, c)
			}
		}
	})
}
