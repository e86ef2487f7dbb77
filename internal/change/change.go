// Package change makes change: it parses an amount as people type it, and turns
// it into nickels and pennies. It counts in whole cents, so nothing is rounded.
package change

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"changebank/internal/typed"
)

// Cents is an amount of money.
type Cents int64

// Max is the largest amount: a trillion dollars.
const Max Cents = 100_000_000_000_000

// The errors of [Parse].
var (
	ErrEmpty     = errors.New("change: no amount")
	ErrNotAmount = errors.New("change: not an amount")
	ErrNegative  = errors.New("change: negative amount")
	ErrDecimals  = errors.New("change: more than two digits after the point")
	ErrGrouping  = errors.New("change: commas or spaces that do not separate thousands")
	ErrTooLarge  = errors.New("change: amount above the maximum")
)

// maxLength is the length in bytes of the longest text that is read as an amount.
const maxLength = 8 << 10

var (
	// A sign, the dollars with their separators, the cents.
	shape   = regexp.MustCompile(`^(-?)\$? ?([\d, ]*)(?:\.(\d*))?$`)
	dollars = regexp.MustCompile(`^(?:\d*|\d{1,3}(?:[, ]\d{3})+)$`)
	// Arabic and Persian keyboards have separators of their own, and Japanese
	// ones another full stop.
	separators = strings.NewReplacer("٫", ".", "٬", ",", "。", ".")
)

// Parse parses an amount of dollars, like 1, .5 or $1,234.56, in the digits of
// any script. Thousands may be separated by commas or spaces, and spaces around
// the amount are ignored. The error is one of those above.
func Parse(text string) (Cents, error) {
	if len(text) > maxLength {
		return 0, ErrNotAmount
	}
	text = strings.Join(strings.Fields(separators.Replace(typed.Plain(text))), " ")
	if text == "" {
		return 0, ErrEmpty
	}
	match := shape.FindStringSubmatch(text)
	if match == nil || !strings.ContainsAny(text, "0123456789") {
		return 0, ErrNotAmount
	}
	sign, whole, part := match[1], match[2], match[3]
	switch {
	case sign != "":
		return 0, ErrNegative
	case !dollars.MatchString(whole):
		return 0, ErrGrouping // also 1,23, where a decimal comma would be read as a hundred times the amount
	case len(part) > 2:
		return 0, ErrDecimals
	}
	whole = strings.NewReplacer(",", "", " ", "").Replace(whole)
	cents, err := strconv.ParseInt(whole+(part + "00")[:2], 10, 64)
	if err != nil || Cents(cents) > Max {
		return 0, ErrTooLarge
	}
	return Cents(cents), nil
}

// String returns the amount in dollars, like $1,234.56.
func (c Cents) String() string {
	return fmt.Sprintf("$%s.%02d", grouped(int64(c/100)), c%100)
}

// Change is an amount in the fewest nickels and pennies.
type Change struct {
	Amount           Cents
	Nickels, Pennies int64
}

// Make returns the change for an amount that is not negative.
func Make(amount Cents) Change {
	return Change{amount, int64(amount / 5), int64(amount % 5)}
}

// String returns a sentence for the page.
func (c Change) String() string {
	return fmt.Sprintf("We can make change for %s with %s and %s!",
		c.Amount, count(c.Nickels, "nickel", "nickels"), count(c.Pennies, "penny", "pennies"))
}

func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return grouped(n) + " " + many
}

// grouped formats n with commas between thousands.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
