package main

import (
	"image"
	"image/color"
	"image/draw"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// terminal is the colours of one.
type terminal struct{ text, background color.Gray }

var (
	black, white  = color.Gray{0}, color.Gray{255}
	lightTerminal = terminal{text: black, background: white}
	darkTerminal  = terminal{text: white, background: black}
)

func TestTerminalQR(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://10.0.0.1:5000", "http://192.168.178.120:5000", "https://unpleasantly-long-name-1a2b3c.ngrok-free.app"} {
		plain, err := terminalQR(url, false)
		if err != nil {
			t.Fatal(err)
		}
		if got := readQR(t, plain, lightTerminal); got != url {
			t.Errorf("without colours, %s reads as %q", url, got)
		}
		if strings.Contains(plain, "\x1b") {
			t.Error("a file gets the terminal's escape sequences")
		}
		coloured, err := terminalQR(url, true)
		if err != nil {
			t.Fatal(err)
		}
		for name, in := range map[string]terminal{"light": lightTerminal, "dark": darkTerminal} {
			if got := readQR(t, coloured, in); got != url {
				t.Errorf("on a %s terminal, %s reads as %q", name, url, got)
			}
		}
		lines := strings.Split(strings.TrimRight(plain, "\n"), "\n")
		if rows, columns := len(lines), utf8.RuneCountInString(lines[0]); rows > 20 || columns > 80 {
			t.Errorf("the code of %s has %d rows and %d columns, and no room for them on 80x24", url, rows, columns)
		}
	}
	if _, err := terminalQR(strings.Repeat("x", 10_000), false); err == nil {
		t.Error("a code of 10000 characters is drawn")
	}
}

var (
	sgr  = regexp.MustCompile("^\x1b\\[([0-9;]*)m")            // sets colours
	ofQR = regexp.MustCompile("^(\x1b\\[[0-9;]*m|[ ▀▄█])+\n$") // a line of a code
)

// readQR returns what a phone's camera reads off a terminal that shows text.
func readQR(t *testing.T, text string, in terminal) string {
	t.Helper()
	const module = 4 // pixels
	var rows []string
	for line := range strings.Lines(text) {
		if ofQR.MatchString(line) {
			rows = append(rows, strings.TrimRight(line, "\n"))
		}
	}
	width := 0
	for _, row := range rows {
		width = max(width, utf8.RuneCountInString(row))
	}
	picture := image.NewGray(image.Rect(0, 0, (width+8)*module, (2*len(rows)+8)*module))
	fill := func(x, y int, c color.Gray) {
		spot := image.Rect(x*module, y*module, (x+1)*module, (y+1)*module).Add(image.Pt(4*module, 4*module))
		draw.Draw(picture, spot, image.NewUniform(c), image.Point{}, draw.Src)
	}
	draw.Draw(picture, picture.Bounds(), image.NewUniform(in.background), image.Point{}, draw.Src)
	now := in
	for y, row := range rows {
		for x := 0; row != ""; {
			if set := sgr.FindStringSubmatch(row); set != nil {
				switch set[1] {
				case "38;5;16;48;5;231":
					now = lightTerminal
				case "0":
					now = in
				default:
					t.Fatalf("colours %q, which this terminal does not know", set[1])
				}
				row = row[len(set[0]):]
				continue
			}
			char, size := utf8.DecodeRuneInString(row)
			row = row[size:]
			upper, lower := now.background, now.background
			if char == '▀' || char == '█' {
				upper = now.text
			}
			if char == '▄' || char == '█' {
				lower = now.text
			}
			fill(x, 2*y, upper)
			fill(x, 2*y+1, lower)
			x++
		}
	}
	bitmap, err := gozxing.NewBinaryBitmapFromImage(picture)
	if err != nil {
		t.Fatal(err)
	}
	read, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Errorf("no QR code can be read off the terminal: %v\n%s", err, text)
		return ""
	}
	return read.GetText()
}

// A password that stands in the repository is none where others can try it.
// What takes its place is the data's own.
func TestPasswordWhereOthersCome(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	password := func(settings ...string) string {
		// Nobody comes by these addresses here, but somebody could.
		b := startBank(t, append(settings, "APP_URL=http://192.168.77.10:5000", "DEMO_URL=http://localhost:0")...)
		defer b.stop()
		return b.password
	}
	first := password("DATA_DIR=" + dir)
	if !regexp.MustCompile(`^[a-hjkmnp-z]{4}-[a-hjkmnp-z]{4}-[a-hjkmnp-z]{4}$`).MatchString(first) {
		t.Errorf("the password is %q, want three groups of four letters that are not mistaken for others", first)
	}
	if again := password("DATA_DIR=" + dir); again != first {
		t.Errorf("after a restart the password is %q, want %q still", again, first)
	}
	if other := password(); other == first {
		t.Errorf("other data has the same password %q", other)
	}
	chosen := startBank(t, "USER_PASSWORD=chosen-by-me", "APP_URL=http://192.168.77.10:5000", "DEMO_URL=http://localhost:0")
	if text := chosen.log.String(); strings.Contains(text, "chosen-by-me") || !strings.Contains(text, "the password in USER_PASSWORD") {
		t.Errorf("with a chosen password the terminal says:\n%s", text)
	}
}
