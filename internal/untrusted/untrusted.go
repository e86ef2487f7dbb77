// Package untrusted makes text that others wrote fit to be shown: a person's
// name at the provider, a city in a database. Escaping it for HTML is the
// templates' work.
package untrusted

import (
	"strings"
	"unicode"
)

const (
	maxShown = 100 // characters
	maxMarks = 3   // accents on one letter: more would cover the lines around it
)

// blank are the characters that show nothing although [unicode.IsPrint] holds.
var blank = []*unicode.RangeTable{
	unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector,
	{R16: []unicode.Range16{{Lo: 0x2800, Hi: 0x2800, Stride: 1}}}, // Braille without dots
}

// Line returns text on one line, without invisible characters and those that
// change the direction of what follows.
func Line(text string) string {
	marks := 0
	return strings.Join(strings.Fields(strings.Map(func(c rune) rune {
		switch {
		case unicode.IsSpace(c):
			marks = 0
			return ' '
		case !unicode.IsPrint(c), unicode.In(c, blank...): // these do not end a row of accents
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

// Short returns the first hundred characters of a text. If it is longer, the
// last of them is an ellipsis.
func Short(text string) string {
	if letters := []rune(text); len(letters) > maxShown {
		return string(letters[:maxShown-1]) + "…"
	}
	return text
}
