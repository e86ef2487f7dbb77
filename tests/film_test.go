package tests

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/gif"
	"image/png"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// film is a moving picture of a laptop and a phone side by side.
type film struct {
	t             *testing.T
	laptop, phone *window
	frames        []*image.RGBA
	delays        []int // in hundredths of a second
}

const filmMargin = 16 // pixels around each window

var desk = color.RGBA{0x8d, 0x99, 0x93, 0xff}

// take adds a frame that stays for some time.
func (f *film) take(shown time.Duration) {
	f.t.Helper()
	f.add(f.shot(f.laptop), f.shot(f.phone), shown)
}

// takeScan adds a frame in which the phone's camera sees the laptop's QR code.
func (f *film) takeScan(shown time.Duration) {
	f.t.Helper()
	laptop, code := f.shot(f.laptop), evaluate[struct{ X, Y, Width, Height int }](f.laptop, `(() => {
		const box = document.querySelector("#qr-code").getBoundingClientRect();
		return { X: Math.round(box.x), Y: Math.round(box.y), Width: Math.round(box.width), Height: Math.round(box.height) };
	})()`)
	camera := image.NewRGBA(image.Rect(0, 0, int(f.phone.width), int(f.phone.height)))
	draw.Draw(camera, camera.Bounds(), image.Black, image.Point{}, draw.Src)
	seen := image.Rect(0, 0, camera.Rect.Dx(), camera.Rect.Dx()).Add(image.Pt(0, (camera.Rect.Dy()-camera.Rect.Dx())/2))
	center := image.Pt(code.X+code.Width/2, code.Y+code.Height/2)
	draw.Draw(camera, seen, laptop, center.Sub(seen.Size().Div(2)), draw.Src)
	f.add(laptop, camera, shown)
}

func (f *film) shot(w *window) image.Image {
	f.t.Helper()
	shot, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		f.t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		f.t.Fatal(err)
	}
	return picture
}

func (f *film) add(laptop, phone image.Image, shown time.Duration) {
	size := laptop.Bounds().Size().Add(image.Pt(phone.Bounds().Dx()+3*filmMargin, 2*filmMargin))
	frame := image.NewRGBA(image.Rectangle{Max: size})
	draw.Draw(frame, frame.Bounds(), image.NewUniform(desk), image.Point{}, draw.Src)
	corner := image.Pt(filmMargin, filmMargin)
	for _, screen := range []image.Image{laptop, phone} {
		draw.Draw(frame, screen.Bounds().Add(corner), screen, image.Point{}, draw.Src)
		corner.X += screen.Bounds().Dx() + filmMargin
	}
	f.frames = append(f.frames, frame)
	f.delays = append(f.delays, int(shown/(10*time.Millisecond)))
}

// gif returns the film as an animated GIF that repeats.
func (f *film) gif() []byte {
	f.t.Helper()
	picture := &gif.GIF{Delay: f.delays}
	colors := f.palette()
	for i, frame := range f.frames {
		paletted := image.NewPaletted(frame.Bounds(), colors)
		draw.Draw(paletted, frame.Bounds(), frame, image.Point{}, draw.Src)
		if i > 0 {
			paletted = paletted.SubImage(changed(f.frames[i-1], frame)).(*image.Paletted)
		}
		picture.Image = append(picture.Image, paletted)
	}
	var encoded bytes.Buffer
	if err := gif.EncodeAll(&encoded, picture); err != nil {
		f.t.Fatal(err)
	}
	return encoded.Bytes()
}

// changed returns the part of a frame that differs from the one before.
func changed(before, frame *image.RGBA) image.Rectangle {
	var part image.Rectangle
	for i := 0; i < len(frame.Pix); i += 4 {
		if !bytes.Equal(before.Pix[i:i+4], frame.Pix[i:i+4]) {
			at := image.Pt(i%frame.Stride/4, i/frame.Stride)
			part = part.Union(image.Rectangle{Min: at, Max: at.Add(image.Pt(1, 1))})
		}
	}
	return part
}

// palette returns the most frequent colors, which are nearly all there are: the
// pages have few, and the edges of letters are between them.
func (f *film) palette() color.Palette {
	count := make(map[color.RGBA]int)
	for _, frame := range f.frames {
		for pixel := range slices.Chunk(frame.Pix, 4) {
			count[color.RGBA{pixel[0], pixel[1], pixel[2], pixel[3]}]++
		}
	}
	frequent := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return cmp.Compare(count[b], count[a]) })
	var colors color.Palette
	for _, one := range frequent[:min(256, len(frequent))] {
		colors = append(colors, one)
	}
	return colors
}
