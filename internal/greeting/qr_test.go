package greeting

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

// theme is a terminal's colors.
type theme struct{ text, background color.Gray }

var (
	black, white = color.Gray{0}, color.Gray{255}
	light        = theme{text: black, background: white}
	dark         = theme{text: white, background: black}
)

// A phone's camera reads the code off a terminal, and the code leaves room for
// the greeting on 80x24.
func TestQR(t *testing.T) {
	for _, url := range []string{"http://10.0.0.1:5000", "http://192.168.178.120:5000", "https://unpleasantly-long-name-1a2b3c.ngrok-free.app"} {
		plain, err := QR(url, false)
		if err != nil {
			t.Fatal(err)
		}
		if got := scan(t, plain, light); got != url {
			t.Errorf("without color: scanned %q, want %q", got, url)
		}
		if strings.Contains(plain, "\x1b") {
			t.Error("without color: the drawing has escape sequences")
		}
		colored, err := QR(url, true)
		if err != nil {
			t.Fatal(err)
		}
		for name, in := range map[string]theme{"light": light, "dark": dark} {
			if got := scan(t, colored, in); got != url {
				t.Errorf("%s theme: scanned %q, want %q", name, got, url)
			}
		}
		lines := strings.Split(strings.TrimSuffix(plain, "\n"), "\n")
		if rows, columns := len(lines), utf8.RuneCountInString(lines[0]); rows > 20 || columns > 80 {
			t.Errorf("%s takes %d rows and %d columns, want at most 20 and 80", url, rows, columns)
		}
	}
	if _, err := QR(strings.Repeat("x", 10_000), false); err == nil {
		t.Error("10,000 characters were drawn as a QR code")
	}
}

var setColors = regexp.MustCompile("^\x1b\\[([0-9;]*)m")

// scan returns what a camera reads off a terminal of that theme.
func scan(t *testing.T, drawing string, in theme) string {
	t.Helper()
	bitmap, err := gozxing.NewBinaryBitmapFromImage(screenshot(t, drawing, in))
	if err != nil {
		t.Fatal(err)
	}
	read, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
	if err != nil {
		t.Errorf("scan: %v\n%s", err, drawing)
		return ""
	}
	return read.GetText()
}

// screenshot is the drawing as a terminal of that theme shows it.
func screenshot(t *testing.T, drawing string, in theme) image.Image {
	t.Helper()
	const module = 4 // pixels
	rows := strings.Split(strings.TrimSuffix(drawing, "\n"), "\n")
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
			if set := setColors.FindStringSubmatch(row); set != nil {
				switch set[1] {
				case "38;5;16;48;5;231":
					now = light
				case "0":
					now = in
				default:
					t.Fatalf("unexpected colors %q", set[1])
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
	return picture
}
