package qrcode

import (
	"html/template"
	"image"
	"image/color"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	reader "github.com/makiuchi-d/gozxing/qrcode"
	encoder "github.com/skip2/go-qrcode"
)

// The drawing is a QR code that can be read, dark on white, with its quiet zone.
func TestQRCode(t *testing.T) {
	var codes Codes
	for _, text := range []string{"http://localhost:5000/activate?user_code=ABC234", "https://bank.example.com/activate?user_code=" + strings.Repeat("W", 80)} {
		svg, err := codes.Draw(text)
		if err != nil {
			t.Fatal(err)
		}
		source, err := gozxing.NewBinaryBitmapFromImage(drawn(t, svg))
		if err != nil {
			t.Fatal(err)
		}
		read, err := reader.NewQRCodeReader().Decode(source, nil)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if read.GetText() != text {
			t.Errorf("the code reads %q, want %q", read.GetText(), text)
		}
	}
	// Version 6 is what a text of this length takes at the medium level, which
	// still reads with a smudge on the screen.
	svg, err := codes.Draw(strings.Repeat("x", 100))
	if err != nil || !strings.Contains(string(svg), `viewBox="0 0 49 49"`) {
		t.Errorf("100 bytes are drawn as %.80s, %v; want 41 modules and the quiet zone", svg, err)
	}
	if _, err := codes.Draw(strings.Repeat("x", 5000)); err == nil {
		t.Error("a text that no QR code can hold is drawn")
	}
	if again, err := codes.Draw(strings.Repeat("x", 100)); again != svg || err != nil {
		t.Errorf("drawn again, %v: %.80s", err, again)
	}
}

// However many codes are drawn, the memory is bounded, and each is its own.
func TestQRCodesAreBounded(t *testing.T) {
	one, err := encode("one")
	if err != nil {
		t.Fatal(err)
	}
	codes := Codes{of: make(map[string]code)}
	for i := range maxCodes {
		codes.of[strconv.Itoa(i)] = one
	}
	svg, err := codes.Draw("another")
	if err != nil || svg == one.svg() || len(codes.of) > maxCodes {
		t.Errorf("another code: the same drawing: %t, %v, %d are kept; want a drawing of its own, and %d at most", svg == one.svg(), err, len(codes.of), maxCodes)
	}
}

// drawn renders our own kind of SVG, four pixels a module.
func drawn(t *testing.T, svg template.HTML) image.Image {
	t.Helper()
	size := regexp.MustCompile(`viewBox="0 0 (\d+) (\d+)"`).FindStringSubmatch(string(svg))
	dark := regexp.MustCompile(`fill="#000000" d="([^"]*)"`).FindStringSubmatch(string(svg))
	if size == nil || dark == nil || !strings.Contains(string(svg), `<path fill="#ffffff" d="M0 0h`+size[1]+`v`+size[1]+`H0z"/>`) {
		t.Fatalf("not a dark drawing on white: %.300s", svg)
	}
	n := number(t, size[1])
	const scale = 4
	picture := image.NewGray(image.Rect(0, 0, n*scale, n*scale))
	for i := range picture.Pix {
		picture.Pix[i] = 255
	}
	for _, run := range regexp.MustCompile(`M(\d+) (\d+)h(\d+)v1h-(\d+)z`).FindAllStringSubmatch(dark[1], -1) {
		x, y, width := number(t, run[1]), number(t, run[2]), number(t, run[3])
		if x < 4 || y < 4 || x+width > n-4 || y >= n-4 {
			t.Fatalf("the run %s is in the quiet zone of 4 modules", run[0])
		}
		for px := x * scale; px < (x+width)*scale; px++ {
			for py := y * scale; py < (y+1)*scale; py++ {
				picture.SetGray(px, py, color.Gray{})
			}
		}
	}
	return picture
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// BenchmarkQRCode measures a QR code that is drawn for the first time, next to
// the encoding alone, and again.
func BenchmarkQRCode(b *testing.B) {
	const text = "https://bank.example.com/activate?user_code=ABC234"
	measure := func(name string, draw func() error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := draw(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	measure("encoding", func() error {
		code, err := encoder.New(text, encoder.Medium)
		code.Bitmap()
		return err
	})
	measure("first", func() error {
		_, err := new(Codes).Draw(text)
		return err
	})
	var codes Codes
	measure("again", func() error {
		_, err := codes.Draw(text)
		return err
	})
}
