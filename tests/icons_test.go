package tests

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

var icons = flag.String("icons", "", "the folder that TestIcons writes icons and the social preview to, seen from the tests' folder")

const (
	icoHeader  = 22     // bytes of an .ico file before its only picture
	maxPreview = 40_000 // bytes
)

// The icons and the social preview are found, and are what the pages say they
// are. The pictures are drawn from coin.svg and the home page:
//
//	go test -run TestIcons ./tests -icons ../static
func TestIcons(t *testing.T) {
	if *icons != "" {
		drawIcons(t, *icons)
		return // the program that is running has the old ones
	}
	t.Parallel()
	b := startBank(t)
	home := b.browser(t).get("/")

	ico := home.fetch("/favicon.ico", "image/x-icon")
	if len(ico) < icoHeader || int(binary.LittleEndian.Uint32([]byte(ico[14:]))) != len(ico)-icoHeader {
		t.Fatalf("favicon.ico has %d bytes, and does not say so", len(ico))
	}
	wantPicture(t, "favicon.ico", ico[icoHeader:], 32, 32)
	wantPicture(t, "the touch icon", home.fetch(home.tag("link", "rel", "apple-touch-icon", "href"), "image/png"), 192, 192)

	address := home.tag("meta", "property", "og:image", "content")
	path, absolute := strings.CutPrefix(address, b.URL+"/static/")
	if !absolute {
		t.Fatalf("the social preview is at %q, want an absolute address", address)
	}
	preview := home.fetch("/static/"+path, "image/png")
	wantPicture(t, "the social preview", preview, 1200, 630)
	if len(preview) > maxPreview {
		t.Errorf("the social preview has %d bytes, want at most %d", len(preview), maxPreview)
	}
	for _, name := range []string{"og:title", "og:description", "og:url"} {
		if home.tag("meta", "property", name, "content") == "" {
			t.Errorf("%s is empty", name)
		}
	}
	for _, scheme := range []string{"light", "dark"} {
		if home.tag("meta", "media", "(prefers-color-scheme: "+scheme+")", "name") != "theme-color" {
			t.Errorf("no theme color for %s", scheme)
		}
	}

	var manifest struct{ Icons []struct{ Src, Type string } }
	text := home.fetch(home.tag("link", "rel", "manifest", "href"), "application/manifest+json")
	if err := json.Unmarshal([]byte(text), &manifest); err != nil || len(manifest.Icons) == 0 {
		t.Fatalf("the manifest has %d icons, %v: %s", len(manifest.Icons), err, text)
	}
	for _, icon := range manifest.Icons {
		home.fetch("/static/"+icon.Src, icon.Type)
	}
	if policy := home.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "manifest-src 'self'") {
		t.Errorf("the policy keeps the manifest out: %s", policy)
	}
}

// tag returns an attribute of the first element of that kind whose attribute
// name has this value.
func (p page) tag(kind, name, value, want string) string {
	p.t.Helper()
	for node := range p.doc.Descendants() {
		if node.Data == kind && attr(node, name) == value {
			return attr(node, want)
		}
	}
	p.t.Fatalf("no <%s %s=%q> at %s", kind, name, value, p.URL)
	return ""
}

