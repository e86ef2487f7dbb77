// Package typed reads what people type and paste, and cleans it for showing. Keyboards of other scripts
// have other digits, input methods type full-width characters, and text that was
// copied from a message or a page has invisible characters in it.
package typed

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// invisible are the characters that show nothing: zero-width ones, and marks for
// the direction of the text.
var invisible = []*unicode.RangeTable{
	unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector,
}

// Plain returns text with the decimal digits of every script as 0 to 9, with
// full-width characters as ordinary ones, every dash as "-" and every space as
// " ", and without invisible characters. All else stays. Its work grows with the
// text, so a caller should refuse one that is too long.
func Plain(text string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case unicode.IsDigit(c):
			return digit(c)
		case unicode.Is(unicode.Dash, c):
			return '-'
		case unicode.IsSpace(c):
			return ' '
		case unicode.In(c, invisible...):
			return -1
		}
		return c
	}, width.Fold.String(text))
}

// digit returns a decimal digit as one of 0 to 9. Each script has its digits in
// a row, from zero to nine (The Unicode Standard, section 4.6), so a range of
// digits is one row or several.
func digit(c rune) rune {
	for _, row := range unicode.Digit.R16 {
		if rune(row.Lo) <= c && c <= rune(row.Hi) {
			return '0' + (c-rune(row.Lo))%10
		}
	}
	for _, row := range unicode.Digit.R32 {
		if rune(row.Lo) <= c && c <= rune(row.Hi) {
			return '0' + (c-rune(row.Lo))%10
		}
	}
	return c
}

// maxMarks is how many accents one letter may have in a Line: more would cover
// the lines around it.
const maxMarks = 3

// blank are invisible characters for which [unicode.IsPrint] is true.
var blank = []*unicode.RangeTable{
	unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector,
	{R16: []unicode.Range16{{Lo: 0x2800, Hi: 0x2800, Stride: 1}}}, // Braille without dots
}

// Short is [Line] for a text of which at most that many characters are shown.
func Short(text string, most int) string {
	letters := []rune(Line(text))
	return string(letters[:min(len(letters), most)])
}

// Line returns text as one line that is safe to show, without invisible characters
// and without those that change the direction of the text after them.
func Line(text string) string {
	marks := 0
	return strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			marks = 0
			return ' '
		case !unicode.IsPrint(c), unicode.In(c, blank...): // before the marks: it does not reset their count
			return -1
		case !unicode.IsMark(c):
			marks = 0
		case marks == maxMarks:
			return -1
		default:
			marks++
		}
		return c
	}, text)), " ")
}
