package greeting

import (
	"strings"

	"github.com/skip2/go-qrcode"
)

// QR draws a QR code of text for a terminal, two rows of modules to a line.
// With color it is black on white in every theme. Without, it takes the
// terminal's colors and scans where those are dark on light.
func QR(text string, color bool) (string, error) {
	code, err := qrcode.New(text, qrcode.Low) // a screen needs little error correction, and the code must fit on it
	if err != nil {
		return "", err
	}
	drawing := code.ToSmallString(true) // dark modules are text, light ones background
	if !color {
		return drawing, nil
	}
	// Of the 256 colors, these two do not depend on the theme.
	const blackOnWhite, reset = "\x1b[38;5;16;48;5;231m", "\x1b[0m"
	var colored strings.Builder
	for line := range strings.Lines(drawing) {
		colored.WriteString(blackOnWhite + strings.TrimSuffix(line, "\n") + reset + "\n")
	}
	return colored.String(), nil
}