// fetch returns a file that the page names, which must have that type.
func (p page) fetch(path, kind string) string {
	p.t.Helper()
	resp, err := http.Get("http://" + p.URL.Host + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	var body bytes.Buffer
	if _, err := body.ReadFrom(resp.Body); err != nil {
		p.t.Fatal(err)
	}
	got := resp.Header.Get("Content-Type")
	if resp.StatusCode != http.StatusOK || got != kind || !strings.Contains(resp.Header.Get("Cache-Control"), "max-age") {
		p.t.Fatalf("%s: %s, %s, %q; want 200, %s and that it may be kept", path, resp.Status, got, resp.Header.Get("Cache-Control"), kind)
	}
	return body.String()
}

func wantPicture(t *testing.T, name, picture string, width, height int) {
	t.Helper()
	size, err := png.DecodeConfig(strings.NewReader(picture))
	if err != nil || size.Width != width || size.Height != height {
		t.Errorf("%s is a picture of %dx%d, %v; want %dx%d", name, size.Width, size.Height, err, width, height)
	}
}

// drawIcons draws the pictures.
func drawIcons(t *testing.T, folder string) {
	t.Helper()
	coin, err := os.ReadFile(filepath.Join(folder, "coin.svg"))
	if err != nil {
		t.Fatal(err)
	}
	keep := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w := newWindow(t, startChromium(t), "icons", 1200, 630)
	shot := func(simplify func(image.Image) image.Image) []byte {
		t.Helper()
		taken, err := chromedp.Run(w.ctx, chromedp.CaptureScreenshot())
		if err != nil {
			t.Fatal(err)
		}
		picture, err := png.Decode(bytes.NewReader(taken))
		if err != nil {
			t.Fatal(err)
		}
		var small bytes.Buffer
		if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&small, simplify(picture)); err != nil {
			t.Fatal(err)
		}
		return small.Bytes()
	}

	w.open(startBank(t).URL)
	// Only what can be read at the size of a thumb, in flat colors, which make a
	// smaller file.
	w.run(`document.querySelectorAll(".top nav, .who, .buttons, .hero .small, .trio, .offers, .foot").forEach((e) => e.remove());
		document.querySelectorAll("linearGradient").forEach((g) => g.lastChild.setAttribute("stop-color", g.firstChild.getAttribute("stop-color")));
		Object.assign(document.querySelector("main").style, { display: "grid", alignItems: "center" })`)
	keep("preview.png", shot(inFewColors))

	w.call("make the background transparent", func(ctx context.Context) error {
		_, err := chromedp.Call(ctx, emulation.SetDefaultBackgroundColorOverride, emulation.SetDefaultBackgroundColorOverrideParams{Color: &cdp.RGBA{}})
		return err
	})
	draw := func(size int64, style string, simplify func(image.Image) image.Image) []byte {
		t.Helper()
		w.resize(size, size, "light")
		page := fmt.Sprintf(`<body style="margin:0;height:100vh;display:grid;place-items:center;%s"><img width="%d%%" src="data:image/svg+xml;base64,%s">`,
			style, map[bool]int{true: 100, false: 66}[style == ""], base64.StdEncoding.EncodeToString(coin))
		w.open("data:text/html;base64," + base64.StdEncoding.EncodeToString([]byte(page)))
		return shot(simplify)
	}
	keep("icon.png", draw(192, "background:#123f37", inFewColors)) // whole inside any mask
	small := draw(32, "", func(transparent image.Image) image.Image { return transparent })
	ico := []byte{0, 0, 1, 0, 1, 0, 32, 32, 0, 0, 1, 0, 32, 0}
	ico = binary.LittleEndian.AppendUint32(ico, uint32(len(small)))
	ico = binary.LittleEndian.AppendUint32(ico, icoHeader)
	keep("favicon.ico", append(ico, small...))
}

// inFewColors returns the picture with one color in place of all that are nearly
// the same, which a picture with a palette takes a third of the space for.
func inFewColors(picture image.Image) image.Image {
	const near = 1 << 12 // of 16 bits
	few := image.NewPaletted(picture.Bounds(), nil)
	index := make(map[[3]uint32]uint8)
	for y := range few.Rect.Dy() {
		for x := range few.Rect.Dx() {
			c := color.RGBAModel.Convert(picture.At(x, y))
			r, g, b, _ := c.RGBA()
			like := [3]uint32{r / near, g / near, b / near}
			i, ok := index[like]
			if !ok {
				i = uint8(len(few.Palette)) // a drawing in flat colors has fewer than 256
				index[like], few.Palette = i, append(few.Palette, c)
			}
			few.SetColorIndex(x, y, i)
		}
	}
	return few
}
