package change_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"changebank/internal/change"
)

var amounts = []struct {
	text string
	want change.Cents
	err  error
}{
	{"1", 100, nil},
	{"0", 0, nil},
	{"1.5", 150, nil},
	{".5", 50, nil},
	{"1.", 100, nil},
	{"0.29", 29, nil},
	{"0.30", 30, nil},
	{"1.15", 115, nil},
	{"007", 700, nil},
	{"$1,234.56", 123456, nil},
	{"1234.56", 123456, nil},
	{"  $ 1 234.56\t", 123456, nil},
	{"1\u00a0234,567", 123456700, nil},
	{"$1,000,000,000,000", change.Max, nil},
	{"1000000000000.00", change.Max, nil},
	{strings.Repeat("0", 5000) + "1", 100, nil},
	{"＄１，２３４．５６", 123456, nil}, // full-width
	{"１２。５０", 1250, nil},
	{"١٬٢٣٤٫٥٦", 123456, nil},               // Arabic
	{"\u200f۱۲٫۵\u200f", 1250, nil},         // Persian, with direction marks
	{"१,२३४.५६", 123456, nil},               // Devanagari
	{"1\u202f234\u202f567", 123456700, nil}, // narrow no-break spaces
	{"\ufeff12\u200b.50\u2060", 1250, nil},  // pasted

	{"", 0, change.ErrEmpty},
	{" \t\n\u00a0", 0, change.ErrEmpty},
	{"five dollars", 0, change.ErrNotAmount},
	{"$", 0, change.ErrNotAmount},
	{".", 0, change.ErrNotAmount},
	{",", 0, change.ErrNotAmount},
	{"-", 0, change.ErrNotAmount},
	{"nan", 0, change.ErrNotAmount},
	{"inf", 0, change.ErrNotAmount},
	{"-inf", 0, change.ErrNotAmount},
	{"1e308", 0, change.ErrNotAmount},
	{"0x10", 0, change.ErrNotAmount},
	{"1_000", 0, change.ErrNotAmount},
	{"+1", 0, change.ErrNotAmount},
	{"1.2.3", 0, change.ErrNotAmount},
	{"$$1", 0, change.ErrNotAmount},
	{"1$", 0, change.ErrNotAmount},
	{"€1", 0, change.ErrNotAmount},
	{"1\x00", 0, change.ErrNotAmount},
	{"\xff1", 0, change.ErrNotAmount},
	{"½", 0, change.ErrNotAmount},
	{"1²", 0, change.ErrNotAmount},
	{"١٫٢٫٣", 0, change.ErrNotAmount},
	{"\u200b\u200f", 0, change.ErrEmpty},
	{strings.Repeat("1", 9000), 0, change.ErrNotAmount},
	{"-1", 0, change.ErrNegative},
	{"-$1.50", 0, change.ErrNegative},
	{"−1", 0, change.ErrNegative}, // a minus sign, not a hyphen
	{"–1", 0, change.ErrNegative}, // a dash
	{"－１", 0, change.ErrNegative},
	{"\u200e-\u200e1", 0, change.ErrNegative},
	{"-0.001", 0, change.ErrNegative},
	{"1.234", 0, change.ErrDecimals},
	{"0.005", 0, change.ErrDecimals},
	{"1.000", 0, change.ErrDecimals},
	{"١٫٢٣٤", 0, change.ErrDecimals},
	{"1,23", 0, change.ErrGrouping},
	{"1,2345", 0, change.ErrGrouping},
	{"1234,567", 0, change.ErrGrouping},
	{",123", 0, change.ErrGrouping},
	{"1,,234", 0, change.ErrGrouping},
	{"1,234,", 0, change.ErrGrouping},
	{"1 2", 0, change.ErrGrouping},
	{"1 .5", 0, change.ErrGrouping},
	{"１，２３", 0, change.ErrGrouping},
	{"١٢٬٣", 0, change.ErrGrouping},
	{"1000000000000.01", 0, change.ErrTooLarge},
	{"92233720368547758.07", 0, change.ErrTooLarge},
	{"92233720368547758.08", 0, change.ErrTooLarge}, // one more than 63 bits
	{strings.Repeat("9", 5000), 0, change.ErrTooLarge},
}

func TestParse(t *testing.T) {
	for _, tt := range amounts {
		got, err := change.Parse(tt.text)
		if got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("Parse(%.40q): %d, %v; want %d, %v", tt.text, got, err, tt.want, tt.err)
		}
	}
}

func TestSentence(t *testing.T) {
	for amount, want := range map[change.Cents]string{
		0:          "We can make change for $0.00 with 0 nickels and 0 pennies!",
		1:          "We can make change for $0.01 with 0 nickels and 1 penny!",
		5:          "We can make change for $0.05 with 1 nickel and 0 pennies!",
		6:          "We can make change for $0.06 with 1 nickel and 1 penny!",
		30:         "We can make change for $0.30 with 6 nickels and 0 pennies!",
		99_999:     "We can make change for $999.99 with 19,999 nickels and 4 pennies!",
		123_456:    "We can make change for $1,234.56 with 24,691 nickels and 1 penny!",
		change.Max: "We can make change for $1,000,000,000,000.00 with 20,000,000,000,000 nickels and 0 pennies!",
	} {
		if got := change.Make(amount).String(); got != want {
			t.Errorf("Make(%d): %q, want %q", int64(amount), got, want)
		}
	}
}

// In floating point, $0.30 would be 5 nickels and 5 pennies, and $0.07 would have
// a penny too many.
func TestEveryCent(t *testing.T) {
	for cents := change.Cents(0); cents <= 100_00; cents++ {
		for _, text := range []string{
			fmt.Sprintf("%d.%02d", cents/100, cents%100),
			strings.TrimSuffix(fmt.Sprintf("$%d.%02d", cents/100, cents%100), "0"),
		} {
			got, err := change.Parse(text)
			if got != cents || err != nil {
				t.Fatalf("Parse(%q): %d, %v; want %d", text, got, err, cents)
			}
		}
		made := change.Make(cents)
		if value := 5*made.Nickels + made.Pennies; value != int64(cents) || made.Pennies < 0 || made.Pennies > 4 {
			t.Fatalf("Make(%d): %d nickels and %d pennies are %d", int64(cents), made.Nickels, made.Pennies, value)
		}
	}
}

// An amount that parses can be printed, and the printed text parses to the same
// amount.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", "1", ".5", "$1,234.56", " 1 234 ", "-1", "1e308", "1,23", "9999999999999999999", "\xff", "＄１，２３４．５６", "١٬٢٣٤٫٥٦\u200f"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		cents, err := change.Parse(text)
		if err != nil {
			return
		}
		if cents < 0 || cents > change.Max {
			t.Fatalf("Parse(%q): %d cents", text, int64(cents))
		}
		if again, err := change.Parse(cents.String()); again != cents || err != nil {
			t.Errorf("Parse(%q) prints as %s, which parses to %d, %v", text, cents, int64(again), err)
		}
	})
}
